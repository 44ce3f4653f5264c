//! Bounds: of what waits to be written, of queues, of packet identifiers. What finds no room waits, and goes on once there
//! is some.

use std::time::Duration;

use iotcore_gateway::{
    DisconnectReason, Event, Options, Publication, PublishError, PublishErrorKind, QoS, QueueLimit,
    Quota, Subfolder, Subscription, Token,
};

use super::peer::{EVENTS, Session, UNIX_NOW, seconds};

/// Bytes that may wait to be written, unless it is a single packet.
const BOUND: usize = 64 * 1024;

#[test]
fn publications_fill_the_transmit_buffer_to_its_bound_and_go_on_once_it_was_taken() {
    for (id, subfolder) in [(3, 0), (255, 0), (255, 256)] {
        let mut options = Options::default();
        options.window = 3_000;
        options.device_window = 3_000;
        options.device_queue.messages = 3_000;
        let mut session = Session::open(options);
        let device = session.attach(&"d".repeat(id));
        for _ in 0..3_000 {
            let mut publication = Publication::telemetry(device, "x");
            if subfolder > 0 {
                let subfolder = Subfolder::try_from("é".repeat(subfolder)).unwrap();
                publication = publication.subfolder(subfolder);
            }
            session.gateway.publish(publication, session.now).unwrap();
        }
        let waiting = session.gateway.poll_transmit().len();
        assert!(
            waiting <= BOUND && waiting > BOUND - 900,
            "{waiting} bytes wait"
        );
        assert_eq!(session.sent().len(), 3_000, "the rest follows");
    }
}

#[test]
fn attaches_fill_the_transmit_buffer_to_its_bound_and_go_on_once_it_was_taken() {
    for (token, largest) in [(None, 300), (Some("t".repeat(600)), 1_000)] {
        let mut options = Options::default();
        options.attach_window = 1_000;
        let mut session = Session::open(options);
        for n in 0..300 {
            let id = format!("d{n:0>249}").try_into().unwrap();
            let expires_at = session.now + seconds(60);
            let token = token.clone().map(|it| Token::new(it, expires_at).unwrap());
            session
                .gateway
                .attach(id, token, UNIX_NOW, session.now)
                .unwrap();
        }
        let waiting = session.gateway.poll_transmit().len();
        assert!(
            waiting <= BOUND && waiting > BOUND - largest,
            "{waiting} bytes wait"
        );
        assert_eq!(session.sent().len(), 300, "the rest follows");
    }
}

#[test]
fn subscriptions_fill_the_transmit_buffer_to_its_bound_and_go_on_once_it_was_taken() {
    for length in [200, 217, 240] {
        let mut options = Options::default();
        options.attach_window = 400;
        let mut session = Session::open(options);
        let devices: Vec<_> = (0..400)
            .map(|n| session.begin_attach(&format!("d{n:0>0$}", length - 1)).0)
            .collect();
        for (_, packet_id) in session.sent_payloads() {
            session.puback(packet_id);
        }
        for device in devices {
            let (config, qos) = (Subscription::Config, QoS::AtLeastOnce);
            let subscribing = session.gateway.subscribe(device, config, qos, session.now);
            subscribing.unwrap();
        }
        let waiting = session.gateway.poll_transmit().len();
        assert!(
            waiting <= BOUND && waiting > BOUND - 300,
            "{waiting} bytes wait"
        );
        assert_eq!(session.sent().len(), 400, "the rest follows");
    }
}

#[test]
fn room_is_told_once_half_of_what_was_full_is_free() {
    let limited = |set: fn(&mut Options) -> &mut QueueLimit| {
        let mut options = Options::default();
        options.quota.max_telemetry_bytes = 100;
        options.quota.max_state_bytes = 100;
        *set(&mut options) = QueueLimit {
            messages: 1_000,
            bytes: 400,
        };
        options
    };
    for options in [
        limited(|options| &mut options.device_queue),
        limited(|options| &mut options.total_queue),
    ] {
        let (mut session, device) = Session::attached(options);
        for _ in 0..4 {
            session.publish(device, &"x".repeat(100));
        }
        let blocked = session
            .gateway
            .publish(Publication::telemetry(device, "y"), session.now);
        assert!(matches!(
            blocked,
            Err(PublishError {
                kind: PublishErrorKind::Blocked,
                ..
            })
        ));
        let ids = session.sent_payloads();
        session.puback(ids[0].1);
        assert!(!session.events().contains(&Event::Writable { device }));
        session.puback(ids[1].1);
        assert!(session.events().contains(&Event::Writable { device }));
    }
}

