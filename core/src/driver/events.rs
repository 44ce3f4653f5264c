//! The gateway's events, given to whom they concern.

use bytes::Bytes;

use crate::{
    command::{DeliveryId, DeviceKey},
    driver::{
        acknowledging::Acknowledging,
        closed::{CloseCause, Closed},
        received_message::MessageKind,
        shared::State,
        slots::Queued,
        status::Status,
    },
    event::{Disconnected, Event},
    id::DeviceId,
    time::Instant,
};

/// Messages that are acknowledged and kept for a device whose messages nobody reads; further ones wait for their
/// acknowledgement. So a device that only sends holds back no others, and nothing acknowledged is given up.
const MAX_UNREAD: usize = 16;

impl State {
    /// Gives out every event there is, as long as nobody holds them up: the rest waits in the gateway.
    pub(crate) fn give_out_events(&mut self, now: Instant) {
        while !self.is_held_up()
            && let Some(event) = self.gateway.poll_event()
        {
            self.give_out(event, now);
        }
    }

    fn give_out(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => self.report(Status::Connected),
            Event::Disconnected(ended) => self.on_disconnected(ended),
            Event::Attached { device } => {
                self.report_of(device, |device| Status::Attached { device });
            }
            Event::Detached { device, cause } => {
                self.report_of(device, |device| Status::Detached { device, cause });
            }
            Event::Done { op, outcome } => self.complete(op, Ok(outcome)),
            Event::Failed { op, failure } => self.complete(op, Err(failure)),
            Event::Config {
                device,
                payload,
                delivery,
            } => self.deliver(device, MessageKind::Config, payload, delivery, now),
            Event::Command {
                device,
                subfolder,
                payload,
                delivery,
            } => {
                let kind = MessageKind::Command { subfolder };
                self.deliver(device, kind, payload, delivery, now);
            }
            Event::ErrorReport(report) => self.report(Status::ErrorReport(report)),
            Event::UnreadableErrorReport { payload, error } => {
                self.report(Status::UnreadableErrorReport { payload, error });
            }
            Event::Unrequested { topic, payload } => {
                self.report(Status::Unrequested { topic, payload });
            }
            Event::SubscriptionLost {
                device,
                subscription,
                failure,
            } => self.report_of(device, |device| Status::SubscriptionLost {
                device,
                subscription,
                failure,
            }),
            Event::ErrorsTopicUnavailable { failure } => {
                self.report(Status::ErrorsTopicUnavailable { failure });
            }
            Event::TokenNeeded { device } => self.needing_tokens.push_back(device),
            Event::Writable { device } => self.retry_blocked(device),
            Event::Closed { unsent } => {
                let cause = if self.is_closing() {
                    CloseCause::Requested
                } else {
                    CloseCause::GaveUp
                };
                self.finish(Closed { cause, unsent });
            }
        }
    }

    fn report_of(&mut self, device: DeviceKey, status: impl FnOnce(DeviceId) -> Status) {
        if let Some(slot) = self.slots.get(&device) {
            let status = status(slot.id.clone());
            self.report(status);
        }
    }

    /// Acknowledgements die with their connection; the messages do not.
    fn on_disconnected(&mut self, ended: Disconnected) {
        let error = self.error.take();
        self.report(Status::Disconnected { ended, error });
        let mut dropped = Vec::new();
        for (key, slot) in &mut self.slots {
            let excess = slot.queue.len().saturating_sub(self.max_stale);
            slot.queue.drain(..excess);
            for message in &mut slot.queue {
                message.is_owed = false;
            }
            dropped.push((*key, excess));
        }
        for (key, messages) in dropped {
            self.report_dropped(key, messages);
        }
    }

    fn deliver(
        &mut self,
        device: DeviceKey,
        kind: MessageKind,
        payload: Bytes,
        delivery: DeliveryId,
        now: Instant,
    ) {
        let Some(slot) = self.slots.get_mut(&device).filter(|slot| slot.handles > 0) else {
            self.gateway.acknowledge(delivery, now);
            self.report_dropped(device, 1);
            return;
        };
        let mut is_owed = true;
        if self.acknowledging == Acknowledging::WhenTaken && slot.readers == 0 {
            if kind == MessageKind::Config {
                // A newer config is all that a late reader wants of those the cloud knows to have arrived.
                slot.queue
                    .retain(|queued| queued.is_owed || queued.kind != MessageKind::Config);
            }
            let unread = slot.queue.iter().filter(|queued| !queued.is_owed).count();
            is_owed = unread >= MAX_UNREAD;
        }
        slot.queue.push_back(Queued {
            kind,
            payload,
            delivery,
            is_owed,
        });
        if !is_owed {
            self.gateway.acknowledge(delivery, now);
        }
        self.wake_readers(device);
    }
}
