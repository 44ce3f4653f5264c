//! Configs and commands: delivery, acknowledgement, back-pressure.

use iotcore_gateway::{
    DeliveryId, DeviceKey, Event, Failure, Options, Outcome,
    message::{QoS, Subscription},
    options::Acknowledge,
};

use super::peer::{ATTACH, CONFIG, Harness, Sent, seconds};

pub(super) fn manual() -> Options {
    let mut options = Options::default();
    options.acknowledge = Acknowledge::Manual;
    options
}

/// Returns an attached device that is subscribed to configs and commands.
pub(super) fn subscribed(options: Options) -> (Harness, DeviceKey) {
    let (mut harness, device) = Harness::attached(options);
    subscribe(&mut harness, device);
    harness.events();
    (harness, device)
}

/// Subscribes a device to configs and commands.
pub(super) fn subscribe(harness: &mut Harness, device: DeviceKey) {
    for subscription in [Subscription::Config, Subscription::Commands] {
        harness
            .gateway
            .subscribe(device, subscription, QoS::AtLeastOnce, harness.now)
            .unwrap();
    }
    for sent in harness.sent() {
        let Sent::Subscribe { id, .. } = sent else {
            panic!("{sent:?}")
        };
        harness.suback(id, 1);
    }
}

pub(super) fn deliveries(harness: &mut Harness) -> Vec<DeliveryId> {
    let events = harness.events().into_iter();
    let deliveries = events.filter_map(|event| match event {
        Event::Config { delivery, .. } | Event::Command { delivery, .. } => Some(delivery),
        _ => None,
    });
    deliveries.collect()
}

