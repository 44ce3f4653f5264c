//! The bearer token of a CONNECT or an attach. No output contains it except the packets themselves.

use core::{error::Error, fmt};
use std::sync::Arc;

use crate::time::{Instant, UnixTime};

/// Maximum length of an MQTT password (section 3.1.3.5 of MQTT 3.1.1).
const MAX_LEN: usize = 65_535;

/// A JWT that the bridge accepts as a password, and its expiry.
///
/// Opaque: it is neither parsed nor verified, so the keys may be out of reach of this crate. The expiry is an instant
/// of the monotonic clock, which stands still on some machines while they sleep; [`with_lifetime`](Self::with_lifetime)
/// adds that of the wall clock, and the token has expired once it has by either. `Debug` shows no character of the
/// token. Cheap to clone.
///
/// A connection is replaced when a fifth of the lifetime of its token remains, at least 10 s and at most 5 min: with a
/// token of 60 s, after 48 s. Below 20 s it is half of the lifetime. Short lifetimes cause no storm of connections, because
/// the backoff limits them: with the default options, tokens of less than some 42 s delay the next connection, more with
/// each one. With tokens of 5 s a connection lasts 2.5 s, and soon the next one follows 24 s to 32 s after its beginning.
/// A token that comes again for the next connection is not replaced before it expires, and is reported with
/// [`Event::TokenUnchanged`](crate::Event::TokenUnchanged).
///
/// ```
/// # use std::time::{Duration, Instant};
/// # use iotcore_gateway::auth::{Token, UnixTime};
/// let now = Instant::now();
/// let token = Token::new("header.claims.signature", now + Duration::from_secs(3_600))?
///     .with_lifetime(UnixTime::from_secs(1_795_374_000), UnixTime::from_secs(1_795_377_600));
/// assert!(!format!("{token:?}").contains("claims"));
/// # Ok::<(), iotcore_gateway::auth::TokenError>(())
/// ```
#[derive(Clone)]
pub struct Token {
    jwt: Arc<str>,
    expires_at: Instant,
    lifetime: Option<(UnixTime, UnixTime)>,
}

impl Token {
    /// Creates a token that is valid until `expires_at`.
    ///
    /// # Errors
    /// If `jwt` is not 1 to 65,535 characters of visible ASCII: an error of the caller, often a trailing line break.
    pub fn new(jwt: impl Into<String>, expires_at: Instant) -> Result<Self, TokenError> {
        let jwt = jwt.into();
        if jwt.is_empty() {
            return Err(TokenError::Empty);
        }
        if jwt.len() > MAX_LEN {
            return Err(TokenError::TooLong {
                len: jwt.len(),
                max: MAX_LEN,
            });
        }
        if let Some(position) = jwt.bytes().position(|byte| !byte.is_ascii_graphic()) {
            return Err(TokenError::Character { position });
        }
        Ok(Self {
            jwt: jwt.into(),
            expires_at,
            lifetime: None,
        })
    }

    /// Adds the token's `iat` and `exp` claims. The token is then also judged by the date, so that one that was minted
    /// before the machine slept, or before its clock was set, is not taken for good. A refusal by the bridge shows them.
    #[must_use]
    pub const fn with_lifetime(mut self, issued_at: UnixTime, expires: UnixTime) -> Self {
        self.lifetime = Some((issued_at, expires));
        self
    }

    /// Returns when the token expires, on the clock that the machine receives as `now`.
    #[must_use]
    pub const fn expires_at(&self) -> Instant {
        self.expires_at
    }

    /// Returns the `iat` claim, if known.
    #[must_use]
    pub fn issued_at(&self) -> Option<UnixTime> {
        self.lifetime.map(|(issued_at, _)| issued_at)
    }

    /// Returns the `exp` claim, if known.
    #[must_use]
    pub fn expires(&self) -> Option<UnixTime> {
        self.lifetime.map(|(_, expires)| expires)
    }

    /// Returns the clock by which the token has expired; `None` if it has not. Without its `exp`, or without a date, only
    /// the monotonic clock judges.
    pub(crate) fn expired_by(&self, now: Instant, unix_now: Option<UnixTime>) -> Option<ExpiredBy> {
        if self.expires_at <= now {
            return Some(ExpiredBy::MonotonicClock);
        }
        let (expires, unix_now) = self.expires().zip(unix_now)?;
        (expires <= unix_now).then_some(ExpiredBy::WallClock { expires, unix_now })
    }

