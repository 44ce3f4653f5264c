//! Publications not yet acknowledged, and the counters.

use iotcore_gateway::{
    Failure, Options, Outcome, Publication,
    message::{PublicationTopic, QoS, Subfolder},
    quota::Quota,
};

use super::peer::Harness;

#[test]
fn unsent_publications_have_their_topic_and_qos() {
    let mut harness = Harness::dialing(Options::default());
    let own = harness.gateway.own_key();
    let alerts = Subfolder::try_from("alerts").unwrap();
    for publication in [
        Publication::state(own, "1"),
        Publication::telemetry(own, "2").qos(QoS::AtMostOnce),
        Publication::telemetry(own, "3").subfolder(alerts.clone()),
    ] {
        harness.gateway.publish(publication, harness.now).unwrap();
    }
    let unsent = harness.gateway.unsent();
    let unsent: Vec<_> = unsent.map(|unsent| (unsent.topic, unsent.qos)).collect();
    let expected = [
        (PublicationTopic::State, QoS::AtLeastOnce),
        (PublicationTopic::Telemetry(None), QoS::AtMostOnce),
        (PublicationTopic::Telemetry(Some(alerts)), QoS::AtLeastOnce),
    ];
    assert_eq!(unsent, expected);
}

#[test]
fn unsent_publications_can_be_published_by_the_next_gateway() {
    let mut harness = Harness::dialing(Options::default());
    let publications = |own| {
        [
            Publication::state(own, "1"),
            Publication::telemetry(own, "2").qos(QoS::AtMostOnce),
            Publication::telemetry(own, "3").subfolder("alerts".try_into().unwrap()),
        ]
    };
    for publication in publications(harness.gateway.own_key()) {
        harness.gateway.publish(publication, harness.now).unwrap();
    }
    let next = Harness::named("gw-2", Options::default());
    let own = next.gateway.own_key();
    let again: Vec<_> = harness
        .gateway
        .unsent()
        .map(|unsent| unsent.into_publication(own))
        .collect();
    assert_eq!(again, publications(own));
}

#[test]
fn unsent_publications_are_listed_in_order() {
    let (mut harness, device) = Harness::attached(Options::default());
    for n in 0..3 {
        harness.publish(device, &n.to_string());
    }
    harness.sent();
    harness.publish(harness.gateway.own_key(), "3");
    let unsent: Vec<_> = harness
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
fn the_counters_report_what_is_queued() {
    let mut harness = Harness::dialing(Options::default());
    let own = harness.gateway.own_key();
    harness.begin_attach("device-1");
    harness.begin_attach("device-2");
    harness.publish(own, "123");
    harness.publish(own, "4567");
    let stats = harness.gateway.stats();
    assert_eq!((stats.queued, stats.queued_bytes), (2, 7));
    assert_eq!((stats.devices, stats.in_flight), (2, 0));
}

#[test]
fn the_counters_report_accepted_and_successful_publications() {
    let (mut harness, device) = Harness::attached(Options::default());
    let publication = |qos| Publication::telemetry(device, "1").qos(qos);
    for qos in [QoS::AtLeastOnce, QoS::AtLeastOnce, QoS::AtMostOnce] {
        harness
            .gateway
            .publish(publication(qos), harness.now)
            .unwrap();
    }
    let [(_, acknowledged), ..] = harness.sent_payloads()[..] else {
        panic!("nothing was sent")
    };
    harness.puback(acknowledged);
    let stats = harness.gateway.stats();
    assert_eq!((stats.accepted, stats.published), (3, 2));
    assert_eq!((stats.connections, stats.in_flight), (1, 1));
}

#[test]
fn operation_ids_increase_from_one() {
    let mut harness = Harness::new(Options::default());
    let opened = harness.gateway.open(harness.now).unwrap();
    let own = harness.gateway.own_key();
    let published = harness.publish(own, "1");
    assert_eq!((opened.as_u64(), published.as_u64()), (1, 2));
    assert_eq!(published.to_string(), "#2");
}

#[test]
fn whatever_is_left_after_a_peak_completes_cancels_and_is_sent_again_as_before() {
    let mut options = Options::default();
    options.quota = Quota::unpaced();
    options.window = 2_000;
    options.device_window = 2_000;
    let (mut harness, device) = Harness::attached(options);
    harness.widen(device, 1_000);
    let ops: Vec<_> = (0..1_000)
        .map(|n| harness.publish(device, &n.to_string()))
        .collect();
    let in_flight = harness.sent_payloads();
    let is_left = |n: usize| n % 10 == 9;
    for (n, (_, id)) in in_flight.iter().enumerate().filter(|(n, _)| !is_left(*n)) {
        harness.puback(*id);
        assert_eq!(harness.ended(ops[n]), Some(Ok(Outcome::Acknowledged)));
    }
    let left: Vec<_> = (0..1_000).filter(|n| is_left(*n)).collect();
    let unsent = harness.gateway.unsent().map(|unsent| unsent.op);
    assert!(unsent.eq(left.iter().map(|n| ops[*n])));
    // By its identifier, by its operation, and in order after the connection.
    harness.puback(in_flight[999].1);
    assert_eq!(harness.ended(ops[999]), Some(Ok(Outcome::Acknowledged)));
    harness.gateway.cancel(ops[989], harness.now).unwrap();
    assert_eq!(harness.ended(ops[989]), Some(Err(Failure::Cancelled)));
    harness.reconnect();
    harness.acknowledge_attach("device-1");
    let again = harness.sent_texts();
    let expected = left[..98].iter().map(|n| n.to_string());
    assert!(again.into_iter().eq(expected));
}
