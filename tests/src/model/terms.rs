//! Cancels, deadlines, and what comes back with a publication.

use core::num::NonZeroU64;
use std::time::Instant;

use iotcore_gateway::{
    Gateway, OpId,
    command_error::CommandError,
    message::{PublicationTopic, QoS, Unsent},
};

use super::publications::number_in;
use super::{DEVICES, Finding, Model, OperationKind, tag};
use crate::script::{Choice, Rule};

impl Model {
    /// Returns the operation that the user cancels.
    pub(crate) fn choose(&self, choice: Choice, nth: usize) -> Option<OpId> {
        let pending = self.publications.pending();
        let ops: Vec<OpId> = match choice {
            Choice::Pending => pending.filter_map(|(_, published)| published.op).collect(),
            Choice::InFlight => pending
                .filter(|(number, _)| self.outgoing.is_queued(*number))
                .filter_map(|(_, published)| published.op)
                .collect(),
            Choice::Any => {
                let newest = self.operations().last().map_or(0, OpId::as_u64);
                let next = NonZeroU64::new(newest + 1).map(OpId::from);
                self.operations().chain(next).collect()
            }
        };
        let place = nth.checked_rem(ops.len())?;
        ops.get(place).copied()
    }

    /// Checks the answer to a cancel: it succeeds for every publication that has not ended, and for nothing else.
    pub(crate) fn cancel(
        &mut self,
        op: OpId,
        answer: &Result<(), CommandError>,
        was_unsent: bool,
        is_polled: bool,
    ) -> Result<(), Finding> {
        let mut pending = self.pending();
        let number = pending.find_map(|(pending, kind)| match kind {
            OperationKind::Publish(number) if pending == op => Some(number),
            _ => None,
        });
        drop(pending);
        let is_right = match answer {
            Ok(()) => was_unsent && number.is_some(),
            Err(CommandError::NotCancellable(of)) => {
                *of == op && !was_unsent && (number.is_none() || !is_polled)
            }
            Err(_) => false,
        };
        if let Some(number) = number.filter(|_| answer.is_ok()) {
            self.publications.at_mut(number).is_cancelled = true;
        }
        match is_right {
            true => Ok(()),
            false => Err(Finding::new(
                Rule::OneEnd,
                format!("the cancel of {op}, publication {number:?}: {answer:?}"),
            )),
        }
    }

    /// Checks what the gateway says of a publication that it hands back.
    pub(crate) fn check_handed_back(&self, unsent: &Unsent, now: Instant) -> Result<(), Finding> {
        let finding = |what| {
            Err(Finding::new(
                Rule::Delivery,
                format!("{unsent:?} was handed back: {what}"),
            ))
        };
        let number = number_in(&unsent.payload);
        let Some(number) = number.filter(|number| self.publications.is_known(*number)) else {
            return finding("nobody has published it");
        };
        let published = self.publications.at(number);
        let tag = published.terms.is_tagged.then(|| tag(number));
        if published.op != Some(unsent.op) {
            return finding("its operation has another publication, or has ended");
        }
        if unsent.device.as_str() != DEVICES[published.device]
            || matches!(unsent.topic, PublicationTopic::State) != published.is_state
            || unsent.qos != published.qos
            || unsent.priority != published.terms.priority
            || unsent.tag != tag
        {
            return finding("it was published otherwise");
        }
        let is_time_right = match (published.expires_at, unsent.expires_after) {
            (None, None) => true,
            (Some(at), Some(left)) => {
                let least = at.saturating_duration_since(now);
                left >= least && Some(left) <= published.terms.expires_after
            }
            _ => false,
        };
        match is_time_right {
            true => Ok(()),
            false => finding("the time until it expires is wrong"),
        }
    }

    /// Checks, after the time was reported, that whatever has expired has ended, unless it is in flight.
    pub(super) fn check_expired(&self, gateway: &Gateway, now: Instant) -> Result<(), Finding> {
        let due = self.publications.deadlines.range(..=(now, u32::MAX));
        for &(_, number) in due {
            let published = self.publications.at(number);
            let is_in_flight = self.outgoing.is_queued(number)
                && (published.qos == QoS::AtMostOnce || has_in_flight(gateway, published.device));
            if !is_in_flight && published.op.is_some_and(|op| is_unsent(gateway, op)) {
                let what = format!("publication {number} has expired, and waits");
                return Err(Finding::new(Rule::Progress, what));
            }
        }
        Ok(())
    }

    /// Checks that the gateway asks for the time when the next publication that waits expires.
    pub(super) fn check_next_deadline(&self, gateway: &Gateway) -> Result<(), Finding> {
        let mut deadlines = self.publications.deadlines.iter();
        let next = deadlines.find(|(_, number)| !self.outgoing.is_queued(*number));
        let Some(&(at, number)) = next else {
            return Ok(());
        };
        let op = self.publications.at(number).op;
        let is_late = gateway.poll_timeout().is_none_or(|timeout| timeout > at);
        match is_late && op.is_some_and(|op| is_unsent(gateway, op)) {
            true => Err(Finding::new(
                Rule::Progress,
                format!("no timeout when publication {number}, which waits, expires"),
            )),
            false => Ok(()),
        }
    }
}

/// Returns whether a publication has not ended, whatever was reported of it.
pub(super) fn is_unsent(gateway: &Gateway, op: OpId) -> bool {
    gateway.unsent().any(|unsent| unsent.op == op)
}

fn has_in_flight(gateway: &Gateway, device: usize) -> bool {
    let mut devices = gateway.devices();
    let info = devices.find(|info| info.id.as_str() == DEVICES[device]);
    info.is_some_and(|info| info.in_flight > 0)
}
