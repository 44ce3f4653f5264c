//! Converts the gateway's results and messages to events.

use std::io;

use iotcore_gateway_tokio::{
    Disconnected, Failure, Message, OperationError, Status, TransportError,
};

use super::{DeviceEntry, Relay};
use crate::{
    failure::{Circumstances, Reason, certainty, detach_cause, disconnect_code, disconnect_detail},
    operation::{Id, Request},
    options::Acknowledge,
    output::{Event, note},
    sources::Ended,
};

impl Relay {
    /// Writes the end of an operation, exactly once.
    pub(super) async fn end(&mut self, id: Id, result: Result<(), Reason>) -> io::Result<()> {
        let was_message = self.open.remove(&id);
        let event = match result {
            Ok(()) => Event::Done { id },
            Err(reason) => {
                self.unsent += usize::from(was_message && reason.is_unsent());
                Event::Failed { id, reason }
            }
        };
        self.output.write(&event).await
    }

    pub(super) async fn on_ended(&mut self, ended: Ended) -> io::Result<()> {
        match ended {
            Ended::Own(
                _,
                Ok(()) | Err(OperationError::Failed(Failure::Closed | Failure::GaveUp)),
            ) => Ok(()),
            Ended::Own(subscription, Err(error)) => {
                note(format_args!(
                    "cannot subscribe to {subscription} for the gateway itself: {error}"
                ));
                Ok(())
            }
            Ended::Other(id, result) => self.end(id, result).await,
            Ended::Attached {
                id,
                first_attach,
                result,
            } => {
                let reason = result.map_err(|error| Reason::from(&error));
                self.end(id, reason).await?;
                if let Some(device) = first_attach
                    && let Some(DeviceEntry::Attaching(handle, waiting)) =
                        self.devices.remove(&device)
                {
                    self.devices.insert(device, DeviceEntry::Ready(handle));
                    self.resume(waiting);
                }
                Ok(())
            }
            Ended::Detached { id, device, result } => {
                self.end(id, result.map_err(Into::into)).await?;
                let entry = self.devices.remove(device.id());
                if device.status().is_some() {
                    self.devices
                        .insert(device.id().clone(), DeviceEntry::Ready(device));
                }
                if let Some(DeviceEntry::Detaching(waiting)) = entry {
                    self.resume(waiting);
                }
                Ok(())
            }
        }
    }

    /// Resumes requests that waited for a device, before those that were read later.
    fn resume(&mut self, waiting: Vec<Request>) {
        for request in waiting.into_iter().rev() {
            self.open.remove(&request.id);
            self.held.push_front((request, 0));
        }
    }

    /// Handles a config or command; acknowledges it once its line is written, unless the input acknowledges it.
    pub(super) async fn on_message(&mut self, mut message: Message) -> io::Result<()> {
        let is_own = message.device == self.settings.gateway;
        self.output.write(&Event::message(&message, is_own)).await?;
        let delivery = message.delivery().as_u64();
        self.last_delivery = self.last_delivery.max(delivery);
        match self.settings.acknowledge {
            Acknowledge::Taken => message.acknowledge(),
            Acknowledge::Manual if message.awaits_acknowledgement() => {
                message.payload = Default::default();
                self.unacknowledged.insert(delivery, message);
            }
            Acknowledge::Manual => {}
        }
        Ok(())
    }

    pub(super) async fn on_status(&mut self, change: Status) -> io::Result<()> {
        if let Status::AcknowledgementsOverdue { .. } | Status::Detached { .. } = &change {
            // The gateway has released messages, which need no `acknowledge` any more.
            self.unacknowledged
                .retain(|_, message| message.awaits_acknowledgement());
        }
        let event = match change {
            Status::Connected => {
                self.is_connected = true;
                Event::Connected
            }
            Status::Disconnected { ended, error } => self.disconnected(&ended, error.as_deref()),
            Status::Attached { device } => Event::Attached {
                device: device.to_string(),
            },
            Status::Detached { device, cause } => Event::Detached {
                device: device.to_string(),
                cause: detach_cause(&cause),
            },
            Status::ErrorReport(report) => Event::ErrorReport((&report).into()),
            Status::TokenNeeded { device } => Event::TokenNeeded {
                device: device.to_string(),
            },
            other => {
                note_status(&other);
                return Ok(());
            }
        };
        self.output.write(&event).await
    }

    /// Records the end of a connection. Messages that it delivered need no acknowledgement any more.
    fn disconnected(&mut self, ended: &Disconnected, error: Option<&TransportError>) -> Event {
        self.unacknowledged.clear();
        let circumstances = Circumstances {
            was_connected: std::mem::take(&mut self.is_connected),
            was_attaching: self.open.is_attaching(),
        };
        let wait = ended.retry_in.map(|wait| wait.as_millis());
        Event::Disconnected {
            reason: disconnect_code(ended, error),
            detail: disconnect_detail(ended, error, circumstances),
            certainty: certainty(ended.certainty),
            suspects: self.open.ids(&ended.suspects),
            takeover_suspected: ended.takeover_suspected,
            retry_in_ms: wait.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
        }
    }
}

/// Writes status changes that are not protocol events to standard error.
fn note_status(change: &Status) {
    match change {
        Status::UnreadableErrorReport { error, .. } => note(error),
        Status::Unrequested { topic, payload } => note(format_args!(
            "the bridge sent {} bytes on {topic:?}, which were not requested",
            payload.len()
        )),
        Status::SubscriptionDowngraded { .. } => note(change),
        Status::SubscriptionLost {
            device,
            subscription,
            failure,
        } => note(format_args!(
            "cannot subscribe to {subscription} for {device}, which is retried: {failure}"
        )),
        Status::ErrorsTopicUnavailable { failure } => note(format_args!(
            "error reports are unavailable on this connection: {failure}; check that --gateway names a gateway, not a device"
        )),
        Status::ReadingPaused { .. } | Status::AcknowledgementsOverdue { .. } => note(change),
        Status::Dropped { device, messages } => note(format_args!(
            "{messages} configs and commands for {device} were dropped"
        )),
        Status::TokenUnchanged => note(change),
        other => note(format_args!("{other:?}")),
    }
}
