//! What errors and reasons say: the value, the limit, and what to do.

use std::time::Duration;

use iotcore_gateway::{
    Certainty, CommandError, DisconnectReason, ErrorReport, Failure, Options, Publication,
    PublishError, PublishErrorKind, Subscription, TransportEnd, UnixTime,
};

use super::peer::{Session, UNIX_NOW, seconds};

/// Fails unless each text has all of its parts.
fn say(all: &[(&dyn ToString, &[&str])]) {
    for (value, parts) in all {
        let said = value.to_string();
        for part in *parts {
            assert!(said.contains(part), "{said:?} does not say {part:?}");
        }
    }
}

#[test]
fn a_failure_says_what_is_known() {
    let report = br#"{"error_type":"GATEWAY_ATTACHMENT_ERROR","device_id":"boiler-7","description":"Denied."}"#;
    let report = ErrorReport::parse(report).unwrap();
    say(&[
        (
            &Failure::Reported(report),
            &["reported GATEWAY_ATTACHMENT_ERROR", "boiler-7", "Denied."],
        ),
        (
            &Failure::TimedOut(seconds(30)),
            &["no acknowledgement", "30s"],
        ),
        (
            &Failure::SubscriptionRefused(Subscription::Config),
            &["refused", "to config", "0x80"],
        ),
        (
            &Failure::SubscriptionRefused(Subscription::Commands),
            &["to commands"],
        ),
        (&Failure::ErrorsTopicRefused, &["errors topic", "0x80"]),
        (&Failure::Superseded, &["newer command"]),
        (&Failure::Dropped, &["queue was full"]),
        (&Failure::Detached, &["detached"]),
        (&Failure::DeviceRefused, &["bind it", "valid token"]),
        (&Failure::Closed, &["closed"]),
        (&Failure::GaveUp, &["gave up"]),
        (&Certainty::Suspected, &["suspected"]),
        (&Certainty::Inferred, &["inferred"]),
        (&Certainty::Confirmed, &["confirmed"]),
    ]);
}

#[test]
fn only_of_a_timeout_is_the_cause_inferred() {
    assert_eq!(
        Failure::TimedOut(seconds(30)).certainty(),
        Certainty::Inferred
    );
    for confirmed in [
        Failure::SubscriptionRefused(Subscription::Config),
        Failure::Superseded,
        Failure::Closed,
    ] {
        assert_eq!(confirmed.certainty(), Certainty::Confirmed, "{confirmed}");
    }
}

#[test]
fn a_refused_command_says_what_to_do() {
    let session = Session::new(Options::default());
    let own = session.gateway.own_key();
    let publication = || Publication::telemetry(own, vec![0; 9]);
    let refused = |kind| PublishError {
        kind,
        publication: publication(),
    };
    let too_large = refused(PublishErrorKind::TooLarge { limit: 8 });
    say(&[
        (&refused(PublishErrorKind::Blocked), &["full", "writable"]),
        (&too_large, &["9 bytes", "at most 8"]),
        (
            &refused(PublishErrorKind::UnknownDevice),
            &["no such device"],
        ),
        (
            &refused(PublishErrorKind::Detaching),
            &["being detached", "wait"],
        ),
        (&refused(PublishErrorKind::DeviceRefused), &["bind it"]),
        (&refused(PublishErrorKind::Closed), &["closed"]),
        (
            &CommandError::OwnDevice("gw-1".try_into().unwrap()),
            &["`gw-1`", "gateway itself"],
        ),
        (
            &CommandError::TooManyDevices(1_000),
            &["1000 devices", "detach one"],
        ),
        (&CommandError::TokenExpired, &["expired", "clock"]),
    ]);
}

#[test]
fn the_end_of_a_connection_says_why() {
    use DisconnectReason::*;
    say(&[
        (&Transport(TransportEnd::DialFailed), &["reached"]),
        (&Transport(TransportEnd::TlsFailed), &["TLS"]),
        (&Transport(TransportEnd::TokenFailed), &["token"]),
        (&Transport(TransportEnd::PeerClosed), &["peer closed"]),
        (&Transport(TransportEnd::Broken), &["broke"]),
        (&TokenExpired, &["expired", "mint a new one"]),
        (&ConnAckTimedOut(seconds(20)), &["CONNACK", "20s"]),
        (&PingRespTimedOut(seconds(7)), &["PINGRESP", "7s"]),
        (&WriteStalled(seconds(60)), &["no byte", "60s"]),
        (&PacketIdsExhausted, &["packet identifiers"]),
        (&TokenRefresh, &["fresh token"]),
        (&Closed, &["closed"]),
    ]);
}

#[test]
fn a_length_that_no_packet_has_is_said_with_those_that_it_may_have() {
    for (packet, may_have) in [
        (
            [0x40, 3],
            "PUBACK with remaining length 3, which must be 2 ",
        ),
        (
            [0x30, 2],
            "PUBLISH with remaining length 2, which must be 3 to 268435455 ",
        ),
    ] {
        let mut session = Session::open(Options::default());
        session.receive(&packet);
        let said = session.disconnect_reason().to_string();
        assert!(said.contains(may_have), "{said}");
    }
}

/// What is said of a refusal with this code, of a token that says it was issued then.
fn refusal(code: u8, issued_at: u64) -> String {
    let mut session = Session::dialing(Options::default());
    let issued_at = UnixTime::from_secs(issued_at);
    let expires_at = issued_at.saturating_add(Duration::from_secs(3_600));
    let token = session.token().with_lifetime(issued_at, expires_at);
    session
        .gateway
        .handle_connected(token, UNIX_NOW, session.now);
    session.connack(code);
    session.disconnected().reason.to_string()
}

#[test]
fn a_refusal_says_the_code_the_client_and_the_token_s_dates() {
    for (code, meaning) in [
        (1, "protocol level"),
        (2, "client id"),
        (3, "unavailable"),
        (4, "token was not accepted"),
        (5, "token was not accepted"),
        (99, "of the bridge's own"),
    ] {
        let said = refusal(code, 1_767_225_600);
        for part in [
            &format!("return code {code}: "),
            meaning,
            "`projects/my-project/locations/us-central1/registries/my-registry/devices/gw-1`",
            "issued 2026-01-01T00:00:00Z, expires 2026-01-01T01:00:00Z",
        ] {
            assert!(said.contains(part), "{said:?} does not say {part:?}");
        }
        assert!(!said.contains("is wrong"), "{said:?}");
    }
}

#[test]
fn a_refused_token_of_before_2020_is_blamed_on_the_clock() {
    assert!(refusal(5, 0).contains("the clock of this machine is wrong"));
    assert!(refusal(5, 1_577_836_799).contains("is wrong"));
    assert!(!refusal(5, 1_577_836_800).contains("is wrong"));
}
