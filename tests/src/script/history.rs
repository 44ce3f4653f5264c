//! The history of a script's run, in order, with instants as offsets from its start.

use core::fmt::{self, Write as _};
use core::time::Duration;
use std::collections::BTreeMap;

use iotcore_gateway::{Event, cause::TransportEnd};

use super::step::Step;
use crate::ConnectionId;
use crate::bridge::event::{Event as BridgeEvent, EventKind};
use crate::bridge::faults::{
    AnswerKind, CutMoment, FaultKind, Grant, PacketKind, RefuseBy, Treatment,
};
use crate::link::{Disturbance, Observation};

/// The prefix of every token: the beginning of a JWT header in base64url.
const TOKEN_MARK: &str = "eyJ";

/// The complete history of a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    entries: Vec<Entry>,
    hash: Hash,
    line: String,
    strikes: BTreeMap<&'static str, u64>,
    counts: Counts,
    /// Whether what happens is not counted, because it is not of the script.
    is_uncounted: bool,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The time, as an offset from the start.
    pub at: Duration,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the names of `Observation`, which says what they mean"
)]
pub enum What {
    /// A step of the script, and its result.
    Step {
        step: Step,
        answer: String,
    },
    Dialed(ConnectionId),
    Received(Vec<u8>),
    Transmitted(Vec<u8>),
    TimedOut,
    Disconnected(TransportEnd),
    Event(Event),
    Bridge(BridgeEvent),
    Struck(Disturbance),
}

/// Counters of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Virtual time.
    pub elapsed: Duration,
    /// Publications that the gateway accepted.
    pub publications: u64,
    /// Publications that the bridge received, duplicates included.
    pub arrivals: u64,
    /// Configs and commands that the gateway delivered.
    pub deliveries: u64,
    /// Connections that the bridge accepted.
    pub connections: u64,
    /// Connections beyond the first of each process.
    pub reconnects: u64,
    /// Whether the bridge took its time, or the link was slow, from the start.
    pub is_slow: bool,
    /// Whether the work in the calm at the end was done in the least time and with the fewest packets.
    pub is_brisk: bool,
}

/// FNV-1a, 64 bits: the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

impl History {
    /// Adds an entry; returns whether it reveals a token other than in bytes on the wire.
    pub(crate) fn add(&mut self, at: Duration, what: What) -> bool {
        self.counts.elapsed = at;
        if !self.is_uncounted {
            self.count(&what);
        }
        self.line.clear();
        let entry = Entry { at, what };
        write!(self.line, "{entry}").expect("a String takes all");
        if entry.is_observable() {
            self.hash.add(self.line.as_bytes());
        }
        if let What::Received(bytes) | What::Transmitted(bytes) = &entry.what {
            self.hash.add(bytes);
        }
        self.entries.push(entry);
        self.line.contains(TOKEN_MARK)
    }

