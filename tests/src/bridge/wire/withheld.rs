//! Answers that a fault keeps from a client for a while.

use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

use super::super::codec::Reply;
use super::super::event::EventKind;
use super::super::faults::{AnswerKind, FaultKind, Treatment};
use super::{Context, Wire};

/// How many answers are withheld from a connection; beyond it the oldest are lost.
const MAX_WITHHELD: usize = 65_536;

/// The answers that are withheld, in the order in which they should have gone out.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    answers: VecDeque<Answer>,
}

#[derive(Debug)]
struct Answer {
    reply: Reply,
    until: Until,
}

/// What an answer waits for, beside its release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Released,
    Due(Instant),
    /// Enough others, all of which go out in reverse.
    Reversed,
}

impl Withheld {
    fn add(&mut self, reply: &Reply, until: Until) {
        if self.answers.len() == MAX_WITHHELD {
            self.answers.pop_front();
        }
        let reply = reply.clone();
        self.answers.push_back(Answer { reply, until });
    }

    fn take(&mut self, wanted: impl Fn(&Answer) -> bool) -> Vec<Reply> {
        let (taken, kept) = self.answers.drain(..).partition(|answer| wanted(answer));
        self.answers = kept;
        let taken: VecDeque<Answer> = taken;
        taken.into_iter().map(|answer| answer.reply).collect()
    }
}

impl Wire {
    /// When the next delayed answer is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let answers = self.withheld.answers.iter();
        let due = answers.filter_map(|answer| match answer.until {
            Until::Due(due) => Some(due),
            Until::Released | Until::Reversed => None,
        });
        due.min()
    }
}

impl Context<'_> {
    /// Sends a packet to the client, unless and until a fault has it otherwise.
    pub(crate) fn send(&mut self, reply: &Reply) {
        let treatment = reply.answer_kind().and_then(|answer| {
            let pick = |kind: &FaultKind| match kind {
                FaultKind::Answer {
                    answer: of,
                    treatment,
                } if *of == answer => Some((answer, *treatment)),
                _ => None,
            };
            self.strike(|| reply.to_string(), pick)
        });
        match treatment {
            None => self.wire.outgoing(reply),
            Some((_, Treatment::Hold { .. })) => self.wire.withheld.add(reply, Until::Released),
            Some((_, Treatment::Delay { millis, .. })) => {
                let due = self.now + Duration::from_millis(millis.get().into());
                self.wire.withheld.add(reply, Until::Due(due));
            }
            Some((_, Treatment::Double { .. })) => {
                self.wire.outgoing(reply);
                self.wire.outgoing(reply);
            }
            Some((answer, Treatment::Reorder { group })) => {
                self.wire.withheld.add(reply, Until::Reversed);
                self.reverse(answer, group.get() as usize);
            }
        }
    }

    /// Lets a fault strike a packet, and tells the operator so.
    pub(crate) fn strike<T>(
        &mut self,
        packet: impl FnOnce() -> String,
        pick: impl Fn(&FaultKind) -> Option<T>,
    ) -> Option<T> {
        let client = self.wire.client.as_deref();
        let (fault, picked) = self.world.faults.strike(client, pick)?;
        let packet = packet();
        self.log(EventKind::FaultStruck { fault, packet });
        Some(picked)
    }

    /// Sends what was collected of a kind, the last first, once there is enough of it.
    fn reverse(&mut self, answer: AnswerKind, group: usize) {
        let is_collected = |withheld: &Answer| {
            withheld.until == Until::Reversed && withheld.reply.answer_kind() == Some(answer)
        };
        let answers = self.wire.withheld.answers.iter();
        if answers.filter(|withheld| is_collected(withheld)).count() >= group {
            let mut collected = self.wire.withheld.take(is_collected);
            collected.reverse();
            self.send_late(collected);
        }
    }

    /// Sends what was withheld: the answers of a kind, or all.
    pub(crate) fn release(&mut self, answer: Option<AnswerKind>) {
        let of_kind = |reply: &Reply| answer.is_none() || reply.answer_kind() == answer;
        let released = self.wire.withheld.take(|answer| of_kind(&answer.reply));
        self.send_late(released);
    }

    /// Sends what was delayed until now.
    pub(crate) fn release_due(&mut self) {
        let now = self.now;
        let is_due = |answer: &Answer| matches!(answer.until, Until::Due(due) if due <= now);
        let released = self.wire.withheld.take(is_due);
        self.send_late(released);
    }

    fn send_late(&mut self, replies: Vec<Reply>) {
        for reply in replies {
            self.wire.outgoing(&reply);
            let packet = reply.to_string();
            self.log(EventKind::FaultReleased { packet });
        }
    }
}
