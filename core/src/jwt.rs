//! Minting tokens from a private key (feature `jwt`).
//!
//! The machine never calls this module: it receives a complete [`Token`]. So the randomness for an ES256 signature,
//! which a [`SigningKey`] takes from the operating system, stays outside of the machine. A key may also be in hardware
//! that this crate does not support.

use core::{error::Error, fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use serde_json::json;

mod private_key;

use private_key::{EcKey, PrivateKey, RsaKey};

use crate::{
    id::{ProjectId, excerpt},
    private_key::KeyError,
    quota::MAX_TOKEN_LIFETIME,
    time::{Duration, Instant, UnixTime},
    token::Token,
};

/// Signature algorithm of a token; the service supports these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSA (PKCS#1 v1.5) with SHA-256.
    Rs256,
    /// ECDSA on the curve P-256 with SHA-256.
    Es256,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        })
    }
}

impl FromStr for Algorithm {
    type Err = AlgorithmError;

    fn from_str(name: &str) -> Result<Self, AlgorithmError> {
        match name {
            "RS256" => Ok(Self::Rs256),
            "ES256" => Ok(Self::Es256),
            _ => Err(AlgorithmError {
                name: excerpt(name),
            }),
        }
    }
}

/// The name of an unsupported algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlgorithmError {
    name: String,
}

impl fmt::Display for AlgorithmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "algorithm {:?} is unknown; it must be RS256 or ES256",
            self.name
        )
    }
}

impl Error for AlgorithmError {}

/// A private key that mints tokens for one device or gateway.
///
/// `Debug` shows its algorithm only. It is `Send` and `Sync`; share it in an `Arc`.
///
/// ```
/// # use std::time::{Duration, Instant, SystemTime};
/// # use iotcore_gateway::{Algorithm, auth::{SigningKey, UnixTime}, id::ProjectId};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pem = std::fs::read("tests/keys/p256.sec1-params.pem")?;
/// let key = SigningKey::from_pem(&pem, Algorithm::Es256)?;
///
/// let project: ProjectId = "plant".parse()?;
/// let unix_now = UnixTime::try_from(SystemTime::now())?;
/// let token = key.token(&project, Duration::from_secs(3_600), Instant::now(), unix_now)?;
/// assert_eq!(token.issued_at(), Some(unix_now));
/// # Ok(())
/// # }
/// ```
pub struct SigningKey {
    pair: KeyPair,
    random: SystemRandom,
}

enum KeyPair {
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
}

