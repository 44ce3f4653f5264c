//! How one device proves to the bridge who it is: by its association with the gateway, or by tokens.

use crate::{clock::Clock, command::DeviceAuth, token::Token};

/// What the attaches of a device carry.
#[derive(Debug)]
pub(crate) struct Auth {
    method: Method,
    token: Option<Token>,
}

#[derive(Clone, Copy, Debug)]
enum Method {
    Association,
    /// One token, until the user replaces it.
    Token,
    /// Tokens that can be asked for at any time.
    Renewable,
}

impl Auth {
    pub(super) fn new() -> Self {
        Self {
            method: Method::Association,
            token: None,
        }
    }

    /// Records how the user wants the device to prove itself; returns whether its next attach carries something else.
    pub(super) fn replace(&mut self, auth: DeviceAuth) -> bool {
        match auth {
            DeviceAuth::ByAssociation => {
                self.method = Method::Association;
                self.token.take().is_some()
            }
            DeviceAuth::Token(token) => {
                self.method = Method::Token;
                self.set_token(token)
            }
            DeviceAuth::Renewable(token) => {
                self.method = Method::Renewable;
                token.is_some_and(|token| self.set_token(token))
            }
        }
    }

    /// Records a new token; returns whether it is another one.
    pub(super) fn renew(&mut self, token: Token) -> bool {
        if matches!(self.method, Method::Association) {
            self.method = Method::Token;
        }
        self.set_token(token)
    }

    fn set_token(&mut self, token: Token) -> bool {
        let old = self.token.replace(token);
        old.as_ref().map(Token::expose) != self.token().map(Token::expose)
    }

    /// Forgets a token that the bridge has refused: it is never used again.
    pub(crate) fn forget_refused(&mut self) {
        self.token = None;
    }

    /// Returns the token that the next attach carries.
    pub(crate) fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// Returns whether the device cannot be attached before it has a new token.
    pub(crate) fn needs_token(&self, clock: &Clock) -> bool {
        match &self.token {
            Some(token) => clock.is_past(token.expires_at()),
            None => !matches!(self.method, Method::Association),
        }
    }
}
