//! What an error of a TLS connection means, and what to do about it: one sentence for each.

use core::fmt;
use std::io;

use rustls::{AlertDescription as Alert, Error, InvalidMessage, PeerIncompatible};

pub(super) use super::certificate_advice::name;
use super::certificate_advice::{is_ca_unknown, of_certificate};

/// Shows what an error means, and what to do.
pub(crate) struct Explained<'a>(pub(crate) &'a io::Error);

/// The same for an error after the handshake.
pub(crate) struct ExplainedLater<'a>(pub(crate) &'a io::Error);

/// Returns the error of TLS in an error of a stream.
pub(crate) fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Returns whether another CA certificate among the trusted ones could make the difference.
pub(crate) fn needs_other_ca(error: &io::Error) -> bool {
    matches!(tls_error(error), Some(Error::InvalidCertificate(problem)) if is_ca_unknown(problem))
}

/// Returns whether the server ended the connection, and said so.
pub(crate) fn is_alert(error: &io::Error) -> bool {
    matches!(tls_error(error), Some(Error::AlertReceived(_)))
}

/// Returns whether the server refused the client's certificate, or may have demanded one.
pub(crate) fn is_about_client(error: &io::Error) -> bool {
    matches!(
        tls_error(error),
        Some(Error::AlertReceived(
            Alert::CertificateRequired
                | Alert::NoCertificate
                | Alert::HandshakeFailure
                | Alert::UnknownCA
                | Alert::CertificateExpired
                | Alert::CertificateRevoked
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateUnknown
                | Alert::AccessDenied
        ))
    )
}

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match tls_error(self.0) {
            Some(error) => of_tls(error, f),
            None => of_stream(self.0, f),
        }
    }
}

impl fmt::Display for ExplainedLater<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match tls_error(self.0) {
            Some(Error::InvalidMessage(_)) => of_tls(&Error::DecryptError, f),
            _ => Explained(self.0).fmt(f),
        }
    }
}

fn of_stream(error: &io::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    match error.kind() {
        UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe => write!(
            f,
            "the connection was closed during the handshake ({error}): check that this is a port for TLS, and that no \
             firewall on the way ends such connections"
        ),
        TimedOut => write!(
            f,
            "{error}: check that this is a port for TLS, and that the server and the network are not overloaded"
        ),
        _ => write!(f, "the connection broke during the handshake: {error}"),
    }
}

fn of_tls(error: &Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        Error::InvalidCertificate(problem) => of_certificate(problem, f),
        Error::AlertReceived(alert) => of_alert(*alert, f),
        Error::PeerIncompatible(feature) => of_incompatible(feature, f),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        ) => f.write_str("the server's answer is not TLS: is this a port for TLS?"),
        Error::InvalidMessage(problem) => write!(
            f,
            "the server sent a damaged TLS message ({problem:?}): its TLS, or something on the way, is faulty"
        ),
        Error::PeerMisbehaved(problem) => write!(
            f,
            "the server violated the TLS protocol ({problem:?}): its TLS, or something on the way, is faulty"
        ),
        Error::DecryptError => f.write_str(
            "what arrived from the server is damaged: something on the way, or the server's TLS, is faulty",
        ),
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerSentOversizedRecord => write!(
            f,
            "the server violated the TLS protocol ({error}): its TLS, or something on the way, is faulty"
        ),
        Error::NoCertificatesPresented => f.write_str(
            "the server presented no certificate: let it present one that a trusted CA has issued for its host name",
        ),
        Error::UnsupportedNameType => {
            f.write_str("certificates for this kind of host name cannot be verified: use a DNS name")
        }
        Error::InvalidCertRevocationList(_) => f.write_str(
            "a certificate revocation list in the TLS settings is not valid: replace it",
        ),
        Error::FailedToGetCurrentTime => {
            f.write_str("this machine's date is before 1970: set its clock")
        }
        Error::FailedToGetRandomBytes => f.write_str(
            "the operating system returned no randomness: check its random number generator",
        ),
        Error::NoApplicationProtocol => of_alert(Alert::NoApplicationProtocol, f),
        other => write!(f, "TLS failed: {other}"),
    }
}

