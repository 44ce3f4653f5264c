//! What a bridge never answers.

use super::super::super::event::UnservedCause;
use super::*;

impl Harness {
    fn unserved(&mut self) -> Vec<(String, UnservedCause)> {
        let events = self.events().into_iter();
        let unserved = events.filter_map(|event| match event {
            EventKind::Unserved { packet, cause } => Some((packet, cause)),
            _ => None,
        });
        unserved.collect()
    }
}

#[test]
fn a_full_buffer_drops_silently() {
    let service = Service::per_kind()
        .publish(seconds(2))
        .attach(seconds(2))
        .buffer(3);
    let (mut harness, gateway) = slow(service);
    let input: Vec<u8> = (10..15).flat_map(|id| telemetry("dev1", id)).collect();
    harness.send(gateway, &input);
    harness.send(gateway, &attach("dev2", 20));
    let full = (
        "PUBLISH /devices/dev1/events".to_owned(),
        UnservedCause::BufferFull,
    );
    assert_eq!(harness.unserved(), [full.clone(), full]);
    let answers = harness.answers(gateway, seconds(3));
    assert_eq!(answers.len(), 2, "the attach is in another queue");
    harness.send(gateway, &telemetry("dev1", 15));
    assert_eq!(harness.unserved(), [], "there is room again");
    assert_eq!(harness.answers(gateway, seconds(60)).len(), 3);
    let traffic = harness.bridge.traffic();
    assert_eq!(traffic.unserved(ServiceKind::Publish), 2);
    assert_eq!(traffic.most_unanswered(ServiceKind::Publish), 3);
    assert_eq!(traffic.received(PacketKind::Telemetry), 6);
}

#[test]
fn a_share_of_a_kind_is_never_answered_and_has_no_effect() {
    let service = Service::one_queue()
        .losing(ServiceKind::Publish, 250)
        .seed(3);
    let (mut harness, gateway) = slow(service.clone());
    let mut answered = 0;
    for id in 0..400 {
        answered += harness.send(gateway, &telemetry("dev1", 1_000 + id)).len();
        assert_eq!(harness.send(gateway, PINGREQ), [Received::Pingresp]);
    }
    assert!((280..320).contains(&answered), "{answered}");
    let telemetry = harness.bridge.device("dev1").unwrap().telemetry_total();
    assert_eq!(telemetry, answered as u64);
    let lost = harness.unserved();
    assert_eq!(lost.len(), 400 - answered);
    assert!(lost.iter().all(|(_, cause)| *cause == UnservedCause::Lost));

    let (mut same, gateway) = slow(service);
    let answers = (0..400).map(|id| same.send(gateway, &self::telemetry("dev1", 1_000 + id)));
    assert_eq!(answers.map(|answer| answer.len()).sum::<usize>(), answered);
}

#[test]
fn given_devices_are_never_answered() {
    let service = Service::one_queue()
        .ignoring(["dev1", "dev2"])
        .ignoring_entirely(["dev3"]);
    let (mut harness, gateway) = slow(service);
    assert_eq!(harness.send(gateway, &attach("dev2", 10)), []);
    assert_eq!(harness.send(gateway, &attach("dev3", 11)), []);
    assert_eq!(
        harness.send(gateway, &telemetry("dev1", 12)),
        [Received::Puback(12)]
    );
    assert_eq!(harness.send(gateway, &telemetry("dev3", 13)), []);
    let both = [("/devices/dev1/config", 1), ("/devices/dev3/config", 1)];
    assert_eq!(harness.send(gateway, &subscribe(14, &both)), []);
    let unsubscribe = packets::unsubscribe(15, &["/devices/dev3/config"]);
    assert_eq!(harness.send(gateway, &unsubscribe), []);
    let unserved = harness.unserved();
    let packets: Vec<&str> = unserved.iter().map(|(packet, _)| packet.as_str()).collect();
    assert_eq!(
        packets,
        [
            "PUBLISH /devices/dev2/attach",
            "PUBLISH /devices/dev3/attach",
            "PUBLISH /devices/dev3/events",
            "SUBSCRIBE /devices/dev1/config, /devices/dev3/config",
            "UNSUBSCRIBE /devices/dev3/config",
        ]
    );
    assert!(
        unserved
            .iter()
            .all(|(_, cause)| *cause == UnservedCause::Ignored)
    );
    assert!(harness.bridge.attached("gateway").eq(["dev1"]));
}

#[test]
fn the_publications_of_given_devices_are_never_answered() {
    let service = Service::one_queue().ignoring_publications(["dev1", "gateway"]);
    let (mut harness, gateway) = slow(service);
    assert_eq!(harness.send(gateway, &telemetry("dev1", 10)), []);
    let state = publish("/devices/gateway/state", 1, 11, b"");
    assert_eq!(harness.send(gateway, &state), []);
    assert_eq!(harness.unserved().len(), 2);
    assert_eq!(harness.bridge.device("dev1").unwrap().telemetry_total(), 0);
    for (packet, answer) in [
        (
            packets::unsubscribe(12, &["/devices/dev1/config"]),
            Received::Unsuback(12),
        ),
        (attach("dev1", 13), Received::Puback(13)),
        (
            publish("/devices/dev1/detach", 1, 14, b""),
            Received::Puback(14),
        ),
        (attach("dev2", 15), Received::Puback(15)),
        (telemetry("dev2", 16), Received::Puback(16)),
    ] {
        assert_eq!(harness.send(gateway, &packet), [answer]);
    }
}

#[test]
fn what_is_never_answered_is_one_line_whatever_a_client_sends() {
    let (mut harness, gateway) = slow(Service::one_queue().losing(ServiceKind::Publish, 1_000));
    harness.send(
        gateway,
        &publish("/devices/dev1/events/a\n\u{1b}[2J", 1, 10, b""),
    );
    let event = harness.bridge.poll_event().unwrap();
    let line = event.to_string();
    assert!(
        line.contains("UNSERVED     PUBLISH /devices/dev1/events/a\\n"),
        "{line}"
    );
    assert!(
        line.ends_with(": lost at random") && !line.contains(char::is_control),
        "{line}"
    );
    let json = serde_json::to_value(&event).unwrap();
    assert_eq!(json["event"], "unserved");
    assert_eq!(json["cause"], "lost");
}
