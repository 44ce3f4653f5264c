//! Commands of handles to the gateway.

use core::task::Context;

use crate::{
    command::{DeliveryId, DeviceAuth, DeviceKey, OpId, Publication, Subscription},
    driver::{
        operation_error::{AcceptError, OperationError},
        state::State,
    },
    error::{PublishError, PublishErrorKind},
    id::DeviceId,
    input::Input,
    mqtt::QoS,
    stats::Stats,
    time::{Instant, UnixTime},
    token::Token,
};

/// An attach that was accepted, with one handle of its device counted, and each operation counted as waited for.
pub(crate) struct AcceptedAttach {
    pub(crate) device: DeviceKey,
    pub(crate) attach: OpId,
    pub(crate) subscribes: [Option<OpId>; 2],
}

/// Handles.
impl State {
    /// Counts one more handle of the gateway itself, and returns its key and id.
    pub(crate) fn add_own_handle(&mut self) -> (DeviceKey, DeviceId) {
        let key = self.gateway.own_key();
        let id = self.gateway.client_id().gateway().clone();
        self.mailboxes.add_handle(key, &id);
        (key, id)
    }

    /// Counts one more handle of the device with this id, if the gateway has it, and returns its key.
    pub(crate) fn add_handle_of(&mut self, id: &DeviceId) -> Option<DeviceKey> {
        let key = self.gateway.device_key(id)?;
        self.mailboxes.add_handle(key, id);
        Some(key)
    }

    /// Counts one handle less. Commands that nobody can take any more are acknowledged, so that they hold back no
    /// others [MQTT-4.6.0-2]. The gateway closes after its last handle.
    pub(crate) fn remove_handle(&mut self, key: DeviceKey, now: Instant) {
        let Some(abandoned) = self.mailboxes.remove_handle(key) else {
            return;
        };
        for delivery in abandoned {
            self.apply(Input::Postpone(delivery), now);
        }
        self.report_dropped();
        self.wakers.wake_driver();
        if !self.mailboxes.have_handles() {
            self.close(now);
        }
    }
}

/// Commands. Each operation that they return is counted as waited for.
impl State {
    /// Opens the new gateway. Nobody waits for the result.
    pub(crate) fn start(&mut self, now: Instant) {
        let opened = self.apply(Input::Open, now).op();
        opened.expect("a new gateway is not closed");
    }

    pub(crate) fn open(&mut self, now: Instant) -> Result<OpId, OperationError> {
        self.command(Input::Open, now)
    }

    /// Attaches and subscribes a device: the gateway accepts all of it, or nothing.
    pub(crate) fn attach(
        &mut self,
        id: &DeviceId,
        auth: DeviceAuth,
        subscriptions: &[(Subscription, Option<QoS>); 2],
        unix_now: UnixTime,
        now: Instant,
    ) -> Result<AcceptedAttach, OperationError> {
        self.shutdown.check_driver()?;
        let attach = Input::Attach {
            device: id.clone(),
            auth,
            unix_now,
        };
        let (device, attach) = self.apply(attach, now).attached()?;
        let subscribes = subscriptions.map(|(subscription, qos)| {
            // A gateway that has just accepted the device accepts its subscriptions too.
            let subscribe = Input::Subscribe {
                device,
                subscription,
                qos: qos?,
            };
            self.apply(subscribe, now).op().ok()
        });
        self.mailboxes.add_handle(device, id);
        for op in subscribes.into_iter().flatten().chain([attach]) {
            self.accepted(op);
        }
        Ok(AcceptedAttach {
            device,
            attach,
            subscribes,
        })
    }

    pub(crate) fn subscribe(
        &mut self,
        device: DeviceKey,
        subscription: Subscription,
        qos: QoS,
        now: Instant,
    ) -> Result<OpId, OperationError> {
        let subscribe = Input::Subscribe {
            device,
            subscription,
            qos,
        };
        self.command(subscribe, now)
    }

    pub(crate) fn unsubscribe(
        &mut self,
        device: DeviceKey,
        subscription: Subscription,
        now: Instant,
    ) -> Result<OpId, OperationError> {
        let unsubscribe = Input::Unsubscribe {
            device,
            subscription,
        };
        self.command(unsubscribe, now)
    }

