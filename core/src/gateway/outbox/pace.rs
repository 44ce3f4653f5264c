//! Pacing by the quota. It outlives connections, and counts retransmissions.

use super::entry::Entry;
use crate::{clock::Moment, quota::Quota, time::Duration};

/// How far an idle device may run ahead of its rate.
const BURST: Duration = Duration::from_millis(250);

/// How far an idle connection may run ahead of its rate: at ten packets a second, never more than three.
const CONNECTION_BURST: Duration = Duration::from_millis(200);

/// When one device may send again.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When its next state may be sent.
    state: Option<Moment>,
    /// When its bytes so far would have been sent at the rate of the quota.
    bytes: Option<Moment>,
}

impl Pace {
    /// Returns until when a state has to wait, if it has to.
    pub(super) fn holds_state(&self, now: Moment) -> Option<Moment> {
        self.state.filter(|at| *at > now)
    }

    /// Returns until when everything has to wait, if it has to.
    pub(super) fn holds_all(&self, now: Moment) -> Option<Moment> {
        ahead(self.bytes, BURST, now)
    }

    /// Returns whether nothing has to wait for this pace any more.
    pub(super) fn is_over(&self, now: Moment) -> bool {
        let is_past = |at: Option<Moment>| at.is_none_or(|at| at <= now);
        is_past(self.state) && is_past(self.bytes)
    }

    /// Counts a publication that was queued for transmission.
    pub(super) fn count(&mut self, entry: &Entry, quota: &Quota, now: Moment) {
        if entry.is_state() {
            self.state = Some(now + quota.state_interval);
        }
        if let Some(rate) = quota.device_bytes_per_second {
            let bytes = u64::try_from(entry.payload.len()).unwrap_or(u64::MAX);
            let nanos = bytes.saturating_mul(1_000_000_000) / u64::from(rate.get());
            self.bytes = Some(spent(self.bytes, Duration::from_nanos(nanos), now));
        }
    }
}

/// When the connection may send again.
#[derive(Debug, Default)]
pub(super) struct ConnectionPacer {
    messages: Option<Moment>,
}

impl ConnectionPacer {
    /// Returns until when everything has to wait, if it has to.
    pub(super) fn holds_all(&self, now: Moment) -> Option<Moment> {
        ahead(self.messages, CONNECTION_BURST, now)
    }

    /// Counts a publication that was queued for transmission.
    pub(super) fn count(&mut self, quota: &Quota, now: Moment) {
        if let Some(rate) = quota.messages_per_second {
            let each = Duration::from_secs(1) / rate.get();
            self.messages = Some(spent(self.messages, each, now));
        }
    }
}

/// How often publications were held back by their pace, and how long in total.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delays {
    pub(crate) count: u64,
    pub(crate) total: Duration,
}

impl Delays {
    pub(super) fn count(&mut self, delay: Duration) {
        self.count += 1;
        self.total += delay;
    }
}

fn spent(so_far: Option<Moment>, more: Duration, now: Moment) -> Moment {
    so_far.map_or(now, |at| at.max(now)) + more
}

/// Returns when what was sent is no longer too far ahead of its rate, if that is still to come.
fn ahead(paid_until: Option<Moment>, burst: Duration, now: Moment) -> Option<Moment> {
    let paid_until = paid_until.filter(|at| at.since(now) > burst)?;
    Some(paid_until - burst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_over_once_nothing_has_to_wait_for_it() {
        let now = Moment::default() + Duration::from_secs(10);
        let (past, future) = (now - BURST, now + BURST);
        for (state, bytes, is_over) in [
            (None, None, true),
            (Some(past), Some(now), true),
            (Some(future), None, false),
            (None, Some(future), false),
            (Some(future), Some(past), false),
            (Some(past), Some(future), false),
        ] {
            let pace = Pace { state, bytes };
            assert_eq!(pace.is_over(now), is_over, "{pace:?}");
        }
    }
}
