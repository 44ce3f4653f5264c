//! How one device proves to the bridge who it is: by its association with the gateway, or by tokens.

use crate::{clock::Clock, command::DeviceAuth, token::Token};

/// What the attaches of a device carry.
#[derive(Debug)]
pub(crate) struct Auth {
    method: Method,
    /// On the heap, because most devices have none.
    held: Option<Box<Held>>,
}

#[derive(Clone, Copy, Debug)]
enum Method {
    Association,
    /// One token, until the user replaces it.
    Token,
    /// Tokens that can be asked for at any time.
    Renewable {
        /// Whether one was asked for because the bridge refused the one before: its refusal is final.
        is_last: bool,
    },
}

/// The token of a device.
#[derive(Debug)]
struct Held {
    token: Token,
    /// Whether it was ahead of the date when it came. Then it is from a machine with another date, and its own proves
    /// nothing here.
    was_ahead: bool,
}

impl Auth {
    pub(super) fn new() -> Self {
        Self {
            method: Method::Association,
            held: None,
        }
    }

    /// Records how the user wants the device to prove itself; returns whether its next attach carries something else.
    pub(super) fn replace(&mut self, auth: DeviceAuth, clock: &Clock) -> bool {
        match auth {
            DeviceAuth::ByAssociation => {
                self.method = Method::Association;
                self.held.take().is_some()
            }
            DeviceAuth::Token(token) => {
                self.method = Method::Token;
                self.hold(token, clock)
            }
            DeviceAuth::Renewable(token) => {
                self.method = Method::Renewable { is_last: false };
                token.is_some_and(|token| self.hold(token, clock))
            }
        }
    }

    /// Records a new token; returns whether it is another one.
    pub(super) fn renew(&mut self, token: Token, clock: &Clock) -> bool {
        if matches!(self.method, Method::Association) {
            self.method = Method::Token;
        }
        self.hold(token, clock)
    }

    fn hold(&mut self, token: Token, clock: &Clock) -> bool {
        let was_ahead = clock.is_ahead(&token);
        let old = self.held.replace(Box::new(Held { token, was_ahead }));
        old.is_none_or(|old| Some(old.token.expose()) != self.token().map(Token::expose))
    }

    /// Forgets what the bridge has refused: a refused token is never used again. Returns whether another is to be asked
    /// for.
    pub(crate) fn refuse(&mut self) -> bool {
        self.held = None;
        match &mut self.method {
            Method::Renewable { is_last } => !core::mem::replace(is_last, true),
            Method::Association | Method::Token => false,
        }
    }

    /// Records that the bridge has accepted what the device carried.
    pub(crate) fn accept(&mut self) {
        if let Method::Renewable { is_last } = &mut self.method {
            *is_last = false;
        }
    }

    pub(crate) fn is_renewable(&self) -> bool {
        matches!(self.method, Method::Renewable { .. })
    }

    /// Returns the token that the next attach carries.
    pub(crate) fn token(&self) -> Option<&Token> {
        self.held.as_ref().map(|held| &held.token)
    }

    /// Returns whether the device cannot be attached before it has a new token. A renewable one needs a token that is
    /// surely good; any other is used until it has expired.
    pub(crate) fn needs_token(&self, clock: &Clock) -> bool {
        let Some(Held { token, was_ahead }) = self.held.as_deref() else {
            return !matches!(self.method, Method::Association);
        };
        clock.has_expired(token) || self.is_renewable() && !was_ahead && clock.is_ahead(token)
    }
}
