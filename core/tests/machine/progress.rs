//! Progress: nobody is judged for what the transport has not taken or the gateway has not read, and what needs no answer
//! waits for none.

use std::time::Duration;

use iotcore_gateway::{
    DeviceAuth, Event, Options, Outcome, Publication,
    auth::UnixTime,
    cause::DisconnectReason,
    message::{QoS, Subscription},
};

use super::peer::{ATTACH, CONFIG, EVENTS, Harness, Sent, UNIX_NOW, packets::take, seconds};

const OWN_EVENTS: &str = "/devices/gw-1/events";

/// Returns the bytes of these PUBACKs, as they are read together.
fn pubacks(ids: &[u16]) -> Vec<u8> {
    let one = |id: &u16| [&[0x40, 2][..], &id.to_be_bytes()].concat();
    ids.iter().flat_map(one).collect()
}

#[test]
fn what_the_transport_does_not_take_for_longer_than_the_timeout_is_neither_overdue_nor_sent_twice()
{
    for taken in [0, 1, 20] {
        let mut harness = Harness::open(Options::default());
        let own = harness.gateway.own_key();
        let (device, attach) = harness.begin_attach("device-1");
        let published = ["1", "2", "3"].map(|payload| harness.publish(own, payload));
        let queued = harness.gateway.poll_transmit().to_vec();
        let [
            Sent::Publish { topic, .. },
            Sent::Publish { .. },
            Sent::Publish { .. },
            _,
        ] = &take(&mut queued.clone())[..]
        else {
            panic!("an attach and three publications are queued");
        };
        assert_eq!(topic, ATTACH);
        harness.gateway.handle_transmitted(taken, harness.now);
        harness.wait(seconds(31));
        assert_eq!(harness.gateway.poll_transmit(), &queued[taken..]);
        assert_eq!(harness.events(), []);
        harness.gateway.handle_transmitted(usize::MAX, harness.now);
        // The timeouts begin now: nothing is due for half a minute.
        harness.wait(seconds(20));
        harness.receive(&[0xd0, 0]);
        harness.wait(seconds(9));
        assert_eq!(harness.sent(), []);
        assert_eq!(harness.events(), []);
        for sent in take(&mut queued.clone()) {
            harness.receive(&sent.answer().unwrap());
        }
        let mut done = vec![Event::Attached { device }];
        let op = attach;
        let outcome = Outcome::Attached;
        done.push(Event::Done { op, outcome });
        let outcome = Outcome::Acknowledged;
        done.extend(published.map(|op| Event::Done { op, outcome }));
        assert_eq!(harness.events(), done);
        assert_eq!(harness.gateway.stats().resent, 0);
    }
}

#[test]
fn a_silent_peer_is_noticed_while_publications_at_qos_0_never_run_out() {
    let mut harness = Harness::open(Options::default());
    let (own, opened) = (harness.gateway.own_key(), harness.now);
    let (mut stream, mut pinged_at, mut end) = (Vec::new(), None, None);
    while end.is_none() && harness.now - opened < seconds(600) {
        while harness.gateway.stats().queued < 20 {
            let publication = Publication::telemetry(own, vec![b'x'; 1_000]);
            let once = publication.qos(QoS::AtMostOnce);
            harness.gateway.publish(once, harness.now).unwrap();
        }
        let bytes = harness.gateway.poll_transmit();
        assert!(bytes.len() > 500, "the buffer is never empty");
        stream.extend_from_slice(&bytes[..500]);
        harness.gateway.handle_transmitted(500, harness.now);
        if take(&mut stream).contains(&Sent::PingReq) {
            pinged_at.get_or_insert(harness.now - opened);
        }
        harness.wait(Duration::from_millis(100));
        end = harness.events().into_iter().find_map(|event| match event {
            Event::Disconnected(disconnected) => Some(disconnected.reason),
            _ => None,
        });
    }
    let noticed_at = harness.now - opened;
    let limit = seconds(20);
    assert_eq!(end, Some(DisconnectReason::PingRespTimedOut(limit)));
    let pinged_at = pinged_at.expect("PINGREQ is sent");
    // The buffer in front of it is drained in 4 s.
    assert!(
        (seconds(55)..seconds(60)).contains(&pinged_at),
        "{pinged_at:?}"
    );
    // The peer has not proven to have read any of the bytes before it: 294 kB, which take a slow link 147 s.
    let waited = noticed_at - pinged_at;
    assert!((seconds(165)..seconds(170)).contains(&waited), "{waited:?}");
}

