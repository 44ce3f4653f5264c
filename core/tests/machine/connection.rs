//! The connection lifecycle: from CONNECT to the end, backoff, token refresh, close.

use std::time::Duration;

use iotcore_gateway::{
    DeviceAuth, Event, Failure, Options, Outcome, Publication,
    auth::{Token, UnixTime},
    cause::{Certainty, DisconnectReason, TransportEnd, Violation},
    command_error::CommandError,
    message::{QoS, Subscription},
    options::Reconnect,
};

use super::peer::{Harness, Sent, UNIX_NOW, seconds};

#[test]
fn connect_carries_the_client_id_and_clean_session() {
    let mut harness = Harness::dialing(Options::default());
    harness.transport_up();
    assert_eq!(
        harness.sent(),
        [Sent::Connect {
            client_id:
                "projects/my-project/locations/us-central1/registries/my-registry/devices/gw-1"
                    .into(),
            user_name: "unused".into(),
            password: "header.claims.0".into(),
            keep_alive: 60,
        }]
    );
}

#[test]
fn connect_is_the_first_packet_and_nothing_follows_it_before_connack() {
    let mut harness = Harness::new(Options::default());
    let own = harness.gateway.own_key();
    let wishes = |harness: &mut Harness| {
        harness.gateway.open(harness.now).unwrap();
        harness.begin_attach("device-1");
        harness.publish(own, "1");
        let once = Publication::telemetry(own, "2").qos(QoS::AtMostOnce);
        harness.gateway.publish(once, harness.now).unwrap();
        let (config, qos) = (Subscription::Config, QoS::AtLeastOnce);
        harness
            .gateway
            .subscribe(own, config, qos, harness.now)
            .unwrap();
    };
    wishes(&mut harness);
    assert_eq!(harness.sent(), [], "without a transport");
    for _ in 0..2 {
        harness.transport_up();
        wishes(&mut harness);
    }
    harness.wait(seconds(19));
    assert!(matches!(harness.sent()[..], [Sent::Connect { .. }]));
    harness.connack(0);
    harness.transport_up();
    let sent = harness.sent();
    assert!(sent.len() > 3, "{sent:?}");
    let connects = sent
        .iter()
        .filter(|sent| matches!(sent, Sent::Connect { .. }));
    assert_eq!(connects.count(), 0, "{sent:?}");
}

#[test]
fn nothing_is_sent_after_a_disconnect() {
    let mut harness = Harness::dialing(Options::default());
    let token = Token::new("short.lived.token", harness.now + seconds(100)).unwrap();
    harness
        .gateway
        .handle_connected(token, UNIX_NOW, harness.now);
    harness.sent();
    harness.connack(0);
    let id = harness.expect_subscribe("/devices/gw-1/errors");
    harness.suback(id, 0);
    let device = harness.attach("device-1");
    harness.wait(seconds(60));
    harness.sent();
    harness.receive(&[0xd0, 0]);
    harness.wait(seconds(20));
    assert_eq!(harness.gateway.poll_transmit(), [0xe0, 0]);
    harness.publish(device, "1");
    harness.begin_attach("device-2");
    let (config, qos) = (Subscription::Config, QoS::AtLeastOnce);
    harness
        .gateway
        .subscribe(device, config, qos, harness.now)
        .unwrap();
    harness.gateway.detach(device, harness.now).unwrap();
    harness.deliver("/devices/gw-1/config", "{}", Some(9));
    harness.wait(seconds(2));
    assert_eq!(harness.gateway.poll_transmit(), [0xe0, 0]);
    assert_eq!(harness.sent(), [Sent::Disconnect]);
    harness.publish(harness.gateway.own_key(), "2");
    harness.gateway.close(harness.now);
    harness.wait(seconds(1));
    assert_eq!(harness.sent(), []);
}

#[test]
fn debug_does_not_show_a_queued_token() {
    let mut harness = Harness::dialing(Options::default());
    harness.transport_up();
    let shown = format!("{:?} {:#?}", harness.gateway, harness.gateway);
    assert!(!shown.contains("header.claims"), "{shown}");

    let mut harness = Harness::open(Options::default());
    harness
        .gateway
        .attach(
            "device-1".try_into().unwrap(),
            DeviceAuth::Token(harness.token()),
            UNIX_NOW,
            harness.now,
        )
        .unwrap();
    let shown = format!("{:?} {:#?}", harness.gateway, harness.gateway);
    assert!(!shown.contains("header.claims"), "{shown}");
}

#[test]
fn nothing_wants_a_transport_before_open() {
    let mut harness = Harness::new(Options::default());
    assert!(!harness.gateway.wants_transport());
    harness.transport_up();
    assert_eq!(harness.sent(), []);
    let op = harness.gateway.open(harness.now).unwrap();
    assert_eq!(
        harness.gateway.open(harness.now),
        Ok(op),
        "a pending open is the same operation"
    );
    assert!(harness.gateway.wants_transport());
    harness.connect();
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Opened)));
}

