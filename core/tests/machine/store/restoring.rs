//! What was found in the store at the start.

use std::time::Duration;

use iotcore_gateway::{
    Event, Options, Outcome, Publication,
    command_error::CommandError,
    message::{Priority, PublicationTopic, QoS},
    store::{Record, Recovered},
};

use super::{
    super::peer::{Harness, UNIX_NOW, seconds},
    Kept, Kit, lingering, number,
};

const NOTHING: [&str; 0] = [];

fn telemetry(device: &str, accepted: u64, payload: &str) -> Kept {
    Kept {
        accepted: accepted.try_into().unwrap(),
        device: device.to_owned(),
        topic: PublicationTopic::Telemetry(None),
        qos: QoS::AtLeastOnce,
        payload: payload.into(),
        deadline: None,
        priority: Priority::Ordinary,
        tag: None,
    }
}

/// Returns a gateway that has found these telemetry events of its own, with their number in the store and their place in the
/// order of acceptance.
fn found(records: &[(u64, u64, &str)]) -> Kit {
    let mut kit = Kit::offline();
    for (seq, accepted, payload) in records {
        let kept = telemetry("gw-1", *accepted, payload);
        kit.disk.durable.insert(*seq, kept);
    }
    kit.restarted()
}

impl Kit {
    fn restarted(self) -> Self {
        self.restart(lingering(Duration::ZERO)).0
    }
}

#[test]
fn what_was_found_goes_out_first_in_its_order_and_is_removed_when_acknowledged() {
    let mut kit = found(&[(4, 7, "a"), (5, 8, "b")]);
    assert_eq!(kit.events(), [], "it is in the store already");
    assert_eq!(kit.save(), NOTHING);
    assert_eq!(kit.gateway.stats().stored, 2);
    assert_eq!(kit.gateway.stats().accepted, 2);
    let now = kit.now;
    kit.publish_own("new");
    kit.gateway.open(now).unwrap();
    kit.connect();
    let sent = kit.sent_payloads();
    let texts: Vec<_> = sent.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(texts, ["a", "b", "new"]);
    kit.save();
    kit.events();
    kit.puback(sent[0].1);
    let events = kit.events();
    let outcome = Outcome::Acknowledged;
    assert!(matches!(events[..], [Event::Done { outcome: ended, .. }] if ended == outcome));
    kit.wait(seconds(1));
    assert_eq!(kit.save(), ["remove 4", "commit 6"]);
    assert_eq!(kit.durable(), ["b", "new"]);
}

#[test]
fn numbers_and_the_order_of_acceptance_go_on_above_what_was_found() {
    let mut kit = found(&[(9, 40, "a"), (70, 55, "b")]);
    kit.publish_own("c");
    assert_eq!(kit.save(), ["put 71 c", "commit 71"]);
    let accepted = kit.disk.durable[&71].accepted.get();
    assert!(accepted > 55, "{accepted}");
    kit.publish_own("d");
    kit.save();
    assert!(kit.disk.durable[&72].accepted.get() > accepted);
}

#[test]
fn numbers_go_on_above_what_the_store_could_not_read() {
    let mut kit = found(&[(9, 40, "a")]);
    let mut recovered = Recovered::default();
    recovered.highest_seq = Some(number(100));
    recovered.highest_accepted = 200.try_into().ok();
    kit.gateway.handle_recovered(&recovered);
    kit.publish_own("b");
    kit.gateway.handle_recovered(&Recovered::default());
    recovered.highest_seq = Some(number(500));
    kit.gateway.handle_recovered(&recovered);
    kit.publish_own("c");
    let ops = kit.save();
    assert_eq!(ops, ["put 101 b", "commit 101", "put 102 c", "commit 102"]);
    let accepted = kit.disk.durable[&101].accepted.get();
    assert!(accepted > 200, "{accepted}");
    assert!(kit.disk.durable[&102].accepted.get() > accepted);
}

#[test]
fn the_order_of_acceptance_outlives_several_restarts() {
    let mut kit = Kit::offline();
    for round in 0..4 {
        kit.publish_own(&round.to_string());
        kit.save();
        kit = kit.restarted();
    }
    let places: Vec<_> = kit
        .disk
        .durable
        .values()
        .map(|kept| kept.accepted)
        .collect();
    assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
    let unsent: Vec<_> = kit.gateway.unsent().map(|unsent| unsent.payload).collect();
    assert_eq!(unsent, ["0", "1", "2", "3"]);
}

#[test]
fn nothing_is_restored_after_the_first_publication_or_without_a_store_or_once_closed() {
    let restore = |kit: &mut Kit| {
        let device = "gw-1".try_into().unwrap();
        let record = Record {
            accepted: 1.try_into().unwrap(),
            device: &device,
            topic: &PublicationTopic::State,
            qos: QoS::AtLeastOnce,
            payload: b"x",
            deadline: None,
            priority: Priority::Ordinary,
            tag: None,
        };
        let now = kit.now;
        kit.gateway.restore(number(3), record, UNIX_NOW, now)
    };
    let error = CommandError::NotRestorable(number(3));
    assert!(error.to_string().contains('3'));
    let refused = Err(error);
    let mut without = Kit::from(Harness::new(Options::default()));
    assert_eq!(restore(&mut without), refused);
    let mut kit = Kit::offline();
    restore(&mut kit).unwrap();
    kit.publish_own("1");
    assert_eq!(restore(&mut kit), refused);
    let mut volatile = Kit::offline();
    let own = volatile.gateway.own_key();
    volatile.accept(Publication::telemetry(own, "0").qos(QoS::AtMostOnce));
    assert_eq!(restore(&mut volatile), refused);
    let mut closed = Kit::offline();
    let now = closed.now;
    closed.gateway.close(now);
    assert_eq!(restore(&mut closed), Err(CommandError::Closed));
}

