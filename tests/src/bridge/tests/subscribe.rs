//! SUBSCRIBE and UNSUBSCRIBE.

use super::packets::{Received, subscribe, unsubscribe};
use super::*;

fn harness() -> Harness {
    Harness::new(AuthMethod::AssociationOnly)
}

#[test]
fn each_filter_of_a_subscribe_has_its_answer_in_order() {
    let mut harness = harness();
    let gateway = harness.gateway(&["dev1"]);
    let filters = [
        ("/devices/dev1/commands/#", 2),
        ("/devices/dev2/commands/#", 1),
        ("/devices/dev1/config", 0),
        ("/devices/gateway/errors", 1),
        ("#", 0),
    ];
    let answer = harness.send(gateway, &subscribe(9, &filters));
    assert_eq!(answer[0], Received::Suback(9, vec![1, 0x80, 0, 0, 0x80]));
    assert_eq!(answer[1..], [Received::message("/devices/dev1/config", "")]);
    let subscribed: Vec<_> = harness.bridge.subscriptions("gateway").collect();
    let expected = [
        ("/devices/dev1/config".to_owned(), 0),
        ("/devices/dev1/commands/#".to_owned(), 1),
        ("/devices/gateway/errors".to_owned(), 0),
    ];
    assert_eq!(subscribed, expected);
}

#[test]
fn a_device_subscribes_only_to_its_own_topics() {
    let mut harness = harness();
    let device = harness.connect("solo");
    for (filter, code) in [
        ("/devices/solo/errors", 0),
        ("/devices/solo/commands/#", 1),
        ("/devices/solo/commands/sub", 0x80),
        ("/devices/solo/commands", 0x80),
        ("/devices/solo/+", 0x80),
        ("/devices/solo/state", 0x80),
        ("/devices/dev1/config", 0x80),
        ("elsewhere", 0x80),
    ] {
        let answer = harness.send(device, &subscribe(1, &[(filter, 1)]));
        assert_eq!(answer, [Received::Suback(1, vec![code])], "{filter}");
    }
    assert!(harness.is_up(device));
}

#[test]
fn a_forbidden_subscribe_ends_the_connection_if_set_so() {
    for (value, expected) in [
        ("refuse_and_close", vec![Received::Suback(1, vec![0, 0x80])]),
        ("close", vec![]),
    ] {
        let mut harness = harness().set("forbidden_subscribe", value);
        let device = harness.connect("solo");
        let packet = subscribe(1, &[("/devices/solo/errors", 0), ("#", 0)]);
        assert_eq!(harness.send(device, &packet), expected);
        let filter = "#".to_owned();
        assert_eq!(
            harness.close_reason(),
            CloseReason::ForbiddenSubscribe { filter }
        );
    }
}

#[test]
fn unsubscribe_is_acknowledged_and_ends_delivery() {
    let mut harness = harness();
    let device = harness.connect("solo");
    harness.send(device, &subscribe(1, &[("/devices/solo/commands/#", 0)]));
    let packet = unsubscribe(2, &["/devices/solo/commands/#", "never/subscribed"]);
    assert_eq!(harness.send(device, &packet), [Received::Unsuback(2)]);
    assert!(
        harness
            .bridge
            .send_command("solo", None, "x", harness.now)
            .is_err()
    );
    assert_eq!(harness.bridge.subscriptions("solo").count(), 0);
}

#[test]
fn unsubscribe_compares_filters_literally_and_finishes_pending_deliveries() {
    let mut harness = harness();
    let device = harness.connect("solo");
    let filters = [
        ("/devices/solo/commands/#", 1),
        ("/devices/solo/errors", 0),
        ("/devices/solo/config", 1),
    ];
    harness.send(device, &subscribe(1, &filters));
    harness.read(device);
    let others = [
        "/devices/solo/Config",
        "/devices/solo/config/",
        "/devices/solo/#",
        "#",
    ];
    assert_eq!(
        harness.send(device, &unsubscribe(2, &others)),
        [Received::Unsuback(2)]
    );
    assert_eq!(harness.bridge.subscriptions("solo").count(), 3);
    harness
        .bridge
        .send_command("solo", None, "begun", harness.now)
        .unwrap();
    harness.read(device);
    let both = ["/devices/solo/commands/#", "/devices/solo/errors"];
    assert_eq!(
        harness.send(device, &unsubscribe(3, &both)),
        [Received::Unsuback(3)]
    );
    let left: Vec<_> = harness.bridge.subscriptions("solo").collect();
    assert_eq!(left, [("/devices/solo/config".to_owned(), 1)]);
    harness.pass(seconds(10));
    let again = harness.read(device);
    assert!(
        again.contains(&Received::acknowledged(
            "/devices/solo/commands",
            2,
            true,
            "begun"
        )),
        "{again:?}"
    );
}

#[test]
fn subscribing_again_replaces_the_first() {
    let mut harness = harness();
    let device = harness.connect("solo");
    for (packet_id, qos) in [(1, 1), (2, 0), (3, 1), (4, 0)] {
        let filter = "/devices/solo/commands/#";
        let answer = harness.send(device, &subscribe(packet_id, &[(filter, qos)]));
        assert_eq!(answer, [Received::Suback(packet_id, vec![qos])]);
        let held: Vec<_> = harness.bridge.subscriptions("solo").collect();
        assert_eq!(held, [(filter.to_owned(), qos)]);
    }
    harness
        .bridge
        .send_command("solo", None, "once", harness.now)
        .unwrap();
    let once = Received::message("/devices/solo/commands", "once");
    assert_eq!(harness.read(device), [once]);
}
