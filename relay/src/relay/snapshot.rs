//! Answers questions about the gateway: its counters, its devices, and the messages that have not ended.

use std::{collections::BTreeMap, io};

use tokio::time::Instant;

use super::{Relay, lanes::Lane, load::Load};
use crate::{
    operation::{Id, Question},
    output::{Counters, DeviceLine, Event, Message},
};

impl Relay {
    /// Writes the answer to a question.
    pub(super) async fn answer(&mut self, id: Option<Id>, about: Question) -> io::Result<()> {
        let answer = match about {
            Question::Stats => self.stats(id),
            Question::Devices => self.devices(id),
            Question::Unsent => self.unsent_messages(id),
        };
        self.write(&answer).await
    }

    /// Returns the state of the connection, and the counters and current values.
    fn stats(&self, id: Option<Id>) -> Event {
        let now = Instant::now();
        let last_end = self.connection.last_end.as_ref();
        Event::Stats {
            id,
            connected: self.connection.since.is_some(),
            last_disconnect: last_end.map(|end| end.seen_at(now)),
            counters: Counters::new(&self.client.stats(), now.into_std()),
        }
    }

    /// Returns all devices, the gateway itself among them.
    fn devices(&self, id: Option<Id>) -> Event {
        let now = Instant::now().into_std();
        let devices = self.client.devices().into_iter();
        let devices = devices.map(|mut device| {
            // The gateway does not know those that wait here.
            let held = self.lanes.get(&device.id).map(Lane::held);
            let Load { messages, bytes } = held.unwrap_or_default();
            device.queued += messages;
            device.queued_bytes += bytes;
            DeviceLine::new(device, now)
        });
        let devices = devices.collect();
        Event::Devices { id, devices }
    }

    /// Returns every message that has not ended, in input order, as an operation that can be submitted again. One that the
    /// gateway has just ended is left out.
    fn unsent_messages(&self, id: Option<Id>) -> Event {
        let now = Instant::now();
        let accepted = self.client.unsent();
        let accepted = accepted.iter().map(|unsent| (unsent.op, unsent.is_stored));
        let accepted: BTreeMap<_, _> = accepted.collect();
        let mut operations = Vec::new();
        let mut stored = self.settings.has_store.then(Vec::new);
        for (request, op) in self.open.all_messages() {
            let is_stored = match op.map(|op| accepted.get(&op)) {
                None => false,
                Some(None) => continue,
                Some(Some(is_stored)) => *is_stored,
            };
            if let Some(stored) = stored.as_mut().filter(|_| is_stored) {
                stored.push(request.id.clone());
            }
            operations.extend(Message::of(request, now));
        }
        Event::Unsent {
            id,
            operations,
            stored,
        }
    }
}
