//! The TLS handshake, and why it failed.

use core::time::Duration;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::{AlertDescription, Error, ServerConfig, ServerConnection};

use super::tls::CertificateFlaw;

/// The time limit for each step of a client's handshake.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a client of another kind has.
const NOTHING_IN_COMMON: &str =
    "no version or cipher suite in common with this server, which has TLS 1.2 and 1.3";

/// Runs the handshake with a client; an error says why it failed, and what to do.
pub(super) fn run(
    mut stream: &TcpStream,
    config: Arc<ServerConfig>,
    flaw: Option<CertificateFlaw>,
) -> Result<ServerConnection, String> {
    let text = |error: io::Error| error.to_string();
    let mut tls = ServerConnection::new(config).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(text)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)
            .map_err(|error| explain(&error, flaw))?;
    }
    stream.set_read_timeout(None).map_err(text)?;
    Ok(tls)
}

fn explain(error: &io::Error, flaw: Option<CertificateFlaw>) -> String {
    let inner = error.get_ref();
    let cause = match (error.kind(), inner.and_then(|inner| inner.downcast_ref())) {
        (io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut, _) => {
            return format!("no TLS handshake within {TIMEOUT:?}");
        }
        (_, Some(Error::AlertReceived(alert))) => return explain_alert(*alert, flaw),
        (_, Some(Error::InvalidMessage(_))) => {
            format!("what the client sent is not TLS ({error}); does the client speak TLS?")
        }
        (_, Some(Error::PeerIncompatible(_))) => {
            format!("the client has {NOTHING_IN_COMMON} ({error})")
        }
        (io::ErrorKind::UnexpectedEof, _) => {
            "the client closed the connection without saying why; some do that when they do not trust the \
             certificate: give them that of the CA"
                .to_owned()
        }
        _ => error.to_string(),
    };
    format!("TLS handshake failed: {cause}")
}

fn explain_alert(alert: AlertDescription, flaw: Option<CertificateFlaw>) -> String {
    let cause = match alert {
        AlertDescription::UnknownCA => {
            "it does not trust the CA that signed this server's certificate: give it the certificate of that CA"
        }
        AlertDescription::DecryptError => {
            "it cannot verify the signature of this server's certificate, most often because it trusts another CA of \
             the same name: give it the certificate of the CA that signed it"
        }
        AlertDescription::CertificateExpired => {
            "by its clock, this server's certificate has expired or is not valid yet: make a new one, or set that clock"
        }
        AlertDescription::BadCertificate => {
            "it refuses this server's certificate, most often because it does not contain the host name to which \
             the client connected: make one that does"
        }
        AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::AccessDenied => "it refuses this server's certificate",
        AlertDescription::ProtocolVersion
        | AlertDescription::HandshakeFailure
        | AlertDescription::InsufficientSecurity => {
            return format!(
                "the client ended the TLS handshake (alert {alert:?}): it has {NOTHING_IN_COMMON}"
            );
        }
        _ => "it gives no other reason",
    };
    let ended = format!("the client ended the TLS handshake (alert {alert:?}): {cause}");
    match flaw {
        Some(flaw) => format!("{ended}; the certificate {flaw}"),
        None => ended,
    }
}