#[test]
fn commands_after_a_long_pause_judge_nobody_whose_answer_was_not_read() {
    let (mut harness, device) = Harness::attached(Options::default());
    harness.publish(device, "1");
    let first = harness.expect_publish(EVENTS);
    let (other, _) = harness.begin_attach("device-2");
    let attach = harness.expect_publish("/devices/device-2/attach");
    let (config, qos) = (Subscription::Config, QoS::AtLeastOnce);
    let subscribing = harness.gateway.subscribe(device, config, qos, harness.now);
    let subscribing = subscribing.unwrap();
    let subscribe = harness.expect_subscribe(CONFIG);
    harness.now += seconds(31);
    harness.publish(device, "2");
    let second = harness.expect_publish(EVENTS);
    let third = harness.gateway.attach(
        "device-3".try_into().unwrap(),
        DeviceAuth::ByAssociation,
        UnixTime::from_secs(UNIX_NOW.as_secs() + 31),
        harness.now,
    );
    third.unwrap();
    let another = harness.expect_publish("/devices/device-3/attach");
    assert_eq!(harness.sent(), [], "nothing again");
    assert_eq!(harness.events(), [], "nobody is judged");
    harness.receive(&pubacks(&[attach, first]));
    harness.suback(subscribe, 1);
    harness.gateway.handle_timeout(harness.now);
    let events = harness.events();
    assert!(events.contains(&Event::Attached { device: other }));
    let (op, outcome) = (subscribing, Outcome::Subscribed(qos));
    assert!(events.contains(&Event::Done { op, outcome }));
    let is_failure = |event: &Event| matches!(event, Event::Failed { .. });
    assert!(!events.iter().any(is_failure), "{events:?}");
    harness.receive(&pubacks(&[second, another]));
    harness.gateway.handle_timeout(harness.now);
    assert_eq!(harness.sent(), []);
    assert_eq!(harness.gateway.stats().resent, 0);
}

#[test]
fn three_pubacks_that_are_read_together_a_second_too_late_end_three_publications_sent_once() {
    let (mut harness, device) = Harness::attached(Options::default());
    let ops = ["1", "2", "3"].map(|payload| harness.publish(device, payload));
    let ids = harness.sent_ids();
    harness.now += seconds(31);
    harness.receive(&pubacks(&ids));
    harness.gateway.handle_timeout(harness.now);
    let outcome = Outcome::Acknowledged;
    assert_eq!(harness.events(), ops.map(|op| Event::Done { op, outcome }));
    assert_eq!(harness.sent(), [], "nothing again");
    harness.wait(seconds(20));
    assert_eq!(harness.sent(), []);
    assert_eq!(harness.gateway.stats().resent, 0);
}

#[test]
fn a_publication_at_qos_0_at_the_head_of_its_queue_goes_out_while_the_window_is_full() {
    let (mut total, mut per_device) = (Options::default(), Options::default());
    total.window = 10;
    per_device.device_window = 1;
    for (options, window) in [(total, 10), (per_device, 1)] {
        let mut harness = Harness::open(options);
        let own = harness.gateway.own_key();
        let others = ["device-1", "device-2"].map(|id| harness.attach(id));
        harness.widen(own, window - 1);
        let mut ids = Vec::new();
        for _ in 0..window {
            harness.publish(own, "fills the window");
            ids.push(harness.expect_publish(OWN_EVENTS));
        }
        let once = |device, payload: &str| {
            Publication::telemetry(device, payload.to_owned()).qos(QoS::AtMostOnce)
        };
        let mut publish_once = |device, payload| {
            let publication = once(device, payload);
            harness.gateway.publish(publication, harness.now).unwrap();
            harness.sent_texts()
        };
        assert_eq!(publish_once(own, "own"), ["own"]);
        assert_eq!(publish_once(others[0], "another's"), ["another's"]);
        harness.publish(own, "waits");
        harness.publish(own, "waits too");
        let behind = once(own, "behind");
        harness.gateway.publish(behind, harness.now).unwrap();
        assert_eq!(harness.sent_texts(), [""; 0], "the order is kept");
        let ahead = once(others[1], "not behind it");
        harness.gateway.publish(ahead, harness.now).unwrap();
        assert_eq!(harness.sent_texts(), ["not behind it"]);
        harness.puback(ids[0]);
        let [(payload, id)] = &harness.sent_payloads()[..] else {
            panic!("the window has room for one");
        };
        assert_eq!(payload, "waits");
        harness.puback(*id);
        assert_eq!(harness.sent_texts(), ["waits too", "behind"]);
    }
}
