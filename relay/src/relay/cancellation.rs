//! Ends messages before they are sent: cancelled, or replaced by newer ones.

use std::io;

use iotcore_gateway_tokio::{DeviceId, Failure};

use super::{Relay, lanes::Place, open::Whereabouts};
use crate::{
    operation::{Action, Id, NotCancelled},
    output::Event,
};

impl Relay {
    /// Cancels a message, which then ends with its own `failed`; otherwise writes why it cannot be cancelled.
    pub(super) async fn cancel(&mut self, id: Id) -> io::Result<()> {
        let not_cancelled = match self.open.find_message(&id) {
            Ok(Whereabouts::Waiting(device, place)) => {
                self.lanes.take(&device, place);
                return self.end(id, Err(Failure::Cancelled.into())).await;
            }
            Ok(Whereabouts::Accepted(op)) => match self.client.cancel(op) {
                Ok(()) => return Ok(()),
                // Its end is on its way to the output.
                Err(_) => NotCancelled::TooLate(id),
            },
            Err(not_cancelled) => not_cancelled,
        };
        let id = not_cancelled.id().clone();
        let event = Event::NotCancelled {
            id: Some(id).filter(|id| !id.may_be_token()),
            error: not_cancelled.code(),
            detail: not_cancelled.to_string(),
        };
        self.write(&event).await
    }

    /// Ends the states of a device that a newer one, which the gateway has accepted, has passed because it is urgent: the
    /// gateway would take them for newer than that.
    pub(super) async fn supersede_states(
        &mut self,
        device: &DeviceId,
        newer: Place,
        action: &Action,
    ) -> io::Result<()> {
        let older = match action {
            Action::State(state) if state.is_urgent() => {
                self.lanes.take_older_states(device, newer)
            }
            _ => return Ok(()),
        };
        for state in older {
            self.end(state.id, Err(Failure::Superseded.into())).await?;
        }
        Ok(())
    }
}
