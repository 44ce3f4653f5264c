//! Errors of TLS settings.

use core::{error::Error, fmt};
use std::{io, path::PathBuf};

use super::certificates::UnusableCertificate;

/// TLS settings that cannot be used: a file or the machine's set-up is at fault. Contains nothing of a private key.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file with certificates or a private key cannot be read.
    File(PathBuf, io::Error),
    /// There is no certificate in the text with the CA's.
    NoCertificate,
    /// None of the certificates in it can be used.
    NoneUsable(Vec<UnusableCertificate>),
    /// A PEM text is in UTF-16.
    Utf16,
    /// The operating system returned no root certificates.
    Platform(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, _) => write!(f, "cannot read {}", path.display()),
            Self::NoCertificate => f.write_str(
                "no certificate in the CA file: it must hold a PEM section `BEGIN CERTIFICATE`",
            ),
            Self::NoneUsable(unusable) => {
                match unusable.as_slice() {
                    [_] => f.write_str("the only certificate in the CA file cannot be used")?,
                    more => write!(
                        f,
                        "none of the {} certificates in the CA file can be used",
                        more.len()
                    )?,
                }
                match unusable.first() {
                    Some(first) => write!(f, ": {first}"),
                    None => Ok(()),
                }
            }
            Self::Utf16 => f.write_str("the PEM text is in UTF-16: save it as UTF-8 or ASCII"),
            Self::Platform(_) => f.write_str(
                "the operating system gave no CA certificates: install them (on Debian: ca-certificates), \
                 or give a CA file",
            ),
        }
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File(_, error) => Some(error),
            Self::NoneUsable(unusable) => unusable.first().and_then(Error::source),
            Self::Platform(error) => Some(error),
            Self::NoCertificate | Self::Utf16 => None,
        }
    }
}
