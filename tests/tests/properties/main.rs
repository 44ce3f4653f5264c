//! The guarantees of the crate's documentation but the last, one property each, and what cancel, deadlines and priorities
//! add to the fourth, over scripts of all possible steps.
//!
//! Each property generates scripts from the steps that test its guarantee, and the reference model checks them; what
//! can be counted in the history is also counted here, without the model.
#![forbid(unsafe_code)]

mod counts;
mod kinds;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use iotcore_gateway::{Event, OpId};
use iotcore_gateway_testkit::EventKind;
use iotcore_gateway_testkit::script::{
    CallPattern, History, KINDS, Script, Setup, Step, What, run, run_with,
};
use proptest::{collection::vec, prelude::*, sample::select, test_runner::RngSeed};

use self::{
    counts::{at_qos_1, deadline, number_in, operations, written},
    kinds::*,
};

/// Returns scripts of any steps.
fn any_script() -> impl Strategy<Value = Script> {
    script_of((0..KINDS).collect())
}

/// Returns scripts of these kinds of steps among common ones, for a gateway that is open and has attached two devices.
fn script_of(kinds: Vec<u8>) -> impl Strategy<Value = Script> {
    let kind = prop_oneof![select(COMMON.to_vec()), select(kinds)];
    let step = (kind, 0..10u8, any::<u8>(), 0..4u8).prop_map(|(kind, a, b, c)| {
        // At most seconds, because longer waits take place at the end of a script.
        let a = if [WAIT, LEAVE_UNPOLLED].contains(&kind) {
            1
        } else {
            a
        };
        match WITH_TERMS.contains(&kind) {
            true => Step::from_bytes([kind, a, 9, b]),
            false => Step::from_bytes([kind, a, b, c]),
        }
    });
    let knob = prop_oneof![6 => Just(0u8), 1 => any::<u8>()];
    (vec(knob, Setup::KNOBS), vec(step, 1..40)).prop_map(|(knobs, mut steps)| {
        let opening = [[OPEN, 0, 0, 0], [ATTACH, 1, 0, 14], [ATTACH, 2, 0, 14]];
        steps.splice(0..0, opening.map(Step::from_bytes));
        Script {
            setup: Setup::from_bytes(&knobs),
            steps,
        }
    })
}

fn play(script: &Script) -> Result<History, TestCaseError> {
    run(script).map_err(|broken| TestCaseError::fail(format!("{broken}\nscript {script}")))
}

/// Returns the outputs: every event, in order, and every byte.
fn outputs(script: &Script, pattern: CallPattern) -> Result<(Vec<Event>, Vec<u8>), TestCaseError> {
    let history = run_with(script, pattern)
        .map_err(|broken| TestCaseError::fail(format!("{broken}\nscript {script}")))?;
    Ok((history.events().cloned().collect(), history.written()))
}

