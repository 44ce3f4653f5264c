//! When and how often the operations are taken changes neither the events nor what is sent.

use std::{num::NonZeroU64, time::Duration};

use iotcore_gateway::{
    Event, Input, Options, Publication,
    message::{Priority, PublicationTopic, QoS},
    quota::Quota,
    store::{Record, StoreFailureKind, StoreSeq},
};
use proptest::{collection::vec, prelude::*};

use super::{
    super::peer::{Harness, UNIX_NOW, seconds},
    Kit, failure, lingering, number,
};
use crate::cases::config;

/// How eagerly a run takes operations: so many after each step. They are all taken before an answer.
#[derive(Clone, Copy, Debug)]
struct Eagerness(usize);

#[derive(Clone, Debug)]
enum Step {
    Telemetry,
    State,
    Cancel(usize),
    Acknowledge(usize),
    Stored,
    Fail,
    Wait(u64),
    Reconnect,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Telemetry),
        6 => Just(Step::State),
        3 => (0..8_usize).prop_map(Step::Cancel),
        4 => (0..4_usize).prop_map(Step::Acknowledge),
        6 => Just(Step::Stored),
        1 => Just(Step::Fail),
        3 => (0..3_000_u64).prop_map(Step::Wait),
        2 => Just(Step::Reconnect),
        1 => Just(Step::Close),
    ]
}

fn options() -> Options {
    let mut options = lingering(Duration::ZERO);
    options.quota = Quota::unpaced();
    options.quota.max_telemetry_bytes = 10;
    options.quota.max_state_bytes = 10;
    options.durability.max_bytes = 1_500;
    options
}

/// What a run has output: the events, and the payloads of what was sent.
type Output = (Vec<Event>, Vec<String>);

/// Runs the steps. A commit is answered with the number that the steps so far have led to, whenever it was taken.
fn run(steps: &[Step], Eagerness(eagerness): Eagerness) -> Output {
    let mut kit = Kit::from(Harness::open(options()));
    let own = kit.gateway.own_key();
    let (mut events, mut sent, mut ids, mut ops) = (vec![], vec![], vec![], vec![]);
    for step in steps {
        let now = kit.now;
        let publish = |kit: &mut Kit, publication| kit.gateway.publish(publication, now).ok();
        match step {
            Step::Telemetry => ops.extend(publish(&mut kit, Publication::telemetry(own, "t"))),
            Step::State => ops.extend(publish(&mut kit, Publication::state(own, "s"))),
            Step::Cancel(back) => {
                if let Some(op) = ops.iter().rev().nth(*back) {
                    let _ = kit.gateway.cancel(*op, now);
                }
            }
            Step::Acknowledge(back) => {
                if *back < ids.len() {
                    let id = ids.remove(ids.len() - 1 - back);
                    kit.puback(id);
                }
            }
            Step::Stored => {
                kit.ops();
                if kit.disk.commit.is_some() {
                    kit.commit();
                }
            }
            Step::Fail => kit.fail(StoreFailureKind::Full),
            Step::Wait(millis) => kit.wait(Duration::from_millis(*millis)),
            Step::Reconnect => {
                if kit.gateway.is_open() {
                    kit.lose_connection();
                    ids.clear();
                    kit.wait(seconds(3));
                    if kit.gateway.wants_transport() {
                        kit.connect();
                    }
                }
            }
            Step::Close => {
                kit.gateway.close(now);
            }
        }
        for (payload, id) in kit.sent_payloads() {
            sent.push(payload);
            ids.push(id);
        }
        (0..eagerness).for_each(|_| _ = kit.next_op());
        events.extend(kit.events());
    }
    (events, sent)
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn taking_operations_early_or_late_changes_neither_events_nor_what_is_sent(
        steps in vec(step(), 1..60),
    ) {
        let late = run(&steps, Eagerness(0));
        prop_assert_eq!(&late, &run(&steps, Eagerness(1)));
        prop_assert_eq!(&late, &run(&steps, Eagerness(1_000)));
    }
}

#[test]
fn an_answer_counts_although_the_operations_were_not_taken() {
    // A session is replayed from its inputs alone.
    let mut kit = Kit::offline();
    let op = kit.publish_own("1");
    let now = kit.now;
    kit.gateway.handle_stored(number(1), now);
    assert_eq!(kit.events(), [Event::Stored { op }]);
    assert_eq!(kit.ops(), [""; 0]);
}

/// Restores, publishes, fails, recovers; by methods, or as plain data.
fn lifecycle(by_apply: bool) -> Vec<Event> {
    let mut kit = Kit::offline();
    let now = kit.now;
    let device = "device-1".try_into().unwrap();
    let record = Record {
        accepted: NonZeroU64::MIN,
        device: &device,
        topic: &PublicationTopic::State,
        qos: QoS::AtLeastOnce,
        payload: b"on",
        deadline: Some(UNIX_NOW),
        priority: Priority::Ordinary,
        tag: None,
    };
    let gateway = &mut kit.gateway;
    let (seq, unix_now) = (StoreSeq::FIRST, UNIX_NOW);
    let op = match by_apply {
        true => {
            let restore = Input::Restore {
                seq,
                record,
                unix_now,
            };
            gateway.apply(restore, now).op()
        }
        false => gateway.restore(seq, record, unix_now, now),
    };
    op.unwrap();
    kit.publish_own("1");
    let failure = failure(StoreFailureKind::Full);
    let gateway = &mut kit.gateway;
    match by_apply {
        true => _ = gateway.apply(Input::StoreFailed(failure), now),
        false => gateway.handle_store_failed(failure, now),
    }
    kit.wait(seconds(2));
    let (through, now) = (number(2), kit.now);
    let gateway = &mut kit.gateway;
    match by_apply {
        true => _ = gateway.apply(Input::Stored(through), now),
        false => gateway.handle_stored(through, now),
    }
    kit.events()
}

#[test]
fn each_input_of_the_store_has_the_same_effect_as_its_method() {
    let events = lifecycle(true);
    assert_eq!(events.len(), 4, "{events:?}");
    assert_eq!(events, lifecycle(false));
}
