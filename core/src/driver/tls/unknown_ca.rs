//! Which CA a server's certificate is from, if that CA is not trusted.

use core::{error::Error, fmt};

use rustls::pki_types::CertificateDer;

use super::x509;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum UnknownCa {
    /// The name of the CA that should be trusted, at the end of what the server presents.
    Issuer(String),
    /// The server's certificate was issued by itself; contains its name.
    SelfSigned(String),
    /// The certificate names no issuer that people know it by.
    Unnamed,
}

impl UnknownCa {
    /// Finds the CA by following the issuers from the server's certificate on, through the others that it presented.
    pub(super) fn of_chain(server: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Self {
        let mut last = server;
        // Each is followed once at most: they may issue each other.
        for _ in others {
            let is_issuer = |other: &&CertificateDer<'_>| x509::is_issuer(other, last);
            match others.iter().find(is_issuer) {
                Some(issuer) => last = issuer,
                None => break,
            }
        }
        match x509::issuer(last) {
            Some(name) if x509::is_issuer(server, server) => Self::SelfSigned(name),
            Some(name) => Self::Issuer(name),
            None => Self::Unnamed,
        }
    }
}

impl fmt::Display for UnknownCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer(name) => write!(
                f,
                "its CA is not among the trusted ones: its certificate says that it is from {name}; trust that CA only if you \
                 know that it issues for your server, or for a firewall of yours that reads TLS; otherwise check the host; or \
                 the server leaves out the intermediate certificates"
            ),
            Self::SelfSigned(name) => write!(
                f,
                "its certificate is self-signed ({name}), by no CA, and not among the trusted ones: trust the certificate \
                 itself if you have it from your server, or let the server present one of a trusted CA; otherwise check the host"
            ),
            Self::Unnamed => f.write_str(
                "its CA, which its certificate does not name, is not among the trusted ones: trust the CA that issues for your \
                 server, or check the host",
            ),
        }
    }
}

impl Error for UnknownCa {}
