//! What a subject and its peer say to each other, written down once and then repeated against the clock.
//!
//! All subjects are deterministic, so a fresh one that is given the same answers asks the same questions: while the
//! clock runs nobody looks at what a subject writes, and none of the peer's time is in its figures.

use std::{hint::black_box, time::Instant};

use crate::{
    allocator, peer,
    subject::{self, Contender, Subject, Work},
};

/// What one pass costs, for each message.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) nanos: f64,
    pub(crate) allocations: f64,
}

impl Cost {
    /// The same if a message counts as so many.
    pub(crate) fn shared_by(self, units: usize) -> Self {
        Self {
            nanos: self.nanos / units as f64,
            allocations: self.allocations / units as f64,
        }
    }
}

/// One kind of work, for one subject, ready to be repeated.
pub(crate) struct Dialogue {
    contender: Contender,
    talk: Talk,
    /// What the peer says, from the first step on.
    answers: Vec<u8>,
}

/// What is said, step by step.
#[derive(Clone, Copy)]
pub(crate) enum Talk {
    /// Publications out and their PUBACKs in.
    Out(Out),
    /// PUBLISHes in and our PUBACKs out.
    In(In),
}

impl Talk {
    /// Only a gateway has a queue; the other clients leave that to their user.
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
    /// Publications that wait behind the window all the time.
    pub(crate) queued: usize,
    /// In each step so many are accepted, and then so many acknowledged.
    pub(crate) batch: usize,
    pub(crate) messages: usize,
}

#[derive(Clone, Copy)]
pub(crate) struct In {
    pub(crate) payload: usize,
    pub(crate) batch: usize,
    /// The bytes come in pieces of this size.
    pub(crate) piece: usize,
    pub(crate) messages: usize,
}

/// Messages before the clock starts: by then every packet identifier was in use once, and what grows has grown.
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

    /// Has it once more, with a fresh subject.
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

    /// A subject that has as much in flight and in its queue as it will have before each step.
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
            assert_eq!(done, self.batch, "{contender:?} has a step done");
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

/// Runs this on the clock; it gives how many messages it was.
#[inline(never)]
pub(crate) fn clock(run: impl FnOnce() -> usize) -> Cost {
    let (start, allocations) = (Instant::now(), allocator::allocations());
    let messages = run() as f64;
    Cost {
        nanos: start.elapsed().as_secs_f64() * 1e9 / messages,
        allocations: (allocator::allocations() - allocations) as f64 / messages,
    }
}
