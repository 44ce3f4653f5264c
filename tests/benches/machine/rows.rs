//! The rows of the table: the work, its subjects, and our target.

use crate::{
    dialogue::{Cost, Dialogue, In, Out, Talk},
    subject::{BUFFER, Contender, Work},
};

/// The number of rounds, of which the best counts. In each round, all subjects run all rows in turn, so that
/// disturbances affect all of them equally.
const ROUNDS: usize = 25;

/// One kind of work and its cost for each subject.
pub(crate) struct Row {
    pub(crate) group: &'static str,
    pub(crate) name: &'static str,
    pub(crate) talk: Talk,
    /// The number of units that each message counts as in the figures.
    pub(crate) units: usize,
    pub(crate) targets: Vec<Target>,
    /// In the order of [`Contender::ALL`]; none for a subject that does not support this work.
    pub(crate) costs: [Option<Cost>; 4],
}

/// The target of our figure of a row.
pub(crate) enum Target {
    /// At least this many times as fast.
    FasterThan(Contender, f64),
    /// At most this many times the floor.
    Floor(f64),
    /// At most this many times our figure in the row of this name.
    Flat(&'static str, f64),
    /// At most this many allocations per message.
    Allocations(f64),
}

/// A target, and our figure.
#[derive(Clone)]
pub(crate) struct Check {
    pub(crate) target: String,
    pub(crate) found: f64,
    pub(crate) is_met: bool,
}

impl Row {
    fn new(group: &'static str, name: &'static str, talk: Talk) -> Self {
        Self {
            group,
            name,
            talk,
            units: 1,
            targets: Vec::new(),
            costs: [None; 4],
        }
    }

    fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    pub(crate) fn cost(&self, contender: Contender) -> Option<Cost> {
        self.costs[contender as usize]
    }

    pub(crate) fn ours(&self) -> Cost {
        self.cost(Contender::Ours).expect("we have every row")
    }

    /// Returns our nanoseconds per nanosecond of this subject.
    pub(crate) fn ratio(&self, contender: Contender) -> Option<f64> {
        Some(self.ours().nanos / self.cost(contender)?.nanos)
    }

    pub(crate) fn checks(&self, rows: &[Self]) -> Vec<Check> {
        self.targets
            .iter()
            .filter_map(|target| self.check(target, rows))
            .collect()
    }

    fn check(&self, target: &Target, rows: &[Self]) -> Option<Check> {
        let at_most = |found: f64, limit: f64, of: &str| Check {
            target: format!("≤ {limit} {of}"),
            found,
            is_met: found <= limit,
        };
        Some(match *target {
            Target::FasterThan(contender, times) => {
                let found = 1.0 / self.ratio(contender)?;
                Check {
                    target: format!("≥ {times} × {}", contender.short_name()),
                    found,
                    is_met: found >= times,
                }
            }
            Target::Floor(times) => at_most(self.ratio(Contender::Floor)?, times, "× floor"),
            Target::Flat(name, times) => {
                let base = rows.iter().find(|row| row.name == name)?.ours();
                let of = format!("× {name}");
                at_most(self.ours().nanos / base.nanos, times, &of)
            }
            Target::Allocations(count) => at_most(self.ours().allocations, count, "allocations"),
        })
    }
}

/// Measures every row.
pub(crate) fn measured() -> Vec<Row> {
    let mut rows = rows();
    let mut dialogues = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let contenders = Contender::ALL.into_iter();
        let able = contenders.filter(|contender| row.talk.suits(*contender));
        dialogues.extend(able.map(|contender| (at, contender, Dialogue::new(contender, row.talk))));
    }
    for _ in 0..ROUNDS {
        for (at, contender, dialogue) in &dialogues {
            let row = &mut rows[*at];
            let cost = dialogue.repeat().shared_by(row.units);
            let best = &mut row.costs[*contender as usize];
            if best.is_none_or(|best| cost.nanos < best.nanos) {
                *best = Some(cost);
            }
        }
    }
    rows
}

/// Measures our cost of one pass of the row of this name.
pub(crate) fn once(name: &str) -> Option<Cost> {
    let row = rows().into_iter().find(|row| row.name == name)?;
    let cost = Dialogue::new(Contender::Ours, row.talk).repeat();
    Some(cost.shared_by(row.units))
}

