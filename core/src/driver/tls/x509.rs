//! What certificates contain (RFC 5280), as far as messages need it.

use core::ops::RangeInclusive;

use crate::der::{self, BIT_STRING, Der, INTEGER, OBJECT_IDENTIFIER, SEQUENCE};

const SET: u8 = 0x31;
/// `[0]` of a TBSCertificate.
const VERSION: u8 = 0xA0;

/// The number of characters at which a name is cut off.
const MAX_SUBJECT: usize = 200;

/// The sizes of RSA keys whose signatures ring verifies, in bits.
pub(super) const RSA_BITS: RangeInclusive<usize> = 2_048..=8_192;

const EC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
const P_256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
const P_384: &[u8] = &[0x2B, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2B, 0x65, 0x70];

/// The algorithm of an RSA key; those of its signatures differ in the last byte.
const RSA_ENCRYPTION: [u8; 9] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];

/// Returns the names in a certificate's subject that people know it by, as far as they can be read.
pub(super) fn subject(certificate: &[u8]) -> Option<String> {
    shown(Name::Subject.of(certificate)?)
}

/// Returns the names of a certificate's issuer, in the same way.
pub(super) fn issuer(certificate: &[u8]) -> Option<String> {
    shown(Name::Issuer.of(certificate)?)
}

/// Returns whether a certificate has the name of another's issuer; its own one, if it is self-signed.
pub(super) fn is_issuer(certificate: &[u8], of: &[u8]) -> bool {
    let name = Name::Subject.of(certificate);
    name.is_some() && name == Name::Issuer.of(of)
}

/// Shows a distinguished name, without control characters, and cut off.
fn shown(name: &[u8]) -> Option<String> {
    let mut names = Der(name);
    let mut shown = Vec::new();
    while let Some(name) = names.take(SET) {
        let mut name = Der(Der(name).take(SEQUENCE)?);
        let kind = match name.take(OBJECT_IDENTIFIER)? {
            [0x55, 0x04, 0x03] => "CN",
            [0x55, 0x04, 0x06] => "C",
            [0x55, 0x04, 0x0A] => "O",
            [0x55, 0x04, 0x0B] => "OU",
            _ => continue,
        };
        let (tag, bytes) = name.take_any()?;
        shown.push(format!("{kind}={}", text(tag, bytes).escape_debug()));
    }
    let shown = shown.join(", ");
    (!shown.is_empty()).then(|| shown.chars().take(MAX_SUBJECT).collect())
}

/// A distinguished name in a certificate.
enum Name {
    Issuer,
    Subject,
}

impl Name {
    fn of(self, certificate: &[u8]) -> Option<&[u8]> {
        let mut signed = Der(Der(Der(certificate).take(SEQUENCE)?).take(SEQUENCE)?);
        signed.take(VERSION);
        signed.take(INTEGER)?;
        let [_algorithm, issuer, _validity] = [(); 3].map(|()| signed.take(SEQUENCE));
        match self {
            Self::Issuer => issuer,
            Self::Subject => signed.take(SEQUENCE),
        }
    }
}

/// A certificate's public key.
struct PublicKey<'a> {
    algorithm: &'a [u8],
    /// The name of its curve, if it is on one.
    curve: Option<&'a [u8]>,
    key: &'a [u8],
}

impl<'a> PublicKey<'a> {
    fn read(certificate: &'a [u8]) -> Option<Self> {
        let mut signed = Der(Der(Der(certificate).take(SEQUENCE)?).take(SEQUENCE)?);
        signed.take(VERSION);
        signed.take(INTEGER)?;
        let [_algorithm, _issuer, _validity, _subject] = [(); 4].map(|()| signed.take(SEQUENCE));
        let mut info = Der(signed.take(SEQUENCE)?);
        let mut algorithm = Der(info.take(SEQUENCE)?);
        let (_unused_bits, key) = info.take(BIT_STRING)?.split_first()?;
        Some(Self {
            algorithm: algorithm.take(OBJECT_IDENTIFIER)?,
            curve: algorithm.take(OBJECT_IDENTIFIER),
            key,
        })
    }

