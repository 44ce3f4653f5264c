//! Decoding of a private key that signs tokens, and a diagnosis if that fails.
//!
//! The containers are decoded here and not by the crypto library, because that does not support SEC1 and, for a key
//! that it cannot use, reports only "wrong algorithm".

use zeroize::Zeroizing;

use crate::{
    der::{self, BIT_STRING, Der, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE},
    private_key::KeyError,
};

/// `[0]` and `[1]` of an ECPrivateKey (RFC 5915).
const EC_PARAMETERS: u8 = 0xA0;
const EC_PUBLIC_KEY: u8 = 0xA1;

const RSA_ENCRYPTION: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
const EC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];

/// The name of the curve for ES256.
pub(super) const P_256: &str = "P-256";

/// The prime number of its field, as an INTEGER.
const P_256_FIELD: &[u8] = &[
    0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
];

/// The size of a private key on P-256.
const P_256_BYTES: usize = 32;

/// A private key of a kind that can sign tokens.
pub(super) enum PrivateKey<'a> {
    Rsa(RsaKey<'a>),
    Ec(EcKey<'a>),
}

impl<'a> PrivateKey<'a> {
    /// Decodes a key, in the container that its contents show, because scripts mix up the labels. The numbers in it are not
    /// yet checked.
    pub(super) fn read(der: &'a [u8]) -> Result<Self, KeyError> {
        let mut key = Der(require(&mut Der(der), SEQUENCE)?);
        require(&mut key, INTEGER)?;
        match key.take_any() {
            Some((SEQUENCE, _)) => Self::read_pkcs8(der),
            Some((OCTET_STRING, _)) => EcKey::read(der, None).map(Self::Ec),
            _ => RsaKey::read(der).map(Self::Rsa),
        }
    }

    /// Decodes a PrivateKeyInfo (RFC 5958): version, algorithm and its parameters, key.
    fn read_pkcs8(der: &'a [u8]) -> Result<Self, KeyError> {
        let mut info = Der(require(&mut Der(der), SEQUENCE)?);
        require(&mut info, INTEGER)?;
        let mut algorithm = Der(require(&mut info, SEQUENCE)?);
        let kind = require(&mut algorithm, OBJECT_IDENTIFIER)?;
        let key = require(&mut info, OCTET_STRING)?;
        match kind {
            RSA_ENCRYPTION => RsaKey::read(key).map(Self::Rsa),
            EC_KEY => EcKey::read(key, Some(curve_name(&mut algorithm))).map(Self::Ec),
            _ => Err(KeyError::UnsupportedKind(kind_name(kind))),
        }
    }
}

/// An RSAPrivateKey (RFC 8017).
pub(super) struct RsaKey<'a> {
    pub(super) der: &'a [u8],
    has_more_primes: bool,
    modulus: &'a [u8],
    exponent: &'a [u8],
}

impl<'a> RsaKey<'a> {
    fn read(der: &'a [u8]) -> Result<Self, KeyError> {
        let mut key = Der(require(&mut Der(der), SEQUENCE)?);
        Ok(Self {
            der,
            has_more_primes: require(&mut key, INTEGER)? == [1],
            modulus: require(&mut key, INTEGER)?,
            exponent: require(&mut key, INTEGER)?,
        })
    }

    /// Checks that the key is of a form that the service and ring support.
    pub(super) fn check(&self) -> Result<(), KeyError> {
        let bits = der::bits(self.modulus);
        if ![2_048, 3_072, 4_096].contains(&bits) {
            return Err(KeyError::RsaSize { bits });
        }
        if self.has_more_primes {
            return Err(KeyError::RsaForm("more than two primes"));
        }
        match der::bits(self.exponent) {
            0..17 => Err(KeyError::RsaForm("a public exponent below 65537")),
            17..=33 => Ok(()),
            _ => Err(KeyError::RsaForm("a public exponent of more than 33 bits")),
        }
    }
}

/// An ECPrivateKey (RFC 5915).
pub(super) struct EcKey<'a> {
    /// The name of the curve, or a description if it is not a known one.
    pub(super) curve: &'static str,
    scalar: &'a [u8],
    /// The encoded public key, if present.
    point: Option<&'a [u8]>,
}

