//! From accepted to acknowledged: order, losses, windows, bounds, states, silence.

use iotcore_gateway::{
    Event, Options, Outcome, Publication, PublishError, PublishErrorKind, QoS, Subfolder,
    TransportEnd,
};

use super::peer::{EVENTS, Sent, Session, UNIX_NOW, seconds};

#[test]
fn each_kind_of_publication_has_its_topic() {
    let (mut session, device) = Session::attached(Options::default());
    let own = session.gateway.own_key();
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
        session.gateway.publish(publication, session.now).unwrap();
        let Sent::Publish {
            topic: found, id, ..
        } = session.next_sent()
        else {
            panic!()
        };
        assert_eq!((&found[..], id.is_some()), (topic, qos == 1));
    }
}

#[test]
fn a_payload_over_the_limit_is_handed_back_and_nothing_is_sent() {
    let (mut session, device) = Session::attached(Options::default());
    for (publication, limit) in [
        (Publication::telemetry(device, vec![b'x'; 262_145]), 262_144),
        (Publication::state(device, vec![b'x'; 65_537]), 65_536),
    ] {
        let len = publication.payload().len();
        let error = session
            .gateway
            .publish(publication.clone(), session.now)
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
    assert_eq!(session.sent(), []);
    let largest = Publication::telemetry(device, vec![b'x'; 262_144]);
    session.gateway.publish(largest, session.now).unwrap();
    assert_eq!(session.sent_texts()[0].len(), 262_144);
}

#[test]
fn a_puback_completes_its_own_publication_in_any_order() {
    let (mut session, device) = Session::attached(Options::default());
    let ops: Vec<_> = ["a", "b", "c"]
        .map(|payload| session.publish(device, payload))
        .into();
    let ids = session.sent_ids();
    for at in [2, 0, 1] {
        session.puback(ids[at]);
        assert_eq!(
            session.events(),
            [Event::Done {
                op: ops[at],
                outcome: Outcome::Acknowledged
            }]
        );
        session.puback(ids[at]);
        assert_eq!(session.events(), [], "a second PUBACK completes nothing");
    }
}

#[test]
fn at_qos_0_a_publication_is_done_when_its_last_byte_was_handed_over() {
    let (mut session, device) = Session::attached(Options::default());
    let publication = Publication::telemetry(device, "1").qos(QoS::AtMostOnce);
    let op = session.gateway.publish(publication, session.now).unwrap();
    let len = session.gateway.poll_transmit().len();
    session.gateway.handle_transmitted(len - 1, session.now);
    assert_eq!(session.ended(op), None);
    session.gateway.handle_transmitted(1, session.now);
    assert_eq!(session.ended(op), Some(Ok(Outcome::Transmitted)));
}

#[test]
fn at_qos_0_what_was_not_handed_over_survives_the_connection() {
    let (mut session, device) = Session::attached(Options::default());
    let publication = Publication::telemetry(device, "1").qos(QoS::AtMostOnce);
    let op = session.gateway.publish(publication, session.now).unwrap();
    session.gateway.handle_transmitted(3, session.now);
    session.reconnect();
    session.acknowledge_attach("device-1");
    assert_eq!(session.sent_texts(), ["1"]);
    assert_eq!(session.ended(op), Some(Ok(Outcome::Transmitted)));
}

#[test]
fn a_lost_connection_loses_nothing_and_keeps_the_order_of_each_device() {
    let mut options = Options::default();
    options.window = 4;
    let mut session = Session::open(options);
    let devices = ["device-1", "device-2"].map(|id| session.attach(id));
    session.events();
    let mut ops = Vec::new();
    for n in 0..10 {
        ops.push(session.publish(devices[n % 2], &n.to_string()));
    }
    let first = session.sent_payloads();
    assert_eq!(first.len(), 4, "the window");
    session.puback(first[1].1);
    let more = session.sent_payloads();
    assert_eq!(more.len(), 1);
    session.lose_connection();
    session.events();
    session.redial();
    session.acknowledge_attach("device-1");
    session.acknowledge_attach("device-2");
    let mut arrived = Vec::new();
    loop {
        let sent = session.sent();
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
            session.puback(id);
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
    let done = session
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::Done { op, .. } if ops.contains(op)));
    assert_eq!(done.count(), 9);
}

