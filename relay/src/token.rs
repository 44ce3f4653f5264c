//! Parses a device's own token as far as needed: to know when it expires, by both clocks.

use std::{
    error::Error,
    fmt,
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use iotcore_gateway_tokio::auth::{Token, TokenError, UnixTime};
use serde::Deserialize;

/// The limit of the remaining lifetime: later expiries are reduced to this one, because an `Instant` has a limited
/// range.
const MAX_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The claims of a JWT that are used.
#[derive(Deserialize)]
struct Claims {
    /// Seconds since 1970, perhaps with a fraction (RFC 7519, section 2).
    exp: f64,
    /// The same. The bridge requires it, so a token without it is only judged by the monotonic clock.
    iat: Option<f64>,
}

/// Parses a token and its `exp`; a token that has expired is left for the gateway to refuse.
pub(crate) fn read(jwt: String) -> Result<Token, UnreadableToken> {
    let Claims { exp, iat } = claims(&jwt)?;
    let unix_now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let left = exp - unix_now.unwrap_or_default().as_secs_f64();
    let left = Duration::try_from_secs_f64(left.max(0.0)).unwrap_or(MAX_LIFE);
    let token =
        Token::new(jwt, Instant::now() + left.min(MAX_LIFE)).map_err(UnreadableToken::Text)?;
    Ok(match iat {
        Some(iat) => token.with_lifetime(whole_seconds(iat), whole_seconds(exp)),
        None => token,
    })
}

/// Drops the fraction; a time before 1970 is 1970.
fn whole_seconds(time: f64) -> UnixTime {
    UnixTime::from_secs(time as u64)
}

fn claims(jwt: &str) -> Result<Claims, UnreadableToken> {
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
    serde_json::from_slice(&claims).map_err(|_| UnreadableToken::Expiry)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        format!("header.{}.signature", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_is_judged_by_both_clocks() {
        let token = read(jwt(r#"{"iat":4102444800.5,"exp":4102448400.9}"#)).unwrap();
        assert_eq!(token.issued_at(), Some(UnixTime::from_secs(4_102_444_800)));
        assert_eq!(token.expires(), Some(UnixTime::from_secs(4_102_448_400)));
        assert!(token.expires_at() > Instant::now());
    }

    #[test]
    fn a_token_without_its_iat_is_judged_by_the_monotonic_clock_alone() {
        let token = read(jwt(r#"{"exp":4102448400}"#)).unwrap();
        assert_eq!((token.issued_at(), token.expires()), (None, None));
        let past = read(jwt(r#"{"exp":1}"#)).unwrap();
        assert!(past.expires_at() <= Instant::now());
    }
}
