//! What ended a connection: its code for programs, and text with advice for people.

use std::error::Error;

use iotcore_gateway_tokio::{
    cause::{DisconnectReason, Disconnected},
    error::{DialFailure, TransportError},
};

use crate::codes::DisconnectCode;

/// Returns the code, in snake case, of what ended a connection or a connection attempt.
pub(crate) fn disconnect_code(
    ended: &Disconnected,
    error: Option<&TransportError>,
) -> DisconnectCode {
    match error {
        Some(TransportError::Token(_)) => return DisconnectCode::TokenFailed,
        Some(TransportError::Dial { .. }) => return DisconnectCode::DialFailed,
        Some(TransportError::Proxy { .. }) => return DisconnectCode::ProxyFailed,
        Some(TransportError::Tls { .. } | TransportError::TlsBroken(_)) => {
            return DisconnectCode::TlsFailed;
        }
        Some(TransportError::PeerClosed) => return DisconnectCode::PeerClosed,
        Some(TransportError::Broken(_)) => return DisconnectCode::Broken,
        _ => {}
    }
    match &ended.reason {
        DisconnectReason::Transport(_) => DisconnectCode::Broken,
        DisconnectReason::Refused(_) => DisconnectCode::Refused,
        DisconnectReason::TokenExpired => DisconnectCode::TokenExpired,
        DisconnectReason::ConnAckTimedOut(_) => DisconnectCode::ConnAckTimedOut,
        DisconnectReason::PingRespTimedOut(_) => DisconnectCode::PingRespTimedOut,
        DisconnectReason::PacketTimedOut(_) => DisconnectCode::PacketTimedOut,
        DisconnectReason::WriteStalled(_) => DisconnectCode::WriteStalled,
        DisconnectReason::Violation(_) => DisconnectCode::ProtocolViolation,
        DisconnectReason::PacketIdsExhausted => DisconnectCode::PacketIdsExhausted,
        DisconnectReason::TokenRefresh => DisconnectCode::TokenRefresh,
        DisconnectReason::Closed => DisconnectCode::Closed,
        _ => DisconnectCode::Other,
    }
}

const CHECK_PORT: &str =
    "; check --host and --port, and that both sides use TLS or, with --plain, neither does";

/// What the relay knows about a connection that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    /// Whether the bridge had accepted it.
    pub(crate) was_connected: bool,
    /// Whether an attach was still pending.
    pub(crate) was_attaching: bool,
}

/// Describes what ended a connection in a sentence, with advice.
pub(crate) fn disconnect_detail(
    ended: &Disconnected,
    error: Option<&TransportError>,
    circumstances: Circumstances,
) -> String {
    let mut detail = match error {
        // Its text says all, and the text of its source is that of a program for programs.
        Some(error @ (TransportError::Tls { .. } | TransportError::TlsBroken(_))) => {
            error.to_string()
        }
        Some(error) => chain(error),
        // How it violates MQTT says little: an alert of TLS is read as a packet.
        None if is_no_bridge(ended, circumstances) => {
            format!(
                "what answers there is no MQTT bridge{CHECK_PORT}: {}",
                ended.reason
            )
        }
        None => ended.reason.to_string(),
    };
    detail.push_str(advice(ended, error, circumstances));
    if ended.takeover_suspected {
        detail.push_str(
            "; the bridge closed several connections in a row soon after accepting them: another client may be using the same gateway id",
        );
    }
    detail
}

/// Returns whether the other side has violated MQTT since it was dialled.
fn is_no_bridge(ended: &Disconnected, circumstances: Circumstances) -> bool {
    !circumstances.was_connected && matches!(ended.reason, DisconnectReason::Violation(_))
}

fn advice(
    ended: &Disconnected,
    error: Option<&TransportError>,
    circumstances: Circumstances,
) -> &'static str {
    let Circumstances {
        was_connected,
        was_attaching,
    } = circumstances;
    match (&ended.reason, error) {
        (
            _,
            Some(TransportError::Dial {
                source: DialFailure::Unreachable(_),
                ..
            }),
        ) => "; check --host and --port, the network, and that something listens there",
        // Its own text says what to check.
        (_, Some(TransportError::Dial { .. })) => "; the host is given with --host",
        (_, Some(TransportError::Proxy { .. })) => {
            "; the proxy is that of --proxy, or of a variable such as HTTPS_PROXY; NO_PROXY and --proxy none avoid it"
        }
        (_, Some(error)) if error.is_ca_unknown() => {
            "; the trusted CA certificates are given with --ca"
        }
        (_, Some(error)) if error.may_need_client_certificate() => {
            "; a client certificate is given with --client-cert and --client-key"
        }
        (_, Some(TransportError::PeerClosed | TransportError::Broken(_))) if !was_connected => {
            CHECK_PORT
        }
        (DisconnectReason::ConnAckTimedOut(_), _) => CHECK_PORT,
        (_, Some(TransportError::PeerClosed | TransportError::Broken(_))) if was_attaching => {
            "; a device was being attached: check that --gateway is registered as a gateway, not as a device"
        }
        _ => "",
    }
}

/// Formats an error and its causes, except for causes that its own text already includes.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut described = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !described.contains(&text) {
            described = format!("{described}: {text}");
        }
        cause = error.source();
    }
    described
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use iotcore_gateway_tokio::{
        ClientId, Security, Setup, Status,
        auth::Token,
        connect,
        token_source::{BoxError, TokenRequest, TokenSource},
    };

    use super::*;

    /// A source that hands out what it minted long ago.
    struct Old;

    impl TokenSource for Old {
        async fn gateway(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
            Ok(Token::new("old", request.now)?)
        }
    }

    #[tokio::test]
    async fn an_expired_token_of_the_gateway_itself_is_a_failure_of_its_source() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let client_id = ClientId::new(
            "plant".parse().unwrap(),
            "us-central1".parse().unwrap(),
            "sensors".parse().unwrap(),
            "gateway-1".parse().unwrap(),
        );
        let setup = Setup::new("127.0.0.1", Security::PlainOnLoopback, client_id, Old)
            .port(listener.local_addr().unwrap().port());
        let (client, driver) = connect(setup).unwrap();
        let mut status = client.status();
        tokio::spawn(driver.run());
        let Some(Status::Disconnected { ended, error }) = status.next().await else {
            panic!("nothing but the end of the attempt is told");
        };
        let error = error.as_deref();
        assert_eq!(disconnect_code(&ended, error), DisconnectCode::TokenFailed);
        let circumstances = Circumstances {
            was_connected: false,
            was_attaching: false,
        };
        let detail = disconnect_detail(&ended, error, circumstances);
        assert!(
            detail.contains("the token source returned a token that had expired"),
            "{detail}"
        );
    }
}
