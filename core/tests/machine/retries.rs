//! What is not answered, or fails in a way that may pass, is tried again, and waits longer each time.

use std::time::Duration;

use iotcore_gateway::{DeviceKey, Failure, Options, Outcome, QoS, Subscription};

use super::peer::{ATTACH, CONFIG, EVENTS, Sent, Session, seconds};

/// Fails unless a wait is this long, and by its jitter up to a second longer.
fn assert_wait(wait: Duration, expected: u64) {
    assert!(
        wait >= seconds(expected) && wait <= seconds(expected + 1),
        "{wait:?}"
    );
}

fn subscribe(session: &mut Session, device: DeviceKey) {
    let (config, qos) = (Subscription::Config, QoS::AtLeastOnce);
    let subscribing = session.gateway.subscribe(device, config, qos, session.now);
    subscribing.unwrap();
}

/// Lets the time pass to the next attach of this device, and gives how long that took and its packet identifier.
fn next_attach(session: &mut Session) -> (Duration, u16) {
    let start = session.now;
    session.step();
    let packet_id = session.expect_publish(ATTACH);
    (session.now - start, packet_id)
}

#[test]
fn an_attach_that_fails_again_and_again_waits_longer_each_time() {
    let mut session = Session::open(Options::default());
    session.begin_attach("device-1");
    let mut packet_id = session.expect_publish(ATTACH);
    for expected in [1, 2, 4, 8] {
        session.report("UNKNOWN", "device-1", Some(packet_id));
        let (wait, next) = next_attach(&mut session);
        assert_wait(wait, expected);
        packet_id = next;
    }
}

#[test]
fn a_device_that_is_detached_again_and_again_waits_longer_until_an_attachment_has_lasted() {
    let (mut session, _) = Session::attached(Options::default());
    let detached = |session: &mut Session| {
        session.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", None);
        let (wait, packet_id) = next_attach(session);
        session.puback(packet_id);
        wait
    };
    for expected in [1, 2, 4] {
        let wait = detached(&mut session);
        assert_wait(wait, expected);
    }
    session.wait(seconds(60));
    assert_eq!(session.sent(), [Sent::PingReq]);
    session.receive(&[0xd0, 0]);
    assert!(detached(&mut session) <= seconds(2));
}

#[test]
fn a_subscription_that_is_not_answered_waits_longer_each_time() {
    let mut options = Options::default();
    options.ack_timeout = seconds(1);
    let (mut session, device) = Session::attached(options);
    subscribe(&mut session, device);
    for expected in [1, 2, 4, 8] {
        session.expect_subscribe(CONFIG);
        session.wait(seconds(1));
        let start = session.now;
        session.step();
        assert_wait(session.now - start, expected);
    }
}

#[test]
fn an_unsubscribe_that_is_not_answered_is_sent_again_and_nothing_is_lost() {
    let mut options = Options::default();
    options.ack_timeout = seconds(5);
    let (mut session, device) = Session::attached(options);
    subscribe(&mut session, device);
    let id = session.expect_subscribe(CONFIG);
    session.suback(id, 1);
    session.events();
    let (config, now) = (Subscription::Config, session.now);
    let op = session.gateway.unsubscribe(device, config, now).unwrap();
    assert!(matches!(session.next_sent(), Sent::Unsubscribe { .. }));
    session.wait(seconds(5));
    assert_eq!(session.ended(op), Some(Err(Failure::TimedOut(seconds(5)))));
    session.step();
    assert!(matches!(session.next_sent(), Sent::Unsubscribe { .. }));
    session.wait(seconds(5));
    assert_eq!(session.events(), [], "nobody wants the subscription");
    session.step();
    assert!(matches!(session.next_sent(), Sent::Unsubscribe { .. }));
}

#[test]
fn a_late_look_at_the_clock_finds_what_is_overdue() {
    let (mut session, device) = Session::attached(Options::default());
    session.publish(device, "1");
    let id = session.sent_payloads()[0].1;
    session.begin_attach("device-2");
    session.expect_publish("/devices/device-2/attach");
    session.now += seconds(33);
    session.gateway.handle_timeout(session.now);
    assert_eq!(session.sent_payloads(), [("1".to_owned(), id)]);
    session.now += seconds(10);
    session.gateway.handle_timeout(session.now);
    session.expect_publish("/devices/device-2/attach");
}

#[test]
fn silence_sends_it_again_on_the_same_identifier_with_dup_and_backoff() {
    let mut options = Options::default();
    options.keep_alive = seconds(1_199);
    let (mut session, device) = Session::attached(options);
    let op = session.publish(device, "1");
    let id = session.expect_publish(EVENTS);
    for wait in [30, 60, 120, 240, 300, 300] {
        session.wait(seconds(wait) - Duration::from_millis(1));
        assert_eq!(session.sent(), [], "before {wait} s");
        session.wait(Duration::from_millis(1));
        assert_eq!(
            session.sent(),
            [Sent::Publish {
                topic: EVENTS.into(),
                payload: b"1".into(),
                id: Some(id),
                dup: true,
            }]
        );
    }
    session.puback(id);
    assert_eq!(session.ended(op), Some(Ok(Outcome::Acknowledged)));
    assert_eq!(session.gateway.stats().resent, 6);
}

#[test]
fn of_two_that_are_overdue_at_once_the_one_accepted_first_is_sent_again_first() {
    let mut options = Options::default();
    options.ack_timeout = seconds(2);
    options.max_ack_timeout = seconds(4);
    let (mut session, device) = Session::attached(options);
    session.publish(device, "first");
    session.sent();
    session.wait(seconds(2));
    assert_eq!(session.sent_payloads().len(), 1, "sent again, for 4 s");
    session.wait(seconds(2));
    session.publish(device, "second");
    session.sent();
    session.wait(seconds(2));
    let again = session.sent_payloads().into_iter();
    let again: Vec<_> = again.map(|(payload, _)| payload).collect();
    assert_eq!(again, ["first", "second"]);
}
