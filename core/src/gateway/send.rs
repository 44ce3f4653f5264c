//! What is queued next: acknowledgements, subscriptions, attaches, overdue publications, detaches, then publications.

use super::{
    devices::Devices,
    online::{Online, PacketOwner, Phase},
    outbox::{Entry, Overdue},
    session::Session,
};
use crate::{
    clock::Moment,
    error::Failure,
    mqtt::{QoS, TopicName},
    topic::{self, Channel},
};

impl Session {
    /// Fills the transmit buffer with what may be sent now. Returns whether the connection is open for
    /// more: false if it is ending, or has no packet identifiers left.
    #[inline]
    pub(super) fn fill(&mut self, online: &mut Online, now: Moment) -> bool {
        while send_acknowledgement(online) {}
        if online.phase != Phase::Open || online.link.is_starved() {
            return false;
        }
        if !online.turns.is_empty() || online.flight.may_be_overdue(now) {
            self.send_first(online, now);
        }
        while online.flight.can_send() && self.send_publication(online, now) {}
        true
    }

    /// Queues what precedes new publications. Never inlined: for most messages there is nothing.
    #[inline(never)]
    fn send_first(&mut self, online: &mut Online, now: Moment) {
        while self.send_subscription(online, now) {}
        while self.send_attach(online, now) {}
        while self.send_overdue(online, now) {}
        while self.send_detach(online, now) {}
    }

    /// Queues the next publication, in turn over the devices; returns whether it did.
    #[inline(never)]
    fn send_publication(&mut self, online: &mut Online, now: Moment) -> bool {
        let Online { link, flight, .. } = online;
        let Some(key) = self.outbox.next(flight, link.room_with_id(), now) else {
            return false;
        };
        let entry = self.outbox.entry(key);
        let topic = topic_of(entry, &self.devices, &mut self.topic);
        match entry.qos {
            QoS::AtMostOnce => {
                let end = link.publish_once(topic, &entry.payload);
                self.outbox.sent_once(flight, key, end, now);
            }
            QoS::AtLeastOnce => {
                let owner = PacketOwner::Publication(key);
                let packet_id = link.publish(topic, &entry.payload, owner);
                let peer_now = link.peer_clock().time(now);
                self.outbox.sent(flight, key, packet_id, peer_now, now);
            }
        }
        true
    }

    /// Queues an overdue publication again: the bridge drops some silently when its buffers are full. Returns whether
    /// it did.
    fn send_overdue(&mut self, online: &mut Online, now: Moment) -> bool {
        let Online { link, flight, .. } = online;
        let Some(peer_now) = link.peer_clock().time_if_running(now) else {
            return false;
        };
        let key = match self.outbox.overdue(flight, link.room(), peer_now, now) {
            None => return false,
            Some(Overdue::Due(key)) => key,
            Some(Overdue::Superseded(key)) => {
                self.fail_publication(online, key, Failure::Superseded);
                return true;
            }
        };
        let entry = self.outbox.entry(key);
        let Some(packet_id) = entry.packet_id() else {
            return false;
        };
        let topic = topic_of(entry, &self.devices, &mut self.topic);
        link.publish_again(topic, &entry.payload, packet_id);
        self.outbox.sent_again(flight, key, peer_now, now);
        self.stats.resent += 1;
        true
    }
}

/// Queues the next acknowledgement, if there is one; returns whether it did.
fn send_acknowledgement(online: &mut Online) -> bool {
    if !online.owed.has_given() || online.link.room() < 4 {
        return false;
    }
    if let Some(packet_id) = online.owed.pop_given() {
        online.link.acknowledge(packet_id);
    }
    true
}

/// Returns the topic of a publication: stored with its device, or built in `scratch`.
fn topic_of<'a>(entry: &Entry, devices: &'a Devices, scratch: &'a mut TopicName) -> &'a TopicName {
    let device = devices.at(entry.device);
    let channel = match entry.channel() {
        Channel::Events(None) => return &device.events_topic,
        channel => channel,
    };
    topic::make_topic(scratch, &device.id, channel);
    scratch
}
