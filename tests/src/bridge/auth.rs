//! JSON web tokens as the bridge accepts them, and the public keys that verify them.

#[cfg(test)]
mod tests;

use core::error::Error;
use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use rustls_pki_types::pem::{PemObject, SectionKind};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The tolerated difference between the clocks, in seconds.
pub(crate) const SKEW: u64 = 10 * 60;

/// The maximum lifetime of a token, in seconds, without the skew.
const LIFETIME: u64 = 24 * 60 * 60;

/// A signature algorithm that the bridge accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// RSA PKCS#1 v1.5 with SHA-256, of at least 2048 bits.
    Rs256,
    /// ECDSA on P-256 with SHA-256; the signature is R‖S, 64 bytes.
    Es256,
}

/// A public key of a device: from a PEM `PUBLIC KEY` or `CERTIFICATE`.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: Algorithm,
    key: DecodingKey,
    expires: Option<u64>,
}

/// The reason why a text is not a usable public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// There is no PEM block, or it is damaged.
    NotPem,
    /// The PEM block is a private key, which must never be uploaded to the bridge.
    Private,
    /// The PEM block contains something else, or a key that is neither RSA nor EC.
    Unsupported,
    /// The elliptic curve is not P-256.
    Curve,
}

/// The reason why a token was not accepted. Never contains the token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenError {
    /// The user name or the password is missing or empty.
    Missing,
    /// The token is not three base64url parts of which the first two are JSON with the required claims.
    Form {
        /// The part, and what is wrong with it.
        problem: String,
    },
    /// The algorithm is neither RS256 nor ES256.
    Algorithm {
        /// The algorithm in the token's header.
        alg: String,
    },
    /// The device has no unexpired public key.
    NoKey,
    /// None of the device's keys verifies the signature.
    Signature,
    /// The token is for another project.
    Audience {
        /// The project in the token.
        aud: String,
        /// The bridge's project.
        project: String,
    },
    /// `iat` is in the future by more than the skew.
    IssuedInFuture {
        /// By how many seconds.
        ahead: u64,
    },
    /// `exp` is in the past by more than the skew.
    Expired {
        /// How many seconds ago it expired.
        since: u64,
    },
    /// `exp` is before `iat`, or later than 24 hours plus the skew after it.
    Lifetime {
        /// Seconds since 1970.
        iat: u64,
        /// Seconds since 1970.
        exp: u64,
    },
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iat: u64,
    exp: u64,
    /// A string; the type rejects an array with one string.
    aud: String,
}

/// Checks a token and returns its `exp`, in seconds since 1970.
///
/// Documented: RS256 and ES256 only, base64url as in RFC 7515 (the bridge is stricter than its
/// predecessor), `aud` the project, ten minutes of skew, at most 24 hours, any key may match.
/// `nbf` and all other claims are ignored.
pub(crate) fn check(
    token: &str,
    keys: &[PublicKey],
    project: &str,
    unix_now: u64,
) -> Result<u64, TokenError> {
    let form = |problem: &str| TokenError::Form {
        problem: problem.to_owned(),
    };
    let (message, signature) = token.rsplit_once('.').ok_or_else(|| form("no dots"))?;
    let (header, claims) = message
        .split_once('.')
        .ok_or_else(|| form("only one dot"))?;
    let header: Header = part("header", header)?;
    let claims: Claims = part("claims", claims)?;
    let algorithm = match header.alg.as_str() {
        "RS256" => Algorithm::Rs256,
        "ES256" => Algorithm::Es256,
        _ => return Err(TokenError::Algorithm { alg: header.alg }),
    };
    // Assumed: `typ` is optional, as in RFC 7519, although the vendor's page always shows it.
    if header
        .typ
        .is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT"))
    {
        return Err(form("the header's typ is not JWT"));
    }
    if URL_SAFE_NO_PAD.decode(signature).is_err() {
        return Err(form("the signature is not base64url without padding"));
    }
    let mut usable = keys
        .iter()
        .filter(|key| key.expires.is_none_or(|expires| unix_now < expires))
        .peekable();
    if usable.peek().is_none() {
        return Err(TokenError::NoKey);
    }
    if !usable.any(|key| key.verifies(algorithm, message, signature)) {
        return Err(TokenError::Signature);
    }
    check_claims(&claims, project, unix_now)?;
    Ok(claims.exp)
}

fn part<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, TokenError> {
    let form = |problem: String| TokenError::Form { problem };
    let json = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| form(format!("the {name} is not base64url without padding")))?;
    serde_json::from_slice(&json).map_err(|error| form(format!("the {name}: {error}")))
}