#[test]
fn the_limits_of_the_queues_and_of_the_store_do_not_count_for_what_was_found() {
    let mut options = lingering(Duration::ZERO);
    options.device_queue.messages = 2;
    options.total_queue.messages = 3;
    options.quota.max_devices = 1;
    options.quota.max_telemetry_bytes = 100;
    options.quota.max_state_bytes = 100;
    options.durability.max_bytes = 1_600;
    let mut kit = Kit::from(Harness::new(options.clone()));
    let mut ops = Vec::new();
    for n in 1..=20 {
        let kept = telemetry(["gw-1", "device-1"][n % 2], n as u64, "x");
        ops.push(kept.restore(n as u64, &mut kit, UNIX_NOW));
    }
    assert_eq!(kit.gateway.stats().queued, 20);
    assert_eq!(kit.gateway.stats().stored_bytes, 20 * 321);
    let now = kit.now;
    let own = kit.gateway.own_key();
    let refused = kit.gateway.publish(Publication::telemetry(own, "y"), now);
    refused.unwrap_err();
    for op in ops {
        kit.cancel(op);
    }
    let mut removed = kit.save();
    removed.retain(|op| op.starts_with("remove"));
    assert_eq!(removed.len(), 20);
    assert!(kit.events().contains(&Event::Writable { device: own }));
    kit.publish_own("y");
}

#[test]
fn a_record_at_qos_0_is_removed_once_it_was_handed_over_and_its_number_is_not_used_again() {
    let mut kit = Kit::offline();
    let mut kept = telemetry("gw-1", 1, "x");
    kept.qos = QoS::AtMostOnce;
    kept.restore(8, &mut kit, UNIX_NOW);
    kit.disk.durable.insert(8, kept);
    kit.publish_own("y");
    assert_eq!(kit.save(), ["put 9 y", "commit 9"]);
    let now = kit.now;
    kit.gateway.open(now).unwrap();
    kit.connect();
    assert_eq!(kit.sent_texts(), ["x", "y"]);
    kit.wait(seconds(1));
    assert_eq!(kit.save(), ["remove 8", "commit 9"]);
}

#[test]
fn urgent_ones_that_were_found_overtake_the_others_again() {
    let mut kit = Kit::offline();
    let own = kit.gateway.own_key();
    kit.publish_own("1");
    kit.accept(Publication::telemetry(own, "2").priority(Priority::Urgent));
    kit.save();
    let mut kit = kit.restarted();
    let now = kit.now;
    kit.gateway.open(now).unwrap();
    kit.transport_up();
    kit.connack(0);
    assert_eq!(kit.sent_texts(), ["2", "1"]);
}

#[test]
fn a_tag_and_a_subfolder_are_handed_back_after_a_restart() {
    let mut kit = Kit::offline();
    let own = kit.gateway.own_key();
    let publication = Publication::telemetry(own, "1")
        .subfolder("alerts".try_into().unwrap())
        .tag("mine".try_into().unwrap());
    kit.accept(publication);
    kit.save();
    let kit = kit.restarted();
    let unsent = kit.gateway.unsent().next().unwrap();
    assert_eq!(unsent.tag, Some("mine".try_into().unwrap()));
    let topic = PublicationTopic::Telemetry(Some("alerts".try_into().unwrap()));
    assert_eq!(unsent.topic, topic);
}

#[test]
fn what_was_found_is_kept_by_a_close_and_never_put_again() {
    let mut kit = found(&[(1, 1, "a"), (2, 2, "b")]);
    let now = kit.now;
    kit.gateway.close(now);
    kit.wait(seconds(10));
    assert!(kit.gateway.is_closed());
    assert_eq!(kit.save(), NOTHING);
    assert_eq!(kit.durable(), ["a", "b"]);
}

#[test]
fn one_that_was_found_can_be_cancelled() {
    let mut kit = found(&[(3, 1, "a")]);
    let op = kit.gateway.unsent().next().unwrap().op;
    assert!(kit.gateway.unsent().next().unwrap().is_stored);
    kit.cancel(op);
    let events = kit.events();
    assert!(
        matches!(&events[..], [Event::Failed { unsent: Some(unsent), .. }] if !unsent.is_stored)
    );
    kit.wait(seconds(1));
    assert_eq!(kit.save(), ["remove 3", "commit 3"]);
}

#[test]
fn what_was_found_is_sent_on_a_connection_that_is_open_already() {
    let mut kit = Kit::from(Harness::open(lingering(seconds(1))));
    telemetry("gw-1", 1, "a").restore(1, &mut kit, UNIX_NOW);
    assert_eq!(kit.sent_texts(), ["a"]);
}