#[test]
fn no_connection_attempt_starts_while_the_event_queue_is_full() {
    let mut options = Options::default();
    options.max_events = 3;
    let mut harness = Harness::dialing(options);
    let fail = |harness: &mut Harness| {
        let end = TransportEnd::DialFailed;
        harness.gateway.handle_disconnected(end, harness.now);
        harness.wait(seconds(60));
    };
    for _ in 0..3 {
        assert!(harness.gateway.wants_transport());
        fail(&mut harness);
    }
    assert!(!harness.gateway.wants_transport());
    assert_eq!(harness.gateway.poll_timeout(), None);
    fail(&mut harness);
    harness.transport_up();
    assert_eq!(harness.sent(), []);
    assert_eq!(
        harness.events().len(),
        3,
        "an unwanted connection is not counted as an attempt"
    );
    assert!(harness.gateway.wants_transport());
    harness.connect();
}

/// Returns a gateway whose connection was refused with this code; its token is dated 1970.
fn refused(code: u8) -> Harness {
    let mut harness = Harness::dialing(Options::default());
    let token = harness
        .token()
        .with_lifetime(UnixTime::from_secs(17), UnixTime::from_secs(3_617));
    let in_1970 = UnixTime::from_secs(17);
    harness
        .gateway
        .handle_connected(token, in_1970, harness.now);
    harness.sent();
    harness.connack(code);
    harness
}

#[test]
fn every_nonzero_return_code_is_a_refusal_with_the_known_details() {
    for code in 1..=255 {
        let mut harness = refused(code);
        let disconnected = harness.disconnected();
        let DisconnectReason::Refused(refusal) = &disconnected.reason else {
            panic!("{disconnected:?}");
        };
        assert_eq!(refusal.return_code, code);
        assert_eq!(refusal.client_id, *harness.gateway.client_id());
        assert_eq!(refusal.issued_at, Some(UnixTime::from_secs(17)));
        assert_eq!(refusal.expires_at, Some(UnixTime::from_secs(3_617)));
        assert_eq!(disconnected.certainty, Certainty::Confirmed);
        assert!(disconnected.retry_in.is_some_and(|wait| wait >= seconds(1)));
        assert!(!harness.gateway.wants_transport());
        assert_eq!(harness.sent(), []);
    }
}

#[test]
fn a_refusal_reports_that_the_clock_is_probably_wrong() {
    let mut harness = refused(4);
    let reason = harness.disconnect_reason().to_string();
    for part in ["4", "devices/gw-1", "1970-01-01T00:00:17Z", "clock"] {
        assert!(reason.contains(part), "{part:?} is not in {reason:?}");
    }
}

#[test]
fn a_missing_connack_ends_the_attempt() {
    let mut harness = Harness::dialing(Options::default());
    harness.transport_up();
    harness.sent();
    harness.time_out(seconds(20));
    let disconnected = harness.disconnected();
    assert_eq!(
        disconnected.reason,
        DisconnectReason::ConnAckTimedOut(seconds(20))
    );
    assert_eq!(disconnected.certainty, Certainty::Inferred);
    assert!(!harness.gateway.wants_transport());
}

#[test]
fn before_connack_its_own_is_the_only_deadline() {
    let mut options = Options::default();
    options.keep_alive = seconds(4);
    let mut harness = Harness::dialing(options);
    harness.transport_up();
    let length = harness.gateway.poll_transmit().len() as u32;
    harness.sent();
    let allowance = Duration::from_micros(500) * length;
    let connack = harness.now + seconds(20) + allowance;
    assert_eq!(harness.gateway.poll_timeout(), Some(connack));
}

#[test]
fn an_expired_token_is_a_failed_attempt_and_is_never_sent() {
    let mut harness = Harness::dialing(Options::default());
    let token = Token::new("old.to.ken", harness.now).unwrap();
    harness
        .gateway
        .handle_connected(token, UNIX_NOW, harness.now);
    assert_eq!(harness.sent(), []);
    assert_eq!(harness.disconnect_reason(), DisconnectReason::TokenExpired);
}

