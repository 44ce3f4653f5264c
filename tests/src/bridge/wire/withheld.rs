//! Answers that a fault withholds from a client.

use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

use super::super::codec::Reply;
use super::super::event::EventKind;
use super::super::faults::{AnswerKind, FaultKind, Treatment};
use super::{Context, Wire};

/// The maximum number of withheld answers per connection; beyond it, the oldest are lost.
const MAX_WITHHELD: usize = 65_536;

/// The withheld answers, in the order in which they would have been sent.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    answers: VecDeque<Answer>,
}

#[derive(Debug)]
struct Answer {
    reply: Reply,
    until: Until,
}

/// What an answer waits for, in addition to its release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Released,
    Due(Instant),
    /// A complete group, which is sent in reverse order.
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
    /// Returns when the next delayed answer is due.
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
    /// Sends a packet to the client, unless a fault withholds or modifies it.
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

    /// Applies a fault to a packet, and logs that.
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

    /// Sends the collected answers of a kind in reverse order, once the group is complete.
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

    /// Sends the withheld answers of a kind, or all.
    pub(crate) fn release(&mut self, answer: Option<AnswerKind>) {
        let of_kind = |reply: &Reply| answer.is_none() || reply.answer_kind() == answer;
        let released = self.wire.withheld.take(|answer| of_kind(&answer.reply));
        self.send_late(released);
    }

    /// Sends the delayed answers that are due.
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
