//! How the connection is secured: TLS by default, and whom to trust.

pub(crate) mod advice;
mod certificate_advice;
mod certificates;
mod error;
mod utc;

use core::{error::Error, fmt, net::IpAddr};
use std::{fs, path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use rustls_platform_verifier::BuilderVerifierExt;

pub use self::{
    certificates::{CertificateProblem, UnusableCertificate},
    error::TlsError,
};
use crate::pem;

/// TLS 1.2 or 1.3 with a server whose certificate is always verified, against these roots and the host's name.
#[derive(Clone, Debug)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    unusable: Vec<UnusableCertificate>,
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

    /// Trusts the certificates in this PEM text, and nothing else. Those that cannot be used are left out, and
    /// [`unusable_certificates`](Self::unusable_certificates) returns them.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if there is none in it that can be used.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TlsError> {
        let (roots, unusable) = read_roots(pem)?;
        let config = builder()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            unusable,
            ..Self::new(config)
        })
    }

    /// Trusts the certificates in this PEM file, as [`from_pem`](Self::from_pem) does. Reads it at once.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if the file cannot be read, or those of [`from_pem`](Self::from_pem).
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, TlsError> {
        let path = path.as_ref();
        let read = fs::read(path).map_err(|error| TlsError::File(path.into(), error));
        Self::from_pem(&read?)
    }

    /// Returns the certificates that were to be trusted and cannot be used. Tell the user of each: a server whose CA is
    /// among them is refused.
    pub fn unusable_certificates(&self) -> &[UnusableCertificate] {
        &self.unusable
    }

    fn new(config: ClientConfig) -> Self {
        Self {
            config: Arc::new(config),
            unusable: Vec::new(),
        }
    }
}

/// Returns the certificates in a PEM text that can be used, at least one, and those that cannot.
fn read_roots(text: &[u8]) -> Result<(RootCertStore, Vec<UnusableCertificate>), TlsError> {
    if pem::is_utf16(text) {
        return Err(TlsError::Utf16);
    }
    let (mut roots, mut unusable) = (RootCertStore::empty(), Vec::new());
    for certificate in certificates::read(text) {
        match certificate {
            Ok(certificate) => roots.add(certificate).expect("it was checked"),
            Err(problem) => unusable.push(problem),
        }
    }
    match (roots.is_empty(), unusable.is_empty()) {
        (true, true) => Err(TlsError::NoCertificate),
        (true, false) => Err(TlsError::NoneUsable(unusable)),
        (false, _) => Ok((roots, unusable)),
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
        for (pem, shown) in [
            (
                section("!!!!"),
                "the only certificate in the CA file cannot be used: certificate 1 cannot be used: its PEM",
            ),
            (
                section("AAAA"),
                "the only certificate in the CA file cannot be used: certificate 1 cannot be used: it is damaged",
            ),
            (
                section("AAAA").repeat(3),
                "none of the 3 certificates in the CA file can be used: certificate 1 cannot",
            ),
        ] {
            let error = Tls::from_pem(pem.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with(shown), "{error}");
        }
        let error = Tls::from_pem(&[0xFF, 0xFE, 0, 0]).unwrap_err();
        assert!(matches!(error, TlsError::Utf16), "{error:?}");
        let error = Tls::from_pem_file("no/such/file.pem").unwrap_err();
        assert_eq!(error.to_string(), "cannot read no/such/file.pem");
        assert!(error.source().is_some());
    }

    const CERTIFICATE: &str = include_str!("../../tests/keys/certificate.pem");

    fn section(body: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn certificates_that_cannot_be_used_are_named_and_the_others_count() {
        let body: String = CERTIFICATE
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect();
        // The same certificate, with a version that does not exist.
        let of_version_8 = section(&body.replacen("AwIBAgIU", "AwIBBwIU", 1));
        let trusted = CERTIFICATE.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
        let cut = CERTIFICATE
            .split_inclusive('\n')
            .take(3)
            .collect::<String>();
        let bundle = [
            CERTIFICATE,
            &section("!!!!"),
            &of_version_8,
            "a comment\n",
            &trusted,
            &cut,
            CERTIFICATE,
            &section("AAAA"),
        ];
        let tls = Tls::from_pem(bundle.concat().as_bytes()).unwrap();
        let shown: Vec<_> = tls
            .unusable_certificates()
            .iter()
            .map(ToString::to_string)
            .collect();
        for (shown, parts) in shown.iter().zip([
            ["certificate 2 cannot be used", "not base64"],
            [
                "certificate 3 (CN=throw-away) cannot be used",
                "BadEncoding",
            ],
            [
                "certificate 4 (CN=throw-away) cannot be used",
                "openssl x509",
            ],
            ["certificate 5 cannot be used", "no END line"],
            ["certificate 7 cannot be used", "BadEncoding"],
        ]) {
            assert!(parts.iter().all(|part| shown.contains(part)), "{shown}");
        }
        assert_eq!(shown.len(), 5, "{shown:?}");
        assert_eq!(read_roots(bundle.concat().as_bytes()).unwrap().0.len(), 2);
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
