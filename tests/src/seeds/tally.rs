//! Sums up the results of many scripts.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::script::History;

/// The sum of many histories.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The number of scripts.
    pub scripts: u64,
    /// Those in a slow world.
    pub slow: u64,
    /// Those whose calm at the end passed the checks of its speed, and those of them in a slow world.
    pub brisk: [u64; 2],
    /// Virtual time, of both runs of each script.
    pub elapsed: Duration,
    /// Publications that the gateway accepted.
    pub publications: u64,
    /// Publications that the bridge received, duplicates included.
    pub arrivals: u64,
    /// Configs and commands delivered.
    pub deliveries: u64,
    /// Connections that the bridge accepted.
    pub connections: u64,
    /// Connections beyond the first of each script.
    pub reconnects: u64,
    /// How often each kind of fault took effect.
    pub strikes: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Adds the result of one script.
    pub fn add(&mut self, history: &History) {
        let counts = history.counts();
        self.scripts += 1;
        self.slow += u64::from(counts.is_slow);
        self.brisk[0] += u64::from(counts.is_brisk);
        self.brisk[1] += u64::from(counts.is_brisk && counts.is_slow);
        self.elapsed += counts.elapsed * 2;
        self.publications += counts.publications;
        self.arrivals += counts.arrivals;
        self.deliveries += counts.deliveries;
        self.connections += counts.connections;
        self.reconnects += counts.reconnects;
        for (fault, times) in history.strikes() {
            *self.strikes.entry(fault).or_default() += times;
        }
    }
}