/// What the server says about us in its last message.
fn of_alert(alert: Alert, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let meaning = match alert {
        Alert::HandshakeFailure | Alert::InsufficientSecurity => {
            "the server refused the handshake, and its log says why: it may demand a client certificate, have no certificate \
             that this client can verify (RSA of 2048 bits or more, P-256, P-384 or Ed25519), or share no TLS 1.2 or 1.3 \
             cipher suite, key exchange (X25519, P-256 or P-384) or SHA-2 signature with this client"
        }
        Alert::ProtocolVersion => {
            "the server speaks neither TLS 1.2 nor TLS 1.3: enable one of them at the server"
        }
        Alert::CertificateRequired | Alert::NoCertificate => {
            "the server demands a client certificate: give one, with its private key"
        }
        Alert::UnknownCA => {
            "the server does not trust the CA of the client certificate, or demands one and got none: give one that its CA \
             has issued, with all intermediate certificates"
        }
        Alert::CertificateExpired => {
            "the server says that the client certificate is expired or not valid yet: renew it, or check the server's date"
        }
        Alert::CertificateRevoked => {
            "the server says that the client certificate is revoked: give a new one"
        }
        Alert::BadCertificate | Alert::UnsupportedCertificate | Alert::CertificateUnknown => {
            "the server demands a client certificate, or refused the one that it got: give one that its CA has issued, with \
             all intermediate certificates, that is valid and meant for clients"
        }
        Alert::AccessDenied => {
            "the server denies access: if it demands a client certificate, give one that it permits"
        }
        Alert::DecryptError => {
            "the server could not verify a signature or key of the handshake: something on the way may be faulty, or the \
             client certificate, if one is given, is not supported there"
        }
        Alert::BadRecordMac | Alert::RecordOverflow | Alert::DecodeError => {
            "what arrived at the server was damaged: something on the way, or its TLS, is faulty"
        }
        Alert::UnrecognisedName => {
            "the server has no certificate for this host name: check the host"
        }
        Alert::NoApplicationProtocol => {
            "the server speaks none of the application protocols in the TLS settings: correct their ALPN protocols"
        }
        Alert::InternalError => "the server failed: look into its log",
        _ => "the server ended the TLS connection: look into its log",
    };
    write!(f, "{meaning} (alert {alert:?})")
}

