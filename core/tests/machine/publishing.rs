//! Publishing, from acceptance to acknowledgement: order, lost connections, windows, limits.

use iotcore_gateway::{
    DeviceAuth, Event, Options, Outcome, Publication,
    cause::TransportEnd,
    command_error::{PublishError, PublishErrorKind},
    message::{QoS, Subfolder},
    options::Overflow,
};

use super::peer::{EVENTS, Harness, Sent, UNIX_NOW, seconds};

#[test]
fn each_kind_of_publication_has_its_topic() {
    let (mut harness, device) = Harness::attached(Options::default());
    let own = harness.gateway.own_key();
    let subfolder = Subfolder::try_from("alerts/critical").unwrap();
    for (publication, topic, qos) in [
        (
            Publication::telemetry(device, "1"),
            "/devices/device-1/events",
            1,
        ),
        (
            Publication::telemetry(device, "1").subfolder(subfolder),
            "/devices/device-1/events/alerts/critical",
            1,
        ),
        (
            Publication::state(device, "1"),
            "/devices/device-1/state",
            1,
        ),
        (
            Publication::telemetry(own, "").qos(QoS::AtMostOnce),
            "/devices/gw-1/events",
            0,
        ),
        (
            Publication::state(own, "1").qos(QoS::AtMostOnce),
            "/devices/gw-1/state",
            0,
        ),
    ] {
        harness.gateway.publish(publication, harness.now).unwrap();
        let Sent::Publish {
            topic: found, id, ..
        } = harness.next_sent()
        else {
            panic!()
        };
        assert_eq!((&found[..], id.is_some()), (topic, qos == 1));
    }
}

#[test]
fn a_payload_over_the_limit_is_returned_and_nothing_is_sent() {
    let (mut harness, device) = Harness::attached(Options::default());
    for (publication, limit) in [
        (Publication::telemetry(device, vec![b'x'; 262_145]), 262_144),
        (Publication::state(device, vec![b'x'; 65_537]), 65_536),
    ] {
        let len = publication.payload().len();
        let error = harness
            .gateway
            .publish(publication.clone(), harness.now)
            .unwrap_err();
        assert_eq!(
            error,
            PublishError {
                kind: PublishErrorKind::TooLarge { limit },
                publication: publication.clone()
            }
        );
        for part in [len.to_string(), limit.to_string()] {
            assert!(error.to_string().contains(&part), "{error}");
        }
        assert_eq!(error.publication, publication);
    }
    assert_eq!(harness.sent(), []);
    let largest = Publication::telemetry(device, vec![b'x'; 262_144]);
    harness.gateway.publish(largest, harness.now).unwrap();
    assert_eq!(harness.sent_texts()[0].len(), 262_144);
}

#[test]
fn a_puback_completes_its_own_publication_in_any_order() {
    let (mut harness, device) = Harness::attached(Options::default());
    let ops: Vec<_> = ["a", "b", "c"]
        .map(|payload| harness.publish(device, payload))
        .into();
    let ids = harness.sent_ids();
    for at in [2, 0, 1] {
        harness.puback(ids[at]);
        assert_eq!(
            harness.events(),
            [Event::Done {
                op: ops[at],
                outcome: Outcome::Acknowledged
            }]
        );
        harness.puback(ids[at]);
        assert_eq!(harness.events(), [], "a duplicate PUBACK completes nothing");
    }
}

#[test]
fn at_qos_0_a_publication_completes_when_its_last_byte_is_handed_over() {
    let (mut harness, device) = Harness::attached(Options::default());
    let publication = Publication::telemetry(device, "1").qos(QoS::AtMostOnce);
    let op = harness.gateway.publish(publication, harness.now).unwrap();
    let len = harness.gateway.poll_transmit().len();
    harness.gateway.handle_transmitted(len - 1, harness.now);
    assert_eq!(harness.ended(op), None);
    harness.gateway.handle_transmitted(1, harness.now);
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Transmitted)));
}

#[test]
fn at_qos_0_what_was_not_handed_over_survives_the_connection() {
    let (mut harness, device) = Harness::attached(Options::default());
    let publication = Publication::telemetry(device, "1").qos(QoS::AtMostOnce);
    let op = harness.gateway.publish(publication, harness.now).unwrap();
    harness.gateway.handle_transmitted(3, harness.now);
    harness.reconnect();
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.sent_texts(), ["1"]);
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Transmitted)));
}

