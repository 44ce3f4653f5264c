//! The server's TLS configuration, with ring.

use core::error::Error;
use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

/// The reason why a certificate and a key are not usable.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TlsError {
    /// The first text contains no PEM `CERTIFICATE`, or a damaged one.
    Certificate,
    /// The second text contains no unencrypted PEM private key, or a damaged one.
    Key,
    /// The certificate is one of X.509 version 1, which has no extensions and which clients refuse.
    Version,
    /// The key does not match the certificate, or they cannot be used.
    Pair(rustls::Error),
}

/// A property of a server's certificate for which clients refuse it, whoever signed it. Displayed as the end of a
/// sentence about the certificate, with what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateFlaw {
    /// It is the certificate of a CA. `openssl req -x509` makes one.
    IsAuthority,
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// Its purposes do not include the authentication of servers.
    NotForServers,
}

impl CertificateFlaw {
    /// Returns the flaw of the first certificate of a chain in PEM at a time in seconds since 1970, if rustls clients
    /// refuse it for one.
    #[must_use]
    pub fn of(certificate_pem: &str, unix_now: u64) -> Option<Self> {
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).ok()?;
        let certificate = EndEntityCert::try_from(&certificate).ok()?;
        // It is examined before its issuer is searched for, of which nothing is known here.
        let examined = certificate.verify_for_usage(
            ring::default_provider()
                .signature_verification_algorithms
                .all,
            &[],
            &[],
            UnixTime::since_unix_epoch(Duration::from_secs(unix_now)),
            KeyUsage::server_auth(),
            None,
            None,
        );
        match examined.err()? {
            webpki::Error::CaUsedAsEndEntity => Some(Self::IsAuthority),
            webpki::Error::CertExpired { .. } | webpki::Error::InvalidCertValidity => {
                Some(Self::Expired)
            }
            webpki::Error::CertNotValidYet { .. } => Some(Self::NotYetValid),
            webpki::Error::RequiredEkuNotFoundContext(_) => Some(Self::NotForServers),
            _ => None,
        }
    }
}

/// Creates a configuration for TLS 1.2 and 1.3 from a certificate chain and its private key in PEM.
///
/// # Errors
/// [`TlsError`], which says which of the two is wrong.
pub fn server_config(certificate_pem: &str, key_pem: &str) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| TlsError::Certificate)?;
    let server = chain.first().ok_or(TlsError::Certificate)?;
    if let Err(webpki::Error::UnsupportedCertVersion) = EndEntityCert::try_from(server) {
        return Err(TlsError::Version);
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

impl fmt::Display for CertificateFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IsAuthority => {
                "is a CA certificate (basicConstraints CA:TRUE) used as the server's own, which many clients refuse \
                 (CaUsedAsEndEntity): make a server certificate signed by the CA, or let --tls-self-signed do it"
            }
            Self::Expired => "has expired: make a new one",
            Self::NotYetValid => "is not valid yet: check this machine's clock, or make a new one",
            Self::NotForServers => {
                "is not for servers: make one with the extendedKeyUsage serverAuth, or without any"
            }
        })
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate => f.write_str("no PEM certificate (-----BEGIN CERTIFICATE-----)"),
            Self::Key => f.write_str(
                "no PEM private key that is not encrypted (-----BEGIN PRIVATE KEY-----)",
            ),
            Self::Version => f.write_str(
                "the certificate is one of X.509 version 1, which clients refuse: give openssl x509 -req an -extfile \
                 with the subjectAltName, or use --tls-self-signed",
            ),
            Self::Pair(error) => write!(f, "certificate and key cannot be used: {error}"),
        }
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Pair(error) => Some(error),
            Self::Certificate | Self::Key | Self::Version => None,
        }
    }
}
