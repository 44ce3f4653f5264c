//! Packet identifiers: none is used again while an acknowledgement of it can come, and what happens when none is left.

use std::{collections::BTreeSet, time::Duration};

use iotcore_gateway::{DeviceKey, Event, Options, cause::DisconnectReason, quota::Quota};

use super::peer::{ATTACH, Harness, seconds};

/// The devices of a gateway with the largest window: as many as fill it at once.
struct Devices(Vec<DeviceKey>);

impl Devices {
    /// Publishes this often, in turns.
    fn publish(&self, harness: &mut Harness, publications: usize) {
        for device in self.0.iter().cycle().take(publications) {
            harness.publish(*device, "");
        }
    }
}

/// The ids of all devices.
fn ids() -> impl Iterator<Item = String> + Clone {
    (1..=10).map(|n| format!("device-{n}"))
}

/// A gateway with the largest window and attached devices, which have published this often.
fn with_the_largest_window(publications: usize) -> (Harness, Devices) {
    let mut options = Options::default();
    options.quota = Quota::unpaced();
    options.window = 32_000;
    options.device_window = 32_000;
    options.device_queue.messages = 100_000;
    let mut harness = Harness::open(options);
    let devices = Devices(ids().map(|id| harness.attach(&id)).collect());
    harness.events();
    devices.publish(&mut harness, publications);
    (harness, devices)
}

/// Acknowledges the last of these publications, which overtakes the others, and then one copy of each of those once it
/// was sent again. Returns their identifiers.
fn acknowledge_once_sent_again(harness: &mut Harness, ids: &[u16]) -> Vec<u16> {
    let (last, overtaken) = ids.split_last().unwrap();
    harness.puback(*last);
    harness.wait(seconds(30));
    let mut again = Vec::new();
    while again.len() < overtaken.len() {
        let sent = harness.sent_ids();
        assert!(!sent.is_empty(), "only {} were sent again", again.len());
        for id in &sent {
            harness.puback(*id);
        }
        again.extend(sent);
    }
    assert!(again == overtaken, "each was sent again, in order");
    again
}

/// Returns how many publications have ended since the events were last taken.
fn ended(harness: &mut Harness) -> usize {
    let mut events = harness.events();
    events.retain(|event| matches!(event, Event::Done { .. }));
    events.len()
}

#[test]
fn with_the_largest_window_no_second_puback_completes_anothers_publication() {
    let (mut harness, devices) = with_the_largest_window(32_000);
    let first = harness.sent_ids();
    assert_eq!(first.len(), 32_000);
    let twice = acknowledge_once_sent_again(&mut harness, &first);
    assert_eq!(ended(&mut harness), 32_000);
    let waiting: BTreeSet<_> = twice.iter().copied().collect();
    for _ in 0..2 {
        devices.publish(&mut harness, 32_000);
        let next = harness.sent_ids();
        assert_eq!(next.len(), 32_000);
        assert!(next.iter().all(|id| !waiting.contains(id)));
        for id in next {
            harness.puback(id);
        }
        assert_eq!(ended(&mut harness), 32_000);
    }
    devices.publish(&mut harness, 1);
    for id in twice {
        harness.puback(id);
    }
    assert_eq!(ended(&mut harness), 0);
    assert_eq!(harness.gateway.stats().in_flight, 1);
    assert_eq!(harness.gateway.stats().unsolicited, 0);
}

#[test]
fn an_identifier_is_used_again_once_each_copy_of_its_publication_was_acknowledged() {
    let (mut harness, devices) = with_the_largest_window(2);
    let ids = harness.sent_ids();
    let twice = acknowledge_once_sent_again(&mut harness, &ids)[0];
    harness.puback(twice);
    for _ in 0..70_000 {
        devices.publish(&mut harness, 1);
        let id = harness.sent_ids()[0];
        harness.puback(id);
        harness.events();
        if id == twice {
            return;
        }
    }
    panic!("its identifier is never used again");
}

#[test]
fn each_copy_of_an_attach_is_waited_for_too() {
    let mut harness = Harness::open(Options::default());
    harness.begin_attach("device-1");
    let id = harness.expect_publish(ATTACH);
    harness.time_out(seconds(30));
    harness.step();
    harness.expect_publish_again(ATTACH, id);
    for unsolicited in [0, 0, 1] {
        harness.puback(id);
        assert_eq!(harness.gateway.stats().unsolicited, unsolicited);
    }
}

#[test]
fn when_no_packet_identifier_is_free_the_gateway_reconnects_immediately() {
    let (mut harness, _) = with_the_largest_window(32_000);
    assert_eq!(harness.sent().len(), 32_000, "the window");
    let mut left = 65_535 - 32_000;
    for id in ids().cycle() {
        harness.report("GATEWAY_DEVICE_NOT_FOUND", &id, None);
        harness.step();
        harness.acknowledge_attach(&id);
        harness.events();
        let sent = harness.sent().len();
        assert_eq!(sent, left.min(3_200), "of the identifiers");
        left -= sent;
        if left == 0 {
            break;
        }
    }
    let disconnected = harness.disconnected();
    assert_eq!(disconnected.reason, DisconnectReason::PacketIdsExhausted);
    assert_eq!(disconnected.retry_in, Some(Duration::ZERO));
    harness.lose_connection();
    harness.connect();
    let attaches = harness.sent_ids();
    assert_eq!(attaches.len(), 10);
    for id in attaches {
        harness.puback(id);
    }
    assert_eq!(harness.sent_ids().len(), 32_000, "nothing is lost");
}

#[test]
fn a_bridge_that_acknowledges_one_copy_of_two_uses_the_identifiers_up_and_nothing_is_lost() {
    let (mut harness, devices) = with_the_largest_window(0);
    for _ in 0..2 {
        devices.publish(&mut harness, 32_000);
        let ids = harness.sent_ids();
        acknowledge_once_sent_again(&mut harness, &ids);
        harness.events();
    }
    devices.publish(&mut harness, 32_000);
    let reason = harness.disconnect_reason();
    assert_eq!(reason, DisconnectReason::PacketIdsExhausted);
    harness.lose_connection();
    harness.connect();
    let attaches = harness.sent_ids();
    assert_eq!(attaches.len(), 10);
    for id in attaches {
        harness.puback(id);
    }
    assert_eq!(harness.sent_ids().len(), 32_000, "nothing is lost");
}