#[test]
fn a_lost_connection_loses_nothing_and_keeps_the_order_of_each_device() {
    let mut options = Options::default();
    options.window = 4;
    let mut harness = Harness::open(options);
    let devices = ["device-1", "device-2"].map(|id| harness.attach(id));
    harness.events();
    for device in devices {
        harness.widen(device, 1);
    }
    let mut ops = Vec::new();
    for n in 0..10 {
        ops.push(harness.publish(devices[n % 2], &n.to_string()));
    }
    let first = harness.sent_payloads();
    assert_eq!(first.len(), 4, "the window");
    harness.puback(first[1].1);
    let more = harness.sent_payloads();
    assert_eq!(more.len(), 1);
    harness.lose_connection();
    harness.events();
    harness.redial();
    harness.acknowledge_attach("device-2");
    harness.acknowledge_attach("device-1");
    let mut arrived = Vec::new();
    loop {
        let sent = harness.sent();
        if sent.is_empty() {
            break;
        }
        for sent in sent {
            let Sent::Publish {
                payload,
                id: Some(id),
                dup: false,
                ..
            } = sent
            else {
                panic!("{sent:?}")
            };
            arrived.push(
                String::from_utf8(payload)
                    .unwrap()
                    .parse::<usize>()
                    .unwrap(),
            );
            harness.puback(id);
        }
    }
    let acknowledged: usize = first[1].0.parse().unwrap();
    for parity in [0, 1] {
        let of_device: Vec<_> = arrived
            .iter()
            .copied()
            .filter(|n| n % 2 == parity)
            .collect();
        let expected: Vec<_> = (0..10)
            .filter(|n| n % 2 == parity && *n != acknowledged)
            .collect();
        assert_eq!(of_device, expected);
    }
    let done = harness
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::Done { op, .. } if ops.contains(op)));
    assert_eq!(done.count(), 9);
}

#[test]
fn what_is_accepted_before_open_is_delivered_after_it() {
    let mut harness = Harness::new(Options::default());
    let own = harness.gateway.own_key();
    let op = harness.publish(own, "early");
    harness.gateway.open(harness.now).unwrap();
    harness.connect();
    let id = harness.expect_publish("/devices/gw-1/events");
    harness.puback(id);
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Acknowledged)));
}

#[test]
fn a_device_that_is_not_attached_does_not_block_others() {
    let mut harness = Harness::open(Options::default());
    let (slow, _) = harness
        .gateway
        .attach(
            "slow-1".try_into().unwrap(),
            DeviceAuth::ByAssociation,
            UNIX_NOW,
            harness.now,
        )
        .unwrap();
    harness.expect_publish("/devices/slow-1/attach");
    let device = harness.attach("device-1");
    for n in 0..5 {
        harness.publish(slow, "waits");
        harness.publish(device, &n.to_string());
    }
    assert_eq!(harness.sent_texts(), ["0", "1", "2", "3", "4"]);
}

#[test]
fn devices_send_round_robin() {
    let mut options = Options::default();
    options.window = 1;
    let mut harness = Harness::open(options);
    let busy = harness.attach("busy-1");
    let quiet = harness.attach("quiet-1");
    for n in 0..4 {
        harness.publish(busy, &format!("busy {n}"));
    }
    harness.publish(quiet, "quiet");
    let mut order = Vec::new();
    while let [(payload, id)] = &harness.sent_payloads()[..] {
        order.push(payload.clone());
        harness.puback(*id);
    }
    assert_eq!(order, ["busy 0", "quiet", "busy 1", "busy 2", "busy 3"]);
}

#[test]
fn a_device_window_of_one_sends_one_after_the_other() {
    let mut options = Options::default();
    options.device_window = 1;
    let (mut harness, device) = Harness::attached(options);
    for n in 0..3 {
        harness.publish(device, &n.to_string());
    }
    for n in 0..3 {
        let sent = harness.sent_payloads();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].0, n.to_string());
        harness.puback(sent[0].1);
    }
}

#[test]
fn at_qos_0_a_publication_in_the_transmit_buffer_is_not_sent_again_after_a_reattach() {
    let (mut harness, device) = Harness::attached(Options::default());
    let once = Publication::telemetry(device, "once").qos(QoS::AtMostOnce);
    let op = harness.gateway.publish(once, harness.now).unwrap();
    harness.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", None);
    assert_eq!(
        harness.sent_payloads().len(),
        1,
        "it was already queued for transmission"
    );
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Transmitted)));
    harness.wait(seconds(3));
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.sent(), []);
}

