//! One connection after another: CONNECT to the end, backoff, refresh, close.

use std::time::Duration;

use iotcore_gateway::{
    Certainty, CommandError, DisconnectReason, Event, Failure, Options, Outcome, Publication, QoS,
    Reconnect, Subscription, Token, TransportEnd, UnixTime, Violation,
};

use super::peer::{Sent, Session, UNIX_NOW, seconds};

#[test]
fn connect_says_who_it_is_and_asks_for_a_clean_session() {
    let mut session = Session::dialing(Options::default());
    session.transport_up();
    assert_eq!(
        session.sent(),
        [Sent::Connect {
            client_id:
                "projects/my-project/locations/us-central1/registries/my-registry/devices/gw-1"
                    .into(),
            user_name: "unused".into(),
            password: "header.claims.signature".into(),
            keep_alive: 60,
        }]
    );
}

#[test]
fn connect_is_the_first_packet_and_nothing_follows_it_before_connack() {
    let mut session = Session::new(Options::default());
    let own = session.gateway.own_key();
    let wishes = |session: &mut Session| {
        session.gateway.open(session.now).unwrap();
        session.begin_attach("device-1");
        session.publish(own, "1");
        let once = Publication::telemetry(own, "2").qos(QoS::AtMostOnce);
        session.gateway.publish(once, session.now).unwrap();
        let (config, qos) = (Subscription::Config, QoS::AtLeastOnce);
        session
            .gateway
            .subscribe(own, config, qos, session.now)
            .unwrap();
    };
    wishes(&mut session);
    assert_eq!(session.sent(), [], "without a transport");
    for _ in 0..2 {
        session.transport_up();
        wishes(&mut session);
    }
    session.wait(seconds(19));
    assert!(matches!(session.sent()[..], [Sent::Connect { .. }]));
    session.connack(0);
    session.transport_up();
    let sent = session.sent();
    assert!(sent.len() > 3, "{sent:?}");
    let connects = sent
        .iter()
        .filter(|sent| matches!(sent, Sent::Connect { .. }));
    assert_eq!(connects.count(), 0, "{sent:?}");
}

#[test]
fn nothing_is_sent_behind_a_disconnect() {
    let mut session = Session::dialing(Options::default());
    let token = Token::new("short.lived.token", session.now + seconds(100)).unwrap();
    session
        .gateway
        .handle_connected(token, UNIX_NOW, session.now);
    session.sent();
    session.connack(0);
    session.sent();
    let device = session.attach("device-1");
    session.wait(seconds(60));
    session.sent();
    session.receive(&[0xd0, 0]);
    session.wait(seconds(20));
    assert_eq!(session.gateway.poll_transmit(), [0xe0, 0]);
    session.publish(device, "1");
    session.begin_attach("device-2");
    let (config, qos) = (Subscription::Config, QoS::AtLeastOnce);
    session
        .gateway
        .subscribe(device, config, qos, session.now)
        .unwrap();
    session.gateway.detach(device, session.now).unwrap();
    session.deliver("/devices/gw-1/config", "{}", Some(9));
    session.wait(seconds(2));
    assert_eq!(session.gateway.poll_transmit(), [0xe0, 0]);
    assert_eq!(session.sent(), [Sent::Disconnect]);
    session.publish(session.gateway.own_key(), "2");
    session.gateway.close(session.now);
    session.wait(seconds(1));
    assert_eq!(session.sent(), []);
}

#[test]
fn debug_shows_no_token_that_waits_to_be_written() {
    let mut session = Session::dialing(Options::default());
    session.transport_up();
    let shown = format!("{:?} {:#?}", session.gateway, session.gateway);
    assert!(!shown.contains("header.claims"), "{shown}");

    let mut session = Session::open(Options::default());
    session
        .gateway
        .attach(
            "device-1".try_into().unwrap(),
            Some(session.token()),
            UNIX_NOW,
            session.now,
        )
        .unwrap();
    let shown = format!("{:?} {:#?}", session.gateway, session.gateway);
    assert!(!shown.contains("header.claims"), "{shown}");
}

#[test]
fn nothing_wants_a_transport_before_open() {
    let mut session = Session::new(Options::default());
    assert!(!session.gateway.wants_transport());
    session.transport_up();
    assert_eq!(session.sent(), []);
    let op = session.gateway.open(session.now).unwrap();
    assert_eq!(
        session.gateway.open(session.now),
        Ok(op),
        "a pending open is the same operation"
    );
    assert!(session.gateway.wants_transport());
    session.connect();
    assert_eq!(session.ended(op), Some(Ok(Outcome::Opened)));
}

