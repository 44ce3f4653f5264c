//! The deadlines of one connection: what to do when each passes, and which is next.

use super::{
    devices::SubscriptionKey,
    online::{Due, Online, PacketOwner, Phase},
    session::Session,
};
use crate::{
    clock::Moment,
    error::Failure,
    mqtt::{Kind, Verdict},
};

/// All kinds of packets that the bridge answers.
const KINDS: [Kind; 3] = [Kind::Control, Kind::Subscription, Kind::Publication];

impl Session {
    /// Runs the device timers that are due on a connection.
    pub(super) fn run_device_timers(&mut self, online: &mut Online, now: Moment) {
        while let Some(verdict) = online.link.judge_answers(now) {
            match verdict {
                Verdict::Overdue(packet_id, owner) if self.owns(packet_id, owner) => {
                    self.on_no_answer(online, owner, now);
                }
                Verdict::Released(packet_id, owner) if self.owns(packet_id, owner) => {
                    release(online, owner);
                }
                Verdict::Skipped(PacketOwner::Publication(key)) => {
                    self.outbox.skip(&mut online.flight, key);
                }
                Verdict::Forgotten(packet_id) => {
                    let flight = &mut online.flight;
                    self.outbox.forget_ended(flight, packet_id);
                }
                Verdict::Overdue(..) | Verdict::Released(..) | Verdict::Skipped(_) => {}
            }
        }
        while let Some(deadline) = online.deadlines.pop_due(now) {
            let device = deadline.device;
            match deadline.due {
                Due::Attach => self.retry_attach(Some(online), device),
                Due::Subscribe(feed) => {
                    self.retry_subscription(online, SubscriptionKey { device, feed });
                }
            }
        }
    }

    /// Records which probes are due; returns whether one was not before. To be called once everything is queued that
    /// needs no probe.
    pub(super) fn note_due_probes(&self, online: &mut Online, now: Moment) -> bool {
        let mut has_new = false;
        for kind in KINDS {
            if self.next_probe(online, kind).is_some_and(|at| at <= now)
                && let Some(since) = online.link.probe_at(kind)
            {
                online.probes.set_due(kind, since);
                has_new = true;
            }
        }
        has_new
    }

    /// Handles an acknowledgement that is overdue.
    fn on_no_answer(&mut self, online: &mut Online, owner: PacketOwner, now: Moment) {
        let timed_out = Failure::TimedOut(self.options.ack_timeout);
        match owner {
            PacketOwner::Attach(device) => self.on_attach_overdue(online, device, now),
            PacketOwner::Detach(device) => self.on_detach_failed(online, device, timed_out),
            PacketOwner::Subscription(request) => {
                self.fail_subscription(online, request.key(), timed_out, now);
            }
            PacketOwner::Publication(_) | PacketOwner::Nobody => {}
        }
    }

    /// Records that a probe of a kind was queued.
    pub(super) fn probed(&mut self, online: &mut Online, kind: Kind, now: Moment) {
        online.probes.sent(kind);
        online.link.probed(kind, now);
        self.stats.probes += 1;
    }

    /// Returns whether packets of a kind wait that the window does not allow, so that a probe may be sent.
    pub(super) fn wants_probe(&self, online: &Online, kind: Kind) -> bool {
        let (link, turns) = (&online.link, &online.turns);
        match (kind, online.phase) {
            (Kind::Control, Phase::Open) => {
                let detach_waits = !turns.detach.is_empty() && !link.has_window(kind, false);
                detach_waits || turns.attach.wants_probe(link, kind)
            }
            (Kind::Subscription, Phase::Open) => turns.subscribe.wants_probe(link, kind),
            (Kind::Publication, Phase::Open) if online.wants_window() => true,
            (Kind::Publication, Phase::Open | Phase::Refreshing { .. }) => match link.has_again() {
                true => !link.has_window_again(kind),
                false => link.oldest_late(kind).is_some(),
            },
            _ => false,
        }
    }

    /// Returns the next deadline of this connection, not counting those of the lifecycle.
    pub(super) fn next_deadline(&self, online: &Online) -> Option<Moment> {
        let probes = KINDS.map(|kind| self.next_probe(online, kind));
        let others = [
            online.link.next_deadline(),
            online.deadlines.next(),
            self.back_pressure_deadline(online),
            self.next_trial(online),
        ];
        probes.into_iter().chain(others).flatten().min()
    }

    /// Returns when the next probe of a kind is due; `None` if one is due already.
    fn next_probe(&self, online: &Online, kind: Kind) -> Option<Moment> {
        if online.may_probe(kind) || !self.wants_probe(online, kind) {
            return None;
        }
        let at = online.link.probe_at(kind)?;
        online.link.peer_clock().machine_time(at)
    }
}

/// Lets what is overdue be asked for again: its last packet has left the window.
fn release(online: &mut Online, owner: PacketOwner) {
    match owner {
        PacketOwner::Attach(device) => online.turns.attach.release(device),
        PacketOwner::Subscription(request) => online.turns.subscribe.release(request.key()),
        PacketOwner::Detach(_) | PacketOwner::Publication(_) | PacketOwner::Nobody => {}
    }
}
