//! Why a signature of a server, or of a certificate, could not be verified: rustls has one name for all reasons.

use core::{error::Error, fmt};

use rustls::pki_types::CertificateDer;

use super::x509::{self, RSA_BITS};

#[derive(Debug)]
pub(super) enum SignatureProblem {
    /// The RSA key of the server has an unsupported number of bits.
    ServerKeySize(usize),
    /// The RSA key of a CA that issued the server's certificate, or one of the CAs on the way to a trusted one, has an
    /// unsupported number of bits.
    CaKeySize(usize),
    /// The server signs with another key than that of its certificate.
    OtherServerKey,
    /// The trusted CA of the issuer's name has another key than the issuer.
    OtherCaKey,
}

impl SignatureProblem {
    /// Returns why the signature of one of these certificates, which a server presented, could not be verified.
    pub(super) fn of_chain(server: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Self {
        let mut sizes = core::iter::once(server)
            .chain(others)
            .filter_map(|certificate| x509::rsa_signature_bits(certificate));
        match sizes.find(|bits| !RSA_BITS.contains(bits)) {
            Some(bits) => Self::CaKeySize(bits),
            None => Self::OtherCaKey,
        }
    }

    /// Returns why the signature in the handshake of a server with this certificate could not be verified.
    pub(super) fn of_handshake(server: &CertificateDer<'_>) -> Self {
        match x509::rsa_key_bits(server) {
            Some(bits) if !RSA_BITS.contains(&bits) => Self::ServerKeySize(bits),
            _ => Self::OtherServerKey,
        }
    }
}

impl fmt::Display for SignatureProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
        match self {
            Self::ServerKeySize(bits) => write!(
                f,
                "the server's certificate is for an RSA key of {bits} bits, and such keys must have {least} to {most}: let the \
                 server present a certificate for a new key"
            ),
            Self::CaKeySize(bits) => write!(
                f,
                "the server's certificate, or one that it was issued with, is signed with an RSA key of {bits} bits, and such \
                 keys must have {least} to {most}: have it issued by a CA with another key"
            ),
            Self::OtherServerKey => f.write_str(
                "the server's private key is not the one of its certificate: give the server the key that the certificate was \
                 requested with",
            ),
            Self::OtherCaKey => f.write_str(
                "its certificate is not signed by the trusted CA of that name, which has another key: trust the CA's current \
                 certificate, or check the host",
            ),
        }
    }
}

impl Error for SignatureProblem {}
