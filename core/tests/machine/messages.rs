//! Configs and commands: delivery, acknowledgement, back-pressure.

use iotcore_gateway::{
    Acknowledge, DeliveryId, DeviceKey, Event, Failure, Options, Outcome, QoS, Subscription,
};

use super::peer::{CONFIG, Sent, Session, seconds};

fn manual() -> Options {
    let mut options = Options::default();
    options.acknowledge = Acknowledge::Manual;
    options
}

/// An attached device that is subscribed to both.
fn subscribed(options: Options) -> (Session, DeviceKey) {
    let (mut session, device) = Session::attached(options);
    for subscription in [Subscription::Config, Subscription::Commands] {
        session
            .gateway
            .subscribe(device, subscription, QoS::AtLeastOnce, session.now)
            .unwrap();
    }
    for sent in session.sent() {
        let Sent::Subscribe { id, .. } = sent else {
            panic!("{sent:?}")
        };
        session.suback(id, 1);
    }
    session.events();
    (session, device)
}

fn deliveries(session: &mut Session) -> Vec<DeliveryId> {
    let events = session.events().into_iter();
    let deliveries = events.filter_map(|event| match event {
        Event::Config { delivery, .. } | Event::Command { delivery, .. } => Some(delivery),
        _ => None,
    });
    deliveries.collect()
}

