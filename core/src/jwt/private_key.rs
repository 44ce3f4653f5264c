//! Decoding of a private key from PEM text, and a diagnosis if that fails.
//!
//! The containers are decoded here and not by the crypto library, because that does not support SEC1 and, for a key
//! that it cannot use, reports only "wrong algorithm".

use rustls_pki_types::{
    PrivateKeyDer,
    pem::{self, PemObject as _},
};

use super::KeyError;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `[0]` and `[1]` of an ECPrivateKey (RFC 5915).
const EC_PARAMETERS: u8 = 0xA0;
const EC_PUBLIC_KEY: u8 = 0xA1;

const RSA_ENCRYPTION: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
const EC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];

/// The name of the curve for ES256.
pub(super) const P_256: &str = "P-256";

/// Returns the DER of the first private key in `pem`.
pub(super) fn decode(pem: &[u8]) -> Result<PrivateKeyDer<'static>, KeyError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| explain(pem, &error))
}

/// Returns what `pem` is, if no private key could be read from it. Passes on nothing of `error`, which may quote lines
/// of the file.
fn explain(pem: &[u8], error: &pem::Error) -> KeyError {
    let text = String::from_utf8_lossy(pem);
    let begin_lines = || {
        text.split(['\n', '\r'])
            .filter_map(|l| l.strip_prefix("-----BEGIN "))
    };
    let labels = || begin_lines().filter_map(|line| line.trim_end().strip_suffix("-----"));

    if text.trim().is_empty() {
        KeyError::Empty
    } else if labels().any(|label| label == "ENCRYPTED PRIVATE KEY")
        || text.contains("Proc-Type: 4,ENCRYPTED")
    {
        KeyError::Encrypted
    } else if begin_lines().any(|line| line.trim_end().trim_end_matches('-').contains("-----")) {
        KeyError::NoLineBreaks
    } else if let Some(label) = labels().next() {
        match error {
            pem::Error::NoItemsFound => of_label(label),
            pem::Error::Base64Decode(_) => KeyError::NotBase64,
            _ => KeyError::Truncated,
        }
    } else if pem.first() == Some(&SEQUENCE) {
        KeyError::Der
    } else {
        KeyError::NotPem
    }
}

fn of_label(label: &str) -> KeyError {
    let is_label = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == ' ';
    match label {
        "PUBLIC KEY" | "RSA PUBLIC KEY" | "EC PUBLIC KEY" => KeyError::PublicKey,
        "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => KeyError::Certificate,
        _ if label.len() <= 40 && label.chars().all(is_label) => KeyError::OtherPem(label.into()),
        _ => KeyError::OtherPem(String::new()),
    }
}

/// A private key of a kind that can sign tokens.
pub(super) enum PrivateKey<'a> {
    /// The DER of an RSAPrivateKey (RFC 8017).
    Rsa(&'a [u8]),
    Ec(EcKey<'a>),
}

impl<'a> PrivateKey<'a> {
    /// Decodes the container of a key; the numbers in it are not yet checked.
    pub(super) fn read(der: &'a PrivateKeyDer<'_>) -> Result<Self, KeyError> {
        match der {
            PrivateKeyDer::Pkcs1(der) => Ok(Self::Rsa(der.secret_pkcs1_der())),
            PrivateKeyDer::Sec1(der) => EcKey::read(der.secret_sec1_der(), None).map(Self::Ec),
            PrivateKeyDer::Pkcs8(der) => Self::read_pkcs8(der.secret_pkcs8_der()),
            _ => Err(KeyError::OtherPem(String::new())),
        }
    }

    /// Decodes a PrivateKeyInfo (RFC 5958): version, algorithm and its parameters, key.
    fn read_pkcs8(der: &'a [u8]) -> Result<Self, KeyError> {
        let mut info = Der(Der(der).require(SEQUENCE)?);
        info.require(INTEGER)?;
        let mut algorithm = Der(info.require(SEQUENCE)?);
        let kind = algorithm.require(OBJECT_IDENTIFIER)?;
        let key = info.require(OCTET_STRING)?;
        match kind {
            RSA_ENCRYPTION => Ok(Self::Rsa(key)),
            EC_KEY => EcKey::read(key, Some(curve_name(&mut algorithm))).map(Self::Ec),
            _ => Err(KeyError::UnsupportedKind(kind_name(kind))),
        }
    }
}

/// An ECPrivateKey (RFC 5915).
pub(super) struct EcKey<'a> {
    /// The name of the curve, or a description if it is not a known one.
    pub(super) curve: &'static str,
    /// The private key.
    pub(super) scalar: &'a [u8],
    /// The encoded public key, if present.
    pub(super) point: Option<&'a [u8]>,
}

