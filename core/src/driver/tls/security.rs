//! Whether the connection is secured.

use core::net::IpAddr;

use rustls::pki_types::ServerName;

use super::{HostError, settings::Tls};

/// How the connection to the bridge is secured. Nothing turns the verification of certificates off, except for a
/// verifier of your own in `Tls::from_client_config` (feature `rustls`), which decides alone.
#[derive(Clone, Debug)]
pub enum Security {
    /// By TLS.
    Tls(Tls),
    /// Not at all: to `localhost` or a loopback address only, for tests and local brokers. The token crosses in the
    /// clear.
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
        let certificate = include_bytes!("../../../tests/keys/certificate.pem");
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