fn check_claims(claims: &Claims, project: &str, unix_now: u64) -> Result<(), TokenError> {
    if claims.aud != project {
        return Err(TokenError::Audience {
            aud: claims.aud.clone(),
            project: project.to_owned(),
        });
    }
    let ahead = claims.iat.saturating_sub(unix_now);
    if ahead > SKEW {
        return Err(TokenError::IssuedInFuture { ahead });
    }
    let since = unix_now.saturating_sub(claims.exp);
    if since >= SKEW {
        return Err(TokenError::Expired { since });
    }
    match claims.exp.checked_sub(claims.iat) {
        Some(lifetime) if lifetime <= LIFETIME + SKEW => Ok(()),
        _ => Err(TokenError::Lifetime {
            iat: claims.iat,
            exp: claims.exp,
        }),
    }
}

impl PublicKey {
    /// Parses a key from PEM.
    ///
    /// # Errors
    /// [`KeyError`] if the text contains no key that the bridge can use.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let (kind, der) = <(SectionKind, Vec<u8>)>::from_pem_slice(pem.as_bytes())
            .map_err(|_| KeyError::NotPem)?;
        let algorithm = match kind {
            SectionKind::PublicKey | SectionKind::Certificate => algorithm_of(&der)?,
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return Err(KeyError::Private);
            }
            _ => return Err(KeyError::Unsupported),
        };
        let key = match algorithm {
            Algorithm::Rs256 => DecodingKey::from_rsa_pem(pem.as_bytes()),
            Algorithm::Es256 => DecodingKey::from_ec_pem(pem.as_bytes()),
        };
        Ok(Self {
            algorithm,
            key: key.map_err(|_| KeyError::Unsupported)?,
            expires: None,
        })
    }

    /// Returns the same key with an expiry, in seconds since 1970, from which it is no longer accepted.
    #[must_use]
    pub fn expiring(self, unix: u64) -> Self {
        Self {
            expires: Some(unix),
            ..self
        }
    }

    /// Returns the algorithm of the tokens that it verifies.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn verifies(&self, algorithm: Algorithm, message: &str, signature: &str) -> bool {
        let name = match algorithm {
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        };
        algorithm == self.algorithm
            && jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, name)
                .unwrap_or(false)
    }
}

/// Determines the key's algorithm from the object identifiers of its SubjectPublicKeyInfo, which do not occur elsewhere
/// in a certificate: signatures have their own identifiers.
fn algorithm_of(der: &[u8]) -> Result<Algorithm, KeyError> {
    const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1];
    const EC: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1];
    const P_256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7];
    let has = |oid: &[u8]| der.windows(oid.len()).any(|window| window == oid);
    match (has(RSA), has(EC)) {
        (true, false) => Ok(Algorithm::Rs256),
        (false, true) if has(P_256) => Ok(Algorithm::Es256),
        (false, true) => Err(KeyError::Curve),
        _ => Err(KeyError::Unsupported),
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey")
            .field("algorithm", &self.algorithm)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPem => "not PEM: it has to start with -----BEGIN PUBLIC KEY-----",
            Self::Private => {
                "a private key; give the public one, made by `openssl pkey -in KEY -pubout`"
            }
            Self::Unsupported => "neither an RSA nor a P-256 public key",
            Self::Curve => "a key on another curve than P-256, the only one of ES256",
        })
    }
}

impl Error for KeyError {}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => {
                f.write_str("no token: it goes into the password, beside any user name")
            }
            Self::Form { problem } => write!(f, "not a token: {problem}"),
            Self::Algorithm { alg } => write!(f, "alg is {alg:?}, not RS256 or ES256"),
            Self::NoKey => f.write_str("the device has no public key that is still valid"),
            Self::Signature => f.write_str("no key of the device verifies the signature"),
            Self::Audience { aud, project } => {
                write!(f, "aud is {aud:?}, not the project {project:?}")
            }
            Self::IssuedInFuture { ahead } => {
                write!(f, "iat is {ahead} s in the future; {SKEW} s are allowed")
            }
            Self::Expired { since } => {
                write!(f, "expired {since} s ago; {SKEW} s are allowed")
            }
            Self::Lifetime { iat, exp } => write!(
                f,
                "iat {iat} and exp {exp} do not span 0 to {LIFETIME} s (and {SKEW} s of skew)"
            ),
        }
    }
}

impl Error for TokenError {}