fn of_incompatible(feature: &PeerIncompatible, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match feature {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired => f.write_str(
            "the server speaks no TLS version that is enabled here: enable TLS 1.2 or TLS 1.3 at the server",
        ),
        PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => f.write_str(
            "the server accepts no signature that the key of the client certificate can make: give a certificate with \
             another kind of key",
        ),
        other => write!(
            f,
            "the server's TLS lacks what this client needs ({other:?}): update or reconfigure the server"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use rustls::{CertificateError, ContentType, OtherError, PeerMisbehaved};

    use crate::driver::tls::signature_problem::SignatureProblem;

    /// Returns the sentence of an error as it comes from a stream.
    fn sentence(error: Error) -> String {
        let error = io::Error::new(io::ErrorKind::InvalidData, error);
        Explained(&error).to_string()
    }

    #[test]
    fn each_alert_says_what_the_server_refuses() {
        for (alerts, part) in [
            (
                &[Alert::HandshakeFailure, Alert::InsufficientSecurity][..],
                "it may demand a client certificate, have no certificate",
            ),
            (&[Alert::ProtocolVersion], "neither TLS 1.2 nor TLS 1.3"),
            (
                &[Alert::CertificateRequired, Alert::NoCertificate],
                "demands a client certificate: give one",
            ),
            (
                &[Alert::UnknownCA],
                "does not trust the CA of the client certificate",
            ),
            (
                &[Alert::CertificateExpired],
                "client certificate is expired",
            ),
            (
                &[Alert::CertificateRevoked],
                "client certificate is revoked",
            ),
            (
                &[
                    Alert::BadCertificate,
                    Alert::UnsupportedCertificate,
                    Alert::CertificateUnknown,
                ],
                "refused the one that it got",
            ),
            (&[Alert::AccessDenied], "denies access"),
            (&[Alert::DecryptError], "could not verify a signature"),
            (&[Alert::UnrecognisedName], "check the host"),
            (&[Alert::NoApplicationProtocol], "ALPN"),
            (&[Alert::InternalError], "the server failed"),
            (
                &[
                    Alert::BadRecordMac,
                    Alert::RecordOverflow,
                    Alert::DecodeError,
                ],
                "arrived at the server was damaged",
            ),
            (
                &[Alert::UnexpectedMessage, Alert::Unknown(200)],
                "the server ended the TLS connection",
            ),
        ] {
            for alert in alerts {
                let shown = sentence(Error::AlertReceived(*alert));
                assert!(shown.contains(part), "{shown}");
                assert!(shown.ends_with(&format!("(alert {alert:?})")), "{shown}");
            }
        }
    }

    #[test]
    fn each_error_of_the_protocol_says_who_is_at_fault() {
        let not_tls = "is this a port for TLS?";
        let faulty = "its TLS, or something on the way, is faulty";
        for (error, part) in [
            (InvalidMessage::InvalidContentType.into(), not_tls),
            (InvalidMessage::UnknownProtocolVersion.into(), not_tls),
            (InvalidMessage::MessageTooLarge.into(), not_tls),
            (InvalidMessage::MissingData("ServerHello").into(), faulty),
            (PeerMisbehaved::SelectedUnofferedCipherSuite.into(), faulty),
            (Error::DecryptError, "from the server is damaged"),
            (Error::PeerSentOversizedRecord, faulty),
            (
                Error::InappropriateMessage {
                    expect_types: vec![ContentType::Handshake],
                    got_type: ContentType::Heartbeat,
                },
                faulty,
            ),
            (
                PeerIncompatible::ServerDoesNotSupportTls12Or13.into(),
                "no TLS version that is enabled here",
            ),
            (
                PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon.into(),
                "another kind of key",
            ),
            (
                PeerIncompatible::NoCipherSuitesInCommon.into(),
                "NoCipherSuitesInCommon",
            ),
            (Error::NoCertificatesPresented, "presented no certificate"),
            (Error::UnsupportedNameType, "use a DNS name"),
            (
                rustls::CertRevocationListError::ParseError.into(),
                "revocation list in the TLS settings",
            ),
            (Error::FailedToGetCurrentTime, "set its clock"),
            (Error::FailedToGetRandomBytes, "no randomness"),
            (Error::NoApplicationProtocol, "ALPN"),
            (
                Error::General("it rains".into()),
                "TLS failed: unexpected error: it rains",
            ),
        ] {
            let shown = sentence(error);
            assert!(shown.contains(part), "{part:?}: {shown}");
        }
    }

    #[test]
    fn after_the_handshake_what_is_no_tls_is_damaged() {
        let error = Error::from(InvalidMessage::InvalidContentType);
        let error = io::Error::new(io::ErrorKind::InvalidData, error);
        let shown = ExplainedLater(&error).to_string();
        assert!(
            shown.starts_with("what arrived from the server is damaged"),
            "{shown}"
        );
        let late = io::Error::new(
            io::ErrorKind::InvalidData,
            Error::AlertReceived(Alert::InternalError),
        );
        let shown = ExplainedLater(&late).to_string();
        assert!(shown.starts_with("the server failed"), "{shown}");
    }

    #[test]
    fn only_an_unknown_ca_is_a_matter_of_the_trusted_ones() {
        let needs = |error: Error| needs_other_ca(&io::Error::other(error));
        assert!(needs(CertificateError::UnknownIssuer.into()));
        let of = |problem| CertificateError::Other(OtherError(Arc::new(problem))).into();
        assert!(needs(of(SignatureProblem::OtherCaKey)));
        for error in [
            CertificateError::Expired.into(),
            CertificateError::NotValidForName.into(),
            CertificateError::Revoked.into(),
            CertificateError::BadSignature.into(),
            of(SignatureProblem::CaKeySize(1_024)),
            Error::AlertReceived(Alert::UnknownCA),
            InvalidMessage::InvalidContentType.into(),
        ] {
            assert!(!needs(error));
        }
        assert!(!needs_other_ca(&io::ErrorKind::UnexpectedEof.into()));
    }

    #[test]
    fn a_stream_that_ends_or_stalls_is_no_error_of_a_certificate() {
        for kind in [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset] {
            let shown = Explained(&kind.into()).to_string();
            assert!(
                shown.starts_with("the connection was closed during the handshake"),
                "{shown}"
            );
        }
        let late = io::Error::new(io::ErrorKind::TimedOut, "no answer within 20s");
        let shown = Explained(&late).to_string();
        assert!(
            shown.starts_with("no answer within 20s: check that this is a port"),
            "{shown}"
        );
        let shown = Explained(&io::Error::other("it rains")).to_string();
        assert_eq!(shown, "the connection broke during the handshake: it rains");
    }
}
