//! Publications that are too old after a while.

use std::time::Duration;

use iotcore_gateway::{DeviceKey, Failure, OpId, Options, Outcome, Publication};

use super::peer::{Harness, Sent, failed, seconds};

fn publish_for(harness: &mut Harness, device: DeviceKey, payload: &str, time: Duration) -> OpId {
    let publication = Publication::telemetry(device, payload.to_owned()).expires_after(time);
    harness.gateway.publish(publication, harness.now).unwrap()
}

#[test]
fn readings_that_expire_in_an_outage_are_not_sent_and_each_ends_at_its_deadline() {
    let (mut harness, device) = Harness::attached(Options::default());
    harness.lose_connection();
    harness.events();
    let ops: Vec<_> = (1..=3)
        .map(|n| publish_for(&mut harness, device, "old", seconds(n)))
        .collect();
    let last = publish_for(&mut harness, device, "young", seconds(1_000));
    harness.publish(device, "ageless");
    for op in ops {
        harness.wait(Duration::from_millis(999));
        assert_eq!(harness.ended(op), None);
        harness.wait(Duration::from_millis(1));
        assert_eq!(harness.ended(op), Some(Err(Failure::Expired)));
    }
    harness.redial();
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.sent_texts(), ["young", "ageless"]);
    assert_eq!(harness.ended(last), None);
}

#[test]
fn one_that_expires_in_flight_may_be_acknowledged_and_is_not_sent_again() {
    for is_acknowledged in [true, false] {
        let (mut harness, device) = Harness::attached(Options::default());
        let op = publish_for(&mut harness, device, "1", seconds(1));
        let id = harness.sent_ids()[0];
        harness.wait(seconds(2));
        assert_eq!(harness.ended(op), None);
        let expected = match is_acknowledged {
            true => {
                harness.puback(id);
                Ok(Outcome::Acknowledged)
            }
            false => {
                harness.reconnect();
                harness.acknowledge_attach("device-1");
                Err(Failure::Expired)
            }
        };
        assert_eq!(harness.ended(op), Some(expected));
        harness.wait(seconds(3));
        assert_eq!(harness.sent_texts(), [""; 0]);
    }
}

#[test]
fn one_that_is_overdue_and_expired_ends_instead_of_being_sent_again() {
    let (mut harness, device) = Harness::attached(Options::default());
    let op = publish_for(&mut harness, device, "1", seconds(1));
    harness.publish(device, "2");
    harness.publish(device, "3");
    let ids = harness.sent_ids();
    harness.wait(seconds(31));
    assert_eq!(harness.ended(op), Some(Err(Failure::Expired)));
    assert_eq!(harness.sent_texts(), ["2"], "sent again in its stead");
    harness.puback(ids[0]);
    harness.puback(ids[1]);
    harness.puback(ids[2]);
    assert_eq!(harness.events().len(), 2, "of those that have not expired");
}

#[test]
fn one_without_time_ends_at_the_next_timeout_unless_it_can_be_sent_at_once() {
    let (mut harness, device) = Harness::attached(Options::default());
    let op = publish_for(&mut harness, device, "1", Duration::ZERO);
    assert_eq!(harness.sent_texts(), [""; 0]);
    harness.wait(Duration::ZERO);
    assert_eq!(harness.ended(op), Some(Err(Failure::Expired)));
    let op = publish_for(&mut harness, device, "2", Duration::MAX);
    let id = harness.sent_ids()[0];
    harness.puback(id);
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Acknowledged)));
}

#[test]
fn one_that_is_left_unsent_says_how_much_time_it_has_left() {
    let (mut harness, device) = Harness::attached(Options::default());
    harness.lose_connection();
    publish_for(&mut harness, device, "1", seconds(60));
    harness.wait(seconds(20));
    let unsent = harness.gateway.unsent().next().unwrap();
    assert_eq!(unsent.expires_after, Some(seconds(40)));
    let again = unsent.into_publication(device);
    harness.gateway.publish(again, harness.now).unwrap();
    harness.events();
    harness.wait(seconds(40));
    assert_eq!(harness.gateway.unsent().count(), 0);
}

/// Lets time pass while the bridge answers PINGREQ; returns the payloads sent, with their identifiers.
pub(super) fn live(harness: &mut Harness, time: Duration) -> Vec<(String, u16)> {
    let end = harness.now + time;
    let mut payloads = Vec::new();
    while harness.now < end {
        harness.wait(Duration::from_millis(500).min(end - harness.now));
        for sent in harness.sent() {
            match sent {
                Sent::PingReq => harness.receive(&[0xd0, 0]),
                Sent::Publish { payload, id, .. } => {
                    payloads.push((String::from_utf8(payload).unwrap(), id.unwrap_or_default()));
                }
                _ => {}
            }
        }
    }
    payloads
}

/// How long after the loss of 20 readings and one message without deadline the latter is sent again.
fn sent_again_after(expires: bool) -> Duration {
    let mut harness = Harness::open(Options::default());
    let own = harness.gateway.own_key();
    harness.widen(own, 90);
    for _ in 0..20 {
        match expires {
            true => publish_for(&mut harness, own, "reading", seconds(5)),
            false => harness.publish(own, "reading"),
        };
    }
    harness.publish(own, "kept");
    // The bridge loses them all.
    let lost = harness.sent_payloads();
    assert_eq!(lost.len(), 21);
    let start = harness.now;
    for _ in 0..10_000 {
        for (payload, id) in live(&mut harness, Duration::from_millis(500)) {
            if payload == "kept" {
                return harness.now - start;
            }
            harness.puback(id);
        }
    }
    panic!("never");
}

#[test]
fn what_has_expired_in_flight_does_not_delay_what_is_sent_again() {
    let (without, with) = (sent_again_after(false), sent_again_after(true));
    assert!(
        with <= without + seconds(5),
        "{with:?} instead of {without:?}"
    );
}

#[test]
fn what_has_expired_in_flight_ends_once_it_is_overdue() {
    let mut harness = Harness::open(Options::default());
    let own = harness.gateway.own_key();
    harness.widen(own, 90);
    let ops: Vec<_> = (0..50)
        .map(|_| publish_for(&mut harness, own, "reading", seconds(5)))
        .collect();
    harness.sent();
    live(&mut harness, seconds(120));
    let events = harness.events();
    let ended = ops
        .iter()
        .filter(|op| failed(&events, **op).is_some())
        .count();
    assert_eq!(ended, 50, "two minutes after their deadline");
}

#[test]
fn no_deadline_in_the_past_remains_after_a_timeout_at_which_the_last_message_of_a_detach_expires() {
    let mut options = Options::default();
    options.attach_window = 1;
    options.drain_timeout = seconds(60);
    let (mut harness, device) = Harness::attached(options);
    harness.begin_attach("device-2");
    publish_for(&mut harness, device, "lost", seconds(5));
    harness.gateway.detach(device, harness.now).unwrap();
    harness.sent();
    // It asserts that no deadline in the past remains.
    harness.wait(seconds(40));
}
