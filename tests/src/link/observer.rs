//! The interface for observing a gateway's inputs and outputs.

use std::time::Instant;

use iotcore_gateway::{Event, Gateway, cause::TransportEnd};

use crate::ConnectionId;
use crate::bridge::event::Event as BridgeEvent;

/// Observes everything that passes between the gateway and its environment.
pub trait Observer {
    /// Called right after something happened and the gateway has handled it.
    fn observe(&mut self, observation: Observation<'_>, gateway: &Gateway, now: Instant);
}

/// Ignores everything.
impl Observer for () {
    fn observe(&mut self, _: Observation<'_>, _: &Gateway, _: Instant) {}
}

/// An input, an output or an event that concerns the gateway.
#[derive(Clone, Copy, Debug)]
pub enum Observation<'a> {
    /// A transport was established, and the gateway was notified.
    Dialed(ConnectionId),
    /// The gateway read these bytes from the transport.
    Received(&'a [u8]),
    /// The transport took these bytes from the gateway.
    Transmitted(&'a [u8]),
    /// The gateway's requested timeout was reported to it.
    TimedOut,
    /// The gateway was notified that the transport is down.
    Disconnected(TransportEnd),
    /// The gateway emitted an event.
    Event(&'a Event),
    /// The bridge emitted an event.
    Bridge(&'a BridgeEvent),
    /// A requested network disturbance took effect.
    Struck(Disturbance),
}

/// A network disturbance of the gateway's transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disturbance {
    /// The transport could not be established.
    DialFailed,
    /// Both sides lost the transport.
    Cut,
    /// The peer vanished, and neither side was notified.
    HalfOpen,
    /// A bit was flipped in transit.
    Flipped,
    /// Nothing is transferred for a while.
    Stalled,
    /// The transport did not take all that the gateway had to write.
    ShortWrite,
}
