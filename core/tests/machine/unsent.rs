//! What is held: messages not yet acknowledged, and the counters.

use iotcore_gateway::{Options, Publication, PublicationTopic, QoS, Subfolder};

use super::peer::Session;

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
fn what_is_unsent_can_be_published_again_by_the_next_gateway() {
    let mut session = Session::dialing(Options::default());
    let publications = |own| {
        [
            Publication::state(own, "1"),
            Publication::telemetry(own, "2").qos(QoS::AtMostOnce),
            Publication::telemetry(own, "3").subfolder("alerts".try_into().unwrap()),
        ]
    };
    for publication in publications(session.gateway.own_key()) {
        session.gateway.publish(publication, session.now).unwrap();
    }
    let next = Session::named("gw-2", Options::default());
    let own = next.gateway.own_key();
    let again: Vec<_> = session
        .gateway
        .unsent()
        .map(|unsent| unsent.into_publication(own))
        .collect();
    assert_eq!(again, publications(own));
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