#[test]
fn no_attempt_begins_while_events_wait_at_their_bound() {
    let mut options = Options::default();
    options.max_events = 3;
    let mut session = Session::dialing(options);
    let fail = |session: &mut Session| {
        let end = TransportEnd::DialFailed;
        session.gateway.handle_disconnected(end, session.now);
        session.wait(seconds(60));
    };
    for _ in 0..3 {
        assert!(session.gateway.wants_transport());
        fail(&mut session);
    }
    assert!(!session.gateway.wants_transport());
    assert_eq!(session.gateway.poll_timeout(), None);
    fail(&mut session);
    session.transport_up();
    assert_eq!(session.sent(), []);
    assert_eq!(
        session.events().len(),
        3,
        "what was not wanted is no attempt"
    );
    assert!(session.gateway.wants_transport());
    session.connect();
}

/// A gateway whose connection was refused with this code, and its token of 1970 with it.
fn refused(code: u8) -> Session {
    let mut session = Session::dialing(Options::default());
    let token = session
        .token()
        .with_lifetime(UnixTime::from_secs(17), UnixTime::from_secs(3_617));
    session
        .gateway
        .handle_connected(token, UNIX_NOW, session.now);
    session.sent();
    session.connack(code);
    session
}

#[test]
fn every_return_code_but_zero_is_a_refusal_that_says_what_is_known() {
    for code in 1..=255 {
        let mut session = refused(code);
        let disconnected = session.disconnected();
        let DisconnectReason::Refused(refusal) = &disconnected.reason else {
            panic!("{disconnected:?}");
        };
        assert_eq!(refusal.return_code, code);
        assert_eq!(refusal.client_id, *session.gateway.client_id());
        assert_eq!(refusal.issued_at, Some(UnixTime::from_secs(17)));
        assert_eq!(refusal.expires_at, Some(UnixTime::from_secs(3_617)));
        assert_eq!(disconnected.certainty, Certainty::Confirmed);
        assert!(disconnected.retry_in.is_some_and(|wait| wait >= seconds(1)));
        assert!(!session.gateway.wants_transport());
        assert_eq!(session.sent(), []);
    }
}

#[test]
fn a_refusal_says_that_the_clock_is_probably_wrong() {
    let mut session = refused(4);
    let reason = session.disconnect_reason().to_string();
    for part in ["4", "devices/gw-1", "1970-01-01T00:00:17Z", "clock"] {
        assert!(reason.contains(part), "{part:?} is not in {reason:?}");
    }
}

#[test]
fn a_missing_connack_ends_the_attempt() {
    let mut session = Session::dialing(Options::default());
    session.transport_up();
    session.sent();
    session.wait(Duration::from_millis(19_999));
    assert!(session.gateway.wants_transport());
    session.wait(Duration::from_millis(1));
    let disconnected = session.disconnected();
    assert_eq!(
        disconnected.reason,
        DisconnectReason::ConnAckTimedOut(seconds(20))
    );
    assert_eq!(disconnected.certainty, Certainty::Inferred);
    assert!(!session.gateway.wants_transport());
}

#[test]
fn before_connack_nothing_else_is_waited_for() {
    let mut options = Options::default();
    options.keep_alive = seconds(4);
    let mut session = Session::dialing(options);
    session.transport_up();
    session.sent();
    let connack = session.now + seconds(20);
    assert_eq!(session.gateway.poll_timeout(), Some(connack));
}

#[test]
fn an_expired_token_is_a_failed_attempt_and_is_never_sent() {
    let mut session = Session::dialing(Options::default());
    let token = Token::new("old.to.ken", session.now).unwrap();
    session
        .gateway
        .handle_connected(token, UNIX_NOW, session.now);
    assert_eq!(session.sent(), []);
    assert_eq!(session.disconnect_reason(), DisconnectReason::TokenExpired);
}