#[test]
fn publications_requeued_in_two_steps_keep_their_order() {
    let (mut harness, device) = Harness::attached(Options::default());
    harness.publish(device, "first");
    let once = Publication::telemetry(device, "second").qos(QoS::AtMostOnce);
    harness.gateway.publish(once, harness.now).unwrap();
    harness.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", None);
    harness.reconnect();
    harness.acknowledge_attach("device-1");
    let sent = harness.sent_payloads();
    let payloads: Vec<_> = sent.iter().map(|(payload, _)| &payload[..]).collect();
    assert_eq!(payloads, ["first", "second"]);
}

#[test]
fn a_packet_identifier_is_not_reused_while_its_acknowledgement_may_arrive() {
    let mut options = Options::default();
    options.device_queue.messages = 100_000;
    let (mut harness, device) = Harness::attached(options);
    harness.publish(device, "stays");
    let held = harness.expect_publish(EVENTS);
    for _ in 0..70_000 {
        harness.publish(device, "");
        let id = harness.expect_publish(EVENTS);
        assert_ne!(id, held);
        harness.puback(id);
        harness.events();
    }
}

#[test]
fn a_failed_publication_is_returned_with_its_device() {
    let (mut harness, device) = Harness::attached(Options::default());
    let op = harness.publish(device, "21.5");
    harness.expect_publish(EVENTS);
    harness.gateway.close(harness.now);
    harness.wait(seconds(11));
    harness.sent();
    let hung_up = TransportEnd::HungUp;
    harness.gateway.handle_disconnected(hung_up, harness.now);
    let events = harness.events();
    let handed_back = events.iter().find_map(|event| match event {
        Event::Failed {
            op: failed,
            device,
            unsent,
            ..
        } if *failed == op => Some((*device, unsent.clone()?)),
        _ => None,
    });
    let (failed, unsent) = handed_back.expect("the publication fails");
    assert_eq!(failed, device);
    assert_eq!((unsent.op, &unsent.payload[..]), (op, &b"21.5"[..]));
    assert_eq!(unsent.device.as_str(), "device-1");
}

#[test]
fn qos_0_goes_around_a_full_window_whatever_its_device_waits_with() {
    let mut options = Options::default();
    options.window = 1;
    options.overflow = Overflow::DropOldest;
    options.device_queue.messages = 3;
    let (mut harness, device) = Harness::attached(options);
    let once = |publication: Publication| publication.qos(QoS::AtMostOnce);
    harness.publish(device, "fills the window");
    harness.sent();
    harness.publish(device, "waits for it");

    let state = once(Publication::state(device, "a state"));
    harness.gateway.publish(state, harness.now).unwrap();
    assert_eq!(harness.sent_texts(), ["a state"]);

    let held = Publication::state(device, "held by its pace");
    harness.gateway.publish(held, harness.now).unwrap();
    let behind = once(Publication::telemetry(device, "behind what waits"));
    harness.gateway.publish(behind, harness.now).unwrap();
    assert_eq!(harness.events().len(), 2, "one handed over, one dropped");
    assert_eq!(harness.sent_texts(), ["behind what waits"]);
}

#[test]
fn publications_of_a_detached_device_stay_in_the_window_until_they_are_answered() {
    let mut options = Options::default();
    options.window = 10;
    options.drain_timeout = seconds(1);
    let (mut harness, device) = Harness::attached(options);
    let other = harness.attach("device-2");
    for device in [device, other] {
        harness.widen(device, 9);
    }
    for _ in 0..10 {
        harness.publish(device, "1");
    }
    let ids = harness.sent_ids();
    harness.gateway.detach(device, harness.now).unwrap();
    harness.wait(seconds(1));
    harness.sent();
    for _ in 0..10 {
        harness.publish(other, "2");
    }
    assert_eq!(harness.sent(), [], "the bridge still has ten");
    for id in &ids[..3] {
        harness.puback(*id);
    }
    assert_eq!(harness.sent().len(), 3);
    harness.wait(seconds(31));
    assert_eq!(
        harness.sent().len(),
        7,
        "the others are overdue, and nobody's"
    );
    assert_eq!(harness.gateway.stats().in_flight, 10);
}