#[test]
fn a_config_is_delivered_and_acknowledged_once_its_event_is_queued() {
    let (mut harness, device) = subscribed(Options::default());
    harness.deliver(CONFIG, r#"{"rate":5}"#, Some(9));
    assert_eq!(harness.sent(), [Sent::PubAck(9)]);
    let events = harness.events();
    assert!(
        matches!(&events[..], [Event::Config { device: whose, payload, .. }]
        if *whose == device && payload == r#"{"rate":5}"#)
    );
}

#[test]
fn an_empty_config_is_a_config() {
    let (mut harness, _) = subscribed(Options::default());
    harness.deliver(CONFIG, "", Some(9));
    assert!(matches!(&harness.events()[..], [Event::Config { payload, .. }] if payload.is_empty()));
}

#[test]
fn a_command_has_the_subfolder_of_its_topic() {
    let (mut harness, _) = subscribed(Options::default());
    for (topic, expected) in [
        ("/devices/device-1/commands", None),
        ("/devices/device-1/commands/reboot", Some("reboot")),
        ("/devices/device-1/commands/a/b", Some("a/b")),
    ] {
        harness.deliver(topic, "now", Some(1));
        let events = harness.events();
        assert!(
            matches!(&events[..], [Event::Command { subfolder, .. }] if subfolder.as_deref() == expected),
            "{events:?}"
        );
    }
}

#[test]
fn at_qos_0_nothing_is_acknowledged() {
    let (mut harness, _) = subscribed(Options::default());
    harness.deliver(CONFIG, "{}", None);
    assert_eq!(harness.events().len(), 1);
    assert_eq!(harness.sent(), []);
}

#[test]
fn a_config_received_before_its_suback_is_delivered() {
    let (mut harness, device) = Harness::attached(Options::default());
    let op = harness
        .gateway
        .subscribe(device, Subscription::Config, QoS::AtLeastOnce, harness.now)
        .unwrap();
    let id = harness.expect_subscribe(CONFIG);
    harness.deliver(CONFIG, "{}", Some(5));
    harness.suback(id, 1);
    let events = harness.events();
    assert!(matches!(events[0], Event::Config { .. }));
    assert_eq!(
        events[1],
        Event::Done {
            op,
            outcome: Outcome::Subscribed(QoS::AtLeastOnce)
        }
    );
}

#[test]
fn an_unrequested_message_is_acknowledged_and_reported() {
    let (mut harness, _) = Harness::attached(Options::default());
    for topic in [
        CONFIG,
        "/devices/device-9/commands",
        "/elsewhere",
        "/devices/device-9/errors",
    ] {
        harness.deliver(topic, "?", Some(7));
        assert_eq!(harness.sent(), [Sent::PubAck(7)]);
        assert_eq!(
            harness.events(),
            [Event::Unrequested {
                topic: topic.into(),
                payload: "?".into()
            }]
        );
    }
}

#[test]
fn manual_acknowledgements_are_sent_in_the_order_of_the_messages() {
    let (mut harness, _) = subscribed(manual());
    for id in [11, 12, 13] {
        harness.deliver("/devices/device-1/commands", "x", Some(id));
    }
    let given = deliveries(&mut harness);
    harness.gateway.acknowledge(given[2], harness.now);
    harness.gateway.acknowledge(given[1], harness.now);
    assert_eq!(harness.sent(), [], "the first acknowledgement is missing");
    harness.gateway.acknowledge(given[0], harness.now);
    harness.gateway.acknowledge(given[0], harness.now);
    assert_eq!(
        harness.sent(),
        [Sent::PubAck(11), Sent::PubAck(12), Sent::PubAck(13)]
    );
}

#[test]
fn an_acknowledgement_of_an_earlier_connection_changes_nothing() {
    let (mut harness, _) = subscribed(manual());
    harness.deliver(CONFIG, "1", Some(11));
    let old = deliveries(&mut harness);
    harness.reconnect();
    harness.acknowledge_attach("device-1");
    harness.sent();
    harness.deliver(CONFIG, "2", Some(11));
    let new = deliveries(&mut harness);
    harness.gateway.acknowledge(old[0], harness.now);
    assert_eq!(harness.sent(), []);
    harness.gateway.acknowledge(new[0], harness.now);
    assert_eq!(harness.sent(), [Sent::PubAck(11)]);
}

#[test]
fn delivery_ids_increase_across_connections() {
    let (mut harness, _) = subscribed(manual());
    harness.deliver(CONFIG, "acknowledged", Some(1));
    let mut given = deliveries(&mut harness);
    harness.gateway.acknowledge(given[0], harness.now);
    harness.deliver(CONFIG, "lost", Some(2));
    harness.deliver(CONFIG, "lost", Some(3));
    harness.reconnect();
    harness.acknowledge_attach("device-1");
    harness.deliver(CONFIG, "new", Some(1));
    given.extend(deliveries(&mut harness));
    let numbers: Vec<_> = given.into_iter().map(DeliveryId::as_u64).collect();
    assert_eq!(numbers.len(), 4);
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
}

#[test]
fn a_duplicate_of_an_unacknowledged_message_is_not_delivered_again() {
    let (mut harness, _) = subscribed(manual());
    harness.deliver(CONFIG, "1", Some(11));
    harness.deliver_again(CONFIG, "1", 11);
    let given = deliveries(&mut harness);
    assert_eq!(given.len(), 1);
    assert_eq!(harness.gateway.stats().duplicates, 1);
    harness.gateway.acknowledge(given[0], harness.now);
    assert_eq!(harness.sent(), [Sent::PubAck(11)]);
    harness.deliver_again(CONFIG, "1", 11);
    assert_eq!(
        deliveries(&mut harness).len(),
        1,
        "after PUBACK, the identifier belongs to a new message [MQTT-4.3.2-2]"
    );
}

#[test]
fn a_full_event_queue_pauses_reading_until_it_is_drained() {
    let mut options = Options::default();
    options.max_events = 3;
    let (mut harness, _) = subscribed(options);
    for id in 1..=5 {
        assert_eq!(harness.gateway.wants_input(), id <= 3);
        harness.deliver(CONFIG, "x", Some(id));
    }
    assert_eq!(
        deliveries(&mut harness).len(),
        5,
        "input received while reading is paused is not lost"
    );
    assert!(harness.gateway.wants_input());
}

#[test]
fn too_many_unacknowledged_deliveries_pause_reading() {
    let mut options = manual();
    options.max_unacknowledged = 2;
    let (mut harness, _) = subscribed(options);
    harness.deliver(CONFIG, "x", Some(1));
    harness.deliver(CONFIG, "x", None);
    assert!(harness.gateway.wants_input(), "QoS 0 counts for nothing");
    harness.deliver(CONFIG, "x", Some(2));
    let given = deliveries(&mut harness);
    assert!(!harness.gateway.wants_input());
    harness.gateway.acknowledge(given[0], harness.now);
    assert!(harness.gateway.wants_input());
}

#[test]
fn stats_report_the_received_data_that_the_gateway_holds() {
    let (mut harness, _) = subscribed(manual());
    let held = |harness: &Harness| {
        let stats = harness.gateway.stats();
        (stats.events, stats.unacknowledged, stats.received)
    };
    assert_eq!(held(&harness), (0, 0, 0));
    harness.deliver(CONFIG, "a", Some(9));
    harness.receive(&[0x40, 2, 0]);
    assert_eq!(held(&harness), (1, 1, 3));
    let delivery = deliveries(&mut harness)[0];
    assert_eq!(held(&harness), (0, 1, 3));
    harness.gateway.acknowledge(delivery, harness.now);
    harness.receive(&[9]);
    assert_eq!(held(&harness), (0, 0, 0));
}

#[test]
fn peer_deadlines_resume_as_soon_as_the_events_are_taken() {
    let mut options = Options::default();
    options.max_events = 1;
    let mut harness = Harness::open(options);
    let (_, attach) = harness.begin_attach("device-1");
    harness.sent();
    harness.gateway.open(harness.now).unwrap();
    assert!(!harness.gateway.wants_input());
    harness.now += seconds(10);
    harness.events();
    // Reading was paused for these 10 s: all 30 s of the timeout remain.
    harness.time_out(seconds(30));
    assert!(matches!(
        harness.ended(attach),
        Some(Err(Failure::TimedOut(_)))
    ));
}

#[test]
fn an_answer_at_the_instant_at_which_reading_pauses_is_not_missed() {
    let mut options = Options::default();
    options.max_events = 1;
    let mut harness = Harness::open(options);
    let (_, attach) = harness.begin_attach("device-1");
    let attach_id = harness.expect_publish(ATTACH);
    let published = harness.publish(harness.gateway.own_key(), "1");
    let id = harness.expect_publish("/devices/gw-1/events");
    // An answer to a packet of another kind that is not the oldest leaves the deadline of the attach as it is.
    harness.now = harness.gateway.poll_timeout().unwrap();
    harness.puback(id);
    assert!(!harness.gateway.wants_input());
    assert!(harness.gateway.poll_timeout() > Some(harness.now));
    harness.gateway.handle_timeout(harness.now);
    harness.puback(attach_id);
    let events = harness.events();
    for (op, outcome) in [
        (published, Outcome::Acknowledged),
        (attach, Outcome::Attached),
    ] {
        assert!(events.contains(&Event::Done { op, outcome }), "{events:?}");
    }
}

#[test]
fn a_peer_is_not_timed_out_while_reading_is_paused() {
    let mut options = Options::default();
    options.max_events = 1;
    let (mut harness, device) = subscribed(options);
    harness.publish(device, "1");
    harness.sent();
    harness.deliver(CONFIG, "x", None);
    for _ in 0..5 {
        harness.wait(seconds(60));
        assert_eq!(harness.sent(), [Sent::PingReq]);
    }
    assert!(harness.gateway.is_open());

    harness.events();
    harness.wait(seconds(19));
    assert!(
        harness.gateway.is_open(),
        "deadlines resume with their remaining time"
    );
    harness.wait(seconds(2));
    assert!(
        !harness.gateway.is_open(),
        "PINGRESP is due once reading resumes"
    );
}