/// The same cases each time, unless `PROPTEST_RNG_SEED` asks for others: a test that fails must fail again.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(0);
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn guarantee_1_any_split_of_the_input_gives_the_same_events_and_bytes(
        script in any_script(),
        split in 1..9usize,
    ) {
        let whole = outputs(&script, CallPattern::default())?;
        let pattern = CallPattern { split, ..CallPattern::default() };
        prop_assert_eq!(whole, outputs(&script, pattern)?);
    }

    #[test]
    fn guarantee_2_polls_and_spurious_timeouts_change_neither_events_nor_bytes(script in any_script()) {
        let plain = outputs(&script, CallPattern::default())?;
        let pattern = CallPattern { makes_redundant_calls: true, ..CallPattern::default() };
        prop_assert_eq!(plain, outputs(&script, pattern)?);
    }

    #[test]
    fn guarantee_3_every_operation_ends_exactly_once(
        script in script_of(vec![DETACH, SUBSCRIBE, UNSUBSCRIBE, CLOSE, CLOUD_DETACH, HOLD, CUT, STATE]),
    ) {
        let history = play(&script)?;
        for (given, ended) in operations(&history) {
            prop_assert!(ended.values().all(|times| *times == 1), "{ended:?}");
            let ended: BTreeSet<_> = ended.keys().map(OpId::to_string).collect();
            prop_assert!(given.is_subset(&ended), "{given:?} {ended:?}");
        }
    }

    #[test]
    fn guarantee_4_what_is_accepted_at_qos_1_arrives_or_ends_in_a_reason(
        script in script_of(vec![CUT, CUT_AFTER, CUT_AT_PACKET, HOLD, REORDER, LOSE_REPORTS, CLOUD_DETACH, STATE]),
    ) {
        let history = play(&script)?;
        let arrived = history.entries().iter().filter(|entry| match &entry.what {
            What::Bridge(event) => {
                matches!(event.kind, EventKind::Telemetry { .. } | EventKind::State { .. })
            }
            _ => false,
        });
        let failed = history.events().filter(|event| matches!(event, Event::Failed { .. }));
        let refused = history.entries().iter().filter(|entry| match &entry.what {
            What::Bridge(event) => matches!(event.kind, EventKind::ErrorReport { .. }),
            _ => false,
        });
        let accounted = arrived.count() + failed.count() + refused.count();
        prop_assert!(accounted as u64 >= at_qos_1(&history), "of {} only {accounted}", at_qos_1(&history));
    }

    #[test]
    fn guarantee_4_what_was_cancelled_or_has_failed_is_not_sent_any_more(
        script in script_of(vec![53, 53, CANCEL, CANCEL, STATE, HOLD, REORDER, CUT, CUT_AT_PACKET, CLOUD_DETACH]),
    ) {
        let history = play(&on_a_fast_link(script))?;
        let mut ended = BTreeMap::new();
        for entry in history.entries() {
            match &entry.what {
                What::Event(Event::Failed { unsent: Some(unsent), .. }) => {
                    ended.extend(number_in(&unsent.payload).map(|number| (number, entry.at)));
                }
                What::Transmitted(bytes) => {
                    // What is written at the instant of its end may have been in the transmit buffer before.
                    let is_late = |number: &_| ended.get(number).is_some_and(|at| *at < entry.at);
                    let sent = written(bytes).into_iter().find(is_late);
                    prop_assert_eq!(sent, None, "is sent after its end: {}", entry);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn guarantee_4_nothing_is_sent_once_it_has_expired_and_what_waits_ends_then(
        script in script_of(vec![53, 53, 53, 54, HOLD, CUT, FAIL_DIALS, CLOUD_DETACH, CUT_AT_PACKET]),
    ) {
        let history = play(&on_a_fast_link(script))?;
        let mut deadlines = BTreeMap::new();
        let mut begun = BTreeSet::new();
        for entry in history.entries() {
            match &entry.what {
                What::Step { step, answer } => deadlines.extend(deadline(step, answer, entry.at)),
                What::Transmitted(bytes) => for number in written(bytes) {
                    let is_late = deadlines.get(&number).is_some_and(|at| *at <= entry.at);
                    prop_assert!(!is_late, "number {number} has expired: {entry}");
                    begun.insert(number);
                },
                What::Event(Event::Failed { unsent: Some(unsent), .. }) => {
                    let number = number_in(&unsent.payload);
                    let at = number.and_then(|number| deadlines.remove(&number));
                    let waited = number.is_some_and(|number| !begun.contains(&number));
                    let is_in_time = at.is_none_or(|at| entry.at <= at);
                    prop_assert!(!waited || is_in_time, "it has waited until {at:?}: {entry}");
                }
                _ => {}
            }
        }
    }

    #[test]
    fn guarantee_4_urgent_publications_precede_ordinary_ones_and_each_priority_keeps_its_order(
        publications in vec((0..3u8, any::<bool>()), 2..40),
    ) {
        let mut steps = vec![[OPEN, 0, 0, 0], [ATTACH, 1, 0, 14], [ATTACH, 2, 0, 14], [WAIT, 1, 20, 0]];
        steps.extend(publications.iter().map(|(device, is_urgent)| {
            [53, *device, 9, if *is_urgent { 0x80 } else { 0 }]
        }));
        steps.push([WAIT, 1, 200, 0]);
        let mut knobs = [0; Setup::PLAIN_KNOBS];
        // A window of one, so that all but the first wait.
        knobs[7] = 1;
        let setup = Setup::from_bytes(&knobs);
        let history = play(&Script { setup, steps: steps.into_iter().map(Step::from_bytes).collect() })?;
        let sent = written(&history.written());
        let of = |number: u32| publications[number as usize];
        let sent: Vec<u32> = sent.into_iter().filter(|of| (*of as usize) < publications.len()).collect();
        prop_assert_eq!(sent.len(), publications.len());
        let is_urgent: Vec<bool> = sent[1..].iter().map(|number| of(*number).1).collect();
        prop_assert!(is_urgent.is_sorted_by(|a, b| a >= b), "{sent:?}");
        for kind in sent[1..].iter().map(|number| of(*number)) {
            let alike = sent[1..].iter().filter(|number| of(**number) == kind);
            prop_assert!(alike.is_sorted(), "{sent:?}");
        }
    }

    #[test]
    fn guarantee_5_no_identifier_is_used_while_its_acknowledgement_can_come(
        script in script_of(vec![HOLD, DOUBLE, REORDER, RELEASE, CLOUD_DETACH, SUBSCRIBE, UNSUBSCRIBE, DETACH]),
    ) {
        play(&script)?;
    }

    #[test]
    fn guarantee_6_no_bytes_of_the_peer_break_anything(
        script in script_of(vec![STRAY, STRAY, FLIP, FLIP, REPORT, CONFIG, COMMAND, SUBSCRIBE]),
    ) {
        play(&script)?;
    }

    #[test]
    fn guarantee_7_nothing_is_sent_for_a_device_that_is_not_attached_in_this_connection(
        script in script_of(vec![DETACH, SUBSCRIBE, CUT, CLOUD_DETACH, BLOCK, HOLD, CUT_AT_PACKET]),
    ) {
        play(&script)?;
    }

    #[test]
    fn guarantee_8_nothing_follows_disconnect_or_the_end_of_a_connection(
        script in script_of(vec![CLOCK_OR_LIFETIME, CLOCK_OR_LIFETIME, CLOSE, CUT, CUT_AFTER, HOLD]),
    ) {
        play(&script)?;
    }

    #[test]
    fn guarantee_9_the_same_inputs_give_the_same_outputs(script in any_script()) {
        let (first, second) = (play(&script)?, play(&script)?);
        prop_assert_eq!(first.entries(), second.entries());
        prop_assert_eq!(first.hash(), second.hash());
    }

    #[test]
    fn guarantee_10_no_token_is_shown_but_on_the_wire(
        script in script_of(vec![CLOCK_OR_LIFETIME, REPORT, CUT, CUT_AT_PACKET, CLOUD_DETACH]),
    ) {
        let mut script = script;
        let mut knobs = script.setup.as_bytes().to_vec();
        knobs[0] = 2;
        script.setup = Setup::from_bytes(&knobs);
        let history = play(&script)?;
        let mark = b"eyJhbGciOiJ";
        let is_written = history.written().windows(mark.len()).any(|window| window == mark);
        prop_assume!(is_written);
        for entry in history.entries() {
            if !matches!(entry.what, What::Received(_) | What::Transmitted(_)) {
                prop_assert!(!format!("{:?} {entry}", entry.what).contains("eyJ"), "{entry}");
            }
        }
    }

    #[test]
    fn guarantee_11_memory_stays_within_the_options(
        script in script_of(vec![TELEMETRY, STATE, LEAVE_UNPOLLED, HOLD, CONFIG, COMMAND, SUBSCRIBE]),
        small in 1..4u8,
    ) {
        let mut script = script;
        let mut knobs = script.setup.as_bytes().to_vec();
        // The queues' limits, the windows, and those of events and acknowledgements.
        for knob in [7, 8, 9, 10, 11, 12, 18, 19] {
            knobs[knob] = small;
        }
        script.setup = Setup::from_bytes(&knobs);
        play(&script)?;
    }
}

/// Returns the same script on a link that carries everything at once, so that what is queued is written at once.
fn on_a_fast_link(mut script: Script) -> Script {
    script.setup = Setup::from_bytes(&script.setup.as_bytes()[..Setup::PLAIN_KNOBS]);
    script
}

/// Checks that the scripts of the properties exercise what they are meant to.
#[test]
fn scripts_of_common_steps_connect_attach_and_publish() {
    let steps = [
        [OPEN, 0, 0, 0],
        [ATTACH, 1, 0, 14],
        [TELEMETRY, 1, 9, 0],
        [WAIT, 1, 200, 3],
    ];
    let script = Script {
        setup: Setup::default(),
        steps: steps.map(Step::from_bytes).to_vec(),
    };
    let history = run(&script).unwrap();
    assert_eq!(history.counts().arrivals, 1);
    assert!(history.counts().elapsed >= Duration::from_secs(40));
}
