//! How the connection is secured: TLS by default, and whom to trust.

use core::{error::Error, fmt, net::IpAddr};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls_platform_verifier::BuilderVerifierExt;

/// TLS 1.2 or 1.3 with a server whose certificate is always verified, against these roots and the host's name.
#[derive(Clone, Debug)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts what the operating system trusts.
    ///
    /// # Errors
    ///
    /// [`TlsError::Platform`] if it has no roots: install its package of CA certificates, or give a PEM file.
    pub fn platform() -> Result<Self, TlsError> {
        let config = builder()?
            .with_platform_verifier()
            .map_err(TlsError::Platform)?
            .with_no_client_auth();
        Ok(Self::new(config))
    }

    /// Trusts the certificates in this PEM text, and nothing else.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if there is none in it, or one cannot be read.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate =
                certificate.map_err(|error| TlsError::Unreadable(error.to_string()))?;
            roots.add(certificate).map_err(TlsError::Certificate)?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let config = builder()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::new(config))
    }

    /// Trusts the certificates in this PEM file, and nothing else. Reads it at once.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if the file cannot be read, or those of [`from_pem`](Self::from_pem).
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, TlsError> {
        let path = path.as_ref();
        let read = fs::read(path).map_err(|error| TlsError::File(path.into(), error));
        Self::from_pem(&read?)
    }

    fn new(config: ClientConfig) -> Self {
        Self {
            config: Arc::new(config),
        }
    }
}

/// The ring provider by name, so that no other one in the process can take its place.
fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, TlsError> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Platform)
}

/// How the connection to the bridge is secured. Nothing turns the verification of certificates off.
#[derive(Clone, Debug)]
pub enum Security {
    /// By TLS.
    Tls(Tls),
    /// Not at all: to `localhost` or a loopback address only, for tests and local brokers. The token crosses in the clear.
    PlainOnLoopback,
}

/// [`Security`] that fits the host.
pub(crate) enum Checked {
    Tls(Tls, ServerName<'static>),
    Plain,
}

impl Security {
    pub(crate) fn check(self, host: &str) -> Result<Checked, HostError> {
        match self {
            Self::Tls(tls) => match ServerName::try_from(host.to_owned()) {
                Ok(name) => Ok(Checked::Tls(tls, name)),
                Err(_) => Err(HostError::Invalid(host.into())),
            },
            Self::PlainOnLoopback if is_loopback(host) => Ok(Checked::Plain),
            Self::PlainOnLoopback => Err(HostError::NotLoopback(host.into())),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Roots that cannot be used: the machine's set-up or the file is at fault.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The file with the CA certificates cannot be read.
    File(PathBuf, io::Error),
    /// There is no certificate in the PEM text.
    NoCertificate,
    /// The PEM text is broken.
    Unreadable(String),
    /// A certificate in it cannot be a root.
    Certificate(rustls::Error),
    /// The operating system returned no root certificates.
    Platform(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, _) => write!(f, "cannot read the CA file {}", path.display()),
            Self::NoCertificate => f.write_str(
                "no certificate in the CA file: it must hold a PEM section `BEGIN CERTIFICATE`",
            ),
            Self::Unreadable(problem) => write!(f, "the CA file is not valid PEM: {problem}"),
            Self::Certificate(_) => f.write_str("a certificate in the CA file cannot be trusted"),
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
            Self::Certificate(error) | Self::Platform(error) => Some(error),
            Self::NoCertificate | Self::Unreadable(_) => None,
        }
    }
}

/// A host that cannot be connected to in the way that was asked for: the caller's mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostError {
    /// Neither a DNS name nor an address.
    Invalid(String),
    /// Without TLS, only loopback addresses are allowed.
    NotLoopback(String),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(host) => write!(
                f,
                "`{host}` is no host: give a DNS name or an IP address, without scheme, port or brackets"
            ),
            Self::NotLoopback(host) => write!(
                f,
                "`{host}` is not a loopback address, and without TLS anybody on the way could take the gateway's \
                 token: use TLS, or 127.0.0.1, ::1 or localhost"
            ),
        }
    }
}

impl Error for HostError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_tcp_is_for_loopback_only() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1"] {
            assert!(Security::PlainOnLoopback.check(host).is_ok(), "{host}");
        }
        for host in [
            "192.168.0.1",
            "example.org",
            "0.0.0.0",
            "localhost.example.org",
            "",
        ] {
            let error = Security::PlainOnLoopback.check(host).err();
            assert_eq!(error, Some(HostError::NotLoopback(host.into())));
        }
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_told_apart_from_a_broken_and_a_missing_one() {
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for pem in ["", "not PEM at all", key] {
            let error = Tls::from_pem(pem.as_bytes()).unwrap_err();
            assert!(matches!(error, TlsError::NoCertificate), "{error:?}");
        }
        let broken = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
        let error = Tls::from_pem(broken.as_bytes()).unwrap_err();
        assert!(matches!(error, TlsError::Unreadable(_)), "{error:?}");
        let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let error = Tls::from_pem(rubbish.as_bytes()).unwrap_err();
        assert!(matches!(error, TlsError::Certificate(_)), "{error:?}");
        let error = Tls::from_pem_file("no/such/file.pem").unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read the CA file no/such/file.pem"
        );
        assert!(error.source().is_some());
    }

    #[test]
    fn a_host_with_a_scheme_or_a_port_is_refused() {
        let certificate = include_bytes!("../../tests/keys/certificate.pem");
        let tls = Tls::from_pem(certificate).unwrap();
        for host in ["https://example.org", "example.org:8883", "[::1]", ""] {
            let error = Security::Tls(tls.clone()).check(host).err();
            assert_eq!(error, Some(HostError::Invalid(host.into())));
        }
        for host in ["example.org", "127.0.0.1", "::1"] {
            assert!(Security::Tls(tls.clone()).check(host).is_ok(), "{host}");
        }
    }
}
