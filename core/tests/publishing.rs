//! From accepted to acknowledged: order, losses, windows, bounds, states, silence.

mod peer;

use std::time::Duration;

use iotcore_gateway::{
    Event, Options, Outcome, Publication, PublicationTopic, PublishError, QoS, QueueLimit, Quota,
    Subfolder,
};
use peer::{Sent, Session, seconds};

const EVENTS: &str = "/devices/device-1/events";

fn payloads(session: &mut Session) -> Vec<String> {
    session
        .sent_payloads()
        .into_iter()
        .map(|(payload, _)| payload)
        .collect()
}

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
            PublishError::TooLarge {
                limit,
                publication: publication.clone()
            }
        );
        for part in [len.to_string(), limit.to_string()] {
            assert!(error.to_string().contains(&part), "{error}");
        }
        assert_eq!(error.into_publication(), publication);
    }
    assert_eq!(session.sent(), []);
    let largest = Publication::telemetry(device, vec![b'x'; 262_144]);
    session.gateway.publish(largest, session.now).unwrap();
    assert_eq!(payloads(&mut session)[0].len(), 262_144);
}

#[test]
fn a_puback_completes_its_own_publication_in_any_order() {
    let (mut session, device) = Session::attached(Options::default());
    let ops: Vec<_> = ["a", "b", "c"]
        .map(|payload| session.publish(device, payload))
        .into();
    let ids: Vec<_> = session
        .sent_payloads()
        .into_iter()
        .map(|(_, id)| id)
        .collect();
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
    assert_eq!(payloads(&mut session), ["1"]);
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
        .attach("slow-1".try_into().unwrap(), None, session.now)
        .unwrap();
    session.expect_publish("/devices/slow-1/attach");
    let device = session.attach("device-1");
    for n in 0..5 {
        session.publish(slow, "waits");
        session.publish(device, &n.to_string());
    }
    assert_eq!(payloads(&mut session), ["0", "1", "2", "3", "4"]);
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
fn a_full_queue_hands_the_publication_back_and_says_when_there_is_room() {
    let mut options = Options::default();
    options.device_queue = QueueLimit {
        messages: 4,
        bytes: 1 << 20,
    };
    options.window = 1;
    let (mut session, device) = Session::attached(options);
    for n in 0..4 {
        session.publish(device, &n.to_string());
    }
    let publication = Publication::telemetry(device, "one too many");
    let blocked = session.gateway.publish(publication.clone(), session.now);
    assert_eq!(blocked, Err(PublishError::Blocked(publication.clone())));
    assert_eq!(
        session.gateway.publish(publication.clone(), session.now),
        Err(PublishError::Blocked(publication.clone()))
    );
    let acknowledge = |session: &mut Session| {
        let id = session.expect_publish(EVENTS);
        session.puback(id);
        session
            .events()
            .iter()
            .filter(|event| **event == Event::Writable { device })
            .count()
    };
    assert_eq!(acknowledge(&mut session), 0, "not for every single one");
    assert_eq!(acknowledge(&mut session), 1);
    assert_eq!(acknowledge(&mut session), 0, "once");
    session.gateway.publish(publication, session.now).unwrap();
}

#[test]
fn room_is_told_when_there_is_enough_for_what_was_handed_back() {
    let mut options = Options::default();
    options.device_queue.bytes = 262_144;
    let (mut session, device) = Session::attached(options);
    session.publish(device, &"x".repeat(60_000));
    let large = Publication::telemetry(device, vec![b'x'; 240_000]);
    let blocked = session.gateway.publish(large.clone(), session.now);
    assert!(matches!(blocked, Err(PublishError::Blocked(_))));
    session.gateway.handle_timeout(session.now);
    assert_eq!(session.events(), [], "less than half full, and yet no room");
    let id = session.expect_publish(EVENTS);
    session.puback(id);
    assert!(session.events().contains(&Event::Writable { device }));
    session.gateway.publish(large, session.now).unwrap();
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
fn the_bound_on_all_devices_blocks_too() {
    let mut options = Options::default();
    options.total_queue = QueueLimit {
        messages: 100,
        bytes: 262_144,
    };
    let mut session = Session::open(options);
    let devices = ["device-1", "device-2"].map(|id| session.attach(id));
    session.events();
    session.publish(devices[0], &"x".repeat(200_000));
    let large = Publication::telemetry(devices[1], vec![b'x'; 100_000]);
    assert!(matches!(
        session.gateway.publish(large.clone(), session.now),
        Err(PublishError::Blocked(_))
    ));
    let id = session.expect_publish(EVENTS);
    session.puback(id);
    assert!(
        session
            .events()
            .contains(&Event::Writable { device: devices[1] })
    );
    session.gateway.publish(large, session.now).unwrap();
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
fn the_transmit_buffer_stays_near_its_target() {
    let mut options = Options::default();
    options.quota = Quota::unpaced();
    options.device_queue.bytes = 64 << 20;
    options.window = 1_000;
    options.device_window = 1_000;
    let (mut session, device) = Session::attached(options);
    for _ in 0..100 {
        session.publish(device, &"x".repeat(10_000));
    }
    assert!(session.gateway.poll_transmit().len() <= 64 * 1024);
    session.publish(device, &"y".repeat(262_144));
    let mut total = 0;
    while !session.gateway.poll_transmit().is_empty() {
        let len = session.gateway.poll_transmit().len();
        assert!(
            len <= 64 * 1024 || len < 262_144 + 300,
            "a larger frame goes alone: {len}"
        );
        session.gateway.handle_transmitted(len, session.now);
        total += len;
    }
    assert!(total > 1_262_144);
}

#[test]
fn what_is_unsent_tells_where_it_goes_and_how() {
    let mut session = Session::dialing(Options::default());
    let own = session.gateway.own_key();
    let alerts = Subfolder::try_from("alerts").unwrap();
    for publication in [
        Publication::state(own, "1"),
        Publication::telemetry(own, "2").qos(QoS::AtMostOnce),
        Publication::telemetry(own, "3").subfolder(alerts.clone()),
    ] {
        session.gateway.publish(publication, session.now).unwrap();
    }
    let unsent = session.gateway.unsent();
    let unsent: Vec<_> = unsent.map(|unsent| (unsent.topic, unsent.qos)).collect();
    let expected = [
        (PublicationTopic::State, QoS::AtLeastOnce),
        (PublicationTopic::Telemetry(None), QoS::AtMostOnce),
        (PublicationTopic::Telemetry(Some(alerts)), QoS::AtLeastOnce),
    ];
    assert_eq!(unsent, expected);
}

#[test]
fn everything_unsent_can_be_read_in_order() {
    let (mut session, device) = Session::attached(Options::default());
    for n in 0..3 {
        session.publish(device, &n.to_string());
    }
    session.sent();
    session.publish(session.gateway.own_key(), "3");
    let unsent: Vec<_> = session
        .gateway
        .unsent()
        .map(|unsent| (unsent.device.to_string(), unsent.payload.clone()))
        .collect();
    let expected = [
        ("device-1", "0"),
        ("device-1", "1"),
        ("device-1", "2"),
        ("gw-1", "3"),
    ];
    assert_eq!(
        unsent,
        expected.map(|(device, payload)| (device.to_owned(), payload.into()))
    );
}

#[test]
fn the_counters_tell_what_is_held() {
    let mut session = Session::dialing(Options::default());
    let own = session.gateway.own_key();
    session.begin_attach("device-1");
    session.begin_attach("device-2");
    session.publish(own, "123");
    session.publish(own, "4567");
    let stats = session.gateway.stats();
    assert_eq!((stats.queued, stats.queued_bytes), (2, 7));
    assert_eq!((stats.devices, stats.in_flight), (2, 0));
}

#[test]
fn the_counters_tell_what_was_accepted_and_what_has_ended_well() {
    let (mut session, device) = Session::attached(Options::default());
    let publication = |qos| Publication::telemetry(device, "1").qos(qos);
    for qos in [QoS::AtLeastOnce, QoS::AtLeastOnce, QoS::AtMostOnce] {
        session
            .gateway
            .publish(publication(qos), session.now)
            .unwrap();
    }
    let [(_, acknowledged), ..] = session.sent_payloads()[..] else {
        panic!("nothing was sent")
    };
    session.puback(acknowledged);
    let stats = session.gateway.stats();
    assert_eq!((stats.accepted, stats.published), (3, 2));
    assert_eq!((stats.connections, stats.in_flight), (1, 1));
}

#[test]
fn operations_count_up_from_one() {
    let mut session = Session::new(Options::default());
    let opened = session.gateway.open(session.now).unwrap();
    let own = session.gateway.own_key();
    let published = session.publish(own, "1");
    assert_eq!((opened.as_u64(), published.as_u64()), (1, 2));
    assert_eq!(published.to_string(), "#2");
}