    pub(crate) fn authorize(
        &mut self,
        device: DeviceKey,
        token: Token,
        unix_now: UnixTime,
        now: Instant,
    ) -> Result<OpId, OperationError> {
        let authorize = Input::Authorize {
            device,
            token,
            unix_now,
        };
        self.command(authorize, now)
    }

    pub(crate) fn detach(
        &mut self,
        device: DeviceKey,
        now: Instant,
    ) -> Result<OpId, OperationError> {
        let op = self.command(Input::Detach(device), now)?;
        self.operations.record_detach(op, device);
        Ok(op)
    }

    /// Hands a publication to the gateway, which returns it if there is no room.
    pub(crate) fn publish(
        &mut self,
        publication: Publication,
        now: Instant,
    ) -> Result<OpId, AcceptError> {
        if self.shutdown.check_driver().is_err() {
            return Err(AcceptError::DriverStopped(publication));
        }
        let accepted = self.apply(Input::Publish(publication), now).published();
        let op = accepted.map_err(|refused| {
            // It may be the first that finds the store full, which is an event.
            self.wakers.wake_driver();
            AcceptError::Refused(refused)
        })?;
        Ok(self.accepted(op))
    }

    /// Ends a publication. Those who wait for it get its failure with the next events.
    pub(crate) fn cancel(&mut self, op: OpId, now: Instant) -> Result<(), OperationError> {
        self.shutdown.check_driver()?;
        self.apply(Input::Cancel(op), now).cancelled()?;
        self.wakers.wake_driver();
        Ok(())
    }

    /// Returns the gateway's counters, and starts a new measurement of the worst latency.
    pub(crate) fn take_stats(&mut self, now: Instant) -> Stats {
        let stats = self.gateway.stats();
        self.apply(Input::ResetWorstLatency, now);
        stats
    }

    /// Hands a publication to the gateway as [`publish`](Self::publish) does. If there is no room, returns it as the
    /// error and registers the task for when there may be.
    pub(crate) fn poll_publish(
        &mut self,
        publication: Publication,
        waiter: &mut Option<u64>,
        now: Instant,
        cx: &Context<'_>,
    ) -> Result<Result<OpId, AcceptError>, Publication> {
        let device = publication.device();
        match self.publish(publication, now) {
            Err(AcceptError::Refused(PublishError {
                kind: PublishErrorKind::Blocked,
                publication,
            })) => {
                if let Some(mailbox) = self.mailboxes.get_mut(device) {
                    mailbox.wait_for_room(waiter, cx, &mut self.wakers);
                }
                Err(publication)
            }
            result => Ok(result),
        }
    }

    pub(crate) fn stop_publishing(&mut self, device: DeviceKey, waiter: Option<u64>) {
        if let Some(mailbox) = self.mailboxes.get_mut(device) {
            mailbox.stop_waiting_for_room(waiter, &mut self.wakers);
        }
    }

    /// Acknowledges a message: its deliveries, oldest first.
    pub(crate) fn acknowledge(
        &mut self,
        deliveries: impl IntoIterator<Item = DeliveryId>,
        now: Instant,
    ) {
        for delivery in deliveries {
            self.apply(Input::Acknowledge(delivery), now);
        }
        self.wakers.wake_driver();
    }

    pub(crate) fn close(&mut self, now: Instant) {
        if self.shutdown.request() {
            self.apply(Input::Close, now);
            self.mailboxes.wake_publishers(&mut self.wakers);
            self.token_requests.end_attaches(&mut self.wakers);
            self.wakers.wake_driver();
        }
    }

    /// Hands a command to the gateway.
    fn command(&mut self, command: Input<'_>, now: Instant) -> Result<OpId, OperationError> {
        self.shutdown.check_driver()?;
        let op = self.apply(command, now).op()?;
        Ok(self.accepted(op))
    }

    /// Counts the caller as waiting for an operation that was accepted, and lets the driver act on it.
    fn accepted(&mut self, op: OpId) -> OpId {
        self.operations.wait_for(op);
        self.wakers.wake_driver();
        op
    }
}
