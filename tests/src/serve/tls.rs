//! The server's TLS configuration, with ring.

use core::error::Error;
use core::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The reason why a certificate and a key are not usable.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TlsError {
    /// The first text contains no PEM `CERTIFICATE`, or a damaged one.
    Certificate,
    /// The second text contains no unencrypted PEM private key, or a damaged one.
    Key,
    /// The key does not match the certificate, or they cannot be used.
    Pair(rustls::Error),
}

/// Creates a configuration for TLS 1.2 and 1.3 from a certificate chain and its private key in PEM.
///
/// # Errors
/// [`TlsError`], which says which of the two is wrong.
pub fn server_config(certificate_pem: &str, key_pem: &str) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| TlsError::Certificate)?;
    if chain.is_empty() {
        return Err(TlsError::Certificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| TlsError::Key)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Pair)?;
    Ok(Arc::new(config))
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate => f.write_str("no PEM certificate (-----BEGIN CERTIFICATE-----)"),
            Self::Key => f.write_str(
                "no PEM private key that is not encrypted (-----BEGIN PRIVATE KEY-----)",
            ),
            Self::Pair(error) => write!(f, "certificate and key cannot be used: {error}"),
        }
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Pair(error) => Some(error),
            Self::Certificate | Self::Key => None,
        }
    }
}
