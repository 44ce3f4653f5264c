//! Lists messages that have not ended, as operations that can be submitted again.

use std::{collections::BTreeSet, io};

use super::Relay;
use crate::output::{Event, Message};

impl Relay {
    /// Writes every message that has not ended, in input order. One that the gateway has just ended is left out.
    pub(super) async fn report_unsent(&mut self) -> io::Result<()> {
        let accepted = self.client.unsent();
        let accepted: BTreeSet<_> = accepted.iter().map(|unsent| unsent.op).collect();
        let messages = self.open.all_messages().into_iter();
        let unsent = messages.filter(|(_, op)| op.is_none_or(|op| accepted.contains(&op)));
        let operations = unsent.filter_map(|(request, _)| Message::of(request));
        let operations = operations.collect();
        self.write(&Event::Unsent { operations }).await
    }
}