/// The tolerance of a flat figure at growing sizes: 15 %.
const FLAT: f64 = 1.15;

fn rows() -> Vec<Row> {
    [
        outbound(),
        in_flight(),
        beside_more(),
        inbound(),
        in_pieces(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn out(payload: usize, window: u16, batch: usize) -> Out {
    let work = Work {
        payload,
        devices: 1,
        window,
    };
    Out {
        work,
        queued: 0,
        batch,
        messages: 40_000,
    }
}

fn outbound() -> Vec<Row> {
    let group = "Out: a publication accepted, its bytes out, its PUBACK in, its completion out; windows of 100";
    let large = Out {
        messages: 1_000,
        ..out(64 * 1024, 100, 100)
    };
    vec![
        Row::new(group, "64 B", Talk::Out(out(64, 100, 100)))
            .target(Target::Floor(3.0))
            .target(Target::FasterThan(Contender::Rumqttc, 4.0))
            .target(Target::FasterThan(Contender::ProtocolCore, 5.0))
            .target(Target::Allocations(0.0)),
        Row::new(group, "1 KiB", Talk::Out(out(1024, 100, 100))).target(Target::Allocations(0.0)),
        Row::new(group, "64 KiB", Talk::Out(large))
            .target(Target::Floor(1.3))
            .target(Target::Allocations(0.0)),
    ]
}

fn in_flight() -> Vec<Row> {
    let group = "In flight: one publication of 64 B at a time, beside so many";
    let row = |name, window| {
        Row::new(group, name, Talk::Out(out(64, window, 1))).target(Target::Allocations(0.0))
    };
    let flat = || Target::Flat("1 in flight", FLAT);
    vec![
        row("1 in flight", 1),
        row("100 in flight", 100).target(flat()),
        row("10,000 in flight", 10_000).target(flat()),
        row("30,000 in flight", 30_000).target(flat()),
    ]
}

fn beside_more() -> Vec<Row> {
    let group = "Devices and queue: windows of 100 publications of 64 B";
    let row = |name, devices, queued| {
        let mut out = out(64, 100, 100);
        out.work.devices = devices;
        out.queued = queued;
        Row::new(group, name, Talk::Out(out)).target(Target::Allocations(0.0))
    };
    let flat = || Target::Flat("1 device", FLAT);
    vec![
        row("1 device", 1, 0),
        row("100 devices", 100, 0).target(flat()),
        row("1,000 devices", 1_000, 0).target(flat()),
        row("100 devices, 100,000 queued", 100, 100_000).target(flat()),
    ]
}

fn inbound() -> Vec<Row> {
    let group = "In: a command at QoS 1, its event out, its PUBACK out; read in 16 KiB";
    let row = |name, payload, batch, messages| {
        let into = In {
            payload,
            batch,
            piece: BUFFER,
            messages,
        };
        Row::new(group, name, Talk::In(into)).target(Target::Allocations(2.0))
    };
    vec![
        row("64 B command", 64, 100, 40_000),
        row("1 KiB command", 1024, 100, 20_000),
        row("64 KiB command", 64 * 1024, 10, 1_000).target(Target::Floor(1.3)),
    ]
}

fn in_pieces() -> Vec<Row> {
    let group = "In pieces: one command, by the KiB";
    let row = |name, payload, piece| {
        let into = In {
            payload,
            batch: 1,
            piece,
            messages: (4 << 20) / payload,
        };
        Row {
            units: payload / 1024,
            ..Row::new(group, name, Talk::In(into))
        }
    };
    let flat = |name| Target::Flat(name, FLAT);
    vec![
        row("256 KiB whole", 256 * 1024, 1 << 20),
        row("16 KiB in 1 KiB pieces", 16 * 1024, 1024),
        row("256 KiB in 1 KiB pieces", 256 * 1024, 1024).target(flat("16 KiB in 1 KiB pieces")),
        row("16 KiB in 64 B pieces", 16 * 1024, 64),
        row("256 KiB in 64 B pieces", 256 * 1024, 64).target(flat("16 KiB in 64 B pieces")),
    ]
}
