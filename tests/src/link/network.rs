//! The network between the two sides.

use core::time::Duration;
use std::time::Instant;

use super::lane::Lane;
use crate::ConnectionId;
use crate::pipe::{Content, Side};

/// The behaviour of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The time between the sending of a byte and its arrival.
    pub latency: Duration,
    /// Bytes arrive in fragments of at most this many, at least 1.
    pub fragment: usize,
    /// The size of the kernel buffer in front of the link, in bytes, at least 1: the gateway keeps the rest until there
    /// is room. What has left the buffer makes room for more if there is a [`rate`](Self::rate) towards the bridge;
    /// otherwise, bytes count until they have arrived. The bridge's buffer has the same size if there is a rate towards
    /// the gateway, and otherwise no limit.
    pub capacity: usize,
    /// How many bytes a second the link carries.
    pub rate: Rate,
}

/// How many bytes a second a link carries in each direction, at least 1; `None` for any number.
///
/// Each fragment occupies the link for its own length of time, and arrives as a whole the latency after its last byte
/// has left. The bytes are those of MQTT: TLS, TCP and IP need more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// From the gateway to the bridge.
    pub to_bridge: Option<u32>,
    /// From the bridge to the gateway.
    pub to_gateway: Option<u32>,
}

impl Rate {
    /// Returns the same rate for both directions, in bytes a second.
    #[must_use]
    pub const fn both(bytes_per_second: u32) -> Self {
        Self {
            to_bridge: Some(bytes_per_second),
            to_gateway: Some(bytes_per_second),
        }
    }

    fn towards(self, side: Side) -> Option<u32> {
        match side {
            Side::Gateway => self.to_gateway,
            Side::Bridge => self.to_bridge,
        }
    }
}

impl Default for Network {
    /// 20 ms, 1,400 bytes, and no limit on bytes in transit or a second.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            fragment: 1_400,
            capacity: usize::MAX,
            rate: Rate::default(),
        }
    }
}

/// A transport: open, or closed by the gateway while its last bytes are still in transit.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) connection: ConnectionId,
    to_bridge: Lane,
    to_gateway: Lane,
    is_full: bool,
    /// Until when the line carries nothing.
    stalled_until: Instant,
}

impl Transport {
    /// Creates a transport, behind the bytes of older ones that the gateway has closed.
    pub(super) fn new(connection: ConnectionId, older: &[Self], stalled_until: Instant) -> Self {
        let older = older.iter().filter_map(|older| older.to_bridge.free_at());
        Self {
            connection,
            to_bridge: Lane::behind(older.max()),
            to_gateway: Lane::default(),
            is_full: false,
            stalled_until,
        }
    }

    /// Records whether the transport took less than the gateway had to write; returns whether that is new.
    pub(super) fn is_newly_full(&mut self, is_full: bool) -> bool {
        !core::mem::replace(&mut self.is_full, is_full) && is_full
    }

    /// Sends as many bytes as there is room for, and returns how many.
    pub(super) fn send(
        &mut self,
        to: Side,
        bytes: &[u8],
        network: &Network,
        now: Instant,
    ) -> usize {
        let rate = network.rate.towards(to);
        let stalled_until = self.stalled_until;
        let lane = self.towards(to);
        lane.advance(now);
        let capacity = network.capacity.max(1);
        let room = match (to, rate) {
            (_, Some(_)) => capacity.saturating_sub(lane.buffered()),
            (Side::Bridge, None) => capacity.saturating_sub(lane.unread()),
            (Side::Gateway, None) => usize::MAX,
        };
        let sent = &bytes[..bytes.len().min(room)];
        let start = match rate {
            None => now,
            Some(_) => now.max(stalled_until),
        };
        for fragment in sent.chunks(network.fragment.max(1)) {
            lane.send(fragment, rate, network.latency, start);
        }
        sent.len()
    }

    /// Records that the bridge has ended or broken off the stream: the gateway notices after it has read what is in
    /// transit.
    pub(super) fn end_by_bridge(&mut self, end: Content, network: &Network, now: Instant) {
        self.to_gateway.end(end, network.latency, now);
    }

    /// Removes and returns what has arrived at a side and was not read.
    pub(super) fn arrived(&mut self, at: Side, now: Instant) -> Option<Content> {
        self.towards(at).arrived(now)
    }

    /// Returns when the next bytes arrive at a side.
    pub(super) fn next_arrival(&self, at: Side) -> Option<Instant> {
        self.lane(at).next_arrival()
    }

    /// Returns when there is more room in the buffer towards a side, if the line is what empties it.
    pub(super) fn next_room(&self, to: Side) -> Option<Instant> {
        self.lane(to).next_departure()
    }

    /// Returns how many bytes wait in the buffer towards a side.
    pub(super) fn buffered(&mut self, to: Side, now: Instant) -> usize {
        let lane = self.towards(to);
        lane.advance(now);
        lane.buffered()
    }

    /// Returns when the line has sent everything in both directions.
    pub(super) fn carries_until(&self) -> Option<Instant> {
        self.to_bridge.free_at().max(self.to_gateway.free_at())
    }

    /// Discards what is in transit to the gateway, which has closed its side.
    pub(super) fn close(mut self, network: &Network, now: Instant) -> Self {
        self.to_gateway.clear();
        self.to_bridge.end(Content::End, network.latency, now);
        self
    }

    /// Silently drops everything that is in transit or sent later.
    pub(super) fn go_half_open(&mut self) {
        self.to_bridge.lose();
        self.to_gateway.lose();
    }

    /// Keeps the line from carrying anything until an instant.
    pub(super) fn stall(&mut self, until: Instant, now: Instant) {
        let before = self.stalled_until.max(now);
        for lane in [&mut self.to_bridge, &mut self.to_gateway] {
            lane.advance(now);
            lane.shift(before, until);
        }
        self.stalled_until = until;
    }

    fn towards(&mut self, side: Side) -> &mut Lane {
        match side {
            Side::Gateway => &mut self.to_gateway,
            Side::Bridge => &mut self.to_bridge,
        }
    }

    fn lane(&self, side: Side) -> &Lane {
        match side {
            Side::Gateway => &self.to_gateway,
            Side::Bridge => &self.to_bridge,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Link;

    #[test]
    fn a_new_transport_waits_behind_what_the_last_one_left_in_the_buffer() {
        let mut link = Link::new(iotcore_gateway::Options::default());
        let (now, second) = (link.now(), Duration::from_secs(1));
        let network = Network {
            latency: Duration::ZERO,
            rate: Rate::both(1_000),
            ..Network::default()
        };
        let mut older = Transport::new(link.bridge.accept(now), &[], now);
        older.send(Side::Bridge, &[0; 10_000], &network, now);
        let mut lost = Transport::new(link.bridge.accept(now), &[], now);
        lost.send(Side::Bridge, &[0; 90_000], &network, now);
        lost.go_half_open();
        let closed = [older.close(&network, now), lost.close(&network, now)];
        let mut newer = Transport::new(link.bridge.accept(now), &closed, now);
        newer.send(Side::Bridge, &[0; 500], &network, now + 2 * second);
        assert_eq!(
            newer.next_arrival(Side::Bridge),
            Some(now + second * 21 / 2)
        );
        newer.stall(now + 5 * second, now + 2 * second);
        assert_eq!(newer.next_room(Side::Bridge), Some(now + second * 27 / 2));
        let [mut older, _] = closed;
        let last = now + 10 * second;
        let arrived = core::iter::from_fn(|| older.arrived(Side::Bridge, last));
        assert!(matches!(arrived.last(), Some(Content::End)));
    }
}
