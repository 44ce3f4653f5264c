//! The texts of errors and reasons: they contain the value, the limit, and advice.

use std::time::Duration;

use iotcore_gateway::{
    Failure, Options, Publication,
    auth::UnixTime,
    cause::{Certainty, DisconnectReason, TransportEnd},
    command_error::{CommandError, PublishError, PublishErrorKind},
    error_report::ErrorReport,
    message::Subscription,
};

use super::peer::{Harness, seconds};

/// Asserts that each text contains all of its parts.
fn assert_texts(all: &[(&dyn ToString, &[&str])]) {
    for (value, parts) in all {
        let text = value.to_string();
        for part in *parts {
            assert!(text.contains(part), "{text:?} does not contain {part:?}");
        }
    }
}

#[test]
fn failure_messages_contain_the_known_details() {
    let report = br#"{"error_type":"GATEWAY_ATTACHMENT_ERROR","device_id":"boiler-7","description":"Denied."}"#;
    let report = ErrorReport::parse(report).unwrap();
    assert_texts(&[
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
        (&Failure::NotAttached, &["detached", "attach it again"]),
        (
            &Failure::Suspected { connections: 5 },
            &["5 connections in a row", "not sent any more"],
        ),
        (&Failure::Closed, &["closed"]),
        (&Failure::GaveUp, &["gave up"]),
        (&Certainty::Suspected, &["suspected"]),
        (&Certainty::Inferred, &["inferred"]),
        (&Certainty::Confirmed, &["confirmed"]),
    ]);
}

#[test]
fn only_a_timeout_has_an_inferred_cause() {
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
fn messages_of_refused_commands_say_what_to_do() {
    let harness = Harness::new(Options::default());
    let own = harness.gateway.own_key();
    let publication = || Publication::telemetry(own, vec![0; 9]);
    let refused = |kind| PublishError {
        kind,
        publication: publication(),
    };
    let too_large = refused(PublishErrorKind::TooLarge { limit: 8 });
    assert_texts(&[
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
        (&CommandError::DeviceRefused, &["bind it"]),
        (&CommandError::TokenExpired, &["expired", "clock"]),
    ]);
}

#[test]
fn disconnect_reasons_say_why_the_connection_ended() {
    use DisconnectReason::*;
    assert_texts(&[
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
fn a_bad_remaining_length_is_reported_with_the_allowed_ones() {
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
        let mut harness = Harness::open(Options::default());
        harness.receive(&packet);
        let text = harness.disconnect_reason().to_string();
        assert!(text.contains(may_have), "{text}");
    }
}

/// Returns the text of a refusal with this code, for a token issued at this time.
fn refusal(code: u8, issued_at: u64) -> String {
    let mut harness = Harness::dialing(Options::default());
    let issued_at = UnixTime::from_secs(issued_at);
    let expires_at = issued_at.saturating_add(Duration::from_secs(3_600));
    let token = harness.token().with_lifetime(issued_at, expires_at);
    harness
        .gateway
        .handle_connected(token, issued_at, harness.now);
    harness.connack(code);
    harness.disconnected().reason.to_string()
}

#[test]
fn a_refusal_message_contains_the_code_the_client_and_the_token_dates() {
    for (code, meaning) in [
        (1, "protocol level"),
        (2, "client id"),
        (3, "unavailable"),
        (4, "token was not accepted"),
        (5, "token was not accepted"),
        (99, "of the bridge's own"),
    ] {
        let text = refusal(code, 1_767_225_600);
        for part in [
            &format!("return code {code}: "),
            meaning,
            "`projects/my-project/locations/us-central1/registries/my-registry/devices/gw-1`",
            "issued 2026-01-01T00:00:00Z, expires 2026-01-01T01:00:00Z",
        ] {
            assert!(text.contains(part), "{text:?} does not contain {part:?}");
        }
        assert!(!text.contains("is wrong"), "{text:?}");
    }
}

#[test]
fn a_refused_token_issued_before_2020_is_attributed_to_the_clock() {
    assert!(refusal(5, 0).contains("the clock of this machine is wrong"));
    assert!(refusal(5, 1_577_836_799).contains("is wrong"));
    assert!(!refusal(5, 1_577_836_800).contains("is wrong"));
}
