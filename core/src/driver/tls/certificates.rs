//! Certificates in PEM text: those that can be read, and what is wrong with the others.

use core::{error::Error, fmt};

use rustls::{RootCertStore, pki_types::CertificateDer};

use super::{
    advice,
    x509::{RSA_BITS, subject, unsupported_key},
};
use crate::{
    der::SEQUENCE,
    pem::{self, Damage},
};

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
    /// Its BEGIN line does not have five dashes at its beginning and at its end.
    Begin,
    /// Its PEM section has no END line.
    Truncated,
    /// Its line breaks are written as `\n`.
    NoLineBreaks,
    /// Its PEM section is not base64.
    NotBase64,
    /// It is a bundle of certificates in PKCS#7.
    Pkcs7,
    /// It is in a form of OpenSSL's own, `TRUSTED CERTIFICATE` or `X509 CERTIFICATE`.
    UnsupportedForm,
    /// Its key is one whose signatures cannot be verified, so that it cannot be a root; contains what it is.
    UnsupportedKey(String),
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
            Self::Begin => f.write_str("its BEGIN line must read -----BEGIN CERTIFICATE-----"),
            Self::NoLineBreaks => {
                f.write_str("its line breaks are written as \\n, as in JSON or a variable; restore them")
            }
            Self::Pkcs7 => f.write_str(
                "it is a bundle in PKCS#7; convert it with `openssl pkcs7 -print_certs -in BUNDLE -out NEW`",
            ),
            Self::Truncated => {
                f.write_str("its PEM section has no END line; use the complete certificate")
            }
            Self::NotBase64 => f.write_str(
                "its PEM section is not base64 between its BEGIN and END lines; use the undamaged certificate",
            ),
            Self::UnsupportedForm => f.write_str(
                "it is in a form of OpenSSL's own; convert it with `openssl x509 -in CERTIFICATE -out NEW`",
            ),
            Self::UnsupportedKey(key) => write!(
                f,
                "it has {key}, and no server with a certificate of such a CA can be verified; use a CA whose key is RSA of {} to \
                 {} bits, on P-256 or P-384, or Ed25519",
                RSA_BITS.start(),
                RSA_BITS.end()
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
    let labels: [&[u8]; 5] = [
        b"CERTIFICATE",
        b"TRUSTED CERTIFICATE",
        b"X509 CERTIFICATE",
        b"PKCS7",
        b"CMS",
    ];
    let certificates = pem::sections(text).filter(move |section| labels.contains(&section.label));
    (1..).zip(certificates).map(|(position, section)| {
        let der = match section.decode() {
            Ok(mut der) => core::mem::take(&mut *der),
            Err(damage) => return Err(unusable(position, None, damage.into())),
        };
        let checked = match section.label {
            b"CERTIFICATE" => check(&der).map_err(CertificateProblem::Rejected),
            b"PKCS7" | b"CMS" => Err(CertificateProblem::Pkcs7),
            _ => Err(CertificateProblem::UnsupportedForm),
        };
        match checked {
            Ok(()) => Ok(der.into()),
            Err(problem) => Err(unusable(position, subject(&der), problem)),
        }
    })
}

/// Reads the certificates that are to be trusted, of which those that could verify no server count as unusable.
pub(super) fn read_roots(
    text: &[u8],
) -> impl Iterator<Item = Result<CertificateDer<'static>, UnusableCertificate>> {
    (1..).zip(read(text)).map(|(position, read)| {
        let root = read?;
        match unsupported_key(&root) {
            Some(key) => {
                let problem = CertificateProblem::UnsupportedKey(key);
                Err(unusable(position, subject(&root), problem))
            }
            None => Ok(root),
        }
    })
}

/// Returns whether a text is binary: a SEQUENCE of 128 bytes or more, as all forms of certificates are.
pub(super) fn is_der(text: &[u8]) -> bool {
    matches!(text, [SEQUENCE, 0x80..=0x84, ..])
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
            Damage::Begin => Self::Begin,
            Damage::Escaped => Self::NoLineBreaks,
            Damage::Truncated => Self::Truncated,
            Damage::NotBase64 => Self::NotBase64,
        }
    }
}
