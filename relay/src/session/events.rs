//! Converts the gateway's results and messages to events.

use std::io;

use iotcore_gateway_tokio::{
    Disconnected, Failure, Message, OperationError, Status, TransportError,
};

use super::{Seat, Session};
use crate::{
    failure::{Circumstances, Reason, certainty, detach_cause, disconnect_code, disconnect_detail},
    operation::{Id, Request},
    options::Acknowledge,
    output::{Event, note},
    sources::Ended,
};

impl Session {
    /// Writes the end of an operation, exactly once.
    pub(super) async fn end(&mut self, id: Id, result: Result<(), Reason>) -> io::Result<()> {
        let was_message = self.open.remove(&id);
        let event = match result {
            Ok(()) => Event::Done { id },
            Err(reason) => {
                self.unsent += usize::from(was_message && reason.is_end());
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
                    "no {subscription} for the gateway itself: {error}"
                ));
                Ok(())
            }
            Ended::Other(id, result) => self.end(id, result).await,
            Ended::Attached { id, seated, result } => {
                let reason = result.map_err(|error| Reason::from(&error));
                self.end(id, reason).await?;
                if let Some(device) = seated
                    && let Some(Seat::Attaching(handle, waiting)) = self.seats.remove(&device)
                {
                    self.seats.insert(device, Seat::Ready(handle));
                    self.go_on(waiting);
                }
                Ok(())
            }
            Ended::Detached { id, device, result } => {
                self.end(id, result.map_err(Into::into)).await?;
                let seat = self.seats.remove(device.id());
                if device.status().is_some() {
                    self.seats.insert(device.id().clone(), Seat::Ready(device));
                }
                if let Some(Seat::Detaching(waiting)) = seat {
                    self.go_on(waiting);
                }
                Ok(())
            }
        }
    }

    /// Resumes requests that waited for a device, before those that were read later.
    fn go_on(&mut self, waiting: Vec<Request>) {
        for request in waiting.into_iter().rev() {
            self.open.remove(&request.id);
            self.held.push_front((request, 0));
        }
    }

    /// Handles a config or command; acknowledges it once its line is written, unless the input is responsible for that.
    pub(super) async fn on_message(&mut self, mut message: Message) -> io::Result<()> {
        let is_own = message.device == self.manner.gateway;
        self.output.write(&Event::message(&message, is_own)).await?;
        let delivery = message.delivery().as_u64();
        self.last_delivery = self.last_delivery.max(delivery);
        match self.manner.acknowledge {
            Acknowledge::Taken => message.acknowledge(),
            Acknowledge::Manual => {
                message.payload = Default::default();
                self.unacknowledged.insert(delivery, message);
            }
        }
        Ok(())
    }

    pub(super) async fn on_status(&mut self, change: Status) -> io::Result<()> {
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

/// Notes status changes that are not events of the protocol, for people.
fn note_status(change: &Status) {
    match change {
        Status::UnreadableErrorReport { error, .. } => note(error),
        Status::Unrequested { topic, payload } => note(format_args!(
            "the bridge sent {} bytes on {topic:?}, which nobody asked for",
            payload.len()
        )),
        Status::SubscriptionLost {
            device,
            subscription,
            failure,
        } => note(format_args!(
            "no {subscription} for {device}, which is tried again: {failure}"
        )),
        Status::ErrorsTopicUnavailable { failure } => note(format_args!(
            "this connection has no error reports: {failure}; check that --gateway names a gateway, not a device"
        )),
        Status::Dropped { device, messages } => note(format_args!(
            "{messages} configs and commands for {device} were given up"
        )),
        other => note(format_args!("{other:?}")),
    }
}
