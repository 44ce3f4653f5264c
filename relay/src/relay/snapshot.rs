//! Lists accepted messages that have not ended, as operations that can be submitted again.

use std::io;

use iotcore_gateway_tokio::{PublicationTopic, QoS, Unsent};

use super::{DeviceEntry, Relay};
use crate::{
    operation::{Action, Id, Request},
    output::{Event, Message},
};

impl Relay {
    /// Writes every message that has not ended, oldest first: those that the gateway has accepted, then those that wait
    /// for their device or for room.
    pub(super) async fn report_unsent(&mut self) -> io::Result<()> {
        let names = self.open.ids_by_op();
        let accepted = self.client.unsent();
        let accepted = accepted.iter().filter_map(|unsent| {
            let id = names.get(&unsent.op)?;
            Some(self.accepted_message(unsent, id))
        });
        let waiting = self.devices.values().flat_map(|entry| match entry {
            DeviceEntry::Attaching(_, waiting) | DeviceEntry::Detaching(waiting) => {
                waiting.as_slice()
            }
            DeviceEntry::Ready(_) => &[],
        });
        let held = self.held.iter().map(|(request, _)| request);
        let waiting = waiting.chain(held).filter_map(waiting_message);
        let operations = accepted.chain(waiting).collect();
        self.output.write(&Event::Unsent { operations }).await
    }

    fn accepted_message(&self, unsent: &Unsent, id: &Id) -> Message {
        let subfolder = match &unsent.topic {
            PublicationTopic::State => None,
            PublicationTopic::Telemetry(subfolder) => Some(subfolder),
        };
        let is_own = unsent.device == self.settings.gateway;
        Message {
            op: if subfolder.is_some() {
                "telemetry"
            } else {
                "state"
            },
            id: id.clone(),
            device: (!is_own).then(|| unsent.device.to_string()),
            subfolder: subfolder.and_then(Option::as_ref).map(ToString::to_string),
            qos: u8::from(unsent.qos == QoS::AtLeastOnce),
            payload: (&unsent.payload).into(),
        }
    }
}

fn waiting_message(request: &Request) -> Option<Message> {
    let (op, subfolder, qos, payload) = match &request.action {
        Action::Telemetry {
            subfolder,
            qos,
            payload,
        } => ("telemetry", subfolder.clone(), qos, payload),
        Action::State { qos, payload } => ("state", None, qos, payload),
        Action::Attach { .. } | Action::Detach | Action::Authorize { .. } => return None,
    };
    Some(Message {
        op,
        id: request.id.clone(),
        device: request.device.clone(),
        subfolder,
        qos: u8::from(*qos == QoS::AtLeastOnce),
        payload: payload.into(),
    })
}
