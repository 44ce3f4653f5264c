//! The state that outlives connections. The bridge keeps no session of a gateway (CleanSession is always 1), so what spans
//! connections is here, but for the lifecycle's own attempts and operations: what the user has requested, what was accepted and has not ended, and the
//! counters.

use super::{
    devices::{Devices, OWN},
    online::Suspect,
    outbox::{EntryKey, Outbox},
};
use crate::{
    backoff::Jitter,
    clock::{Clock, Moment},
    command::Slot,
    event::Event,
    fifo::Fifo,
    id::ClientId,
    mqtt::{RoundTrip, TopicName},
    options::Options,
    stats::Stats,
    timers::Schedule,
    unsent::Unsent,
};

/// The gateway without its connection. A method that needs a connection takes an [`Online`](super::online::Online); one that also works
/// offline takes an `Option` of it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) client_id: ClientId,
    pub(super) options: Options,
    pub(super) clock: Clock,
    pub(super) devices: Devices,
    pub(super) outbox: Outbox,
    /// When the publications fail that a device which is to be detached could not send.
    pub(super) drains: Schedule<Moment, Slot>,
    /// Events that were not taken yet.
    pub(super) events: Fifo<Event>,
    /// The number of operations so far.
    pub(super) ops: u64,
    /// The number of the first delivery of the next connection.
    pub(super) next_delivery: u64,
    pub(super) jitter: Jitter,
    /// The suspect that was sent alone last.
    pub(super) last_tried: Option<Suspect>,
    /// Buffer for topics that are not stored with a device.
    pub(super) topic: TopicName,
    pub(super) stats: Stats,
    /// How long the acknowledgements took on earlier connections.
    pub(super) latency: RoundTrip,
}

impl Session {
    pub(super) fn new(client_id: ClientId, options: Options, seed: u64) -> Self {
        let mut outbox = Outbox::new(&options);
        outbox.add_device(OWN, client_id.gateway());
        // In the half that small seeds leave alone: neither one seed for a fleet nor a counter repeats a sequence.
        let of_gateway = u64::from(client_id.fingerprint()) << 32;
        Self {
            clock: Clock::default(),
            devices: Devices::new(&client_id),
            outbox,
            drains: Schedule::default(),
            events: Fifo::new(),
            ops: 0,
            next_delivery: 1,
            jitter: Jitter::new(seed ^ of_gateway),
            last_tried: None,
            topic: TopicName::default(),
            stats: Stats::default(),
            latency: RoundTrip::default(),
            client_id,
            options,
        }
    }

    /// Returns every publication that was accepted and has not ended, in the order of acceptance.
    pub(super) fn unsent(&self) -> impl Iterator<Item = Unsent> {
        let keys = self.outbox.all().into_iter();
        keys.map(|key| self.unsent_of(key))
    }

    /// Returns what is reported to the user about an undelivered publication.
    pub(super) fn unsent_of(&self, key: EntryKey) -> Unsent {
        let device = self.outbox.entry(key).device;
        let id = &self.devices.at(device).id;
        self.outbox.unsent(key, id, self.clock.now())
    }
}
