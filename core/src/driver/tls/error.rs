//! Errors of TLS settings.

use core::{error::Error, fmt};
use std::{io, path::PathBuf};

use super::certificates::UnusableCertificate;
use crate::private_key::KeyError;

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
    /// A text with certificates is not PEM, but binary.
    Der,
    /// A PEM text is in UTF-16.
    Utf16,
    /// The operating system returned no root certificates.
    Platform(rustls::Error),
    /// Roots cannot be added to a `ClientConfig`, which has its own verifier.
    #[cfg(feature = "rustls")]
    OwnVerifier,
    /// There is no certificate in the text with the client's.
    NoClientCertificate,
    /// A certificate of the client's chain cannot be used.
    ClientCertificate(UnusableCertificate),
    /// The client's private key belongs to a certificate of its chain that is not the first; contains its place, from 1 on.
    ClientCertificateOrder(usize),
    /// There is no private key in the text with the client's, or none that can be used; contains what is there instead.
    NoClientKey(KeyError),
    /// The client's private key is of an unsupported kind, or does not belong to its certificate.
    ClientKey(rustls::Error),
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
            Self::Der => f.write_str(
                "the file is binary (DER), not PEM: convert it with `openssl x509 -inform DER -in FILE -out NEW`, a bundle \
                 (.p7b) with `openssl pkcs7 -inform DER -print_certs -in FILE -out NEW`, or PKCS#12 (.p12, .pfx) with `openssl \
                 pkcs12 -nokeys -in FILE -out NEW`",
            ),
            Self::Utf16 => f.write_str("the PEM text is in UTF-16: save it as UTF-8 or ASCII"),
            Self::Platform(_) => f.write_str(
                "the operating system gave no CA certificates: install them (on Debian: ca-certificates), correct \
                 SSL_CERT_FILE and SSL_CERT_DIR if they are set, or give a CA file",
            ),
            #[cfg(feature = "rustls")]
            Self::OwnVerifier => f.write_str(
                "roots cannot be added to a rustls ClientConfig: add them to its own verifier",
            ),
            Self::NoClientCertificate => f.write_str(
                "no certificate in the client's certificate file: it must hold PEM sections `BEGIN CERTIFICATE`, the client's \
                 own first",
            ),
            Self::ClientCertificate(unusable) => {
                write!(f, "the client's certificate file: {unusable}")
            }
            Self::ClientCertificateOrder(position) => write!(
                f,
                "the client's private key belongs to certificate {position} of its chain: put that first, then its \
                 intermediate ones"
            ),
            Self::NoClientKey(error) => write!(f, "no key in the client's key file: {error}"),
            Self::ClientKey(error) => match error {
                rustls::Error::InconsistentKeys(_) => f.write_str(
                    "the client's private key is not the one of its certificate: use the key that the certificate was \
                     requested with",
                ),
                _ => f.write_str(
                    "the client's private key cannot be used: it must be RSA of 2048 to 8192 bits with a public exponent of \
                     65537 or more, on P-256 or P-384 with its public key (`openssl ec -conv_form uncompressed -in KEY -out \
                     NEW`), or Ed25519",
                ),
            },
        }
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File(_, error) => Some(error),
            Self::NoneUsable(unusable) => unusable.first().and_then(Error::source),
            Self::Platform(error) | Self::ClientKey(error) => Some(error),
            Self::NoClientKey(error) => Some(error),
            Self::ClientCertificate(unusable) => unusable.source(),
            Self::ClientCertificateOrder(_)
            | Self::NoCertificate
            | Self::Der
            | Self::Utf16
            | Self::NoClientCertificate => None,
            #[cfg(feature = "rustls")]
            Self::OwnVerifier => None,
        }
    }
}