#[test]
fn backoff_grows_with_each_failed_attempt_and_resets_after_a_stable_connection() {
    let mut harness = Harness::dialing(Options::default());
    let fail = |harness: &mut Harness, end| {
        harness.gateway.handle_disconnected(end, harness.now);
        let wait = harness.disconnected().retry_in.unwrap();
        harness.wait(wait - Duration::from_millis(1));
        assert!(!harness.gateway.wants_transport());
        harness.wait(Duration::from_millis(1));
        assert!(harness.gateway.wants_transport());
        wait
    };
    for (least, most, end) in [
        (1, 2, TransportEnd::DialFailed),
        (2, 3, TransportEnd::TlsFailed),
        (4, 5, TransportEnd::TokenFailed),
        (8, 9, TransportEnd::Broken),
        (16, 17, TransportEnd::PeerClosed),
        (24, 32, TransportEnd::DialFailed),
        (24, 32, TransportEnd::DialFailed),
    ] {
        let wait = fail(&mut harness, end);
        assert!(wait >= seconds(least) && wait <= seconds(most), "{wait:?}");
    }
    harness.connect();
    harness.wait(seconds(30));
    let wait = fail(&mut harness, TransportEnd::PeerClosed);
    assert!(
        wait >= seconds(24),
        "30 s is too short to be stable: {wait:?}"
    );
    harness.connect();
    harness.wait(seconds(54));
    harness.receive(&[]);
    harness.wait(seconds(6));
    assert!(fail(&mut harness, TransportEnd::PeerClosed) < seconds(3));
}

#[test]
fn a_gateway_that_may_not_reconnect_gives_up_and_fails_everything() {
    let mut options = Options::default();
    options.reconnect = Reconnect::Attempts(2);
    let mut harness = Harness::new(options);
    let open = harness.gateway.open(harness.now).unwrap();
    let own = harness.gateway.own_key();
    let published = harness.publish(own, "1");
    let unsent: Vec<_> = harness.gateway.unsent().collect();
    assert_eq!(unsent.len(), 1);
    for attempts_left in [true, true, false] {
        harness
            .gateway
            .handle_disconnected(TransportEnd::DialFailed, harness.now);
        if attempts_left {
            assert!(harness.disconnected().retry_in.is_some());
            harness.step();
        }
    }
    let events = harness.events();
    assert!(
        matches!(&events[0], Event::Disconnected(disconnected) if disconnected.retry_in.is_none())
    );
    assert_eq!(
        events[1..],
        [
            Event::Failed {
                op: published,
                device: own,
                failure: Failure::GaveUp,
                unsent: Some(Box::new(unsent[0].clone())),
            },
            Event::Failed {
                op: open,
                device: own,
                failure: Failure::GaveUp,
                unsent: None,
            },
            Event::Closed { unsent },
        ]
    );
    assert!(harness.gateway.is_closed());
    assert_eq!(harness.gateway.poll_timeout(), None);
    assert_eq!(harness.gateway.open(harness.now), Err(CommandError::Closed));
}

#[test]
fn a_violation_ends_the_connection_and_nothing_more_is_sent_on_it() {
    let mut harness = Harness::open(Options::default());
    harness.publish(harness.gateway.own_key(), "1");
    harness.receive(&[0xf0]);
    assert!(matches!(
        harness.disconnect_reason(),
        DisconnectReason::Violation(Violation::ReservedType { first_byte: 0xf0 })
    ));
    assert_eq!(harness.sent(), []);
    assert!(!harness.gateway.wants_transport());
    harness.puback(1);
    assert_eq!(harness.events(), [], "later input is ignored");
}

#[test]
fn another_packet_before_connack_is_a_violation_and_so_is_a_second_connack() {
    let mut harness = Harness::dialing(Options::default());
    harness.transport_up();
    harness.sent();
    harness.receive(&[0xd0, 0]);
    assert!(matches!(
        harness.disconnect_reason(),
        DisconnectReason::Violation(Violation::NotConnAckFirst { .. })
    ));

    let mut harness = Harness::open(Options::default());
    harness.connack(0);
    assert_eq!(
        harness.disconnect_reason(),
        DisconnectReason::Violation(Violation::SecondConnAck)
    );
}

#[test]
fn a_transport_that_ends_after_the_backoff_is_dialed_again_at_once() {
    let mut harness = Harness::open(Options::default());
    harness.receive(&[0xf0]);
    harness.wait(seconds(10));
    assert!(
        !harness.gateway.wants_transport(),
        "the old transport is still up"
    );
    harness.lose_connection();
    assert!(harness.gateway.wants_transport());
}

#[test]
fn inputs_are_legal_in_any_order_and_time_is_monotonic() {
    let mut harness = Harness::new(Options::default());
    let (early, late) = (harness.now, harness.now + seconds(100));
    harness.receive(&[1, 2, 3]);
    harness.gateway.handle_transmitted(10, late);
    harness
        .gateway
        .handle_disconnected(TransportEnd::Broken, early);
    harness.gateway.handle_timeout(early);
    assert_eq!(harness.events(), []);
    harness.gateway.open(early).unwrap();
    harness
        .gateway
        .handle_disconnected(TransportEnd::DialFailed, early);
    assert!(
        harness.gateway.poll_timeout().is_some_and(|at| at > late),
        "the latest time is kept"
    );
}