#[test]
fn what_is_accepted_before_open_is_delivered_after_it() {
    let mut session = Session::new(Options::default());
    let own = session.gateway.own_key();
    let op = session.publish(own, "early");
    session.gateway.open(session.now).unwrap();
    session.connect();
    let id = session.expect_publish("/devices/gw-1/events");
    session.puback(id);
    assert_eq!(session.ended(op), Some(Ok(Outcome::Acknowledged)));
}

#[test]
fn a_device_that_is_not_attached_blocks_no_other() {
    let mut session = Session::open(Options::default());
    let (slow, _) = session
        .gateway
        .attach("slow-1".try_into().unwrap(), None, UNIX_NOW, session.now)
        .unwrap();
    session.expect_publish("/devices/slow-1/attach");
    let device = session.attach("device-1");
    for n in 0..5 {
        session.publish(slow, "waits");
        session.publish(device, &n.to_string());
    }
    assert_eq!(session.sent_texts(), ["0", "1", "2", "3", "4"]);
}

#[test]
fn devices_take_turns() {
    let mut options = Options::default();
    options.window = 1;
    let mut session = Session::open(options);
    let busy = session.attach("busy-1");
    let quiet = session.attach("quiet-1");
    for n in 0..4 {
        session.publish(busy, &format!("busy {n}"));
    }
    session.publish(quiet, "quiet");
    let mut order = Vec::new();
    while let [(payload, id)] = &session.sent_payloads()[..] {
        order.push(payload.clone());
        session.puback(*id);
    }
    assert_eq!(order, ["busy 0", "busy 1", "quiet", "busy 2", "busy 3"]);
}

#[test]
fn a_device_window_of_one_sends_one_after_the_other() {
    let mut options = Options::default();
    options.device_window = 1;
    let (mut session, device) = Session::attached(options);
    for n in 0..3 {
        session.publish(device, &n.to_string());
    }
    for n in 0..3 {
        let sent = session.sent_payloads();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].0, n.to_string());
        session.puback(sent[0].1);
    }
}

#[test]
fn at_qos_0_what_is_on_its_way_is_not_sent_again_with_the_attachment() {
    let (mut session, device) = Session::attached(Options::default());
    let once = Publication::telemetry(device, "once").qos(QoS::AtMostOnce);
    let op = session.gateway.publish(once, session.now).unwrap();
    session.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", None);
    assert_eq!(
        session.sent_payloads().len(),
        1,
        "its bytes were in the stream"
    );
    assert_eq!(session.ended(op), Some(Ok(Outcome::Transmitted)));
    session.wait(seconds(3));
    session.acknowledge_attach("device-1");
    assert_eq!(session.sent(), []);
}

#[test]
fn what_comes_back_in_two_parts_keeps_its_order() {
    let (mut session, device) = Session::attached(Options::default());
    session.publish(device, "first");
    let once = Publication::telemetry(device, "second").qos(QoS::AtMostOnce);
    session.gateway.publish(once, session.now).unwrap();
    session.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", None);
    session.reconnect();
    session.acknowledge_attach("device-1");
    let sent = session.sent_payloads();
    let payloads: Vec<_> = sent.iter().map(|(payload, _)| &payload[..]).collect();
    assert_eq!(payloads, ["first", "second"]);
}

#[test]
fn a_packet_identifier_is_not_used_again_while_its_acknowledgement_can_come() {
    let mut options = Options::default();
    options.device_queue.messages = 100_000;
    let (mut session, device) = Session::attached(options);
    session.publish(device, "stays");
    let held = session.expect_publish(EVENTS);
    for _ in 0..70_000 {
        session.publish(device, "");
        let id = session.expect_publish(EVENTS);
        assert_ne!(id, held);
        session.puback(id);
        session.events();
    }
}

#[test]
fn a_publication_that_fails_is_handed_back_with_its_device() {
    let (mut session, device) = Session::attached(Options::default());
    let op = session.publish(device, "21.5");
    session.expect_publish(EVENTS);
    session.gateway.close(session.now);
    session.wait(seconds(11));
    session.sent();
    let hung_up = TransportEnd::HungUp;
    session.gateway.handle_disconnected(hung_up, session.now);
    let events = session.events();
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
