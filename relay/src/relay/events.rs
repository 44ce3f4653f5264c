//! Converts the gateway's results and messages to events.

use std::io;

use iotcore_gateway_tokio::{
    Status,
    cause::Disconnected,
    command_error::CommandError,
    error::{OperationError, TransportError},
    store::StoreFailureKind,
};
use tokio::time::Instant;

use super::{
    Relay,
    connection::ConnectionEnd,
    lanes::Stage,
    open::{OpenMessage, Origin},
    statuses,
};
use crate::{
    failure::{Circumstances, Reason, certainty, disconnect_code, disconnect_detail},
    operation::Id,
    options::Acknowledge,
    output::{Event, Message},
    sources::Ended,
};

impl Relay {
    /// Writes the end of an operation, exactly once.
    pub(super) async fn end(&mut self, id: Id, result: Result<(), Reason>) -> io::Result<()> {
        let message = self.open.remove(&id);
        if let Some(message) = &message
            && message.op.is_some()
        {
            match message.origin {
                Origin::Input => self.lanes.on_ended(&message.device, &message.request),
                Origin::Store => self
                    .lanes
                    .on_restored_ended(&message.device, &message.request),
            }
        }
        let event = match result {
            Ok(()) => {
                self.shutdown.progressed();
                Event::Done { id }
            }
            Err(reason) => {
                if reason.is_unsent() {
                    let is_stored = message.as_ref().is_some_and(|message| message.is_stored);
                    self.count_unfinished(message.is_some(), is_stored);
                    if is_stored {
                        return self.write(&Event::failed(id, reason.kept(), None)).await;
                    }
                }
                let is_repeated =
                    |message: &&OpenMessage| message.op.is_some() || !reason.is_mistake();
                let repeated = message.as_ref().filter(is_repeated);
                let operation =
                    repeated.and_then(|message| Message::of(&message.request, Instant::now()));
                Event::failed(id, reason, operation)
            }
        };
        self.write(&event).await
    }

    /// Counts an operation that the end of the relay has ended.
    pub(super) fn count_unfinished(&mut self, is_message: bool, is_stored: bool) {
        self.is_cut_short |= !is_stored;
        self.unsent += usize::from(is_message);
        self.kept += usize::from(is_stored);
    }

    pub(super) async fn on_ended(&mut self, ended: Ended) -> io::Result<()> {
        match ended {
            Ended::Subscription {
                device,
                subscription,
                result,
            } => {
                match statuses::subscription(&device, subscription, result, &self.settings.gateway)
                {
                    Some(event) => self.write(&event).await,
                    None => Ok(()),
                }
            }
            Ended::Other(id, result) => self.end(id, result).await,
            Ended::Stored(id, rest) => self.on_stored(id, rest).await,
            Ended::Accepted(accepted) => self.on_accepted(accepted).await,
            Ended::Detached { id, device, result } => {
                let result = match result {
                    // It is detached already.
                    Err(OperationError::Refused(CommandError::UnknownDevice)) => Ok(()),
                    result => result.map_err(Into::into),
                };
                self.end(id, result).await?;
                let is_known = device.status().is_some();
                let id = device.id().clone();
                let stage = match is_known {
                    true => Stage::Ready(device),
                    false => Stage::Unknown,
                };
                self.lanes.set_stage(&id, stage);
                Ok(())
            }
        }
    }

    /// Handles a config or command; acknowledges it once its line is written, unless the input acknowledges it.
    pub(super) async fn on_message(
        &mut self,
        mut message: iotcore_gateway_tokio::Message,
    ) -> io::Result<()> {
        let is_own = message.device == self.settings.gateway;
        self.write(&Event::message(&message, is_own)).await?;
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
        match &change {
            Status::Attached { .. } => self.pause.forget(),
            Status::Detached { device, .. } => self.lanes.on_detached(device),
            Status::StoreFailed { failure } => {
                let is_gone = failure.kind == StoreFailureKind::Unreachable;
                self.open.set_store_gone(is_gone);
            }
            Status::StoreRecovered => {
                self.open.set_store_gone(false);
                self.on_store_recovered();
            }
            _ => {}
        }
        let event = match change {
            Status::Connected => {
                self.connection.since = Some(Instant::now());
                Some(Event::Connected)
            }
            Status::Disconnected { ended, error } => {
                Some(self.disconnected(&ended, error.as_deref()))
            }
            other => statuses::event(other, &self.settings.gateway),
        };
        match event {
            Some(event) => self.write(&event).await,
            None => Ok(()),
        }
    }

    /// Records the end of a connection. Messages that it delivered need no acknowledgement any more.
    fn disconnected(&mut self, ended: &Disconnected, error: Option<&TransportError>) -> Event {
        self.unacknowledged.clear();
        self.pause.forget();
        let circumstances = Circumstances {
            was_connected: self.connection.since.take().is_some(),
            was_attaching: self.open.is_attaching(),
        };
        let end = self.connection.last_end.insert(ConnectionEnd {
            reason: disconnect_code(ended, error),
            detail: disconnect_detail(ended, error, circumstances),
            certainty: certainty(ended.certainty),
            at: Instant::now(),
        });
        let wait = ended.retry_in.map(|wait| wait.as_millis());
        Event::Disconnected {
            reason: end.reason,
            detail: end.detail.clone(),
            certainty: end.certainty,
            suspects: self.open.ids(&ended.suspects),
            takeover_suspected: ended.takeover_suspected,
            retry_in_ms: wait.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
        }
    }
}
