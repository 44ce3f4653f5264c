//! The state that outlives connections. The bridge keeps no session of a gateway (CleanSession is always 1), so
//! everything that spans connections is here: what the user has requested, what was accepted and has not ended, and the
//! counters.

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

/// The gateway without its connection. A method that needs a connection takes an [`Online`]; one that also works
/// offline takes an `Option` of it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) client_id: ClientId,
    pub(super) options: Options,
    pub(super) clock: Clock,
    pub(super) devices: Devices,
    pub(super) outbox: Outbox,
    /// Events that were not taken yet.
    pub(super) events: VecDeque<Event>,
    /// The number of operations so far.
    pub(super) ops: u64,
    /// The number of the first delivery of the next connection.
    pub(super) next_delivery: u64,
    pub(super) jitter: Jitter,
    /// Buffer for topics that are not stored with a device.
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

    /// Recovers the state of a connection that has ended.
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

    /// Returns every publication that was accepted and has not ended, in the order of acceptance.
    pub(super) fn unsent(&self) -> impl Iterator<Item = Unsent> {
        self.outbox.all(None).into_iter().map(|key| {
            let entry = self.outbox.entry(key);
            entry.unsent(&self.devices.at(entry.device).id)
        })
    }

    /// Ends every pending operation, the close last.
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
