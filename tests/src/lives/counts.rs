//! What has happened in many lives.

use core::fmt;
use std::collections::BTreeMap;

/// How often each thing has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    /// Returns how often this has happened.
    #[must_use]
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// Counts one.
    pub(super) fn one(&mut self, what: &'static str) {
        self.many(what, 1);
    }

    /// Counts many.
    pub(super) fn many(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    /// Adds those of another seed.
    pub fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.many(what, *times);
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (what, times)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{times} {what}")?;
        }
        Ok(())
    }
}
