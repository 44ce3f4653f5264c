//! What a packet of the peer's means, and what the lack of one does.

use super::{
    devices::SubscriptionKey,
    online::{Due, Online, PacketOwner, Phase},
    session::Session,
};
use crate::{
    clock::{Moment, PeerTime},
    error::Failure,
    event::Outcome,
    mqtt::{Found, Incoming, PacketId},
};

impl Session {
    /// Acts on what came from the peer, but for a CONNACK, which is the lifecycle's.
    #[inline]
    pub(super) fn on_incoming(
        &mut self,
        online: &mut Online,
        incoming: Incoming<PacketOwner>,
        now: Moment,
    ) {
        match incoming {
            Incoming::Publish => self.on_publish(online, now),
            Incoming::PubAck(PacketOwner::Publication(key)) => {
                self.end_publication(online, key, Ok(Outcome::Acknowledged));
            }
            Incoming::PubAck(PacketOwner::Attach(device)) => self.on_attached(online, device, now),
            Incoming::PubAck(PacketOwner::Detach(device)) => self.on_detached(online, device),
            Incoming::SubAck(PacketOwner::Subscription(key), code) => {
                self.on_suback(online, key, code, now);
            }
            Incoming::SubAck(PacketOwner::Errors, code) => self.on_errors_suback(online, code),
            Incoming::UnsubAck(PacketOwner::Subscription(key)) => {
                self.on_subscription_answer(online, key);
            }
            // The table of identifiers matches each acknowledgement with its kind of packet.
            Incoming::ConnAck(_)
            | Incoming::PubAck(_)
            | Incoming::SubAck(..)
            | Incoming::UnsubAck(_) => {}
        }
    }

    /// Runs what is due of the devices on a connection. Never inlined: most messages find nothing here.
    #[inline(never)]
    pub(super) fn run_device_timers(&mut self, online: &mut Online, now: Moment) {
        while let Some(peer_now) = online.link.peer_clock().running(now)
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

    /// An acknowledgement did not come in time.
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

    /// Whether the peer is to be read now.
    #[inline]
    pub(super) fn wants_input(&self, online: &Online) -> bool {
        self.has_room_for_events() && online.owed.len() < self.options.max_unacknowledged
    }

    /// Since when the peer was not read, if it is to be read again and the connection was not told: the user has taken
    /// the events that had stopped the reading, without a word of the time.
    pub(super) fn reading_resumed(&self, online: &Online) -> Option<Moment> {
        let since = online.link.peer_clock().paused_since()?;
        self.wants_input(online).then_some(since)
    }

    /// When something of this connection is due next, but for the lifecycle's.
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

    /// When the next publication is to be sent again.
    fn overdue_at(&self, online: &Online) -> Option<PeerTime> {
        if online.phase != Phase::Open {
            return None;
        }
        self.outbox.overdue_at(&online.flight, online.link.room())
    }
}
