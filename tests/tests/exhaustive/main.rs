//! Small scopes, exhaustively: two devices, a window of two, at most two connections, and every interleaving of a small
//! alphabet of steps ([`Step`]) up to a depth. The steps are the user's commands, the bridge's answers in any order, its
//! reports and configs, the transport's partial writes, cuts and dials, and time.
//!
//! Every state that is reached is checked for the guarantees that show from outside ([`referee`]), walked to once more
//! with bytes one by one and calls that have nothing to say in between, which must change nothing, and from there brought
//! to its end by a benign peer: every operation ends. The search is breadth first, so that what it finds is the shortest
//! way to a mistake.
//!
//! The searches take seconds at their default depths, and print how much they have seen. `EXHAUSTIVE_DEPTH=6` in the
//! environment sets another depth for all of them; each step more takes three to eight times as long, so use `--release`,
//! and name one of the tests.
//!
//! Out of its reach: what takes more than two connections, tokens that expire, and packet identifiers that are used again,
//! for the first 65,535 of a connection are all fresh.
#![forbid(unsafe_code)]

mod connection;
mod referee;
mod step;
mod wire;
mod world;

use std::{
    collections::BTreeSet,
    env,
    io::{self, Write as _},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Instant,
};

use self::{
    step::{Step, WalkMode},
    world::World,
};

/// The way to a gateway that is open, whose bridge has granted the errors topic.
const OPEN: &[Step] = &[
    Step::Connect,
    Step::Write,
    Step::Answer(0),
    Step::Write,
    Step::Answer(0),
];

/// On to two attached devices.
const ATTACHED: &[Step] = &[
    Step::Attach(0),
    Step::Attach(1),
    Step::Write,
    Step::Answer(0),
    Step::Answer(0),
];

/// On to a message of each in flight, and a subscription.
const IN_FLIGHT: &[Step] = &[
    Step::Publish(0),
    Step::Publish(1),
    Step::Subscribe(0),
    Step::Write,
];

#[test]
fn from_the_first_dial_on() {
    search("from the first dial on", &[], 7);
}

#[test]
fn from_an_open_gateway_on() {
    search("from an open gateway on", OPEN, 5);
}

#[test]
fn from_two_attached_devices_on() {
    let way = [OPEN, ATTACHED].concat();
    search("from two attached devices on", &way, 4);
}

#[test]
fn from_messages_in_flight_on() {
    let way = [OPEN, ATTACHED, IN_FLIGHT].concat();
    search("from messages in flight on", &way, 4);
}

/// Explores everything that can follow a way of steps, and tells how much that was.
fn search(name: &str, way: &[Step], depth: usize) {
    let depth = env::var("EXHAUSTIVE_DEPTH").map_or(depth, |depth| {
        depth.parse().expect("EXHAUSTIVE_DEPTH is a number")
    });
    let mut search = Search::new();
    assert!(search.is_new(way));
    let mut newest = vec![way.to_vec()];
    for _ in 0..depth {
        newest = search.follow(&newest);
    }
    let (states, transitions) = (search.seen.len(), search.transitions);
    let time = now() - search.start;
    // Not by `print`, which the harness keeps to itself unless the test fails.
    let told =
        format!("{name}: {states} states, {transitions} transitions, depth {depth}, {time:.1?}\n");
    let _ = io::stdout().write_all(told.as_bytes());
}

/// A search, breadth first. A state is known by its fingerprint and reached again by its path, for a gateway cannot be
/// copied.
struct Search {
    start: Instant,
    seen: BTreeSet<u128>,
    transitions: usize,
    text: String,
}

impl Search {
    fn new() -> Self {
        Self {
            start: now(),
            seen: BTreeSet::new(),
            transitions: 0,
            text: String::new(),
        }
    }

    /// The paths to the new states that are one step behind these.
    fn follow(&mut self, paths: &[Vec<Step>]) -> Vec<Vec<Step>> {
        let mut new = Vec::new();
        for path in paths {
            for step in World::walk(self.start, WalkMode::Plain, path).steps() {
                let path = [&path[..], &[step]].concat();
                self.transitions += 1;
                if self.is_new(&path) {
                    new.push(path);
                }
            }
        }
        new
    }

    /// Whether a path leads to a new state. If so, everything about it has been checked. Tells the path if that fails.
    fn is_new(&mut self, path: &[Step]) -> bool {
        // Nothing of it is used after a panic.
        let checked = catch_unwind(AssertUnwindSafe(|| self.check(path)));
        checked.unwrap_or_else(|panic| {
            let _ = writeln!(io::stderr(), "after {path:?}");
            resume_unwind(panic)
        })
    }

    fn check(&mut self, path: &[Step]) -> bool {
        let world = World::walk(self.start, WalkMode::Plain, path);
        if !self.seen.insert(world.fingerprint(&mut self.text)) {
            return false;
        }
        let noisy = World::walk(self.start, WalkMode::Redundant, path);
        let (found, expected) = (noisy.transcript(), world.transcript());
        assert_eq!(found, expected, "noise has changed something");
        noisy.end();
        true
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "virtual time has to start somewhere, and the search is timed"
)]
fn now() -> Instant {
    Instant::now()
}
