//! What is put into the store, when, and when it is reported as stored.

use std::time::Duration;

use iotcore_gateway::{
    DeviceAuth, Event, Options, Outcome, Publication,
    message::{Priority, PublicationTopic, QoS},
    store::StoreOp,
};

use super::{
    super::peer::{Harness, UNIX_NOW, seconds},
    Kit, number,
};

const NOTHING: [&str; 0] = [];

#[test]
fn without_a_linger_nothing_is_put() {
    let (harness, device) = Harness::attached(Options::default());
    let mut kit = Kit::from(harness);
    kit.publish(device, "1");
    kit.lose_connection();
    kit.publish(device, "2");
    kit.wait(seconds(100));
    assert_eq!(kit.ops(), NOTHING);
    assert_eq!(kit.gateway.stats().stored_bytes, 0);
}

#[test]
fn what_is_acknowledged_within_the_linger_is_never_written() {
    let (mut kit, device) = Kit::attached(seconds(1));
    for n in 0..20 {
        let op = kit.publish(device, &n.to_string());
        let id = kit.sent_ids()[0];
        kit.wait(Duration::from_millis(999));
        kit.puback(id);
        assert_eq!(kit.ops(), NOTHING);
        let outcome = Outcome::Acknowledged;
        assert_eq!(kit.events(), [Event::Done { op, outcome }]);
    }
    kit.wait(seconds(10));
    assert_eq!(kit.ops(), NOTHING);
    assert_eq!(kit.gateway.stats().stored_bytes, 0);
}

#[test]
fn what_waits_for_its_acknowledgement_for_longer_than_the_linger_is_put_then() {
    let (mut kit, device) = Kit::attached(seconds(1));
    kit.publish(device, "1");
    kit.wait(Duration::from_millis(400));
    kit.publish(device, "2");
    kit.wait(Duration::from_millis(599));
    assert_eq!(kit.ops(), NOTHING);
    kit.wait(Duration::from_millis(1));
    assert_eq!(kit.ops(), ["put 1 1", "commit 1"]);
    kit.commit();
    kit.wait(Duration::from_millis(399));
    assert_eq!(kit.ops(), NOTHING);
    kit.wait(Duration::from_millis(1));
    assert_eq!(kit.ops(), ["put 2 2", "commit 2"]);
}

#[test]
fn with_no_linger_each_is_put_at_once_and_what_gathers_meanwhile_is_the_next_group() {
    let (mut kit, device) = Kit::attached(Duration::ZERO);
    let ops = ["1", "2", "3"].map(|payload| kit.publish(device, payload));
    assert_eq!(kit.ops(), ["put 1 1", "commit 1"]);
    assert_eq!(kit.ops(), NOTHING, "one commit is outstanding");
    assert_eq!(kit.stored(), []);
    kit.commit();
    assert_eq!(kit.stored(), [ops[0]]);
    assert_eq!(kit.ops(), ["put 2 2", "put 3 3", "commit 3"]);
    kit.commit();
    assert_eq!(kit.stored(), [ops[1], ops[2]]);
    assert_eq!(kit.ops(), NOTHING);
    assert_eq!(
        kit.gateway.poll_timeout().map(|at| at > kit.now),
        Some(true)
    );
}

#[test]
fn while_no_connection_is_open_everything_is_put_at_once_whatever_the_linger() {
    let mut kit = Kit::from(Harness::new(super::lingering(seconds(60))));
    kit.publish_own("idle");
    assert_eq!(kit.save(), ["put 1 idle", "commit 1"]);
    let now = kit.now;
    kit.gateway.open(now).unwrap();
    kit.publish_own("due");
    assert_eq!(kit.save(), ["put 2 due", "commit 2"]);
    kit.transport_up();
    kit.publish_own("connecting");
    assert_eq!(kit.save(), ["put 3 connecting", "commit 3"]);
    kit.connack(0);
    kit.publish_own("connected");
    assert_eq!(kit.save(), NOTHING);
    kit.lose_connection();
    assert_eq!(kit.save(), ["put 4 connected", "commit 4"]);
    kit.publish_own("waiting");
    assert_eq!(kit.save(), ["put 5 waiting", "commit 5"]);
}

#[test]
fn what_is_in_flight_when_the_connection_is_lost_is_put_in_the_order_of_acceptance() {
    let (mut kit, device) = Kit::attached(seconds(1));
    for payload in ["1", "2", "3", "4"] {
        kit.publish(device, payload);
    }
    kit.publish_own("5");
    let ids = kit.sent_ids();
    kit.puback(ids[1]);
    kit.lose_connection();
    let expected = ["put 1 1", "put 2 3", "put 3 4", "put 4 5", "commit 4"];
    assert_eq!(kit.save(), expected);
}

#[test]
fn urgent_ones_are_put_in_the_order_of_acceptance_too() {
    let mut kit = Kit::offline();
    let own = kit.gateway.own_key();
    kit.publish_own("1");
    kit.ops();
    kit.publish_own("2");
    kit.accept(Publication::telemetry(own, "3").priority(Priority::Urgent));
    kit.publish_own("4");
    kit.commit();
    assert_eq!(kit.ops(), ["put 2 2", "put 3 3", "put 4 4", "commit 4"]);
    let urgent = &kit.disk.written[&3];
    assert_eq!(urgent.priority, Priority::Urgent);
}

