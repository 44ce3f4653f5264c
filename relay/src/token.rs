//! Parses a device's own token as far as needed: to know when it expires.

use std::{
    error::Error,
    fmt,
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use iotcore_gateway_tokio::{Token, TokenError};
use serde::Deserialize;

/// The limit of the remaining lifetime: later expiries are reduced to this one, because an `Instant` has a limited
/// range.
const MAX_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The claims of a JWT that are used.
#[derive(Deserialize)]
struct Claims {
    /// Seconds since 1970, perhaps with a fraction (RFC 7519, section 2).
    exp: f64,
}

/// Parses a token and its `exp`; a token that has expired is left for the gateway to refuse.
pub(crate) fn read(jwt: String) -> Result<Token, UnreadableToken> {
    let exp = expiry(&jwt)?;
    let unix_now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let left = exp - unix_now.unwrap_or_default().as_secs_f64();
    let left = Duration::try_from_secs_f64(left.max(0.0)).unwrap_or(MAX_LIFE);
    Token::new(jwt, Instant::now() + left.min(MAX_LIFE)).map_err(UnreadableToken::Text)
}

fn expiry(jwt: &str) -> Result<f64, UnreadableToken> {
    let mut parts = jwt.split('.');
    let (Some(_), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(UnreadableToken::Parts);
    };
    let claims = URL_SAFE_NO_PAD
        .decode(claims)
        .map_err(|_| UnreadableToken::Base64)?;
    // The parser's message is left out because it may quote the claims.
    let claims: Claims = serde_json::from_slice(&claims).map_err(|_| UnreadableToken::Expiry)?;
    Ok(claims.exp)
}

/// A text that is not a JWT with an expiry. The error never repeats the text.
#[derive(Debug)]
pub(crate) enum UnreadableToken {
    /// The text is not three parts separated by dots.
    Parts,
    /// The second part is not base64url.
    Base64,
    /// The second part is not JSON with a number `exp`.
    Expiry,
    /// The text cannot be a token.
    Text(TokenError),
}

impl fmt::Display for UnreadableToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parts => {
                f.write_str("the token is not a JWT, which has three parts separated by dots")
            }
            Self::Base64 => f.write_str(
                "the token is not a JWT, because its second part is not base64url without padding",
            ),
            Self::Expiry => f.write_str(
                "the token's claims have no number `exp`, the time at which it expires: mint the token with one",
            ),
            Self::Text(error) => error.fmt(f),
        }
    }
}

impl Error for UnreadableToken {}
