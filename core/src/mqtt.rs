//! One MQTT 3.1.1 client connection, from CONNECT to its end. It is independent of gateways and devices. A reconnect is
//! a new [`Connection`], so no stale state survives.

mod ack_clock;
mod buffer;
mod codec;
mod deadlines;
#[cfg(feature = "internals")]
pub mod internals;
mod keep_alive;
mod packet_ids;
mod receive;
mod transmit;
mod unanswered;

pub use self::codec::{PacketType, QoS, Violation};
use self::{
    ack_clock::{AckClock, RecordKey},
    codec::Packet,
    keep_alive::KeepAlive,
    packet_ids::{Acknowledged, Awaits, PacketIds},
    receive::Receive,
    transmit::Transmit,
};
pub(crate) use self::{
    ack_clock::{AckLimits, Kind, Request, RoundTrip, Verdict},
    codec::{Connect, DEFAULT_FRAME_LIMIT, PacketId, Publish, SubAckCode, TopicName},
    keep_alive::{Silence, Timing},
    unanswered::Found,
};
use bytes::BytesMut;

use crate::clock::{Moment, PeerClock, PeerTime};

/// Queued bytes above which no new packet is queued, unless it is the only one.
pub(crate) const TRANSMIT_TARGET: usize = 64 * 1024;

/// Filters and the client id are built from checked ids; topics, payloads and tokens are checked when they are created.
const CHECKED: &str = "only checked strings are encoded";

/// One connection, with its timers and its peer's clock. `T` is the caller's tag of a packet with an identifier,
/// returned with its acknowledgement.
#[derive(Debug)]
pub(crate) struct Connection<T> {
    phase: Phase,
    receive: Receive,
    transmit: Transmit,
    /// When bytes were last handed over to the transport.
    last_written: PeerTime,
    ids: PacketIds<RecordKey>,
    acks: AckClock<T>,
    keep_alive: KeepAlive,
    peer_clock: PeerClock,
    unsolicited: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// CONNECT was queued, CONNACK is pending.
    Connecting,
    Open,
    /// DISCONNECT was queued: nothing follows it [MQTT-3.14.4-2].
    Leaving,
}

/// A packet from the peer, as far as the caller has to act on it.
#[derive(Debug)]
pub(crate) enum Incoming<T> {
    /// CONNACK, with its return code.
    ConnAck(u8),
    /// A PUBLISH, returned by [`Connection::take_publish`].
    Publish,
    /// PUBACK, with the identifier and the tag of our PUBLISH.
    PubAck(PacketId, T),
    SubAck(PacketId, T, SubAckCode),
    UnsubAck(PacketId, T),
}

impl<T: Copy> Connection<T> {
    /// Starts a connection: queues CONNECT.
    pub(crate) fn connect(
        connect: &Connect<'_>,
        timing: Timing,
        limits: &AckLimits,
        frame_limit: usize,
        now: Moment,
    ) -> Self {
        let mut transmit = Transmit::default();
        codec::connect(transmit.buffer(), connect).expect(CHECKED);
        Self {
            phase: Phase::Connecting,
            receive: Receive::new(frame_limit),
            keep_alive: KeepAlive::new(timing, transmit.queued_end(), now),
            transmit,
            last_written: PeerTime::START,
            ids: PacketIds::new(),
            acks: AckClock::new(limits),
            peer_clock: PeerClock::default(),
            unsolicited: 0,
        }
    }

    /// Records that bytes arrived from the peer. Returns whether that is all about them: they are a piece of a packet.
    /// Otherwise [`next`](Self::next) takes them.
    #[inline]
    pub(crate) fn heard(&mut self, bytes: &[u8], now: Moment) -> bool {
        let peer_now = self.peer_clock.time(now);
        self.keep_alive.heard(now, peer_now);
        self.receive.append(bytes)
    }

    /// Takes PUBACKs off the front of `input`, up to the first of a packet that is in flight; returns its identifier and
    /// its tag. `None` if something else follows, which is left to [`next`](Self::next).
    #[inline(always)]
    pub(crate) fn next_acknowledged(
        &mut self,
        input: &mut &[u8],
        now: Moment,
    ) -> Option<(PacketId, T)> {
        if self.phase == Phase::Connecting {
            return None;
        }
        while let Some(id) = self.receive.next_puback(input) {
            let peer_now = self.peer_clock.time(now);
            self.keep_alive.received();
            if let Some(tag) = self.acknowledged(id, Awaits::PubAck, peer_now) {
                return Some((id, tag));
            }
        }
        None
    }

