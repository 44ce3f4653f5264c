//! What is written next, and in which order: acknowledgements, subscriptions, attaches, what is overdue, detaches, then
//! publications.

use super::{
    Gateway, Ticket,
    devices::Devices,
    lifecycle::State,
    outbox::{Entry, Overdue},
};
use crate::{
    clock::Moment,
    error::Failure,
    event::Outcome,
    mqtt::{QoS, TopicName},
    topic::{self, Channel},
};

impl Gateway {
    /// Fills the transmit buffer with what may be sent now.
    pub(super) fn fill(&mut self, now: Moment) {
        while self.send_acknowledgement() {}
        if !matches!(self.lifecycle.state, State::Open) {
            return;
        }
        self.reconnect_if_starved(now);
        if self.devices.has_turns() || self.outbox.may_be_overdue(now) {
            self.send_first(now);
        }
        while self.outbox.has_turns() && self.send_publication(now) {}
    }

    /// Writes what goes before new publications. Never inlined: most messages find nothing here.
    #[inline(never)]
    fn send_first(&mut self, now: Moment) {
        while self.send_subscription(now) {}
        while self.send_attach(now) {}
        while self.send_overdue(now) {}
        while self.send_detach(now) {}
    }

    /// Writes the next publication by turns of the devices; gives whether one was written.
    #[inline(never)]
    fn send_publication(&mut self, now: Moment) -> bool {
        let Some(link) = &mut self.link else {
            return false;
        };
        let Some(key) = self.outbox.next(|size| link.can_send(size), now) else {
            return false;
        };
        let entry = self.outbox.entry(key);
        let topic = topic_of(entry, &self.devices, &mut self.topic);
        match entry.qos {
            QoS::AtMostOnce => {
                let end = link.publish_once(topic, &entry.payload);
                self.outbox.sent_once(key, end, now);
            }
            QoS::AtLeastOnce => {
                let packet_id = link.publish(topic, &entry.payload, Ticket::Publication(key));
                let listening = self.timers.listening.time(now);
                self.outbox.sent(key, packet_id, listening, now);
            }
        }
        true
    }

    /// Writes a publication again whose acknowledgement is overdue: the bridge drops some without a word when its
    /// buffers are full.
    fn send_overdue(&mut self, now: Moment) -> bool {
        let (Some(listening), Some(link)) = (self.timers.listening.heard(now), &mut self.link)
        else {
            return false;
        };
        let has_room = |size| link.has_room(size);
        let key = match self.outbox.overdue(has_room, listening, now) {
            None => return false,
            Some(Overdue::Due(key)) => key,
            Some(Overdue::Superseded(key)) => {
                self.fail_publication(key, Failure::Superseded);
                return true;
            }
        };
        let entry = self.outbox.entry(key);
        let Some(packet_id) = entry.packet_id() else {
            return false;
        };
        let topic = topic_of(entry, &self.devices, &mut self.topic);
        link.publish_again(topic, &entry.payload, packet_id);
        self.outbox.sent_again(key, listening, now);
        self.stats.resent += 1;
        true
    }

    /// Ends the publications at QoS 0 that were handed over in full.
    pub(super) fn end_handed_over(&mut self) {
        while let Some(link) = &self.link
            && let Some(key) = self.outbox.handed_over(link.handed_over())
        {
            self.end_publication(key, Ok(Outcome::Transmitted));
        }
    }
}

/// The topic of a publication: the one that its device keeps, or one made in `scratch`.
fn topic_of<'a>(entry: &Entry, devices: &'a Devices, scratch: &'a mut TopicName) -> &'a TopicName {
    let device = devices.at(entry.device);
    let channel = match entry.channel() {
        Channel::Events(None) => return &device.events_topic,
        channel => channel,
    };
    topic::make_topic(scratch, &device.id, channel);
    scratch
}
