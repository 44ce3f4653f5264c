//! Scripts generated from numbers: generates a script from a seed, shrinks a failing script, and counts the faults in
//! each.
//!
//! ```
//! use iotcore_gateway_testkit::seeds;
//!
//! let script = seeds::script(7);
//! assert_eq!(seeds::script(7), script);
//! let history = seeds::examine(&script)?;
//! println!("{} publications in {:?}", history.counts().publications, history.counts().elapsed);
//! # Ok::<(), iotcore_gateway_testkit::script::Broken>(())
//! ```

mod make;
mod shrink;
mod tally;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use self::make::script;
pub use self::shrink::shrink;
pub use self::tally::Tally;
use crate::script::{Broken, CallPattern, Entry, History, Rule, Script, run_with};

/// How the second run drives the gateway, which must not affect the result.
const SECOND_PATTERN: CallPattern = CallPattern {
    split: 3,
    makes_redundant_calls: true,
};

/// Plays a script twice, the second time with different fragments, polls and spurious timeouts, and compares the
/// histories; returns the first. A panic also counts as a violated guarantee.
///
/// # Errors
/// A guarantee does not hold.
pub fn examine(script: &Script) -> Result<History, Broken> {
    let first = play(script, CallPattern::default())?;
    let second = play(script, SECOND_PATTERN)?;
    if first.hash() == second.hash() {
        return Ok(first);
    }
    let again = play(script, CallPattern::default())?;
    Err(differing(&first, &second, first.hash() == again.hash()))
}

/// Returns the smallest script found that violates the same guarantee, and its violation.
pub fn reduce(script: Script, broken: Broken) -> (Script, Broken) {
    let mut smallest = broken;
    let rule = smallest.rule;
    let script = shrink(script, |script| match examine(script) {
        Err(broken) if broken.rule == rule => {
            smallest = broken;
            true
        }
        _ => false,
    });
    (script, smallest)
}

/// Plays a script; converts a panic to a violated guarantee.
fn play(script: &Script, pattern: CallPattern) -> Result<History, Broken> {
    catch_unwind(AssertUnwindSafe(|| run_with(script, pattern))).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Broken {
            rule: Rule::Progress,
            what: format!("a panic: {}", message.unwrap_or("without a message")),
            at: core::time::Duration::ZERO,
            step: 0,
            history: Box::default(),
        })
    })
}

/// Describes the difference between two histories of one script.
fn differing(first: &History, second: &History, is_repeatable: bool) -> Broken {
    let observable = |history: &History| -> Vec<Entry> {
        let entries = history.entries().iter();
        entries
            .filter(|entry| entry.is_observable())
            .cloned()
            .collect()
    };
    let (firsts, seconds) = (observable(first), observable(second));
    let difference = firsts
        .iter()
        .zip(&seconds)
        .find(|(one, other)| one != other);
    let (at, what) = match difference {
        Some((one, other)) => (one.at, format!("first {one}, then {other}")),
        None => (
            first.counts().elapsed,
            "one history is longer than the other".to_owned(),
        ),
    };
    let why = match is_repeatable {
        true => "fragments, polls or spurious timeouts made a difference",
        false => "the same inputs gave different outputs",
    };
    Broken {
        rule: Rule::Determinism,
        what: format!("{why}: {what}"),
        at,
        step: 0,
        history: Box::new(second.clone()),
    }
}
