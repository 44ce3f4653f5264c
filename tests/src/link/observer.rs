//! What passes at the gateway, for whoever watches.

use std::time::Instant;

use iotcore_gateway::{Event, Gateway, TransportEnd};

use crate::ConnectionId;
use crate::bridge::event::Event as BridgeEvent;

/// Is told of everything that passes between the gateway and the world around it.
pub trait Observer {
    /// This has just happened; the gateway has dealt with it.
    fn observe(&mut self, observation: Observation<'_>, gateway: &Gateway, now: Instant);
}

/// Watches nothing.
impl Observer for () {
    fn observe(&mut self, _: Observation<'_>, _: &Gateway, _: Instant) {}
}

/// Something that passes at the gateway, or happens to it.
#[derive(Clone, Copy, Debug)]
pub enum Observation<'a> {
    /// A transport came up, and the gateway was told.
    Dialed(ConnectionId),
    /// The gateway read these bytes from the transport.
    Received(&'a [u8]),
    /// The transport took these bytes from the gateway.
    Transmitted(&'a [u8]),
    /// The gateway was told the time that it had asked for.
    TimedOut,
    /// The gateway was told that the transport is down.
    Disconnected(TransportEnd),
    /// The gateway told its user something.
    Event(&'a Event),
    /// Something happened at the bridge.
    Bridge(&'a BridgeEvent),
    /// The network did to the bytes what it had been asked for.
    Struck(Disturbance),
}

/// What the network does to the gateway's transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disturbance {
    /// The transport did not come up.
    DialFailed,
    /// Both sides lost the transport.
    Cut,
    /// The peer is gone, and neither side was told.
    HalfOpen,
    /// A bit was flipped on its way.
    Flipped,
    /// Nothing moves for a while.
    Stalled,
    /// The transport did not take all that the gateway had to write.
    ShortWrite,
}
