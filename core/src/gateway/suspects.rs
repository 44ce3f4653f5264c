//! Suspects: packets after which the peer has closed the connection, three times in a row and before answering them.
//!
//! A strike is a connection that the peer closed at most [`STRIKE_WITHIN`] after a packet, or a part of it, was handed
//! over, and before it was answered. Any other end of a connection adds none: or bad links would fail large messages. A suspect waits for
//! its trial (`trials`). One that has ended two more connections alone is given up, and the strikes of what is not suspected
//! yet are forgotten, because the hang-ups are explained.

use super::{
    devices::{Device, Feed, Life, SubscriptionKey},
    online::{Online, PacketOwner},
    outbox::EntryKey,
    session::Session,
    strikes::Strikes,
};
use crate::{
    clock::Moment,
    command::Slot,
    error::Failure,
    event::{DetachCause, DisconnectReason, Event, TransportEnd},
    mqtt::QoS,
    time::Duration,
};

/// How soon after the hand-over of a packet the peer closes the connection if that is a strike.
const STRIKE_WITHIN: Duration = Duration::from_secs(10);

/// What ended another connection in its last trial.
enum Guilty {
    Publication(EntryKey),
    Attach(Slot),
    Subscription(SubscriptionKey),
}

impl Session {
    /// Adds the end of a connection to the strikes of what the peer had not answered. Returns whether a suspect that was
    /// alone explains it.
    pub(super) fn add_strikes(
        &mut self,
        online: &Online,
        reason: &DisconnectReason,
        now: Moment,
    ) -> bool {
        let mut is_explained = false;
        if *reason != DisconnectReason::Transport(TransportEnd::PeerClosed) {
            return is_explained;
        }
        for (packet_id, owner) in online.link.handed_over_within(STRIKE_WITHIN, now) {
            let trials = online.trials.as_ref();
            let was_alone = trials.is_some_and(|trials| trials.is_trying(packet_id));
            if self.owns(packet_id, owner)
                && let Some(strikes) = self.strikes_mut(owner)
            {
                strikes.add(was_alone);
                is_explained |= was_alone;
            }
            if let Some(ended) = online.flight.ended(packet_id) {
                self.outbox.add_strike(ended.device, was_alone);
            }
        }
        is_explained | self.add_strike_at_qos_0(online, now)
    }

    /// Adds the end of a connection to the strikes of a QoS 0 publication that was being handed over. Returns whether it is a
    /// suspect that was alone.
    fn add_strike_at_qos_0(&mut self, online: &Online, now: Moment) -> bool {
        let Some(end) = online.link.cut_within(STRIKE_WITHIN, now) else {
            return false;
        };
        let trials = online.trials.as_ref();
        let was_alone = trials.is_some_and(|trials| trials.is_handing_over(end));
        let Some(key) = self.outbox.handed_over_to(&online.flight, end) else {
            return false;
        };
        self.outbox.strikes_mut(key).add(was_alone);
        was_alone
    }

    /// Clears the strikes of a packet that a report is about.
    pub(super) fn clear_strikes(&mut self, owner: PacketOwner) {
        if let Some(strikes) = self.strikes_mut(owner) {
            strikes.clear();
        }
    }

    fn strikes_mut(&mut self, owner: PacketOwner) -> Option<&mut Strikes> {
        match owner {
            PacketOwner::Publication(key) => Some(self.outbox.strikes_mut(key)),
            PacketOwner::Attach(slot) => Some(&mut self.devices.at_mut(slot).strikes),
            PacketOwner::Subscription(request) => {
                let state = self.devices.subscription_mut(request.key());
                let is_subscribe = state.asked.is_some_and(|asked| asked.qos.is_some());
                is_subscribe.then_some(&mut state.strikes)
            }
            PacketOwner::Detach(_) | PacketOwner::Nobody => None,
        }
    }

    /// Returns whether anything is suspected, wherever it is.
    pub(super) fn has_suspects(&self) -> bool {
        let mut devices = self.devices.iter();
        devices.any(|(slot, device)| self.is_suspected(slot, device))
    }

    /// Returns whether anything of a device is suspected, wherever it is.
    pub(super) fn is_suspected(&self, slot: Slot, device: &Device) -> bool {
        let is_suspect = |key| self.devices.subscription(key).is_suspect();
        let attach = device.strikes.is_suspect() || matches!(device.life, Life::Suspected);
        attach || subscriptions_of(slot).any(is_suspect) || self.outbox.is_suspected(slot)
    }

    /// Gives up the packet that has ended connections while it was alone, if there is one, and forgives the others. To be
    /// called once the connection has ended.
    pub(super) fn end_trial(&mut self) {
        match self.guilty() {
            Some(Guilty::Publication(key)) => {
                let strikes = *self.outbox.strikes_mut(key);
                let entry = self.outbox.entry(key);
                let (device, is_answerable) = (entry.device, entry.qos == QoS::AtLeastOnce);
                self.fail_waiting(key, suspected(strikes));
                self.outbox
                    .begin_probation(device, is_answerable, self.clock.now());
            }
            Some(Guilty::Attach(slot)) => self.give_up_attach(slot),
            Some(Guilty::Subscription(key)) => self.give_up_subscription(key),
            None => return,
        }
        self.forgive_others();
    }

    fn guilty(&self) -> Option<Guilty> {
        let of_device = |(slot, device): (Slot, &Device)| {
            let is_guilty = |key: &_| self.devices.subscription(*key).strikes.is_guilty();
            match device.strikes.is_guilty() {
                true => Some(Guilty::Attach(slot)),
                false => subscriptions_of(slot)
                    .find(is_guilty)
                    .map(Guilty::Subscription),
            }
        };
        let publication = self.outbox.guilty().map(Guilty::Publication);
        publication.or_else(|| self.devices.iter().find_map(of_device))
    }

    /// Ends the attempts to attach a device until the user attaches or authorizes it, as if the bridge had refused it.
    fn give_up_attach(&mut self, slot: Slot) {
        let device = self.devices.at_mut(slot);
        let (strikes, op) = (device.strikes, device.attach_op.take());
        device.strikes.clear();
        let device = self.devices.key(slot);
        match op {
            Some(op) => self.fail(op, device, suspected(strikes)),
            None => {
                let connections = strikes.connections();
                let cause = DetachCause::Suspected { connections };
                self.emit(Event::Detached { device, cause });
                self.note_failure(slot, &suspected(strikes));
            }
        }
        self.refuse(None, slot, &suspected(strikes));
    }

    /// Ends the attempts to subscribe until the user subscribes again.
    fn give_up_subscription(&mut self, key: SubscriptionKey) {
        let strikes = self.devices.subscription(key).strikes;
        self.report_failed_subscription(key, 0, suspected(strikes));
        let state = self.devices.subscription_mut(key);
        state.strikes.clear();
        state.wanted = None;
    }

    /// Clears the strikes of everything that is not a suspect yet, because the hang-ups are explained.
    fn forgive_others(&mut self) {
        self.outbox.forgive_others();
        for slot in self.devices.slots() {
            self.devices.at_mut(slot).strikes.forgive();
            for key in subscriptions_of(slot) {
                self.devices.subscription_mut(key).strikes.forgive();
            }
        }
    }
}

fn subscriptions_of(device: Slot) -> impl Iterator<Item = SubscriptionKey> {
    let feeds = Feed::of(device).iter();
    feeds.map(move |&feed| SubscriptionKey { device, feed })
}

fn suspected(strikes: Strikes) -> Failure {
    Failure::Suspected {
        connections: strikes.connections(),
    }
}
