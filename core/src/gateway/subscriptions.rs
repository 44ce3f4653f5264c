//! A device's subscriptions: what the user wants, and what this connection has granted. The gateway's own include the
//! errors topic, which is always wanted.

mod answers;

use super::{
    devices::{Asked, Feed, Life, Progress, SubscriptionKey, SubscriptionRequest},
    fingerprint::Fingerprint,
    online::{Choice, Deadline, Online, PacketOwner},
    session::Session,
};
use crate::{
    clock::Moment,
    command::{OpId, Slot},
    error::Failure,
    event::Outcome,
    mqtt::{Kind, PacketId, QoS},
    topic,
};

impl Session {
    /// Sets the wanted quality of service; `None` ends the subscription. Returns the operation of the change.
    pub(super) fn want_subscription(
        &mut self,
        mut online: Option<&mut Online>,
        key: SubscriptionKey,
        qos: Option<QoS>,
    ) -> OpId {
        let state = self.devices.subscription_mut(key);
        if state.wanted == qos
            && let Some(op) = state.op
        {
            return op;
        }
        state.wanted = qos;
        state.attempts = 0;
        state.refused_until = None;
        state.taken = state.taken.filter(|_| qos.is_some());
        let superseded = state.op.take();
        self.stop_retrying(online.as_deref_mut(), key);
        let state = self.devices.subscription_mut(key);
        if state.progress != Progress::Asking {
            state.drop_asked();
        }
        if let Some(op) = superseded {
            let device = self.devices.key(key.device);
            self.fail(op, device, Failure::Superseded);
        }
        let op = self.new_op();
        self.devices.subscription_mut(key).op = Some(op);
        self.pursue_subscription(online, key);
        if self.devices.at(key.device).life.is_left_to_user() {
            self.fail_subscriptions_of(key.device, &Failure::NotAttached);
        }
        op
    }

    /// Ends the pending subscriptions of a device that is not attached again until the user asks for it. They are made
    /// then.
    pub(super) fn fail_subscriptions_of(&mut self, device: Slot, failure: &Failure) {
        for &feed in Feed::of(device) {
            let state = self
                .devices
                .subscription_mut(SubscriptionKey { device, feed });
            if let Some(op) = state.op.take() {
                self.fail(op, self.devices.key(device), failure.clone());
            }
        }
    }

    /// Makes a subscription that waits for its next attempt, or for the next connection, ready for an attempt now.
    fn stop_retrying(&mut self, online: Option<&mut Online>, key: SubscriptionKey) {
        let state = self.devices.subscription_mut(key);
        match state.progress {
            Progress::Retrying(at) => {
                state.progress = Progress::Settled;
                if let Some(online) = online {
                    online.deadlines.remove(at, Deadline::subscribe(key));
                }
            }
            Progress::Refused => state.progress = Progress::Settled,
            Progress::Settled | Progress::Asking => {}
        }
    }

    /// Ends the operation of a subscription that is as wanted; otherwise queues the subscription for its packet.
    fn pursue_subscription(&mut self, online: Option<&mut Online>, key: SubscriptionKey) {
        let now = self.clock.now();
        let online = online.filter(|online| self.is_attached(online, key.device));
        let state = self.devices.subscription_mut(key);
        let refused_until = state.refused_until.filter(|until| *until > now);
        match (online, refused_until) {
            // It waits for its trial.
            (Some(online), _) if state.needs_packet() && state.is_suspect() => {
                if online.trials.is_none() {
                    self.start_trials(online, now);
                }
            }
            (Some(online), Some(until)) if state.needs_packet() => {
                online.deadlines.add(until, Deadline::subscribe(key));
                state.progress = Progress::Retrying(until);
            }
            (Some(online), None) if state.needs_packet() => {
                let turns = &mut online.turns.subscribe;
                match state.asked {
                    None if state.attempts == 0 => turns.push_first(key),
                    Some(asked) if !online.link.is_released(asked.packet_id) => {
                        turns.push_late(key);
                    }
                    _ => turns.push_again(key),
                }
            }
            _ if !state.is_as_wanted() => {}
            _ => {
                let granted = state.held.map(|held| held.granted);
                let outcome = granted.map_or(Outcome::Unsubscribed, Outcome::Subscribed);
                if let Some(op) = state.op.take() {
                    self.done(op, outcome);
                }
            }
        }
    }

