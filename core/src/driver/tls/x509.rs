//! What certificates contain (RFC 5280), as far as messages need it.

use crate::der::{self, Der, INTEGER, OBJECT_IDENTIFIER, SEQUENCE};

const BIT_STRING: u8 = 0x03;
const SET: u8 = 0x31;
/// `[0]` of a TBSCertificate.
const VERSION: u8 = 0xA0;

/// The number of characters at which a subject is cut off.
const MAX_SUBJECT: usize = 200;

/// The algorithm of an RSA key; those of its signatures differ in the last byte.
const RSA_ENCRYPTION: [u8; 9] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];

/// Returns the names in a certificate's subject that people know it by, as far as they can be read.
pub(super) fn subject(certificate: &[u8]) -> Option<String> {
    let mut names = Der(from_subject(certificate)?.take(SEQUENCE)?);
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

/// Returns what a certificate's signature covers, from its subject on.
fn from_subject(certificate: &[u8]) -> Option<Der<'_>> {
    let mut signed = Der(Der(Der(certificate).take(SEQUENCE)?).take(SEQUENCE)?);
    signed.take(VERSION);
    signed.take(INTEGER)?;
    let [_algorithm, _issuer, _validity] = [(); 3].map(|()| signed.take(SEQUENCE));
    Some(signed)
}

/// Returns the number of bits of a certificate's key, if it is an RSA key.
pub(super) fn rsa_key_bits(certificate: &[u8]) -> Option<usize> {
    let mut signed = from_subject(certificate)?;
    signed.take(SEQUENCE)?;
    let mut info = Der(signed.take(SEQUENCE)?);
    let algorithm = Der(info.take(SEQUENCE)?).take(OBJECT_IDENTIFIER)?;
    let (_unused_bits, key) = info.take(BIT_STRING)?.split_first()?;
    let modulus = Der(Der(key).take(SEQUENCE)?).take(INTEGER)?;
    (algorithm == RSA_ENCRYPTION).then(|| der::bits(modulus))
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