#[test]
fn a_device_that_goes_leaves_the_others_their_turns_and_their_room() {
    let mut options = Options::default();
    options.window = 1;
    options.total_queue.messages = 2;
    let (mut session, gone) = Session::attached(options);
    let stays = session.attach("device-2");
    let own = session.gateway.own_key();
    session.publish(own, "in flight");
    session.publish(stays, "waits for its turn");
    for device in [gone, stays] {
        let publication = Publication::telemetry(device, "no room");
        let blocked = session.gateway.publish(publication, session.now);
        assert!(matches!(
            blocked,
            Err(PublishError {
                kind: PublishErrorKind::Blocked,
                ..
            })
        ));
    }
    let first = session.expect_publish("/devices/gw-1/events");
    session.gateway.detach(gone, session.now).unwrap();
    let id = session.expect_publish("/devices/device-1/detach");
    session.puback(id);
    session.events();
    session.puback(first);
    session.expect_publish("/devices/device-2/events");
    let writable = |event: &Event| matches!(event, Event::Writable { .. });
    let told: Vec<_> = session.events().into_iter().filter(writable).collect();
    assert_eq!(told, [Event::Writable { device: stays }]);
}

#[test]
fn identifiers_that_are_all_in_flight_are_waited_for() {
    let mut options = Options::default();
    options.quota = Quota::unpaced();
    options.window = 65_000;
    options.device_window = 65_000;
    options.device_queue.messages = 65_000;
    options.attach_window = 1_000;
    let mut session = Session::open(options);
    let own = session.gateway.own_key();
    for _ in 0..65_000 {
        session.publish(own, "");
    }
    let published = session.sent_payloads();
    for n in 0..536 {
        session.begin_attach(&format!("device-{n}"));
    }
    assert_eq!(session.sent().len(), 535, "what is left of the identifiers");
    assert!(session.gateway.is_open());
    session.puback(published[0].1);
    session.expect_publish("/devices/device-535/attach");
    assert_eq!(session.sent(), []);
}

#[test]
fn when_no_packet_identifier_is_free_the_gateway_comes_back_at_once() {
    let mut options = Options::default();
    options.quota = Quota::unpaced();
    options.window = 65_000;
    options.device_window = 65_000;
    options.device_queue.messages = 66_000;
    let (mut session, device) = Session::attached(options);
    for _ in 0..65_535 {
        session.publish(device, "");
    }
    assert_eq!(session.sent().len(), 65_000, "the window");
    session.report("GATEWAY_DEVICE_NOT_FOUND", "device-1", None);
    session.step();
    session.acknowledge_attach("device-1");
    session.events();
    assert_eq!(session.sent().len(), 535, "what is left of the identifiers");
    let disconnected = session.disconnected();
    assert_eq!(disconnected.reason, DisconnectReason::PacketIdsExhausted);
    assert_eq!(disconnected.retry_in, Some(Duration::ZERO));
    session.lose_connection();
    session.connect();
    session.acknowledge_attach("device-1");
    assert_eq!(session.sent().len(), 65_000, "nothing is lost");
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
    assert_eq!(
        blocked,
        Err(PublishError {
            kind: PublishErrorKind::Blocked,
            publication: publication.clone()
        })
    );
    assert_eq!(
        session.gateway.publish(publication.clone(), session.now),
        Err(PublishError {
            kind: PublishErrorKind::Blocked,
            publication: publication.clone()
        })
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
    assert!(matches!(
        blocked,
        Err(PublishError {
            kind: PublishErrorKind::Blocked,
            ..
        })
    ));
    session.gateway.handle_timeout(session.now);
    assert_eq!(session.events(), [], "less than half full, and yet no room");
    let id = session.expect_publish(EVENTS);
    session.puback(id);
    assert!(session.events().contains(&Event::Writable { device }));
    session.gateway.publish(large, session.now).unwrap();
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
        Err(PublishError {
            kind: PublishErrorKind::Blocked,
            ..
        })
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
