//! Whole lives of a gateway with a store, drawn from seeds, and all of a small scope.
//!
//! `LIVES_SEEDS=100000 cargo test --release -p iotcore-gateway-testkit --test store lives -- --nocapture` plays more, from
//! the seed `LIVES_FROM` on; `LIVES_SEED` plays one alone, and `LIVES_ALL=1` searches the whole small scope.

use std::env;
use std::panic;

use iotcore_gateway_testkit::lives::{self, Broken, Counts, SCENARIOS};

/// The number of seeds.
const SEEDS: u64 = 250;

/// Without `LIVES_ALL`, one scenario of so many is searched.
const SHARE: u64 = 144;

/// What a run must have had.
const KINDS: [&str; 30] = [
    "kills",
    "power cuts",
    "pages lost",
    "pages torn",
    "entries lost",
    "flipped bits",
    "failed syncs",
    "full disks",
    "slow disks",
    "starts with reads that fail",
    "dates of 1970",
    "closes",
    "lives that gave up connecting",
    "restored",
    "stored",
    "puts",
    "removes",
    "commits",
    "failed commits",
    "delivered",
    "duplicates",
    "connections that ended",
    "blocked",
    "refused because the store failed",
    "superseded",
    "dropped",
    "expired",
    "cancelled",
    "detached",
    "refused with their device",
];

fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

/// Plays a seed; what panics is reported with it.
fn play(seed: u64) -> Counts {
    let played = panic::catch_unwind(|| lives::play(seed));
    counts_of(played.unwrap_or_else(|_| panic!("seed {seed}: a panic")))
}

fn counts_of(result: Result<Counts, Broken>) -> Counts {
    result.unwrap_or_else(|broken| panic!("{broken}"))
}

#[expect(clippy::print_stdout, reason = "the counts are the result")]
#[test]
fn what_is_stored_outlives_whatever_ends_a_life() {
    let from = number("LIVES_FROM").unwrap_or(0);
    let seeds = match number("LIVES_SEED") {
        Some(seed) => seed..seed + 1,
        None => from..from + number("LIVES_SEEDS").unwrap_or(SEEDS),
    };
    let mut counts = Counts::default();
    for seed in seeds.clone() {
        counts.add(&play(seed));
    }
    println!("{counts}");
    if seeds.end - seeds.start >= SEEDS {
        let missing: Vec<_> = KINDS.iter().filter(|kind| counts.of(kind) == 0).collect();
        assert_eq!(missing, [&""; 0]);
    }
}

#[expect(clippy::print_stdout, reason = "the counts are the result")]
#[test]
fn a_crash_at_any_operation_of_the_disk_loses_nothing_of_three_publications() {
    let share = if number("LIVES_ALL").is_some() {
        1
    } else {
        SHARE
    };
    let mut counts = Counts::default();
    for scenario in (0..SCENARIOS).filter(|scenario| scenario % share == scenario / share % share) {
        counts.add(&counts_of(lives::small_scope(scenario)));
    }
    println!("{counts}");
    assert!(counts.of("scenarios") > 0);
}