    /// Returns the secret itself. Anyone who has it can act as the device until it expires: do not log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.jwt
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("jwt", &format_args!("[{} bytes]", self.jwt.len()))
            .field("expires_at", &self.expires_at)
            .field("issued_at", &self.issued_at())
            .field("expires", &self.expires())
            .finish()
    }
}

/// By which clock a token has expired.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiredBy {
    /// The monotonic clock: [`Token::expires_at`] has passed.
    MonotonicClock,
    /// The wall clock: the token's `exp` has passed.
    WallClock {
        /// Its `exp`.
        expires: UnixTime,
        /// The date.
        unix_now: UnixTime,
    },
}

impl fmt::Display for ExpiredBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MonotonicClock => f.write_str("by the monotonic clock"),
            Self::WallClock { expires, unix_now } => {
                write!(f, "at {expires}, and the wall clock shows {unix_now}")
            }
        }
    }
}

/// Why a string cannot be a token: an error of the caller. Does not contain the string.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It is empty.
    Empty,
    /// It is longer than an MQTT password may be.
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// Maximum.
        max: usize,
    },
    /// It contains a space, a control character or a non-ASCII character.
    Character {
        /// Its byte offset, from 0.
        position: usize,
    },
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the token is empty; pass a signed JWT"),
            Self::TooLong { len, max } => write!(
                f,
                "the token has {len} bytes, and MQTT allows at most {max}; use a JWT with fewer \
                 claims"
            ),
            Self::Character { position } => write!(
                f,
                "the token has a character at byte {position} that is invalid in a JWT; use the compact \
                 form, without spaces or line breaks"
            ),
        }
    }
}

impl Error for TokenError {}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an instant has no other source")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_token_gives_back_what_it_was_made_of() {
        let expires_at = now() + Duration::from_secs(60);
        let token = Token::new("a.b-_.c", expires_at).unwrap();
        assert_eq!(token.expose(), "a.b-_.c");
        assert_eq!(token.expires_at(), expires_at);
        assert_eq!((token.issued_at(), token.expires()), (None, None));

        let (issued_at, expires) = (UnixTime::from_secs(1), UnixTime::from_secs(61));
        let token = token.with_lifetime(issued_at, expires);
        assert_eq!(
            (token.issued_at(), token.expires()),
            (Some(issued_at), Some(expires))
        );
    }

    #[test]
    fn a_text_that_is_no_password_is_refused() {
        let refused = |jwt: &str| Token::new(jwt, now()).unwrap_err();
        assert_eq!(refused(""), TokenError::Empty);
        assert!(Token::new("x".repeat(65_535), now()).is_ok());
        let too_long = TokenError::TooLong {
            len: 65_536,
            max: 65_535,
        };
        assert_eq!(refused(&"x".repeat(65_536)), too_long);
        for character in ['\0', '\n', ' ', '\u{7f}', 'é'] {
            let jwt = format!("secret{character}");
            assert_eq!(refused(&jwt), TokenError::Character { position: 6 });
        }
    }

    #[test]
    fn an_error_says_what_to_do_and_nothing_of_the_token() {
        for (jwt, part) in [
            (String::new(), "pass a signed JWT"),
            (
                "secret".repeat(20_000),
                "has 120000 bytes, and MQTT allows at most 65535",
            ),
            ("secret\n".into(), "byte 6"),
        ] {
            let error = Token::new(jwt, now()).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
    }

    #[test]
    fn debug_shows_the_times_and_nothing_of_the_token() {
        let token = Token::new("head.body.tail", now())
            .unwrap()
            .with_lifetime(UnixTime::from_secs(0), UnixTime::from_secs(1));
        for shown in [format!("{token:?}"), format!("{token:#?}")] {
            assert!(shown.contains("[14 bytes]"), "{shown}");
            assert!(shown.contains("1970-01-01T00:00:01Z"), "{shown}");
            for part in ["head", "body", "tail"] {
                assert!(!shown.contains(part), "{shown}");
            }
        }
    }
}