    /// Returns all entries, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the gateway's events, in order.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.entries.iter().filter_map(|entry| match &entry.what {
            What::Event(event) => Some(event),
            _ => None,
        })
    }

    /// Returns every byte that the gateway has written, on all its connections.
    pub fn written(&self) -> Vec<u8> {
        let bytes = self.entries.iter().filter_map(|entry| match &entry.what {
            What::Transmitted(bytes) => Some(&bytes[..]),
            _ => None,
        });
        bytes.collect::<Vec<_>>().concat()
    }

    /// Returns a hash of all entries that [are observable](Entry::is_observable).
    pub fn hash(&self) -> u64 {
        self.hash.0
    }

    /// Returns how often each kind of fault took effect.
    pub fn strikes(&self) -> &BTreeMap<&'static str, u64> {
        &self.strikes
    }

    /// Returns the counters.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn struck(&mut self, fault: &'static str) {
        if self.is_uncounted {
            return;
        }
        *self.strikes.entry(fault).or_default() += 1;
    }

    /// Counts an accepted publication.
    pub(crate) fn published(&mut self) {
        self.counts.publications += u64::from(!self.is_uncounted);
    }

    /// Counts nothing from now on but time.
    pub(crate) fn stop_counting(&mut self) {
        self.is_uncounted = true;
    }

    /// Records that the session is in a slow world.
    pub(crate) fn slow_world(&mut self) {
        self.counts.is_slow = true;
    }

    /// Records that the calm at the end passed the checks of its speed.
    pub(crate) fn brisk(&mut self) {
        self.counts.is_brisk = true;
    }

    fn count(&mut self, what: &What) {
        match what {
            What::Struck(disturbance) => self.struck(disturbance.name()),
            What::Event(Event::Config { .. } | Event::Command { .. }) => {
                self.counts.deliveries += 1;
            }
            What::Bridge(event) => match &event.kind {
                EventKind::FaultStruck { fault, .. } => self.struck(name(&fault.kind)),
                EventKind::Connected { .. } => {
                    self.counts.reconnects += u64::from(self.counts.connections > 0);
                    self.counts.connections += 1;
                }
                EventKind::Unserved { .. } => self.struck("packet ignored"),
                EventKind::Telemetry { .. } | EventKind::State { .. } => self.counts.arrivals += 1,
                _ => {}
            },
            _ => {}
        }
    }
}

impl Entry {
    /// Returns whether the entry is observable to anybody but the gateway and its driver: everything except timeouts,
    /// of which a driver may report more than requested.
    pub fn is_observable(&self) -> bool {
        !matches!(self.what, What::TimedOut)
    }
}

impl What {
    /// Converts an observation to a history entry.
    pub(crate) fn from_observation(observation: Observation<'_>) -> Self {
        match observation {
            Observation::Dialed(connection) => Self::Dialed(connection),
            Observation::Received(bytes) => Self::Received(bytes.to_vec()),
            Observation::Transmitted(bytes) => Self::Transmitted(bytes.to_vec()),
            Observation::TimedOut => Self::TimedOut,
            Observation::Disconnected(end) => Self::Disconnected(end),
            Observation::Event(event) => Self::Event(event.clone()),
            Observation::Bridge(event) => Self::Bridge(event.clone()),
            Observation::Struck(disturbance) => Self::Struck(disturbance),
        }
    }
}

/// Formats the entry in one line, without the bytes themselves.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.as_secs_f64();
        write!(f, "{at:>10.3}  ")?;
        match &self.what {
            What::Step { step, answer } => write!(f, "STEP      {step:?} → {answer}"),
            What::Dialed(connection) => write!(f, "dialed    {connection}"),
            What::Received(bytes) => write!(f, "read      {} bytes", bytes.len()),
            What::Transmitted(bytes) => write!(f, "wrote     {} bytes", bytes.len()),
            What::TimedOut => f.write_str("timeout"),
            What::Disconnected(end) => write!(f, "down      {end}"),
            What::Event(event) => write!(f, "event     {event:?}"),
            What::Bridge(event) => write!(f, "bridge    {event}"),
            What::Struck(disturbance) => write!(f, "network   {}", disturbance.name()),
        }
    }
}

impl Disturbance {
    /// Returns its name among the faults.
    pub fn name(self) -> &'static str {
        match self {
            Self::DialFailed => "dial failed",
            Self::Cut => "connection cut",
            Self::HalfOpen => "half-open connection",
            Self::Flipped => "flipped bit",
            Self::Stalled => "stalled network",
            Self::ShortWrite => "short write",
        }
    }
}

