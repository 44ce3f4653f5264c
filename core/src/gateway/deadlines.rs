//! The deadlines of one connection: what to do when each passes, and which is next.

use super::{
    devices::SubscriptionKey,
    online::{Due, Online, PacketOwner, Phase},
    session::Session,
};
use crate::{
    clock::{Moment, PeerTime},
    error::Failure,
    mqtt::{Found, PacketId},
};

impl Session {
    /// Runs the device timers that are due on a connection. Never inlined: for most messages there are none.
    #[inline(never)]
    pub(super) fn run_device_timers(&mut self, online: &mut Online, now: Moment) {
        while let Some(peer_now) = online.link.peer_clock().time_if_running(now)
            && let Some(packet_id) = online.ack_deadlines.pop_due(peer_now)
        {
            self.on_no_answer(online, packet_id, now);
        }
        while let Some(deadline) = online.deadlines.pop_due(now) {
            let device = deadline.device;
            match deadline.due {
                Due::Attach => self.retry_attach(Some(online), device),
                Due::Subscribe(subscription) => {
                    let key = SubscriptionKey {
                        device,
                        subscription,
                    };
                    self.retry_subscription(online, key);
                }
                Due::Drain => self.on_detach_overdue(online, device),
            }
        }
    }

    /// Handles an acknowledgement that timed out.
    fn on_no_answer(&mut self, online: &mut Online, packet_id: PacketId, now: Moment) {
        let timed_out = Failure::TimedOut(self.options.ack_timeout);
        match online.link.find(packet_id) {
            Found::InFlight(_, PacketOwner::Attach(device)) => {
                self.on_attach_timed_out(online, device, now);
            }
            Found::InFlight(_, PacketOwner::Detach(device)) => {
                self.on_detach_failed(online, device, timed_out);
            }
            Found::InFlight(_, PacketOwner::Subscription(key)) => {
                self.fail_subscription(online, key, timed_out, now);
            }
            Found::InFlight(_, PacketOwner::Errors) => self.on_errors_timed_out(online),
            Found::InFlight(_, PacketOwner::Publication(_)) | Found::Quarantined | Found::Free => {}
        }
    }

    /// Returns the next deadline of this connection, not counting those of the lifecycle.
    pub(super) fn next_deadline(&self, online: &Online) -> Option<Moment> {
        let peer_clock = online.link.peer_clock();
        let answer = online.ack_deadlines.next();
        let overdue = self.overdue_at(online);
        [
            online.link.next_deadline(),
            answer.and_then(|at| peer_clock.machine_time(at)),
            overdue.and_then(|at| peer_clock.machine_time(at)),
            online.deadlines.next(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Returns when the next publication is to be sent again.
    fn overdue_at(&self, online: &Online) -> Option<PeerTime> {
        if online.phase != Phase::Open {
            return None;
        }
        self.outbox.overdue_at(&online.flight, online.link.room())
    }
}