    /// Returns the number of bits of an RSA key.
    fn rsa_bits(&self) -> Option<usize> {
        let modulus = Der(Der(self.key).take(SEQUENCE)?).take(INTEGER)?;
        (self.algorithm == RSA_ENCRYPTION).then(|| der::bits(modulus))
    }
}

/// Says what a certificate's key is, if ring cannot verify its signatures.
pub(super) fn unsupported_key(certificate: &[u8]) -> Option<String> {
    let key = PublicKey::read(certificate)?;
    if let Some(bits) = key.rsa_bits() {
        return (!RSA_BITS.contains(&bits)).then(|| format!("an RSA key of {bits} bits"));
    }
    let kind = match (key.algorithm, key.curve) {
        (EC_KEY, Some(P_256 | P_384)) | (ED25519, _) => return None,
        (EC_KEY, Some([0x2B, 0x81, 0x04, 0x00, 0x23])) => "a key on P-521",
        (EC_KEY, Some([0x2B, 0x81, 0x04, 0x00, 0x0A])) => "a key on secp256k1",
        (EC_KEY, _) => "a key on another curve",
        _ => "a key of another kind",
    };
    Some(kind.into())
}

/// Returns the number of bits of a certificate's key, if it is an RSA key.
pub(super) fn rsa_key_bits(certificate: &[u8]) -> Option<usize> {
    PublicKey::read(certificate)?.rsa_bits()
}

/// Returns the number of bits of the RSA key that signed a certificate, rounded up to bytes, if it was an RSA key.
pub(super) fn rsa_signature_bits(certificate: &[u8]) -> Option<usize> {
    let mut certificate = Der(Der(certificate).take(SEQUENCE)?);
    certificate.take(SEQUENCE)?;
    let algorithm = Der(certificate.take(SEQUENCE)?).take(OBJECT_IDENTIFIER)?;
    let (_unused_bits, signature) = certificate.take(BIT_STRING)?.split_first()?;
    let ([family @ .., _], [of_rsa @ .., _]) = (algorithm, &RSA_ENCRYPTION) else {
        return None;
    };
    (family == of_rsa).then_some(signature.len() * 8)
}

/// Returns a string of ASN.1.
fn text(tag: u8, bytes: &[u8]) -> String {
    const BMP_STRING: u8 = 0x1E;
    if tag != BMP_STRING {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let (pairs, _) = bytes.as_chunks();
    let units: Vec<_> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pem;

    const CERTIFICATE: &str = include_str!("../../../tests/keys/certificate.pem");

    #[test]
    fn a_subject_is_read_from_any_certificate_and_from_nothing_else() {
        let section = pem::sections(CERTIFICATE.as_bytes()).next().unwrap();
        let der = section.decode().unwrap();
        assert_eq!(subject(&der).as_deref(), Some("CN=throw-away"));
        for len in 0..der.len() {
            assert_eq!(subject(&der[..len]), None);
        }
    }

    #[test]
    fn a_subject_is_shown_without_control_characters() {
        assert_eq!(text(0x0C, "Größe".as_bytes()), "Größe");
        assert_eq!(text(0x1E, &[0, b'A', 0x26, 0x03]), "A\u{2603}");
        let name = [
            &[0x30, 0x0B, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0C, 0x04][..],
            b"a\x1b[m",
        ]
        .concat();
        let element = |tag, contents: &[u8]| [&[tag, contents.len() as u8], contents].concat();
        let names = element(SEQUENCE, &element(SET, &name));
        let empty = element(SEQUENCE, &[]);
        let signed = [element(INTEGER, &[1]), empty.repeat(3), names].concat();
        let certificate = element(SEQUENCE, &element(SEQUENCE, &signed));
        assert_eq!(subject(&certificate).as_deref(), Some("CN=a\\u{1b}[m"));
    }
}
