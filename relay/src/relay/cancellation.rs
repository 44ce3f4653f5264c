//! Ends messages before they are sent: cancelled, or replaced by newer ones.

use std::io;

use iotcore_gateway_tokio::{DeviceId, Failure};

use super::{Relay, lanes::Place, open::Whereabouts};
use crate::operation::{Action, Id, InvalidLine};

impl Relay {
    /// Cancels a message, which then ends with its own `failed`.
    pub(super) async fn cancel(&mut self, id: Id) -> io::Result<Result<(), InvalidLine>> {
        match self.open.find_message(&id) {
            Err(invalid) => Ok(Err(invalid)),
            Ok(Whereabouts::Accepted(op)) => {
                let cancelled = self.client.cancel(op);
                // The end of a message that cannot be cancelled any more is on its way to the output.
                Ok(cancelled.map_err(|_| InvalidLine::Ended(id)))
            }
            Ok(Whereabouts::Waiting(device, place)) => {
                self.lanes.take(&device, place);
                self.end(id, Err(Failure::Cancelled.into())).await.map(Ok)
            }
        }
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
