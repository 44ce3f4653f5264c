//! Limits of the transmit buffer and the queues: what has no room waits, and resumes once there is some.

use iotcore_gateway::{
    DeviceAuth, Event, Options, Publication,
    auth::Token,
    command_error::{PublishError, PublishErrorKind},
    message::{QoS, Subfolder, Subscription},
    options::QueueLimit,
    quota::Quota,
};

use super::peer::{EVENTS, Harness, UNIX_NOW, seconds};

/// The limit of the transmit buffer in bytes, except for a single larger packet.
const BOUND: usize = 64 * 1024;

#[test]
fn publications_fill_the_transmit_buffer_to_its_limit_and_resume_once_it_is_drained() {
    for (id, subfolder) in [(3, 0), (255, 0), (255, 256)] {
        let mut options = Options::default();
        options.window = 3_000;
        options.device_window = 3_000;
        options.device_queue.messages = 3_000;
        let mut harness = Harness::open(options);
        let ids = (0..10).map(|n| "d".repeat(id - 1) + &n.to_string());
        let devices: Vec<_> = ids.map(|id| harness.attach(&id)).collect();
        for n in 0..3_000 {
            let mut publication = Publication::telemetry(devices[n % 10], "x");
            if subfolder > 0 {
                let subfolder = Subfolder::try_from("é".repeat(subfolder)).unwrap();
                publication = publication.subfolder(subfolder);
            }
            harness.gateway.publish(publication, harness.now).unwrap();
        }
        let waiting = harness.gateway.poll_transmit().len();
        assert!(
            waiting <= BOUND && waiting > BOUND - 900,
            "{waiting} bytes are queued"
        );
        assert_eq!(harness.sent().len(), 3_000, "the rest is sent");
    }
}

#[test]
fn attaches_fill_the_transmit_buffer_to_its_limit_and_resume_once_it_is_drained() {
    for (token, largest) in [(None, 300), (Some("t".repeat(600)), 1_000)] {
        let mut options = Options::default();
        options.attach_window = 1_000;
        let mut harness = Harness::open(options);
        for n in 0..300 {
            let id = format!("d{n:0>249}").try_into().unwrap();
            let expires_at = harness.now + seconds(60);
            let auth = match token.clone() {
                Some(token) => DeviceAuth::Token(Token::new(token, expires_at).unwrap()),
                None => DeviceAuth::ByAssociation,
            };
            harness
                .gateway
                .attach(id, auth, UNIX_NOW, harness.now)
                .unwrap();
        }
        let waiting = harness.gateway.poll_transmit().len();
        assert!(
            waiting <= BOUND && waiting > BOUND - largest,
            "{waiting} bytes are queued"
        );
        assert_eq!(harness.sent().len(), 300, "the rest is sent");
    }
}

#[test]
fn subscriptions_fill_the_transmit_buffer_to_its_limit_and_resume_once_it_is_drained() {
    for length in [200, 217, 240] {
        let mut options = Options::default();
        options.attach_window = 400;
        options.subscribe_window = 400;
        let mut harness = Harness::open(options);
        let devices: Vec<_> = (0..400)
            .map(|n| harness.begin_attach(&format!("d{n:0>0$}", length - 1)).0)
            .collect();
        for (_, packet_id) in harness.sent_payloads() {
            harness.puback(packet_id);
        }
        for device in devices {
            let (config, qos) = (Subscription::Config, QoS::AtLeastOnce);
            let subscribing = harness.gateway.subscribe(device, config, qos, harness.now);
            subscribing.unwrap();
        }
        let waiting = harness.gateway.poll_transmit().len();
        assert!(
            waiting <= BOUND && waiting > BOUND - 300,
            "{waiting} bytes are queued"
        );
        assert_eq!(harness.sent().len(), 400, "the rest is sent");
    }
}

#[test]
fn room_is_reported_when_half_of_a_devices_queue_is_free_and_at_once_if_it_is_shared() {
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
    for (options, is_shared) in [
        (limited(|options| &mut options.device_queue), false),
        (limited(|options| &mut options.total_queue), true),
    ] {
        let (mut harness, device) = Harness::attached(options);
        for _ in 0..4 {
            harness.publish(device, &"x".repeat(100));
        }
        let blocked = harness
            .gateway
            .publish(Publication::telemetry(device, "y"), harness.now);
        assert!(matches!(
            blocked,
            Err(PublishError {
                kind: PublishErrorKind::Blocked,
                ..
            })
        ));
        let ids = harness.sent_payloads();
        harness.puback(ids[0].1);
        let is_told = harness.events().contains(&Event::Writable { device });
        assert_eq!(is_told, is_shared);
        harness.puback(ids[1].1);
        let is_told = harness.events().contains(&Event::Writable { device });
        assert_eq!(is_told, !is_shared, "once");
    }
}