impl<'a> EcKey<'a> {
    /// Decodes a key. `curve` is the curve named by its container. A key without container names its own curve; if it
    /// does not, P-256 is assumed, and its point must then be on that curve.
    fn read(der: &'a [u8], curve: Option<&'static str>) -> Result<Self, KeyError> {
        let mut key = Der(Der(der).require(SEQUENCE)?);
        key.require(INTEGER)?;
        let scalar = key.require(OCTET_STRING)?;
        let own_curve = key
            .take(EC_PARAMETERS)
            .map(|parameters| curve_name(&mut Der(parameters)));
        let point = match key.take(EC_PUBLIC_KEY) {
            Some(bits) => match Der(bits).require(BIT_STRING)? {
                [0, point @ ..] => Some(point),
                _ => return Err(malformed()),
            },
            None => None,
        };
        Ok(Self {
            curve: curve.or(own_curve).unwrap_or(P_256),
            scalar,
            point,
        })
    }
}

/// Returns the size of the modulus of an RSAPrivateKey: version, modulus, and more.
pub(super) fn rsa_bits(der: &[u8]) -> Result<usize, KeyError> {
    let mut key = Der(Der(der).require(SEQUENCE)?);
    key.require(INTEGER)?;
    let modulus = key.require(INTEGER)?;
    let zeros = modulus.iter().take_while(|&&byte| byte == 0).count();
    let (_, digits) = modulus.split_at(zeros);
    let unused = digits
        .first()
        .map_or(0, |first| first.leading_zeros() as usize);
    Ok(digits.len() * 8 - unused)
}

/// Returns the curve named in EC parameters.
fn curve_name(parameters: &mut Der<'_>) -> &'static str {
    match parameters.take(OBJECT_IDENTIFIER) {
        Some([0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07]) => P_256,
        Some([0x2B, 0x81, 0x04, 0x00, 0x22]) => "P-384",
        Some([0x2B, 0x81, 0x04, 0x00, 0x23]) => "P-521",
        Some([0x2B, 0x81, 0x04, 0x00, 0x0A]) => "secp256k1",
        Some(_) => "another curve",
        None => "a curve given by explicit parameters",
    }
}

fn kind_name(kind: &[u8]) -> &'static str {
    match kind {
        [0x2B, 0x65, 0x6E] => "X25519",
        [0x2B, 0x65, 0x70] => "Ed25519",
        [0x2B, 0x65, 0x71] => "Ed448",
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0A] => "RSA-PSS",
        _ => "neither RSA nor elliptic curve",
    }
}

fn malformed() -> KeyError {
    KeyError::Malformed("not the DER of a private key".into())
}

/// The rest of a sequence of DER elements.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Takes the contents of the next element if it has this tag; otherwise takes nothing and returns `None`.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&first, rest) = self.0.split_first()?;
        let (&length, rest) = rest.split_first()?;
        let (length, rest) = match length {
            0..=0x7F => (usize::from(length), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7F))?;
                (
                    bytes
                        .iter()
                        .fold(0, |sum, &byte| sum << 8 | usize::from(byte)),
                    rest,
                )
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        (first == tag).then(|| {
            self.0 = rest;
            contents
        })
    }

    fn require(&mut self, tag: u8) -> Result<&'a [u8], KeyError> {
        self.take(tag).ok_or_else(malformed)
    }
}
