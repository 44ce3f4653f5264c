//! How the connection is secured: TLS by default, and whom to trust.

pub(crate) mod advice;
mod algorithm_advice;
mod certificate_advice;
mod certificates;
mod client_certificate;
mod client_key;
mod error;
mod handshake;
pub(crate) mod security;
pub(crate) mod settings;
mod signature_problem;
mod unknown_ca;
mod utc;
mod verifier;
mod x509;

use core::{error::Error, fmt};

/// The version of rustls that [`Tls::from_client_config`](super::Tls::from_client_config) takes (feature `rustls`).
#[cfg(feature = "rustls")]
pub use rustls;

pub use self::{
    certificates::{CertificateProblem, UnusableCertificate},
    error::TlsError,
};
pub(crate) use self::{
    handshake::Explaining,
    security::{Checked, Security},
    settings::Tls,
};

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