#[test]
fn a_config_is_delivered_and_acknowledged_once_its_event_is_queued() {
    let (mut session, device) = subscribed(Options::default());
    session.deliver(CONFIG, r#"{"rate":5}"#, Some(9));
    assert_eq!(session.sent(), [Sent::PubAck(9)]);
    let events = session.events();
    assert!(
        matches!(&events[..], [Event::Config { device: whose, payload, .. }]
        if *whose == device && payload == r#"{"rate":5}"#)
    );
}

#[test]
fn an_empty_config_is_a_config() {
    let (mut session, _) = subscribed(Options::default());
    session.deliver(CONFIG, "", Some(9));
    assert!(matches!(&session.events()[..], [Event::Config { payload, .. }] if payload.is_empty()));
}

#[test]
fn a_command_has_the_subfolder_of_its_topic() {
    let (mut session, _) = subscribed(Options::default());
    for (topic, expected) in [
        ("/devices/device-1/commands", None),
        ("/devices/device-1/commands/reboot", Some("reboot")),
        ("/devices/device-1/commands/a/b", Some("a/b")),
    ] {
        session.deliver(topic, "now", Some(1));
        let events = session.events();
        assert!(
            matches!(&events[..], [Event::Command { subfolder, .. }] if subfolder.as_deref() == expected),
            "{events:?}"
        );
    }
}

#[test]
fn at_qos_0_nothing_is_acknowledged() {
    let (mut session, _) = subscribed(Options::default());
    session.deliver(CONFIG, "{}", None);
    assert_eq!(session.events().len(), 1);
    assert_eq!(session.sent(), []);
}

#[test]
fn a_config_that_comes_before_its_suback_is_delivered() {
    let (mut session, device) = Session::attached(Options::default());
    let op = session
        .gateway
        .subscribe(device, Subscription::Config, QoS::AtLeastOnce, session.now)
        .unwrap();
    let id = session.expect_subscribe(CONFIG);
    session.deliver(CONFIG, "{}", Some(5));
    session.suback(id, 1);
    let events = session.events();
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
fn what_nobody_asked_for_is_acknowledged_and_reported() {
    let (mut session, _) = Session::attached(Options::default());
    for topic in [
        CONFIG,
        "/devices/device-9/commands",
        "/elsewhere",
        "/devices/device-9/errors",
    ] {
        session.deliver(topic, "?", Some(7));
        assert_eq!(session.sent(), [Sent::PubAck(7)]);
        assert_eq!(
            session.events(),
            [Event::Unrequested {
                topic: topic.into(),
                payload: "?".into()
            }]
        );
    }
}

#[test]
fn manual_acknowledgements_go_out_in_the_order_of_the_messages() {
    let (mut session, _) = subscribed(manual());
    for id in [11, 12, 13] {
        session.deliver("/devices/device-1/commands", "x", Some(id));
    }
    let given = deliveries(&mut session);
    session.gateway.acknowledge(given[2], session.now);
    session.gateway.acknowledge(given[1], session.now);
    assert_eq!(session.sent(), [], "the first one is missing");
    session.gateway.acknowledge(given[0], session.now);
    session.gateway.acknowledge(given[0], session.now);
    assert_eq!(
        session.sent(),
        [Sent::PubAck(11), Sent::PubAck(12), Sent::PubAck(13)]
    );
}

#[test]
fn an_acknowledgement_of_an_earlier_connection_changes_nothing() {
    let (mut session, _) = subscribed(manual());
    session.deliver(CONFIG, "1", Some(11));
    let old = deliveries(&mut session);
    session.reconnect();
    session.acknowledge_attach("device-1");
    session.sent();
    session.deliver(CONFIG, "2", Some(11));
    let new = deliveries(&mut session);
    session.gateway.acknowledge(old[0], session.now);
    assert_eq!(session.sent(), []);
    session.gateway.acknowledge(new[0], session.now);
    assert_eq!(session.sent(), [Sent::PubAck(11)]);
}

#[test]
fn deliveries_count_up_over_all_connections() {
    let (mut session, _) = subscribed(manual());
    session.deliver(CONFIG, "acknowledged", Some(1));
    let mut given = deliveries(&mut session);
    session.gateway.acknowledge(given[0], session.now);
    session.deliver(CONFIG, "lost", Some(2));
    session.deliver(CONFIG, "lost", Some(3));
    session.reconnect();
    session.acknowledge_attach("device-1");
    session.deliver(CONFIG, "new", Some(1));
    given.extend(deliveries(&mut session));
    let numbers: Vec<_> = given.into_iter().map(DeliveryId::as_u64).collect();
    assert_eq!(numbers.len(), 4);
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
}

#[test]
fn a_copy_of_a_message_that_waits_for_its_acknowledgement_is_not_delivered_again() {
    let (mut session, _) = subscribed(manual());
    session.deliver(CONFIG, "1", Some(11));
    session.deliver_again(CONFIG, "1", 11);
    let given = deliveries(&mut session);
    assert_eq!(given.len(), 1);
    assert_eq!(session.gateway.stats().duplicates, 1);
    session.gateway.acknowledge(given[0], session.now);
    assert_eq!(session.sent(), [Sent::PubAck(11)]);
    session.deliver_again(CONFIG, "1", 11);
    assert_eq!(
        deliveries(&mut session).len(),
        1,
        "after its PUBACK the identifier is a new message [MQTT-4.3.2-2]"
    );
}

#[test]
fn a_full_event_queue_stops_the_reading_until_it_is_taken() {
    let mut options = Options::default();
    options.max_events = 3;
    let (mut session, _) = subscribed(options);
    for id in 1..=5 {
        assert_eq!(session.gateway.wants_input(), id <= 3);
        session.deliver(CONFIG, "x", Some(id));
    }
    assert_eq!(
        deliveries(&mut session).len(),
        5,
        "what is read all the same is not lost"
    );
    assert!(session.gateway.wants_input());
}

#[test]
fn deliveries_that_are_not_acknowledged_stop_the_reading() {
    let mut options = manual();
    options.max_unacknowledged = 2;
    let (mut session, _) = subscribed(options);
    session.deliver(CONFIG, "x", Some(1));
    session.deliver(CONFIG, "x", None);
    let given = deliveries(&mut session);
    assert!(!session.gateway.wants_input());
    session.gateway.acknowledge(given[0], session.now);
    assert!(session.gateway.wants_input());
}

#[test]
fn stats_tell_what_the_peer_has_made_the_gateway_hold() {
    let (mut session, _) = subscribed(manual());
    let held = |session: &Session| {
        let stats = session.gateway.stats();
        (stats.events, stats.unacknowledged, stats.received)
    };
    assert_eq!(held(&session), (0, 0, 0));
    session.deliver(CONFIG, "a", Some(9));
    session.receive(&[0x40, 2, 0]);
    assert_eq!(held(&session), (1, 1, 3));
    let delivery = deliveries(&mut session)[0];
    assert_eq!(held(&session), (0, 1, 3));
    session.gateway.acknowledge(delivery, session.now);
    session.receive(&[9]);
    assert_eq!(held(&session), (0, 0, 0));
}

#[test]
fn the_deadlines_of_the_peer_go_on_as_soon_as_the_events_are_taken() {
    let mut options = Options::default();
    options.max_events = 1;
    let mut session = Session::open(options);
    let (_, attach) = session.begin_attach("device-1");
    session.sent();
    session.gateway.open(session.now).unwrap();
    assert!(!session.gateway.wants_input());
    session.now += seconds(10);
    session.events();
    session.wait(seconds(29));
    assert_eq!(session.ended(attach), None, "nobody listened for 10 s");
    session.wait(seconds(1));
    assert!(
        matches!(session.ended(attach), Some(Err(Failure::TimedOut(_)))),
        "and then for 30 s"
    );
}

#[test]
fn no_answer_is_missed_at_the_instant_at_which_the_reading_stops() {
    let mut options = Options::default();
    options.max_events = 1;
    let mut session = Session::open(options);
    let (_, first) = session.begin_attach("device-1");
    let (_, second) = session.begin_attach("device-2");
    let ids = session.sent_payloads();
    session.now += seconds(30);
    session.puback(ids[0].1);
    assert!(!session.gateway.wants_input());
    assert!(session.gateway.poll_timeout() > Some(session.now));
    session.gateway.handle_timeout(session.now);
    session.puback(ids[1].1);
    let events = session.events();
    for op in [first, second] {
        let outcome = Outcome::Attached;
        assert!(events.contains(&Event::Done { op, outcome }), "{events:?}");
    }
}

#[test]
fn a_peer_that_nobody_reads_is_not_silent() {
    let mut options = manual();
    options.max_unacknowledged = 1;
    let (mut session, device) = subscribed(options);
    session.publish(device, "1");
    session.sent();
    session.deliver(CONFIG, "x", Some(1));
    let given = deliveries(&mut session);
    for _ in 0..5 {
        session.wait(seconds(60));
        assert_eq!(session.sent(), [Sent::PingReq]);
    }
    assert!(session.gateway.is_open());

    session.gateway.acknowledge(given[0], session.now);
    assert_eq!(session.sent(), [Sent::PubAck(1)]);
    session.wait(seconds(19));
    assert!(
        session.gateway.is_open(),
        "the deadlines go on from where they stood"
    );
    session.wait(seconds(2));
    assert!(
        !session.gateway.is_open(),
        "PINGRESP is due once somebody listens"
    );
}
