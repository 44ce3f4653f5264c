//! Plays hundreds of generated scripts with every kind of fault, and all scripts that ever broke a guarantee.
#![forbid(unsafe_code)]

use iotcore_gateway::message::QoS;
use iotcore_gateway_testkit::script::{
    self, CallPattern, Command, NetworkFault, Script, Setup, Step, Terms,
};
use iotcore_gateway_testkit::seeds::{self, Tally};

/// Scripts that once broke a guarantee, one per line, each after a description of the bug.
const ONCE_BROKEN: &str = include_str!("once_broken.txt");

/// `iotcore-simulate` plays more of them.
const SEEDS: u64 = 500;

#[test]
fn some_hundred_seeds_break_no_guarantee() {
    let mut tally = Tally::default();
    for seed in 0..SEEDS {
        match seeds::examine(&seeds::script(seed)) {
            Ok(history) => tally.add(&history),
            Err(broken) => panic!("seed {seed}: {broken}"),
        }
    }
    assert!(tally.connections > SEEDS, "{tally:?}");
    assert!(tally.publications > SEEDS, "{tally:?}");
    assert!(tally.strikes.len() > 30, "few kinds of faults: {tally:?}");
}

#[test]
fn scripts_that_once_broke_a_guarantee_pass() {
    let lines = ONCE_BROKEN.lines().map(str::trim);
    let scripts: Vec<_> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    assert!(scripts.len() > 10);
    for line in scripts {
        let script: Script = line
            .parse()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        if let Err(broken) = seeds::examine(&script) {
            panic!("{broken}\n{script}");
        }
    }
}

#[test]
fn a_seed_gives_the_same_script_and_the_same_history_each_time() {
    for seed in 1_000..1_020 {
        let script = seeds::script(seed);
        assert_eq!(script, seeds::script(seed));
        let histories = [(); 2].map(|()| script::run(&script).unwrap());
        assert_eq!(
            histories[0].entries(),
            histories[1].entries(),
            "seed {seed}"
        );
        assert_eq!(histories[0].hash(), histories[1].hash());
    }
    assert_ne!(seeds::script(1), seeds::script(2));
}

#[test]
fn the_call_pattern_does_not_change_the_history() {
    let script = seeds::script(4);
    let plain = script::run(&script).unwrap();
    let pattern = CallPattern {
        split: 1,
        makes_redundant_calls: true,
    };
    assert_eq!(
        plain.hash(),
        script::run_with(&script, pattern).unwrap().hash()
    );
    let other = Script {
        setup: Setup::from_bytes(&[0, 5]),
        ..script
    };
    assert_ne!(
        plain.hash(),
        script::run(&other).unwrap().hash(),
        "a different jitter causes a different history"
    );
}

#[test]
fn a_script_is_shrunk_while_it_still_fails() {
    let script = (0..)
        .map(seeds::script)
        .find(|script| is_failing(script) && script.steps.len() > 20)
        .unwrap();
    let small = seeds::shrink(script, is_failing);
    let size = 8;
    assert_eq!(small.setup, Setup::default());
    assert_eq!(
        small.steps,
        [
            Step::User(Command::Telemetry {
                device: 0,
                qos: QoS::AtLeastOnce,
                size,
                terms: Terms::default(),
            }),
            Step::Network(NetworkFault::Cut),
        ]
    );
}

/// Returns whether a script contains two steps in this order, and a number of one byte: a simulated bug.
fn is_failing(script: &Script) -> bool {
    let is_large =
        |step: &Step| matches!(step, Step::User(Command::Telemetry { size: 8..256, .. }));
    let is_cut = |step: &Step| *step == Step::Network(NetworkFault::Cut);
    let large = script.steps.iter().position(is_large);
    large.is_some_and(|at| script.steps[at..].iter().any(is_cut))
}

#[test]
fn a_script_that_breaks_no_guarantee_is_not_shrunk() {
    let script = seeds::script(3);
    assert_eq!(seeds::shrink(script.clone(), |_| false), script);
}