impl SigningKey {
    /// Reads the first private key in `pem`: PKCS#8 (`PRIVATE KEY`), PKCS#1 (`RSA PRIVATE KEY`) or SEC1 (`EC PRIVATE
    /// KEY`), whichever of these labels it has. Other sections before and after it are ignored, as is a byte order mark of
    /// UTF-8. What is copied of the text is wiped before it is freed; `pem` itself is the caller's to wipe.
    ///
    /// RSA keys must have 2,048, 3,072 or 4,096 bits, two primes and a public exponent of 65537 or more; elliptic-curve keys
    /// must be on P-256, with their public key in uncompressed form, as `openssl` writes it, or in the hybrid one.
    ///
    /// # Errors
    /// If there is no such key or it does not fit the algorithm: the error says what the file contains instead and what
    /// to do. It contains no byte of the key.
    pub fn from_pem(pem: &[u8], algorithm: Algorithm) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let der = crate::private_key::decode(pem)?;
        let pair = match (PrivateKey::read(&der)?, algorithm) {
            (PrivateKey::Rsa(key), Algorithm::Rs256) => KeyPair::Rsa(Box::new(rsa_pair(&key)?)),
            (PrivateKey::Ec(key), Algorithm::Es256) => {
                KeyPair::Ec(Box::new(ec_pair(&key, &random)?))
            }
            (PrivateKey::Rsa(_), Algorithm::Es256) => return Err(KeyError::RsaForEs256),
            (PrivateKey::Ec(_), Algorithm::Rs256) => return Err(KeyError::EcForRs256),
        };
        Ok(Self { pair, random })
    }

    /// Returns the signature algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.pair {
            KeyPair::Rsa(_) => Algorithm::Rs256,
            KeyPair::Ec(_) => Algorithm::Es256,
        }
    }

    /// Mints a signed JWT for `audience`, with `issued_at` as its `iat` and `exp` after `lifetime`. Drops a fraction of
    /// a second of `lifetime`.
    ///
    /// # Errors
    /// If `lifetime` is not 1 second to 24 hours, the maximum of the service (an error of the caller), or if signing
    /// failed, because the operating system returned no randomness or the key is damaged.
    pub fn mint(
        &self,
        audience: &ProjectId,
        issued_at: UnixTime,
        lifetime: Duration,
    ) -> Result<String, MintError> {
        check_lifetime(lifetime)?;
        let header = json!({ "alg": self.algorithm().to_string(), "typ": "JWT" });
        let claims = json!({
            "iat": issued_at.as_secs(),
            "exp": issued_at.saturating_add(lifetime).as_secs(),
            "aud": audience.as_str(),
        });
        let mut jwt = URL_SAFE_NO_PAD.encode(header.to_string());
        jwt.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut jwt);
        let signature = self.sign(jwt.as_bytes())?;
        jwt.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut jwt);
        Ok(jwt)
    }

    /// Mints a [`Token`] that is valid from now on: `unix_now` is its `iat`, and it expires `lifetime` after `now`,
    /// which is the same time on the monotonic clock.
    ///
    /// # Errors
    /// Those of [`mint`](Self::mint).
    pub fn token(
        &self,
        audience: &ProjectId,
        lifetime: Duration,
        now: Instant,
        unix_now: UnixTime,
    ) -> Result<Token, MintError> {
        let jwt = self.mint(audience, unix_now, lifetime)?;
        let expires_at = now + Duration::from_secs(lifetime.as_secs());
        let token = Token::new(jwt, expires_at)
            .expect("a JWT is base64url and dots, and its audience has at most 255 bytes");
        Ok(token.with_lifetime(unix_now, unix_now.saturating_add(lifetime)))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, MintError> {
        match &self.pair {
            KeyPair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)
                    .map(|()| signature)
            }
            KeyPair::Ec(pair) => pair
                .sign(&self.random, message)
                .map(|signature| signature.as_ref().to_vec()),
        }
        .map_err(|_unspecified| MintError::Signing)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

/// Checks the time from `iat` to `exp` against the service's limits.
pub(crate) fn check_lifetime(lifetime: Duration) -> Result<(), MintError> {
    if lifetime < Duration::from_secs(1) || lifetime > MAX_TOKEN_LIFETIME {
        return Err(MintError::Lifetime(lifetime));
    }
    Ok(())
}

fn rsa_pair(key: &RsaKey<'_>) -> Result<RsaKeyPair, KeyError> {
    key.check()?;
    RsaKeyPair::from_der(key.der).map_err(|rejected| KeyError::Malformed(rejected.to_string()))
}

fn ec_pair(key: &EcKey<'_>, random: &SystemRandom) -> Result<EcdsaKeyPair, KeyError> {
    if key.curve != private_key::P_256 {
        return Err(KeyError::Curve(key.curve));
    }
    EcdsaKeyPair::from_private_key_and_public_key(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        &*key.p256_scalar()?,
        &key.uncompressed_point()?,
        random,
    )
    .map_err(|rejected| KeyError::Malformed(rejected.to_string()))
}

/// Why no token was minted.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MintError {
    /// A lifetime that the service does not accept: an error of the caller.
    Lifetime(Duration),
    /// Signing failed; the crypto library does not report a reason.
    Signing,
}

impl fmt::Display for MintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lifetime(lifetime) => write!(
                f,
                "a token cannot be valid for {lifetime:?}; use 1 second to {} hours",
                MAX_TOKEN_LIFETIME.as_secs() / 3_600
            ),
            Self::Signing => f.write_str(
                "signing the token failed: the system returned no randomness, or the key is damaged",
            ),
        }
    }
}

impl Error for MintError {}