/// Returns a fault's name, without its numbers.
pub(crate) fn name(fault: &FaultKind) -> &'static str {
    match fault {
        FaultKind::Refuse { by, .. } => match by {
            RefuseBy::Close => "refused by close",
            RefuseBy::Reset => "refused by reset",
            RefuseBy::Silence => "refused by silence",
            RefuseBy::Connack(_) => "refused by CONNACK",
        },
        FaultKind::Answer { answer, treatment } => match (answer, treatment) {
            (AnswerKind::Puback, Treatment::Hold { .. }) => "PUBACK withheld",
            (AnswerKind::Puback, Treatment::Delay { .. }) => "PUBACK late",
            (AnswerKind::Puback, Treatment::Double { .. }) => "PUBACK doubled",
            (AnswerKind::Puback, Treatment::Reorder { .. }) => "PUBACK reordered",
            (AnswerKind::Suback, Treatment::Hold { .. }) => "SUBACK withheld",
            (AnswerKind::Suback, Treatment::Delay { .. }) => "SUBACK late",
            (AnswerKind::Suback, Treatment::Double { .. }) => "SUBACK doubled",
            (AnswerKind::Suback, Treatment::Reorder { .. }) => "SUBACK reordered",
            (AnswerKind::Unsuback, Treatment::Hold { .. }) => "UNSUBACK withheld",
            (AnswerKind::Unsuback, Treatment::Delay { .. }) => "UNSUBACK late",
            (AnswerKind::Unsuback, Treatment::Double { .. }) => "UNSUBACK doubled",
            (AnswerKind::Unsuback, Treatment::Reorder { .. }) => "UNSUBACK reordered",
            (AnswerKind::Pingresp, Treatment::Hold { .. }) => "PINGRESP withheld",
            (AnswerKind::Pingresp, Treatment::Delay { .. }) => "PINGRESP late",
            (AnswerKind::Pingresp, Treatment::Double { .. }) => "PINGRESP doubled",
            (AnswerKind::Pingresp, Treatment::Reorder { .. }) => "PINGRESP reordered",
        },
        FaultKind::Release { .. } => "answers released",
        FaultKind::Service { .. } => "slow service",
        FaultKind::Stall { .. } => "stalled service",
        FaultKind::Rate { .. } => "slow link",
        FaultKind::Segment { .. } => "small segments",
        FaultKind::Limit { .. } => "large packets refused",
        FaultKind::Raw { .. } => "stray packet",
        FaultKind::LoseReports { .. } => "error report lost",
        FaultKind::Cut { moment, .. } => match moment {
            CutMoment::Before => "cut before a packet",
            CutMoment::Instead => "cut instead of an answer",
            CutMoment::After => "cut after an answer",
        },
        FaultKind::Poison { packet, .. } => match packet {
            PacketKind::Attach | PacketKind::Detach => "poisonous device",
            PacketKind::Subscribe | PacketKind::Unsubscribe => "poisonous subscription",
            _ => "poisonous publication",
        },
        FaultKind::Grant { grant, .. } => match grant {
            Grant::QosZero => "QoS 0 granted",
            Grant::Failure => "SUBSCRIBE refused once",
        },
        FaultKind::Clear => "faults cleared",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_difference_changes_the_hash() {
        let history = |at, bytes: &[u8]| {
            let mut history = History::default();
            history.add(Duration::from_millis(at), What::Received(bytes.to_vec()));
            history.hash()
        };
        assert_eq!(history(1, b"abc"), history(1, b"abc"));
        assert_ne!(history(1, b"abc"), history(2, b"abc"));
        assert_ne!(history(1, b"abc"), history(1, b"abd"));
    }

    #[test]
    fn a_token_is_detected_except_on_the_wire() {
        let mut history = History::default();
        let unrequested = |payload: &'static str| {
            What::Event(Event::Unrequested {
                topic: "x".to_owned(),
                payload: payload.into(),
            })
        };
        assert!(history.add(Duration::ZERO, unrequested("eyJhbGciOiJSUzI1NiJ9.e30.c2ln")));
        assert!(!history.add(Duration::ZERO, unrequested("21.5")));
        assert!(!history.add(
            Duration::ZERO,
            What::Transmitted(b"eyJhbGciOiJSUzI1NiJ9".to_vec())
        ));
    }
}
