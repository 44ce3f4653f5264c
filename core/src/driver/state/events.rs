//! Distributes the gateway's events to those whom they concern.

use bytes::Bytes;

use crate::{
    command::{DeliveryId, DeviceKey, OpId},
    driver::{
        closed::Closed,
        received_message::{MessageKind, ReceivedMessage},
        state::{State, mailbox::Delivered},
        status::Status,
    },
    error::Failure,
    event::{Disconnected, Event, Outcome},
    id::DeviceId,
    input::Input,
    time::Instant,
    unsent::Unsent,
};

impl State {
    /// Distributes the gateway's events, and reports the messages that were dropped, once for each device. Events stay in
    /// the gateway while a reader of the status applies back-pressure.
    pub(crate) fn distribute_events(&mut self, now: Instant) {
        #[cfg(feature = "store")]
        self.report_found();
        while !self.awaits_status_reader()
            && let Some(event) = self.apply(Input::PollEvent, now).event()
        {
            self.distribute(event, now);
        }
        self.report_dropped();
    }

    /// Reports the messages that were dropped since the last call.
    pub(crate) fn report_dropped(&mut self) {
        for (device, messages) in self.mailboxes.take_dropped() {
            self.report(&Status::Dropped { device, messages });
        }
    }

    fn distribute(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => self.on_connected(),
            Event::Disconnected(ended) => self.on_disconnected(ended),
            Event::Attached { device } => {
                self.report_of(device, |device| Status::Attached { device });
            }
            Event::Detached { device, cause } => {
                self.report_of(device, |device| Status::Detached { device, cause });
            }
            Event::Done { op, outcome } => self.on_done(op, outcome),
            Event::Failed {
                op,
                device,
                failure,
                unsent,
            } => self.on_failed(op, device, failure, unsent),
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
            Event::ErrorReport(report) => self.report(&Status::ErrorReport(report)),
            Event::UnreadableErrorReport { payload, error } => {
                self.report(&Status::UnreadableErrorReport { payload, error });
            }
            Event::Unrequested { topic, payload } => {
                self.report(&Status::Unrequested { topic, payload });
            }
            Event::SubscriptionDowngraded {
                device,
                subscription,
            } => self.report_of(device, |device| Status::SubscriptionDowngraded {
                device,
                subscription,
            }),
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
                self.report(&Status::ErrorsTopicUnavailable { failure });
            }
            Event::ReadingPaused { device } => self.on_reading_paused(device),
            Event::AcknowledgementsOverdue { device, messages } => {
                self.on_overdue(device, messages);
            }
            Event::TokenUnchanged => self.report(&Status::TokenUnchanged),
            Event::TokenNeeded { device } => self.on_token_needed(device, now),
            Event::Writable { device } => {
                if let Some(mailbox) = self.mailboxes.get_mut(device) {
                    mailbox.wake_publishers(&mut self.wakers);
                }
            }
            #[cfg(feature = "store")]
            Event::Stored { op } => self.operations.store(op, &mut self.wakers),
            #[cfg(feature = "store")]
            Event::StoreFailed { failure } => self.on_store_failed(failure),
            #[cfg(feature = "store")]
            Event::StoreRecovered => self.on_store_recovered(),
            #[cfg(feature = "store")]
            Event::StoreFull {
                reserved,
                unclaimed,
            } => self.report(&Status::StoreFull {
                reserved,
                unclaimed,
            }),
            Event::Closed { unsent } => {
                let cause = self.shutdown.cause();
                self.finish(Closed { cause, unsent });
            }
        }
    }

    fn report_of(&mut self, device: DeviceKey, status: impl FnOnce(DeviceId) -> Status) {
        let mailbox = self.mailboxes.get(device);
        // What was restored may be of a device that nobody has had a handle of.
        let id = mailbox.map(|mailbox| mailbox.device());
        if let Some(id) = id.or_else(|| self.gateway.device_id(device)).cloned() {
            self.report(&status(id));
        }
    }

    fn on_connected(&mut self) {
        self.report(&Status::Connected);
        #[cfg(feature = "store")]
        self.report_unclaimed();
    }

    fn on_reading_paused(&mut self, device: Option<DeviceKey>) {
        let mailbox = device.and_then(|device| self.mailboxes.get(device));
        let device = mailbox.map(|mailbox| mailbox.device().clone());
        self.report(&Status::ReadingPaused { device });
    }

    fn on_overdue(&mut self, device: DeviceKey, messages: usize) {
        let gateway = &self.gateway;
        let is_owed = |delivery| gateway.awaits_acknowledgement(delivery);
        if self.mailboxes.be_overdue(device, is_owed) {
            self.report_of(device, |device| Status::AcknowledgementsOverdue {
                device,
                messages,
            });
        }
    }

    fn on_disconnected(&mut self, ended: Disconnected) {
        let error = self.transport_error.take();
        self.first_connection
            .fail(&ended, error.as_ref(), &mut self.wakers);
        self.report(&Status::Disconnected { ended, error });
        self.mailboxes.end_connection();
    }

    fn on_done(&mut self, op: OpId, outcome: Outcome) {
        if let Outcome::Attached | Outcome::Subscribed(_) | Outcome::Acknowledged = outcome {
            self.first_connection.succeed(&mut self.wakers);
        }
        self.end_detach(op);
        self.operations.succeed(op, outcome, &mut self.wakers);
    }

    fn on_failed(
        &mut self,
        op: OpId,
        device: DeviceKey,
        failure: Failure,
        unsent: Option<Box<Unsent>>,
    ) {
        let unawaited = self.operations.fail(op, failure, unsent, &mut self.wakers);
        if let Some((failure, unsent)) = unawaited {
            self.report_of(device, |device| match unsent {
                Some(unsent) => Status::Undelivered {
                    device,
                    failure,
                    messages: 1,
                    op,
                    tag: unsent.tag,
                },
                None => Status::Failed {
                    op,
                    device,
                    failure,
                },
            });
        }
        self.end_detach(op);
    }

    /// Ends the messages of a device, if this operation was its detach.
    fn end_detach(&mut self, op: OpId) {
        if let Some(device) = self.operations.take_detached(op) {
            self.mailboxes.detach(device, &mut self.wakers);
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
        let message = ReceivedMessage {
            kind,
            payload,
            delivery,
            replaced: Vec::new(),
        };
        let gateway = &self.gateway;
        let is_owed = |delivery| gateway.awaits_acknowledgement(delivery);
        let wakers = &mut self.wakers;
        match self.mailboxes.deliver(device, message, is_owed, wakers) {
            Delivered::Owed => {}
            Delivered::Postponed | Delivered::Dropped => {
                self.apply(Input::Postpone(delivery), now);
            }
        }
    }
}