#[test]
fn removing_a_device_does_not_affect_the_turns_and_room_of_others() {
    let mut options = Options::default();
    options.window = 1;
    options.total_queue.messages = 2;
    let (mut harness, gone) = Harness::attached(options);
    let stays = harness.attach("device-2");
    let own = harness.gateway.own_key();
    harness.publish(own, "in flight");
    harness.publish(stays, "waits for its turn");
    for device in [gone, stays] {
        let publication = Publication::telemetry(device, "no room");
        let blocked = harness.gateway.publish(publication, harness.now);
        assert!(matches!(
            blocked,
            Err(PublishError {
                kind: PublishErrorKind::Blocked,
                ..
            })
        ));
    }
    let first = harness.expect_publish("/devices/gw-1/events");
    harness.gateway.detach(gone, harness.now).unwrap();
    let id = harness.expect_publish("/devices/device-1/detach");
    harness.puback(id);
    harness.events();
    harness.puback(first);
    harness.expect_publish("/devices/device-2/events");
    let is_writable = |event: &Event| matches!(event, Event::Writable { .. });
    let writable: Vec<_> = harness.events().into_iter().filter(is_writable).collect();
    assert_eq!(writable, [Event::Writable { device: stays }]);
}

#[test]
fn a_full_queue_returns_the_publication_and_reports_when_there_is_room() {
    let mut options = Options::default();
    options.device_queue = QueueLimit {
        messages: 4,
        bytes: 1 << 20,
    };
    options.window = 1;
    let (mut harness, device) = Harness::attached(options);
    for n in 0..4 {
        harness.publish(device, &n.to_string());
    }
    let publication = Publication::telemetry(device, "one too many");
    let blocked = harness.gateway.publish(publication.clone(), harness.now);
    assert_eq!(
        blocked,
        Err(PublishError {
            kind: PublishErrorKind::Blocked,
            publication: publication.clone()
        })
    );
    assert_eq!(
        harness.gateway.publish(publication.clone(), harness.now),
        Err(PublishError {
            kind: PublishErrorKind::Blocked,
            publication: publication.clone()
        })
    );
    let acknowledge = |harness: &mut Harness| {
        let id = harness.expect_publish(EVENTS);
        harness.puback(id);
        harness
            .events()
            .iter()
            .filter(|event| **event == Event::Writable { device })
            .count()
    };
    assert_eq!(
        acknowledge(&mut harness),
        0,
        "room is not reported for every acknowledgement"
    );
    assert_eq!(acknowledge(&mut harness), 1);
    assert_eq!(acknowledge(&mut harness), 0, "once");
    harness.gateway.publish(publication, harness.now).unwrap();
}

#[test]
fn room_is_reported_when_the_returned_publication_fits() {
    let mut options = Options::default();
    options.device_queue.bytes = 262_144;
    let (mut harness, device) = Harness::attached(options);
    harness.publish(device, &"x".repeat(60_000));
    let large = Publication::telemetry(device, vec![b'x'; 240_000]);
    let blocked = harness.gateway.publish(large.clone(), harness.now);
    assert!(matches!(
        blocked,
        Err(PublishError {
            kind: PublishErrorKind::Blocked,
            ..
        })
    ));
    harness.gateway.handle_timeout(harness.now);
    assert_eq!(
        harness.events(),
        [],
        "less than half full, but still no room"
    );
    let id = harness.expect_publish(EVENTS);
    harness.puback(id);
    assert!(harness.events().contains(&Event::Writable { device }));
    harness.gateway.publish(large, harness.now).unwrap();
}

#[test]
fn the_limit_on_all_devices_together_also_blocks() {
    let mut options = Options::default();
    options.total_queue = QueueLimit {
        messages: 100,
        bytes: 262_144,
    };
    let mut harness = Harness::open(options);
    let devices = ["device-1", "device-2"].map(|id| harness.attach(id));
    harness.events();
    harness.publish(devices[0], &"x".repeat(200_000));
    let large = Publication::telemetry(devices[1], vec![b'x'; 100_000]);
    assert!(matches!(
        harness.gateway.publish(large.clone(), harness.now),
        Err(PublishError {
            kind: PublishErrorKind::Blocked,
            ..
        })
    ));
    let id = harness.expect_publish(EVENTS);
    harness.puback(id);
    assert!(
        harness
            .events()
            .contains(&Event::Writable { device: devices[1] })
    );
    harness.gateway.publish(large, harness.now).unwrap();
}

#[test]
fn the_transmit_buffer_stays_near_its_target() {
    let mut options = Options::default();
    options.quota = Quota::unpaced();
    options.device_queue.bytes = 64 << 20;
    options.window = 2_000;
    options.device_window = 1_000;
    let (mut harness, device) = Harness::attached(options);
    for _ in 0..100 {
        harness.publish(device, &"x".repeat(10_000));
    }
    assert!(harness.gateway.poll_transmit().len() <= 64 * 1024);
    harness.publish(device, &"y".repeat(262_144));
    let mut total = 0;
    while !harness.gateway.poll_transmit().is_empty() {
        let len = harness.gateway.poll_transmit().len();
        assert!(
            len <= 64 * 1024 || len < 262_144 + 300,
            "a larger frame is queued alone: {len}"
        );
        harness.gateway.handle_transmitted(len, harness.now);
        total += len;
    }
    assert!(total > 1_262_144);
}
