//! The bridge's answers about subscriptions, and what follows: SUBACK, UNSUBACK, reports and silence.

use super::super::{
    devices::{Feed, Held, Progress, SubscriptionKey},
    online::{Deadline, Online},
    session::Session,
};
use crate::{
    clock::Moment,
    error::Failure,
    event::Event,
    mqtt::{PacketId, QoS, SubAckCode},
};

impl Session {
    /// Handles SUBACK. One that refuses an earlier attempt says nothing of the last one.
    pub(crate) fn on_suback(
        &mut self,
        online: &mut Online,
        key: SubscriptionKey,
        packet_id: PacketId,
        code: SubAckCode,
        now: Moment,
    ) {
        let granted = match code {
            SubAckCode::MaximumQoS0 => QoS::AtMostOnce,
            SubAckCode::MaximumQoS1 | SubAckCode::MaximumQoS2 => QoS::AtLeastOnce,
            SubAckCode::Failure => {
                let asked = self.devices.subscription(key).asked;
                if asked.is_some_and(|asked| asked.packet_id == packet_id) {
                    self.fail_subscription(online, key, refusal_of(key.feed), now);
                }
                return;
            }
        };
        self.on_subscription_answer(online, key, granted);
    }

    /// Handles a granting SUBACK, or UNSUBACK, in time or late.
    fn on_subscription_answer(&mut self, online: &mut Online, key: SubscriptionKey, granted: QoS) {
        self.stop_retrying(Some(online), key);
        let state = self.devices.subscription_mut(key);
        let Some(asked) = state.asked.take() else {
            return;
        };
        state.progress = Progress::Settled;
        state.held = asked.qos.map(|wish| Held {
            wish,
            granted: granted.min(wish),
        });
        state.needs_renewal = false;
        state.attempts = 0;
        state.strikes.clear();
        state.refusals = 0;
        state.refused_until = None;
        if state.held.is_some_and(Held::is_downgraded) && state.is_as_wanted() {
            self.report_downgrade(key);
        }
        self.pursue_subscription(Some(online), key);
    }

    /// Handles UNSUBACK, in time or late.
    pub(crate) fn on_unsuback(&mut self, online: &mut Online, key: SubscriptionKey) {
        self.on_subscription_answer(online, key, QoS::AtMostOnce);
    }

    /// Handles a subscription that timed out, or was refused by SUBACK or a report. After a timeout or a SUBACK it is
    /// tried again with backoff, after a report on the next connection.
    pub(crate) fn fail_subscription(
        &mut self,
        online: &mut Online,
        key: SubscriptionKey,
        failure: Failure,
        now: Moment,
    ) {
        self.stop_retrying(Some(online), key);
        let state = self.devices.subscription_mut(key);
        let asked = state.asked.map(|asked| asked.qos);
        let attempts = state.attempts;
        let retry_at = self.next_attempt_at(key, &failure, now);
        let state = self.devices.subscription_mut(key);
        state.attempts += 1;
        state.progress = match retry_at {
            Some(at) => {
                online.deadlines.add(at, Deadline::subscribe(key));
                Progress::Retrying(at)
            }
            None => Progress::Refused,
        };
        if asked.is_some_and(|asked| asked != state.wanted) {
            // The user wants something else by now, which has not been tried yet.
            state.drop_asked();
            state.attempts = 0;
            state.refused_until = None;
            self.retry_subscription(online, key);
            return;
        }
        self.report_failed_subscription(key, attempts, failure);
    }

    /// Decides when a subscription that failed is tried again. Only after a timeout may its last attempt still be
    /// answered.
    fn next_attempt_at(
        &mut self,
        key: SubscriptionKey,
        failure: &Failure,
        now: Moment,
    ) -> Option<Moment> {
        let state = self.devices.subscription_mut(key);
        if let Failure::TimedOut(_) = failure {
            return Some(now + self.options.backoff.wait(state.attempts, &mut self.jitter));
        }
        state.asked = None;
        state.strikes.clear();
        let is_answer = matches!(
            failure,
            Failure::SubscriptionRefused(_) | Failure::ErrorsTopicRefused
        );
        if !is_answer {
            return None;
        }
        let backoff = self.options.refusal_backoff();
        let at = now + backoff.wait(state.refusals.into(), &mut self.jitter);
        state.refusals = state.refusals.saturating_add(1);
        state.refused_until = Some(at);
        Some(at)
    }

    fn report_downgrade(&mut self, key: SubscriptionKey) {
        if let Some(subscription) = key.feed.subscription() {
            let device = self.devices.key(key.device);
            self.emit(Event::SubscriptionDowngraded {
                device,
                subscription,
            });
        }
    }

    pub(crate) fn report_failed_subscription(
        &mut self,
        key: SubscriptionKey,
        attempts: u32,
        failure: Failure,
    ) {
        let state = self.devices.subscription_mut(key);
        let (op, is_wanted) = (state.op.take(), state.wanted.is_some());
        let device = self.devices.key(key.device);
        let Some(subscription) = key.feed.subscription() else {
            // Asked for again until it is granted: the first failure says it.
            if attempts == 0 {
                self.emit(Event::ErrorsTopicUnavailable { failure });
            }
            return;
        };
        match op {
            Some(op) => self.fail(op, device, failure),
            None if !is_wanted => {}
            None => {
                self.note_failure(key.device, &failure);
                self.emit(Event::SubscriptionLost {
                    device,
                    subscription,
                    failure,
                });
            }
        }
    }

    pub(crate) fn retry_subscription(&mut self, online: &mut Online, key: SubscriptionKey) {
        self.stop_retrying(Some(online), key);
        self.pursue_subscription(Some(online), key);
    }
}

/// Returns what SUBACK 0x80 means.
fn refusal_of(feed: Feed) -> Failure {
    let subscription = feed.subscription();
    subscription.map_or(Failure::ErrorsTopicRefused, Failure::SubscriptionRefused)
}