    /// Takes the next packet off the front of `input`; returns `None` once all of it is consumed. An error is final
    /// [MQTT-4.8.0-1].
    pub(crate) fn next(
        &mut self,
        input: &mut &[u8],
        now: Moment,
    ) -> Result<Option<Incoming<T>>, Violation> {
        while let Some(packet) = self.receive.next(input)? {
            let peer_now = self.peer_clock.time(now);
            self.keep_alive.received();
            if let Some(incoming) = self.on_packet(packet, peer_now)? {
                return Ok(Some(incoming));
            }
        }
        if self.receive.waiting() > 0 {
            self.keep_alive.begun(self.peer_clock.time(now));
        }
        Ok(None)
    }

    fn on_packet(
        &mut self,
        packet: Packet,
        now: PeerTime,
    ) -> Result<Option<Incoming<T>>, Violation> {
        match (self.phase, packet) {
            (Phase::Connecting, Packet::ConnAck { return_code, .. }) => {
                if let Some(end) = self.keep_alive.answered() {
                    self.acks.prove(end);
                }
                self.phase = Phase::Open;
                Ok(Some(Incoming::ConnAck(return_code)))
            }
            (Phase::Connecting, packet) => Err(Violation::NotConnAckFirst {
                packet: packet.packet_type(),
            }),
            (Phase::Open | Phase::Leaving, Packet::ConnAck { .. }) => Err(Violation::SecondConnAck),
            (_, Packet::Publish) => Ok(Some(Incoming::Publish)),
            (_, packet) => Ok(self.on_answer(packet, now)),
        }
    }

    /// Handles an acknowledgement. Never inlined, because most are PUBACKs that arrive whole, and were taken before.
    #[inline(never)]
    fn on_answer(&mut self, packet: Packet, now: PeerTime) -> Option<Incoming<T>> {
        match packet {
            Packet::PubAck(id) => {
                let tag = self.acknowledged(id, Awaits::PubAck, now)?;
                Some(Incoming::PubAck(id, tag))
            }
            Packet::SubAck {
                packet_id,
                return_code,
            } => {
                let tag = self.acknowledged(packet_id, Awaits::SubAck, now)?;
                Some(Incoming::SubAck(packet_id, tag, return_code))
            }
            Packet::UnsubAck(id) => {
                let tag = self.acknowledged(id, Awaits::UnsubAck, now)?;
                Some(Incoming::UnsubAck(id, tag))
            }
            Packet::PingResp => {
                if let Some(end) = self.keep_alive.take_pinged() {
                    self.acks.prove(end);
                }
                None
            }
            Packet::ConnAck { .. } | Packet::Publish => None,
        }
    }

    #[inline(always)]
    fn acknowledged(&mut self, id: PacketId, awaits: Awaits, now: PeerTime) -> Option<T> {
        match self.ids.acknowledge(id, awaits) {
            Acknowledged::Matched(key) => Some(self.acks.answer(key, now)),
            Acknowledged::Late => None,
            Acknowledged::Unsolicited => {
                self.unsolicited += 1;
                None
            }
        }
    }

    /// Returns the PUBLISH of the last [`Incoming::Publish`], once.
    pub(crate) fn take_publish(&mut self) -> Option<Publish> {
        self.receive.take_publish()
    }