#[test]
fn nothing_at_qos_0_is_put() {
    let mut kit = Kit::offline();
    let own = kit.gateway.own_key();
    kit.accept(Publication::telemetry(own, "0").qos(QoS::AtMostOnce));
    kit.accept(Publication::state(own, "0").qos(QoS::AtMostOnce));
    assert_eq!(kit.ops(), NOTHING);
    assert_eq!(kit.gateway.stats().stored_bytes, 0);
    kit.publish_own("1");
    assert_eq!(kit.save(), ["put 1 1", "commit 1"]);
    assert_eq!(kit.stored().len(), 1);
}

#[test]
fn a_record_has_all_that_the_publication_has() {
    let mut kit = Kit::offline();
    let now = kit.now;
    let device = kit.gateway.attach(
        "device-1".try_into().unwrap(),
        DeviceAuth::ByAssociation,
        UNIX_NOW,
        now,
    );
    let (device, _) = device.unwrap();
    let publication = Publication::telemetry(device, "21.5")
        .subfolder("alerts".try_into().unwrap())
        .priority(Priority::Urgent)
        .expires_after(seconds(60))
        .tag("mine".try_into().unwrap());
    kit.publish_own("before");
    kit.accept(publication);
    kit.save();
    let [first, second] = [1, 2].map(|seq| kit.disk.durable[&seq].clone());
    assert_eq!(second.device, "device-1");
    let topic = PublicationTopic::Telemetry(Some("alerts".try_into().unwrap()));
    assert_eq!(second.topic, topic);
    assert_eq!(second.qos, QoS::AtLeastOnce);
    assert_eq!(second.text(), "21.5");
    assert_eq!(second.deadline, Some(UNIX_NOW.saturating_add(seconds(60))));
    assert_eq!(second.priority, Priority::Urgent);
    assert_eq!(second.tag, Some("mine".try_into().unwrap()));
    assert!(second.accepted > first.accepted);
    assert_eq!(
        (first.device.as_str(), first.deadline, first.tag),
        ("gw-1", None, None)
    );
}

#[test]
fn a_record_of_a_state_is_one_of_a_state() {
    let mut kit = Kit::offline();
    let own = kit.gateway.own_key();
    kit.publish_state(own, "on");
    kit.save();
    assert_eq!(kit.disk.durable[&1].topic, PublicationTopic::State);
}

#[test]
fn each_is_reported_as_stored_once_and_before_it_is_done() {
    let (mut kit, device) = Kit::attached(Duration::ZERO);
    let op = kit.publish(device, "1");
    kit.save();
    let id = kit.sent_ids()[0];
    kit.puback(id);
    kit.save();
    let done = Event::Done {
        op,
        outcome: Outcome::Acknowledged,
    };
    assert_eq!(kit.events(), [Event::Stored { op }, done]);
}

#[test]
fn one_that_was_acknowledged_before_it_is_durable_is_not_reported_as_stored() {
    let (mut kit, device) = Kit::attached(Duration::ZERO);
    let op = kit.publish(device, "1");
    assert_eq!(kit.ops(), ["put 1 1", "commit 1"]);
    let id = kit.sent_ids()[0];
    kit.puback(id);
    kit.commit();
    let outcome = Outcome::Acknowledged;
    assert_eq!(kit.events(), [Event::Done { op, outcome }]);
}

#[test]
fn answers_to_nothing_that_was_asked_are_ignored() {
    let mut kit = Kit::offline();
    let now = kit.now;
    kit.gateway.handle_stored(number(1), now);
    let first = kit.publish_own("1");
    assert_eq!(kit.ops(), ["put 1 1", "commit 1"]);
    kit.gateway.handle_stored(number(2), now);
    assert_eq!(kit.events(), []);
    kit.commit();
    assert_eq!(kit.stored(), [first]);
    let second = kit.publish_own("2");
    assert_eq!(kit.ops(), ["put 2 2", "commit 2"]);
    kit.gateway.handle_stored(number(1), now);
    assert_eq!(kit.events(), [], "an answer to the last one");
    assert_eq!(kit.ops(), NOTHING);
    kit.commit();
    assert_eq!(kit.stored(), [second]);
    kit.gateway.handle_stored(number(2), now);
    assert_eq!((kit.events(), kit.ops()), (vec![], vec![]));
}

#[test]
fn the_numbers_go_on_from_group_to_group_and_are_never_used_again() {
    let mut kit = Kit::offline();
    for n in 1..=50_u64 {
        let op = kit.publish_own("x");
        assert_eq!(kit.save()[0], format!("put {n} x"));
        kit.cancel(op);
        kit.wait(seconds(1));
        kit.save();
        assert_eq!(kit.disk.durable.len(), 0);
    }
}

#[test]
fn an_operation_borrows_and_its_debug_output_names_the_record() {
    let mut kit = Kit::offline();
    kit.publish_own("x");
    let op = kit.gateway.poll_store();
    assert!(matches!(op, Some(StoreOp::Put { seq, .. }) if seq == number(1)));
    assert!(format!("{op:?}").contains("gw-1"));
}
