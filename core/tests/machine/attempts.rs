//! Attempts to connect: when each begins, and how many there are.

use std::{collections::BTreeSet, time::Duration};

use iotcore_gateway::{Options, TransportEnd};

use super::peer::{Harness, seconds};

/// Returns how long each gateway waits before its next attempt, after this many failures in a row. All have one seed,
/// and all fail at the same instants.
fn waits_of_a_fleet(gateways: usize, failures: u32) -> Vec<Duration> {
    let wait = |name: usize| {
        let mut harness = Harness::named(&format!("gateway-{name}"), Options::default());
        harness.gateway.open(harness.now).unwrap();
        let mut wait = Duration::ZERO;
        for _ in 0..failures {
            harness.wait(wait);
            let end = TransportEnd::DialFailed;
            harness.gateway.handle_disconnected(end, harness.now);
            wait = harness.disconnected().retry_in.unwrap();
        }
        wait
    };
    (0..gateways).map(wait).collect()
}

#[test]
fn the_attempts_of_a_fleet_do_not_coincide_at_the_longest_backoff_either() {
    for (failures, from, to) in [(1, 1_000, 2_000), (3, 4_000, 5_000), (6, 24_000, 32_000)] {
        let waits = waits_of_a_fleet(100, failures);
        let (from, to) = (Duration::from_millis(from), Duration::from_millis(to));
        let edge = (to - from) / 10;
        let (first, last) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(
            *first >= from && *first < from + edge && *last > to - edge && *last <= to,
            "{failures} failures: from {first:?} to {last:?}"
        );
        let distinct: BTreeSet<_> = waits.iter().collect();
        assert!(distinct.len() >= 90, "{} of 100", distinct.len());
    }
    assert!(
        waits_of_a_fleet(100, 20)
            .iter()
            .all(|wait| *wait <= seconds(32))
    );
}