#[test]
fn failed_attempts_wait_longer_each_time_and_start_anew_after_a_stable_connection() {
    let mut session = Session::dialing(Options::default());
    let fail = |session: &mut Session, end| {
        session.gateway.handle_disconnected(end, session.now);
        let wait = session.disconnected().retry_in.unwrap();
        session.wait(wait - Duration::from_millis(1));
        assert!(!session.gateway.wants_transport());
        session.wait(Duration::from_millis(1));
        assert!(session.gateway.wants_transport());
        wait
    };
    for (expected, end) in [
        (1, TransportEnd::DialFailed),
        (2, TransportEnd::TlsFailed),
        (4, TransportEnd::TokenFailed),
        (8, TransportEnd::Broken),
        (16, TransportEnd::PeerClosed),
        (32, TransportEnd::DialFailed),
        (32, TransportEnd::DialFailed),
    ] {
        let wait = fail(&mut session, end);
        assert!(
            wait >= seconds(expected) && wait <= seconds(expected + 1),
            "{wait:?}"
        );
    }
    session.connect();
    session.wait(seconds(30));
    assert_eq!(
        fail(&mut session, TransportEnd::PeerClosed),
        seconds(32),
        "30 s are not stable"
    );
    session.connect();
    session.wait(seconds(54));
    session.receive(&[]);
    session.wait(seconds(6));
    assert!(fail(&mut session, TransportEnd::PeerClosed) < seconds(3));
}

#[test]
fn a_gateway_that_may_not_reconnect_gives_up_and_fails_everything() {
    let mut options = Options::default();
    options.reconnect = Reconnect::Attempts(2);
    let mut session = Session::new(options);
    let open = session.gateway.open(session.now).unwrap();
    let own = session.gateway.own_key();
    let published = session.publish(own, "1");
    let unsent: Vec<_> = session.gateway.unsent().collect();
    assert_eq!(unsent.len(), 1);
    for attempts_left in [true, true, false] {
        session
            .gateway
            .handle_disconnected(TransportEnd::DialFailed, session.now);
        if attempts_left {
            assert!(session.disconnected().retry_in.is_some());
            session.step();
        }
    }
    let events = session.events();
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
    assert!(session.gateway.is_closed());
    assert_eq!(session.gateway.poll_timeout(), None);
    assert_eq!(session.gateway.open(session.now), Err(CommandError::Closed));
}

#[test]
fn a_violation_ends_the_connection_and_nothing_more_is_sent_on_it() {
    let mut session = Session::open(Options::default());
    session.publish(session.gateway.own_key(), "1");
    session.receive(&[0xf0]);
    assert!(matches!(
        session.disconnect_reason(),
        DisconnectReason::Violation(Violation::ReservedType { first_byte: 0xf0 })
    ));
    assert_eq!(session.sent(), []);
    assert!(!session.gateway.wants_transport());
    session.puback(1);
    assert_eq!(session.events(), [], "what still comes is not read");
}

#[test]
fn another_packet_before_connack_is_a_violation_and_so_is_a_second_connack() {
    let mut session = Session::dialing(Options::default());
    session.transport_up();
    session.sent();
    session.receive(&[0xd0, 0]);
    assert!(matches!(
        session.disconnect_reason(),
        DisconnectReason::Violation(Violation::NotConnAckFirst { .. })
    ));

    let mut session = Session::open(Options::default());
    session.connack(0);
    assert_eq!(
        session.disconnect_reason(),
        DisconnectReason::Violation(Violation::SecondConnAck)
    );
}

#[test]
fn a_transport_that_ends_after_the_backoff_is_dialed_again_at_once() {
    let mut session = Session::open(Options::default());
    session.receive(&[0xf0]);
    session.wait(seconds(10));
    assert!(!session.gateway.wants_transport(), "the old one is there");
    session.lose_connection();
    assert!(session.gateway.wants_transport());
}

#[test]
fn inputs_are_legal_in_any_order_and_time_never_runs_backwards() {
    let mut session = Session::new(Options::default());
    let (early, late) = (session.now, session.now + seconds(100));
    session.receive(&[1, 2, 3]);
    session.gateway.handle_transmitted(10, late);
    session
        .gateway
        .handle_disconnected(TransportEnd::Broken, early);
    session.gateway.handle_timeout(early);
    assert_eq!(session.events(), []);
    session.gateway.open(early).unwrap();
    session
        .gateway
        .handle_disconnected(TransportEnd::DialFailed, early);
    assert!(
        session.gateway.poll_timeout().is_some_and(|at| at > late),
        "time stands at the latest"
    );
}
