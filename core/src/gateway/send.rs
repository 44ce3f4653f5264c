//! What is queued next: acknowledgements, then subscriptions, attaches, overdue publications, detaches and publications.
//! In this order, or in turns if the connection has a pace.

use super::{
    devices::Devices,
    online::{Class, Online, PacketOwner, Phase},
    outbox::{Entry, EntryKey, Window},
    session::Session,
};
use crate::{
    clock::Moment,
    error::Failure,
    mqtt::{Kind, QoS, Request, TopicName},
    topic::{self, Channel},
};

impl Session {
    /// Fills the transmit buffer with what may be sent now. Returns whether the connection is open for
    /// more: false if it is ending, or has no packet identifiers left.
    #[inline]
    pub(super) fn fill(&mut self, online: &mut Online, now: Moment) -> bool {
        send_acknowledgements(online);
        match online.phase {
            Phase::Open if !online.link.is_starved() => {}
            Phase::Refreshing { .. } => {}
            _ => return false,
        }
        if online.trials.is_some() && self.conduct_trials(online, now) {
            return online.phase == Phase::Open;
        }
        if self.options.quota.messages_per_second.is_some() {
            self.fill_in_turns(online, now);
        } else {
            if online.has_first() {
                self.send_first(online, now);
            }
            while let Some(window) = online.window()
                && self.send_publication(online, window, now)
            {}
        }
        online.phase == Phase::Open
    }

    /// Queues what precedes new publications. Never inlined: for most messages there is nothing.
    #[inline(never)]
    fn send_first(&mut self, online: &mut Online, now: Moment) {
        self.send_urgent(online, now);
        for class in [
            Class::Subscription,
            Class::Attach,
            Class::Again,
            Class::Detach,
        ] {
            while self.send_one(online, class, now) {}
        }
    }

    /// Queues one packet of each class after the other, as the pace allows.
    #[inline(never)]
    fn fill_in_turns(&mut self, online: &mut Online, now: Moment) {
        while self.has_next(online) && !self.outbox.holds_all(now) {
            if online.flight.has_urgent() && self.send_one(online, Class::Publication, now) {
                continue;
            }
            let mut classes = online.classes.order().into_iter();
            let Some(class) = classes.find(|class| self.send_one(online, *class, now)) else {
                return;
            };
            online.classes.sent(class);
        }
    }

    /// Returns whether a packet could be queued now, but for the pace.
    fn has_next(&self, online: &Online) -> bool {
        let (link, turns) = (&online.link, &online.turns);
        let may_probe = |kind| online.may_probe(kind) && self.wants_probe(online, kind);
        let has_control = || {
            turns.subscribe.next(link, Kind::Subscription).is_some()
                || turns.attach.next(link, Kind::Control).is_some()
                || !turns.detach.is_empty() && link.has_window(Kind::Control, false)
        };
        online.phase == Phase::Open && has_control()
            || link.has_again() && link.has_window_again(Kind::Publication)
            || online.window().is_some()
            || [Kind::Control, Kind::Subscription, Kind::Publication]
                .into_iter()
                .any(may_probe)
    }

    /// Queues the next packet of a class; returns whether it did. A token refresh sends nothing new.
    fn send_one(&mut self, online: &mut Online, class: Class, now: Moment) -> bool {
        match class {
            Class::Again => self.send_again(online, now),
            _ if online.phase != Phase::Open => false,
            Class::Subscription => self.send_subscription(online, now),
            Class::Attach => self.send_attach(online, now),
            Class::Detach => {
                let is_sent = self.send_detach(online, now);
                // It has released what the device's user has not acknowledged.
                send_acknowledgements(online);
                is_sent
            }
            Class::Publication => {
                let window = online.window();
                window.is_some_and(|window| self.send_publication(online, window, now))
            }
        }
    }

    /// Queues the next publication, in turn over the devices, or ends it if it has just expired; returns whether it did.
    #[inline(never)]
    fn send_publication(&mut self, online: &mut Online, window: Window, now: Moment) -> bool {
        let Some(key) = self.outbox.next(&mut online.flight, window, now) else {
            return false;
        };
        match self.outbox.has_expired(key, now) {
            true => self.give_up(Some(online), key, Failure::Expired),
            false => self.queue_publication(online, key, now),
        }
        true
    }

    /// Queues the urgent publications for which there is room.
    fn send_urgent(&mut self, online: &mut Online, now: Moment) {
        while online.flight.has_urgent()
            && let Some(window) = online.window()
            && self.send_publication(online, window, now)
        {}
    }

    /// Queues a publication that waits in its device's queue, and for which there is room.
    #[inline(always)]
    pub(super) fn queue_publication(&mut self, online: &mut Online, key: EntryKey, now: Moment) {
        let Online { link, flight, .. } = online;
        let entry = self.outbox.entry(key);
        let topic = topic_of(entry, &self.devices, &mut self.topic);
        match entry.qos {
            QoS::AtMostOnce => {
                let end = link.publish_once(topic, &entry.payload);
                self.outbox.sent_once(flight, key, end, now);
            }
            QoS::AtLeastOnce => {
                let owner = PacketOwner::Publication(key);
                let packet_id = link.publish(Request::Publication, topic, &entry.payload, owner);
                self.outbox.sent(flight, key, packet_id, now);
            }
        }
    }

