//! How the connection is secured: TLS by default, and whom to trust.

pub(crate) mod advice;
mod algorithm_advice;
mod certificate_advice;
mod certificates;
mod client_certificate;
mod client_key;
mod error;
mod handshake;
mod settings;
mod signature_problem;
mod unknown_ca;
mod utc;
mod verifier;
mod x509;

use core::{error::Error, fmt, net::IpAddr};

use rustls::pki_types::ServerName;

pub(crate) use self::handshake::Explaining;
pub use self::{
    certificates::{CertificateProblem, UnusableCertificate},
    error::TlsError,
    settings::Tls,
};

/// How the connection to the bridge is secured. Nothing turns the verification of certificates off, except for a verifier of
/// your own in `Tls::from_client_config` (feature `rustls`), which decides alone.
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