    /// Continues with all subscriptions of a device that was attached.
    pub(super) fn resume_subscriptions(&mut self, online: &mut Online, device: Slot) {
        for &feed in Feed::of(device) {
            self.pursue_subscription(Some(online), SubscriptionKey { device, feed });
        }
    }

    /// Subscribes a device to its configs again, because only that brings a packet that can be acknowledged. The user
    /// has acknowledged the config with this fingerprint already.
    pub(super) fn renew_config(&mut self, online: &mut Online, device: Slot, taken: Fingerprint) {
        let feed = Feed::Config;
        let key = SubscriptionKey { device, feed };
        let state = self.devices.subscription_mut(key);
        state.taken = Some(taken);
        if state.is_settled() {
            state.needs_renewal = true;
            self.pursue_subscription(Some(online), key);
        }
    }

    /// Clears what was granted to a device, because its attachment has ended, and releases its deliveries.
    pub(super) fn lose_subscriptions(&mut self, mut online: Option<&mut Online>, device: Slot) {
        if let Some(online) = online.as_deref_mut() {
            self.release_deliveries(online, device);
        }
        for &feed in Feed::of(device) {
            let key = SubscriptionKey { device, feed };
            self.stop_retrying(online.as_deref_mut(), key);
            if let Some((op, outcome)) = self.devices.subscription_mut(key).lose() {
                self.done(op, outcome);
            }
        }
    }

    /// Queues the next SUBSCRIBE or UNSUBSCRIBE, if there is one; returns whether it did.
    pub(super) fn send_subscription(&mut self, online: &mut Online, now: Moment) -> bool {
        while let Some(choice) = self.next_subscription(online) {
            let Some(key) = online.turns.subscribe.at(choice) else {
                return false;
            };
            let is_attached = self.is_attached(online, key.device);
            let state = self.devices.subscription_mut(key);
            if is_attached && state.needs_packet() {
                return self.write_subscription(online, choice, key, now);
            }
            online.turns.subscribe.take(choice);
        }
        false
    }

    fn next_subscription(&self, online: &Online) -> Option<Choice> {
        let turns = &online.turns.subscribe;
        let next = turns.next(&online.link, Kind::Subscription);
        if next.is_some() || !online.may_probe(Kind::Subscription) {
            return next;
        }
        turns.probe(online.probes.place())
    }

    fn write_subscription(
        &mut self,
        online: &mut Online,
        choice: Choice,
        key: SubscriptionKey,
        now: Moment,
    ) -> bool {
        if self.queue_subscription(online, key, now).is_none() {
            return false;
        }
        online.turns.subscribe.take(choice);
        if choice.is_probe {
            self.probed(online, Kind::Subscription, now);
        }
        true
    }

    /// Queues SUBSCRIBE or UNSUBSCRIBE, if there is room; returns its packet identifier.
    pub(super) fn queue_subscription(
        &mut self,
        online: &mut Online,
        key: SubscriptionKey,
        now: Moment,
    ) -> Option<PacketId> {
        let id = &self.devices.at(key.device).id;
        let filter = match key.feed {
            Feed::Errors => topic::errors_filter(id),
            Feed::Config => topic::config_filter(id),
            Feed::Commands => topic::commands_filter(id),
        };
        if online.link.room_with_id() < filter.len() + 16 {
            return None;
        }
        let state = self.devices.subscription_mut(key);
        let request = match state.asked {
            Some(earlier) => {
                online.link.park(earlier.packet_id);
                earlier.request
            }
            None => {
                online.requests = online.requests.wrapping_add(1);
                SubscriptionRequest::new(key, online.requests)
            }
        };
        let (qos, owner) = (state.wanted, PacketOwner::Subscription(request));
        let packet_id = match qos {
            Some(qos) => online.link.subscribe(&filter, qos, owner),
            None => online.link.unsubscribe(&filter, owner),
        };
        state.asked = Some(Asked {
            qos,
            request,
            packet_id,
        });
        state.progress = Progress::Asking;
        self.outbox.count_packet(now);
        Some(packet_id)
    }

    /// Returns whether the device can publish and subscribe on this connection now.
    pub(super) fn is_attached(&self, online: &Online, device: Slot) -> bool {
        match self.devices.at(device).life {
            Life::Own => online.is_open(),
            Life::Attached { .. } => true,
            _ => false,
        }
    }
}