    /// Queues an overdue publication again: the bridge drops some silently when its buffers are full. Or, as a probe, one
    /// publication beyond the window. Returns whether it did.
    fn send_again(&mut self, online: &mut Online, now: Moment) -> bool {
        let link = &online.link;
        if link.has_again() && link.has_window_again(Kind::Publication) {
            let next = link.next_again();
            return next.is_some_and(|owner| {
                self.end_overdue(online, owner, now) || self.send_overdue(online, owner, now)
            });
        }
        online.may_probe(Kind::Publication) && self.send_probe(online, now)
    }

    /// Queues a new publication beyond the window, or else the oldest overdue one again. Returns whether it did, or has ended
    /// some that must not be sent again.
    fn send_probe(&mut self, online: &mut Online, now: Moment) -> bool {
        let left = match online.link.has_id() {
            true => usize::MAX,
            false => 0,
        };
        let window = Window {
            left,
            room: online.link.room(),
        };
        let is_new_sent = online.wants_window() && self.send_publication(online, window, now);
        // What waited may be held by its pace.
        let is_again_due = !is_new_sent && !online.wants_window();
        let has_ended = is_again_due && self.end_oldest_overdue(online, now);
        let is_sent = is_new_sent
            || is_again_due && {
                let overdue = oldest_overdue(online);
                overdue.is_some_and(|owner| self.send_overdue(online, owner, now))
            };
        if is_sent {
            self.probed(online, Kind::Publication, now);
        }
        is_sent || has_ended
    }

    /// Ends the overdue publications that must not be sent again, before the oldest that may. Returns whether there are any.
    fn end_oldest_overdue(&mut self, online: &mut Online, now: Moment) -> bool {
        let mut has_ended = false;
        while let Some(overdue) = oldest_overdue(online)
            && self.end_overdue(online, overdue, now)
        {
            has_ended = true;
        }
        has_ended
    }

    /// Ends an overdue publication that must not be sent again. Returns whether it is one.
    fn end_overdue(&mut self, online: &mut Online, owner: PacketOwner, now: Moment) -> bool {
        let PacketOwner::Publication(key) = owner else {
            return false;
        };
        let failure = match self.outbox.is_superseded(key) {
            true => Failure::Superseded,
            false if self.outbox.has_expired(key, now) => Failure::Expired,
            false => return false,
        };
        self.give_up(Some(online), key, failure);
        true
    }

    fn send_overdue(&mut self, online: &mut Online, owner: PacketOwner, now: Moment) -> bool {
        let PacketOwner::Publication(key) = owner else {
            return false;
        };
        let link = &mut online.link;
        let entry = self.outbox.entry(key);
        let Some(packet_id) = entry.packet_id() else {
            return false;
        };
        if self.outbox.is_held(key, now) {
            link.postpone(packet_id, now);
            return true;
        }
        if entry.packet_size() > link.room() {
            return false;
        }
        let topic = topic_of(entry, &self.devices, &mut self.topic);
        link.publish_again(topic, &entry.payload, packet_id);
        self.outbox.sent_again(key, now);
        self.stats.resent += 1;
        true
    }
}

impl Online {
    /// Returns whether an open connection has nothing to send.
    #[inline]
    pub(super) fn has_nothing_to_send(&self) -> bool {
        let is_waiting = self.flight.has_waiting() || self.owed.has_given() || self.has_first();
        self.phase == Phase::Open && !is_waiting && self.trials.is_none()
    }

    /// Returns whether something precedes new publications.
    #[inline]
    fn has_first(&self) -> bool {
        !self.turns.is_empty() || self.link.has_again() || self.may_probe(Kind::Publication)
    }

    /// Returns whether devices wait for the window to send.
    pub(super) fn wants_window(&self) -> bool {
        self.phase == Phase::Open && self.flight.is_held(self.window_left())
    }

    /// Returns for how many more first publications the window has room. Urgent ones leave none to what is sent again.
    #[inline]
    fn window_left(&self) -> usize {
        let keeps_share = self.link.has_again() && !self.flight.has_urgent();
        self.link.window_left(Kind::Publication, keeps_share)
    }

    /// Returns what may be published now; `None` if nothing waits that may.
    #[inline]
    fn window(&self) -> Option<Window> {
        if !self.flight.has_waiting() || self.phase != Phase::Open {
            return None;
        }
        let left = self.window_left();
        self.flight.can_send(left).then(|| Window {
            left: if self.link.has_id() { left } else { 0 },
            room: self.link.room(),
        })
    }
}

/// Returns the oldest publication that is overdue.
fn oldest_overdue(online: &Online) -> Option<PacketOwner> {
    let late = || online.link.oldest_late(Kind::Publication);
    online.link.next_again().or_else(late)
}

/// Queues the acknowledgements that are given.
pub(super) fn send_acknowledgements(online: &mut Online) {
    while send_acknowledgement(online) {}
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
