//! A device's subscriptions: what the user wants, and what this connection has granted.

use super::{
    devices::{Life, Progress, SubscriptionKey, Subscriptions},
    online::{Deadline, Online, PacketOwner},
    session::Session,
};
use crate::{
    clock::Moment,
    command::{OpId, Slot, Subscription},
    error::Failure,
    event::{Event, Outcome},
    mqtt::{QoS, SubAckCode},
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
        let overtaken = state.op.take();
        self.stop_retrying(online.as_deref_mut(), key);
        if let Some(op) = overtaken {
            let device = self.devices.key(key.device);
            self.fail(op, device, Failure::Superseded);
        }
        let op = self.new_op();
        self.devices.subscription_mut(key).op = Some(op);
        self.pursue_subscription(online, key);
        op
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
            Progress::Settled | Progress::Asked(..) => {}
        }
    }

    /// Ends the operation of a subscription that is as wanted; otherwise queues the subscription for its packet.
    fn pursue_subscription(&mut self, online: Option<&mut Online>, key: SubscriptionKey) {
        let online = online.filter(|online| self.is_attached(online, key.device));
        let state = self.devices.subscription_mut(key);
        match online {
            Some(online) if state.needs_packet() => online.turns.subscribe.push_back(key),
            _ if !state.is_as_wanted() => {}
            _ => {
                if let Some(op) = state.op.take() {
                    let wanted = state.wanted;
                    self.done(
                        op,
                        wanted.map_or(Outcome::Unsubscribed, Outcome::Subscribed),
                    );
                }
            }
        }
    }

    /// Continues with both subscriptions of a device that was attached.
    pub(super) fn resume_subscriptions(&mut self, online: &mut Online, device: Slot) {
        for subscription in Subscriptions::ALL {
            let key = SubscriptionKey {
                device,
                subscription,
            };
            self.pursue_subscription(Some(online), key);
        }
    }

    /// Clears what was granted to a device, because its attachment has ended.
    pub(super) fn lose_subscriptions(&mut self, mut online: Option<&mut Online>, device: Slot) {
        for subscription in Subscriptions::ALL {
            let key = SubscriptionKey {
                device,
                subscription,
            };
            let progress = self.devices.subscription_mut(key).progress;
            match (progress, online.as_deref_mut()) {
                (Progress::Asked(awaiting, _), Some(online)) => online.abandon(awaiting),
                (Progress::Retrying(at), Some(online)) => {
                    online.deadlines.remove(at, Deadline::subscribe(key));
                }
                _ => {}
            }
            if let Some((op, outcome)) = self.devices.subscription_mut(key).lose() {
                self.done(op, outcome);
            }
        }
    }

    /// Queues the next SUBSCRIBE or UNSUBSCRIBE, if there is one; returns whether it did.
    pub(super) fn send_subscription(&mut self, online: &mut Online, now: Moment) -> bool {
        while let Some(&key) = online.turns.subscribe.front() {
            let is_attached = self.is_attached(online, key.device);
            let state = self.devices.subscription_mut(key);
            if is_attached && state.needs_packet() {
                let qos = state.wanted;
                return self.write_subscription(online, key, qos, now);
            }
            online.turns.subscribe.pop_front();
        }
        false
    }

    fn write_subscription(
        &mut self,
        online: &mut Online,
        key: SubscriptionKey,
        qos: Option<QoS>,
        now: Moment,
    ) -> bool {
        let id = &self.devices.at(key.device).id;
        let filter = match key.subscription {
            Subscription::Config => topic::config_filter(id),
            Subscription::Commands => topic::commands_filter(id),
        };
        if online.link.room_with_id() < filter.len() + 16 {
            return false;
        }
        let owner = PacketOwner::Subscription(key);
        let packet_id = match qos {
            Some(qos) => online.link.subscribe(&filter, qos, owner),
            None => online.link.unsubscribe(&filter, owner),
        };
        online.turns.subscribe.pop_front();
        let awaiting = online.await_answer(packet_id, self.options.ack_timeout, now);
        self.devices.subscription_mut(key).progress = Progress::Asked(awaiting, qos);
        true
    }

    pub(super) fn on_suback(
        &mut self,
        online: &mut Online,
        key: SubscriptionKey,
        code: SubAckCode,
        now: Moment,
    ) {
        if code == SubAckCode::Failure {
            let failure = Failure::SubscriptionRefused(key.subscription);
            self.fail_subscription(online, key, failure, now);
        } else {
            self.on_subscription_answer(online, key);
        }
    }

    /// Handles a granting SUBACK, or UNSUBACK.
    pub(super) fn on_subscription_answer(&mut self, online: &mut Online, key: SubscriptionKey) {
        let state = self.devices.subscription_mut(key);
        let Progress::Asked(awaiting, qos) = state.progress else {
            return;
        };
        state.progress = Progress::Settled;
        state.held = qos;
        state.attempts = 0;
        online.stop_awaiting(awaiting);
        self.pursue_subscription(Some(online), key);
    }

    /// Handles a subscription that timed out or was refused. After a timeout it is tried again with backoff, after a
    /// refusal on the next connection.
    pub(super) fn fail_subscription(
        &mut self,
        online: &mut Online,
        key: SubscriptionKey,
        failure: Failure,
        now: Moment,
    ) {
        let state = self.devices.subscription_mut(key);
        let Progress::Asked(awaiting, asked) = state.progress else {
            return;
        };
        // If a report has failed it, the answer may still arrive, and must not complete the next attempt.
        online.abandon(awaiting);
        let attempts = state.attempts;
        state.attempts += 1;
        state.progress = match failure {
            Failure::TimedOut(_) => {
                let at = now + self.options.backoff.wait(attempts, &mut self.jitter);
                online.deadlines.add(at, Deadline::subscribe(key));
                Progress::Retrying(at)
            }
            _ => Progress::Refused,
        };
        if state.wanted != asked {
            // The user wants something else by now, which has not been tried yet.
            self.retry_subscription(online, key);
            return;
        }
        let op = state.op.take();
        let device = self.devices.key(key.device);
        match op {
            Some(op) => self.fail(op, device, failure),
            None if asked.is_none() => {}
            None => {
                let subscription = key.subscription;
                self.emit(Event::SubscriptionLost {
                    device,
                    subscription,
                    failure,
                });
            }
        }
    }

    pub(super) fn retry_subscription(&mut self, online: &mut Online, key: SubscriptionKey) {
        self.stop_retrying(Some(online), key);
        self.pursue_subscription(Some(online), key);
    }

    /// Returns whether the device can publish and subscribe on this connection now.
    pub(super) fn is_attached(&self, online: &Online, device: Slot) -> bool {
        match self.devices.at(device).life {
            Life::Own => online.is_open(),
            Life::Attached(_) => true,
            _ => false,
        }
    }
}