impl<'a> EcKey<'a> {
    /// Decodes a key. `curve` is the curve named by its container. A key without container names its own curve; if it
    /// does not, P-256 is assumed, and its point must then be on that curve.
    fn read(der: &'a [u8], curve: Option<&'static str>) -> Result<Self, KeyError> {
        let mut key = Der(require(&mut Der(der), SEQUENCE)?);
        require(&mut key, INTEGER)?;
        let scalar = require(&mut key, OCTET_STRING)?;
        let own_curve = key
            .take(EC_PARAMETERS)
            .map(|parameters| curve_name(&mut Der(parameters)));
        let point = match key.take(EC_PUBLIC_KEY) {
            Some(bits) => match require(&mut Der(bits), BIT_STRING)? {
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

impl EcKey<'_> {
    /// Returns the private key as a number of the size that P-256 has. Tools that write it as a number without that size
    /// leave out zeros at the front, or put one more there.
    pub(super) fn p256_scalar(&self) -> Result<Zeroizing<[u8; P_256_BYTES]>, KeyError> {
        let zeros = self.scalar.iter().take_while(|&&byte| byte == 0).count();
        let (_, digits) = self.scalar.split_at(zeros);
        let mut scalar = Zeroizing::new([0; P_256_BYTES]);
        let space = P_256_BYTES.checked_sub(digits.len());
        match space.and_then(|space| scalar.get_mut(space..)) {
            Some(end) => end.copy_from_slice(digits),
            None => {
                return Err(KeyError::Malformed(
                    "the private number is too large".into(),
                ));
            }
        }
        Ok(scalar)
    }

    /// Returns the public key in uncompressed form, which the hybrid one contains.
    pub(super) fn uncompressed_point(&self) -> Result<Vec<u8>, KeyError> {
        match self.point {
            Some([0x04 | 0x06 | 0x07, coordinates @ ..]) => Ok([&[0x04], coordinates].concat()),
            Some([0x02 | 0x03, ..]) | None => Err(KeyError::NoPublicPoint),
            Some(_) => Err(KeyError::Malformed("no point of the curve".into())),
        }
    }
}

/// Returns the curve named in EC parameters.
fn curve_name(parameters: &mut Der<'_>) -> &'static str {
    match parameters.take(OBJECT_IDENTIFIER) {
        Some([0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07]) => P_256,
        // If they are not those of P-256, the two halves of the key do not match on it.
        None if is_field_of_p256(parameters) == Some(true) => P_256,
        Some([0x2B, 0x81, 0x04, 0x00, 0x22]) => "P-384",
        Some([0x2B, 0x81, 0x04, 0x00, 0x23]) => "P-521",
        Some([0x2B, 0x81, 0x04, 0x00, 0x0A]) => "secp256k1",
        Some([0x2B, 0x81, 0x04, 0x00, 0x21]) => "P-224",
        Some([0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x01]) => "P-192",
        Some([0x2B, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, _]) => "a Brainpool curve",
        Some([0x2A, 0x81, 0x1C, 0xCF, 0x55, 0x01, 0x82, 0x2D]) => "SM2",
        Some(_) => "another curve",
        None => "a curve given by explicit parameters",
    }
}

/// Returns whether explicit parameters of a curve (RFC 3279) begin with the field of P-256.
fn is_field_of_p256(parameters: &mut Der<'_>) -> Option<bool> {
    let mut parameters = Der(parameters.take(SEQUENCE)?);
    parameters.take(INTEGER)?;
    let mut field = Der(parameters.take(SEQUENCE)?);
    field.take(OBJECT_IDENTIFIER)?;
    Some(field.take(INTEGER)? == P_256_FIELD)
}

fn kind_name(kind: &[u8]) -> &'static str {
    match kind {
        [0x2B, 0x65, 0x6E] => "X25519",
        [0x2B, 0x65, 0x70] => "Ed25519",
        [0x2B, 0x65, 0x6F] => "X448",
        [0x2B, 0x65, 0x71] => "Ed448",
        [0x2A, 0x86, 0x48, 0xCE, 0x38, 0x04, 0x01] => "DSA",
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0A] => "RSA-PSS",
        _ => "neither RSA nor elliptic curve",
    }
}

fn malformed() -> KeyError {
    KeyError::Malformed("not the DER of a private key".into())
}

fn require<'a>(der: &mut Der<'a>, tag: u8) -> Result<&'a [u8], KeyError> {
    der.take(tag).ok_or_else(malformed)
}
