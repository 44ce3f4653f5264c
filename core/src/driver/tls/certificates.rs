//! Certificates in PEM text: those that can be read, and what is wrong with the others.

use core::{error::Error, fmt};

use rustls::{RootCertStore, pki_types::CertificateDer};

use super::advice;
use crate::{
    der::{Der, INTEGER, OBJECT_IDENTIFIER, SEQUENCE},
    pem::{self, Damage},
};

const SET: u8 = 0x31;
/// `[0]` of a TBSCertificate (RFC 5280).
const VERSION: u8 = 0xA0;

/// The number of characters at which a subject is cut off.
const MAX_SUBJECT: usize = 200;

/// A certificate that cannot be used.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UnusableCertificate {
    /// Its place among the certificates of the PEM text, from 1 on.
    pub position: usize,
    /// Its subject, such as `CN=Example Root, O=Example`, if it can be read.
    pub subject: Option<String>,
    /// What is wrong with it.
    pub problem: CertificateProblem,
}

/// What is wrong with a certificate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// Its PEM section has no END line.
    Truncated,
    /// Its PEM section is not base64.
    NotBase64,
    /// It is in a form of OpenSSL's own, `TRUSTED CERTIFICATE` or `X509 CERTIFICATE`.
    UnsupportedForm,
    /// It is not a certificate, or not one that rustls can use; contains the reason.
    Rejected(rustls::Error),
}

impl fmt::Display for UnusableCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificate {}", self.position)?;
        if let Some(subject) = &self.subject {
            write!(f, " ({subject})")?;
        }
        write!(f, " cannot be used: {}", self.problem)
    }
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => {
                f.write_str("its PEM section has no END line; use the complete certificate")
            }
            Self::NotBase64 => f.write_str(
                "its PEM section is not base64 between its BEGIN and END lines; use the undamaged certificate",
            ),
            Self::UnsupportedForm => f.write_str(
                "it is in a form of OpenSSL's own; convert it with `openssl x509 -in CERTIFICATE -out NEW`",
            ),
            Self::Rejected(reason) => write!(
                f,
                "it is damaged, or not an X.509 certificate that can be used ({}); replace it",
                advice::name(reason)
            ),
        }
    }
}

impl Error for UnusableCertificate {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.problem {
            CertificateProblem::Rejected(error) => Some(error),
            _ => None,
        }
    }
}

/// Reads the certificates in a PEM text, in its order. Other sections are ignored.
pub(super) fn read(
    text: &[u8],
) -> impl Iterator<Item = Result<CertificateDer<'static>, UnusableCertificate>> {
    let labels: [&[u8]; 3] = [b"CERTIFICATE", b"TRUSTED CERTIFICATE", b"X509 CERTIFICATE"];
    let certificates = pem::sections(text).filter(move |section| labels.contains(&section.label));
    (1..).zip(certificates).map(|(position, section)| {
        let der = match section.decode() {
            Ok(mut der) => core::mem::take(&mut *der),
            Err(damage) => return Err(unusable(position, None, damage.into())),
        };
        let checked = match section.label {
            b"CERTIFICATE" => check(&der).map_err(CertificateProblem::Rejected),
            _ => Err(CertificateProblem::UnsupportedForm),
        };
        match checked {
            Ok(()) => Ok(der.into()),
            Err(problem) => Err(unusable(position, subject(&der), problem)),
        }
    })
}

/// Checks whether rustls can use a certificate as a root; that also shows whether any other one can be read.
fn check(der: &[u8]) -> Result<(), rustls::Error> {
    RootCertStore::empty().add(CertificateDer::from(der))
}

fn unusable(
    position: usize,
    subject: Option<String>,
    problem: CertificateProblem,
) -> UnusableCertificate {
    UnusableCertificate {
        position,
        subject,
        problem,
    }
}

impl From<Damage> for CertificateProblem {
    fn from(damage: Damage) -> Self {
        match damage {
            Damage::Truncated => Self::Truncated,
            Damage::NotBase64 => Self::NotBase64,
        }
    }
}

/// Returns the names in a certificate's subject (RFC 5280) that people know it by, as far as they can be read.
fn subject(certificate: &[u8]) -> Option<String> {
    let mut signed = Der(Der(Der(certificate).take(SEQUENCE)?).take(SEQUENCE)?);
    signed.take(VERSION);
    signed.take(INTEGER)?;
    let [_algorithm, _issuer, _validity] = [(); 3].map(|()| signed.take(SEQUENCE));
    let mut names = Der(signed.take(SEQUENCE)?);
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
