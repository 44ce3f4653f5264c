//! An exhaustive search of small scopes: two devices, a window of two, at most two connections, and every interleaving
//! of a small set of steps ([`Step`]) up to a depth. The steps are the user's commands, the bridge's answers in any
//! order, its reports and configs, the transport's partial writes, cuts and dials, and time. Time can jump beyond the
//! timeouts twice, so that answers arrive late: reported, or while the gateway's process does not run.
//!
//! Every reached state is checked for the guarantees that are observable from outside ([`referee`]). It is then reached
//! once more with bytes one by one and redundant calls in between, which must change nothing; and from there a
//! cooperative peer ends the run, in which every operation must end. The search is breadth first, so that the first
//! failure found has the shortest path.
//!
//! The searches take seconds at their default depths, and print how many states they have visited. `EXHAUSTIVE_DEPTH=6`
//! in the environment sets another depth for all of them; each additional step takes three to eight times as long, so
//! use `--release`, and select one of the tests.
//!
//! Not covered: more than two connections, tokens that expire, and reused packet identifiers, because the first 65,535
//! of a connection are all new.
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

/// The path to an open gateway, whose bridge has granted the errors topic.
const OPEN: &[Step] = &[
    Step::Connect,
    Step::Write,
    Step::Answer(0),
    Step::Write,
    Step::Answer(0),
];

/// The path from there to two attached devices.
const ATTACHED: &[Step] = &[
    Step::Attach(0),
    Step::Attach(1),
    Step::Write,
    Step::Answer(0),
    Step::Answer(0),
];

/// The path from there to one message of each device in flight, and a subscription.
const IN_FLIGHT: &[Step] = &[
    Step::Publish(0),
    Step::Publish(1),
    Step::Subscribe(0),
    Step::Write,
];

/// The path from an open gateway to one attached device, and an attach, a subscription and a message that the bridge
/// has not answered in time.
const OVERDUE: &[Step] = &[
    Step::Attach(0),
    Step::Write,
    Step::Answer(0),
    Step::Attach(1),
    Step::Subscribe(0),
    Step::Publish(0),
    Step::Write,
    Step::Linger,
];

#[test]
fn from_the_first_dial() {
    search("from the first dial", &[], 6);
}

#[test]
fn from_an_open_gateway() {
    search("from an open gateway", OPEN, 5);
}

#[test]
fn from_two_attached_devices() {
    let way = [OPEN, ATTACHED].concat();
    search("from two attached devices", &way, 4);
}

#[test]
fn from_messages_in_flight() {
    let way = [OPEN, ATTACHED, IN_FLIGHT].concat();
    search("from messages in flight", &way, 3);
}

#[test]
fn from_overdue_answers() {
    let way = [OPEN, OVERDUE].concat();
    search("from overdue answers", &way, 3);
}

/// Explores everything that can follow a path, and prints the number of states and transitions.
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
    // Not with `print`, whose output the test harness captures unless the test fails.
    let told =
        format!("{name}: {states} states, {transitions} transitions, depth {depth}, {time:.1?}\n");
    let _ = io::stdout().write_all(told.as_bytes());
}

/// A breadth-first search. A state is identified by its fingerprint and reached again by its path, because a gateway
/// cannot be cloned.
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

    /// The paths to the new states that are one step further than these.
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

    /// Returns whether a path leads to a new state, after checking it. Prints the path if a check fails.
    fn is_new(&mut self, path: &[Step]) -> bool {
        // Nothing that it uses is accessed after a panic.
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
        assert_eq!(found, expected, "redundant calls have changed something");
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
