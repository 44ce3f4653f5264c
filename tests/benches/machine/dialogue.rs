//! The exchange between a subject and its peer, recorded once and then replayed for the measurement.
//!
//! All subjects are deterministic, so a new one that receives the same answers sends the same packets: during the
//! measurement nothing parses a subject's output, and its figures include none of the peer's time.

use std::{hint::black_box, time::Instant};

use crate::{
    allocator, peer,
    subject::{self, Contender, Subject, Work},
};

/// The cost of one pass, per message.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) nanos: f64,
    pub(crate) allocations: f64,
}

impl Cost {
    /// Returns the same cost with a message counted as this many units.
    pub(crate) fn shared_by(self, units: usize) -> Self {
        Self {
            nanos: self.nanos / units as f64,
            allocations: self.allocations / units as f64,
        }
    }
}

/// One kind of work for one subject, ready to be repeated.
pub(crate) struct Dialogue {
    contender: Contender,
    talk: Talk,
    /// The peer's answers, from the first step on.
    answers: Vec<u8>,
}

/// The exchange, step by step.
#[derive(Clone, Copy)]
pub(crate) enum Talk {
    /// Outgoing publications and their PUBACKs.
    Out(Out),
    /// Incoming PUBLISHes and our PUBACKs.
    In(In),
}

impl Talk {
    /// Only a gateway has a queue; other clients leave queueing to their user.
    pub(crate) fn suits(&self, contender: Contender) -> bool {
        match self {
            Self::Out(out) => out.queued == 0 || contender == Contender::Ours,
            Self::In(_) => true,
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Out {
    pub(crate) work: Work,
    /// The number of publications that always wait for the window.
    pub(crate) queued: usize,
    /// The number of publications accepted, and then acknowledged, in each step.
    pub(crate) batch: usize,
    pub(crate) messages: usize,
}

#[derive(Clone, Copy)]
pub(crate) struct In {
    pub(crate) payload: usize,
    pub(crate) batch: usize,
    /// The size of the pieces in which the bytes arrive.
    pub(crate) piece: usize,
    pub(crate) messages: usize,
}

/// The number of messages before the measurement: after them, every packet identifier was used once, and all buffers
/// have grown.
const WARM_UP: usize = 1 << 16;

impl Dialogue {
    pub(crate) fn new(contender: Contender, talk: Talk) -> Self {
        let answers = match talk {
            Talk::Out(out) => out.record(contender),
            Talk::In(into) => {
                let topic = format!("/devices/{}/commands/lamp", subject::device(0));
                peer::publishes(&topic, into.payload, into.batch)
            }
        };
        Self {
            contender,
            talk,
            answers,
        }
    }

    /// Runs it once more, with a new subject.
    pub(crate) fn repeat(&self) -> Cost {
        match self.talk {
            Talk::Out(out) => out.repeat(self.contender, &self.answers),
            Talk::In(into) => into.repeat(self.contender, &self.answers),
        }
    }
}

impl Out {
    fn steps(&self) -> usize {
        self.messages.div_ceil(self.batch)
    }

    fn steps_ahead(&self) -> usize {
        WARM_UP.div_ceil(self.batch)
    }

    /// Returns a subject that has as much in flight and queued as before each step.
    fn begin(&self, contender: Contender, answers: &mut Vec<u8>) -> Box<dyn Subject> {
        let mut subject = contender.build(&self.work);
        let ahead = usize::from(self.work.window) + self.queued - self.batch;
        subject.send(ahead, &mut |bytes| peer::answer(bytes, answers));
        subject
    }

    fn record(&self, contender: Contender) -> Vec<u8> {
        let mut answers = Vec::new();
        let mut subject = self.begin(contender, &mut answers);
        for step in 0..self.steps_ahead() + self.steps() {
            subject.send(self.batch, &mut |bytes| peer::answer(bytes, &mut answers));
            let said = step * self.batch * 4;
            let done = subject.acknowledge(&answers[said..said + self.batch * 4]);
            assert_eq!(done, self.batch, "{contender:?} completes a step");
        }
        answers
    }

    fn repeat(&self, contender: Contender, answers: &[u8]) -> Cost {
        let mut subject = self.begin(contender, &mut Vec::new());
        let mut answers = answers.chunks(self.batch * 4);
        let mut step = |subject: &mut dyn Subject| {
            subject.send(self.batch, &mut |bytes| {
                black_box(bytes);
            });
            subject.acknowledge(answers.next().expect("as many as were recorded"))
        };
        for _ in 0..self.steps_ahead() {
            step(&mut *subject);
        }
        clock(|| (0..self.steps()).map(|_| step(&mut *subject)).sum())
    }
}

impl In {
    fn repeat(&self, contender: Contender, publishes: &[u8]) -> Cost {
        let mut subject = contender.build(&Work {
            payload: 0,
            devices: 1,
            window: 100,
        });
        let mut pubacks = 0;
        let mut step = || {
            subject.receive(publishes, self.piece, &mut |bytes| {
                pubacks += black_box(bytes).len() / 4;
            })
        };
        let steps = self.messages.div_ceil(self.batch);
        let ahead = steps.div_ceil(10);
        for _ in 0..ahead {
            step();
        }
        let cost = clock(|| (0..steps).map(|_| step()).sum());
        let all = (ahead + steps) * self.batch;
        assert_eq!(pubacks, all, "{contender:?} acknowledges all");
        cost
    }
}

/// Measures a function that returns its number of messages.
#[inline(never)]
pub(crate) fn clock(run: impl FnOnce() -> usize) -> Cost {
    let (start, allocations) = (Instant::now(), allocator::allocations());
    let messages = run() as f64;
    Cost {
        nanos: start.elapsed().as_secs_f64() * 1e9 / messages,
        allocations: (allocator::allocations() - allocations) as f64 / messages,
    }
}
