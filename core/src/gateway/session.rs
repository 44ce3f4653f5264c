//! What outlives connections. The bridge keeps no session of a gateway (CleanSession is always 1), so all that spans
//! connections is here: what the user wants, what was accepted and has not ended, and what is counted.

use std::collections::VecDeque;

use super::{
    devices::{Devices, OWN},
    online::Online,
    outbox::{Outbox, Returned},
};
use crate::{
    backoff::Jitter,
    clock::Clock,
    command::OpId,
    error::Failure,
    event::{Event, Outcome},
    id::ClientId,
    mqtt::TopicName,
    options::Options,
    stats::Stats,
    unsent::Unsent,
};

/// Everything of a gateway but its connection. What runs on a connection only takes that as an
/// [`Online`]; what is legal off line as well takes an `Option` of one.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) client_id: ClientId,
    pub(super) options: Options,
    pub(super) clock: Clock,
    pub(super) devices: Devices,
    pub(super) outbox: Outbox,
    /// Events that were not taken yet.
    pub(super) events: VecDeque<Event>,
    /// Operations so far.
    pub(super) ops: u64,
    /// The number of the first delivery of the next connection.
    pub(super) next_delivery: u64,
    pub(super) jitter: Jitter,
    /// Reused for topics that no device keeps.
    pub(super) topic: TopicName,
    pub(super) stats: Stats,
}

impl Session {
    pub(super) fn new(client_id: ClientId, options: Options, seed: u64) -> Self {
        let mut outbox = Outbox::new(&options);
        outbox.add_device(OWN, client_id.gateway());
        Self {
            clock: Clock::default(),
            devices: Devices::new(&client_id),
            outbox,
            events: VecDeque::new(),
            ops: 0,
            next_delivery: 1,
            jitter: Jitter::new(seed),
            topic: TopicName::default(),
            stats: Stats::default(),
            client_id,
            options,
        }
    }

    /// Takes in what a connection that has ended leaves behind.
    pub(super) fn take_back(&mut self, online: Online) {
        let Online {
            link, flight, owed, ..
        } = online;
        self.stats.unsolicited += link.unsolicited();
        self.next_delivery = owed.next();
        let Returned { superseded, .. } = self.outbox.take_back(flight);
        self.fail_all_superseded(superseded);
        self.lose_attachments();
    }

    /// Everything that is accepted and has not ended, in the order of acceptance.
    pub(super) fn unsent(&self) -> impl Iterator<Item = Unsent> {
        self.outbox.all(None).into_iter().map(|key| {
            let entry = self.outbox.entry(key);
            entry.unsent(&self.devices.at(entry.device).id)
        })
    }

    /// Ends every operation that has not ended, the close last.
    pub(super) fn finish(
        &mut self,
        open_op: Option<OpId>,
        close_op: Option<OpId>,
        failure: &Failure,
    ) {
        let unsent = self.unsent().collect();
        for key in self.outbox.all(None) {
            self.fail_waiting(key, failure.clone());
        }
        let open = open_op.map(|op| (op, self.devices.key(OWN)));
        for (op, device) in self.devices.pending_ops().into_iter().chain(open) {
            self.fail(op, device, failure.clone());
        }
        if let Some(op) = close_op {
            self.done(op, Outcome::Closed);
        }
        self.emit(Event::Closed { unsent });
    }
}