    /// Returns the size of the largest packet that may be queued now: 0 if none may be, unlimited if nothing is queued.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        match self.phase {
            Phase::Open if self.transmit.is_empty() => usize::MAX,
            Phase::Open => TRANSMIT_TARGET.saturating_sub(self.transmit.len()),
            Phase::Connecting | Phase::Leaving => 0,
        }
    }

    /// Returns the same for a packet that needs an identifier.
    #[inline]
    pub(crate) fn room_with_id(&self) -> usize {
        match self.has_id() {
            true => self.room(),
            false => 0,
        }
    }

    /// Returns whether an identifier is free.
    #[inline]
    pub(crate) fn has_id(&self) -> bool {
        self.ids.free() > 0
    }

    /// Returns whether no identifier is free. The windows alone cannot use them up, so some may never become free.
    pub(crate) fn is_starved(&self) -> bool {
        self.ids.free() == 0
    }

    /// Queues a PUBLISH at QoS 1, or a request that is one.
    #[inline(always)]
    pub(crate) fn publish(
        &mut self,
        request: Request,
        topic: &TopicName,
        payload: &[u8],
        tag: T,
    ) -> PacketId {
        self.request(Awaits::PubAck, request, tag, |buffer, id| {
            codec::publish(buffer, topic, payload, Some(id), false).expect(CHECKED);
        })
    }

    /// Queues an unanswered PUBLISH again, with its identifier and DUP 1 [MQTT-3.3.1-1].
    pub(crate) fn publish_again(&mut self, topic: &TopicName, payload: &[u8], id: PacketId) {
        codec::publish(self.transmit.buffer(), topic, payload, Some(id), true).expect(CHECKED);
        self.ids.sent_again(id);
        if let Some(key) = self.ids.find_in_flight(id) {
            self.acks.sent_again(key, self.transmit.queued_end());
        }
    }

    /// Queues a PUBLISH at QoS 0. Returns the offset in the stream at which it ends.
    pub(crate) fn publish_once(&mut self, topic: &TopicName, payload: &[u8]) -> u64 {
        codec::publish(self.transmit.buffer(), topic, payload, None, false).expect(CHECKED);
        self.transmit.queued_end()
    }

    /// Queues a SUBSCRIBE of one filter.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS, tag: T) -> PacketId {
        self.request(Awaits::SubAck, Request::Subscription, tag, |buffer, id| {
            codec::subscribe(buffer, id, filter, qos).expect(CHECKED);
        })
    }

    /// Queues an UNSUBSCRIBE of one filter.
    pub(crate) fn unsubscribe(&mut self, filter: &str, tag: T) -> PacketId {
        self.request(
            Awaits::UnsubAck,
            Request::Subscription,
            tag,
            |buffer, id| {
                codec::unsubscribe(buffer, id, filter).expect(CHECKED);
            },
        )
    }

    /// Queues a packet that the peer answers, with a new identifier. Always inlined, because what depends on the kind of
    /// request is constant for each caller.
    #[inline(always)]
    fn request(
        &mut self,
        awaits: Awaits,
        request: Request,
        tag: T,
        encode: impl FnOnce(&mut BytesMut, PacketId),
    ) -> PacketId {
        let key = self.acks.next_key();
        let id = self.ids.take(awaits, key);
        let id = id.expect("the caller checked that an identifier is free");
        encode(self.transmit.buffer(), id);
        let end = self.transmit.queued_end();
        self.acks.insert(request, id, end, tag);
        id
    }

    /// Queues the PUBACK of a PUBLISH from the peer.
    pub(crate) fn acknowledge(&mut self, id: PacketId) {
        codec::puback(self.transmit.buffer(), id);
    }

    /// Queues DISCONNECT, the last packet of the connection.
    pub(crate) fn disconnect(&mut self) {
        codec::disconnect(self.transmit.buffer());
        self.phase = Phase::Leaving;
        self.keep_alive.answered();
    }

    /// Returns the number of bytes received of an incomplete packet.
    pub(crate) fn received(&self) -> usize {
        self.receive.waiting()
    }

    /// Returns the number of acknowledgements that matched nothing.
    pub(crate) fn unsolicited(&self) -> u64 {
        self.unsolicited
    }

    /// Returns how long the acknowledgements of publications took.
    pub(crate) fn round_trip(&self) -> RoundTrip {
        self.acks.round_trip(Kind::Publication)
    }

    /// Starts a new measurement of the longest of these times.
    pub(crate) fn reset_worst_round_trip(&mut self) {
        self.acks.reset_worst_round_trip(Kind::Publication);
    }

    /// Returns the bytes to hand over to the transport.
    pub(crate) fn transmit(&self) -> &[u8] {
        self.transmit.bytes()
    }

    /// Returns the offset in the stream after the last queued byte.
    pub(crate) fn queued_end(&self) -> u64 {
        self.transmit.queued_end()
    }

    /// Returns the offset in the stream up to which bytes were handed over to the transport.
    pub(crate) fn handed_over(&self) -> u64 {
        self.transmit.written_end()
    }

    /// Records that a prefix of the queued bytes was handed over to the transport.
    pub(crate) fn transmitted(&mut self, len: usize, now: Moment) {
        if len == 0 || self.transmit.is_empty() {
            return;
        }
        self.transmit.advance(len);
        let (offset, is_queued) = (self.transmit.written_end(), !self.transmit.is_empty());
        let peer_now = self.peer_clock.time(now);
        self.acks.hand_over(offset, peer_now);
        self.last_written = peer_now;
        self.keep_alive
            .handed_over(offset, is_queued, now, peer_now);
    }

    /// Records whether the peer is read from `now` on: its deadlines are paused while it is not.
    #[inline]
    pub(crate) fn observe_reading(&mut self, is_reading: bool, now: Moment) {
        self.peer_clock.observe(is_reading, now);
    }
}
