//! One MQTT 3.1.1 client connection, from CONNECT to its end. It is independent of gateways and devices. A reconnect is
//! a new [`Connection`], so no stale state survives.

mod buffer;
mod codec;
#[cfg(feature = "internals")]
pub mod internals;
mod packet_ids;
mod receive;
mod timers;
mod transmit;

use core::mem;

pub use self::codec::{PacketType, QoS, Violation};
use self::{
    codec::Packet,
    packet_ids::{Acknowledged, Awaits, PacketIds},
    receive::Receive,
    timers::{Expected, Timer, Timers},
    transmit::Transmit,
};
pub(crate) use self::{
    codec::{Connect, DEFAULT_FRAME_LIMIT, PacketId, Publish, SubAckCode, TopicName},
    packet_ids::Found,
};
use crate::{
    clock::{Moment, PeerClock},
    time::Duration,
};

/// Queued bytes above which no new packet is queued, unless it is the only one.
pub(crate) const TRANSMIT_TARGET: usize = 64 * 1024;

/// Filters and the client id are built from checked ids; topics, payloads and tokens are checked when they are created.
const CHECKED: &str = "only checked strings are encoded";

/// One connection, with its timers and its peer's clock. `T` is the caller's tag of a packet with an identifier,
/// returned with its acknowledgement.
#[derive(Debug)]
pub(crate) struct Connection<T> {
    phase: Phase,
    timing: Timing,
    timers: Timers,
    receive: Receive,
    transmit: Transmit,
    ids: PacketIds<T>,
    last_handed_over: Moment,
    last_heard: Moment,
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

/// How long a connection waits for its peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) keep_alive: Duration,
    pub(crate) connack_timeout: Duration,
}

impl Timing {
    /// Returns somewhat less than the keep alive, because the gap between packets must not exceed it [MQTT-3.1.2-23].
    fn ping_after(&self) -> Duration {
        self.keep_alive - (self.keep_alive / 4).min(Duration::from_secs(5))
    }

    fn ping_timeout(&self) -> Duration {
        self.keep_alive.min(self.connack_timeout)
    }
}

/// A packet from the peer, as far as the caller has to act on it.
#[derive(Debug)]
pub(crate) enum Incoming<T> {
    /// CONNACK, with its return code.
    ConnAck(u8),
    /// A PUBLISH, returned by [`Connection::take_publish`].
    Publish,
    /// PUBACK, with the tag of our PUBLISH.
    PubAck(T),
    SubAck(T, SubAckCode),
    UnsubAck(T),
}

/// A timeout of the connection: the peer sent nothing, or took nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Silence {
    ConnAck(Duration),
    PingResp(Duration),
    Stall(Duration),
}

impl<T: Copy> Connection<T> {
    /// Starts a connection: queues CONNECT.
    pub(crate) fn connect(
        connect: &Connect<'_>,
        timing: Timing,
        frame_limit: usize,
        now: Moment,
    ) -> Self {
        let mut transmit = Transmit::default();
        codec::connect(transmit.buffer(), connect).expect(CHECKED);
        let mut timers = Timers::default();
        timers.expect(Expected::ConnAck, timing.connack_timeout, now);
        timers.set(Timer::Stall, timing.keep_alive, now);
        Self {
            phase: Phase::Connecting,
            timing,
            timers,
            receive: Receive::new(frame_limit),
            transmit,
            ids: PacketIds::new(),
            last_handed_over: now,
            last_heard: now,
            unsolicited: 0,
        }
    }

    /// Takes the next packet off the front of `input`; returns `None` once all of it is consumed. An error is final
    /// [MQTT-4.8.0-1].
    pub(crate) fn next(
        &mut self,
        input: &mut &[u8],
        now: Moment,
    ) -> Result<Option<Incoming<T>>, Violation> {
        while let Some(packet) = self.receive.next(input)? {
            self.record_receipt(now);
            if let Some(incoming) = self.on_packet(packet, now)? {
                return Ok(Some(incoming));
            }
        }
        Ok(None)
    }

    fn on_packet(&mut self, packet: Packet, now: Moment) -> Result<Option<Incoming<T>>, Violation> {
        match (self.phase, packet) {
            (Phase::Connecting, Packet::ConnAck { return_code, .. }) => {
                self.timers.answered(Expected::ConnAck);
                self.phase = Phase::Open;
                self.schedule_ping(now);
                Ok(Some(Incoming::ConnAck(return_code)))
            }
            (Phase::Connecting, packet) => Err(Violation::NotConnAckFirst {
                packet: packet.packet_type(),
            }),
            (Phase::Open | Phase::Leaving, Packet::ConnAck { .. }) => Err(Violation::SecondConnAck),
            (_, Packet::Publish) => Ok(Some(Incoming::Publish)),
            (_, Packet::PubAck(id)) => {
                Ok(self.acknowledged(id, Awaits::PubAck).map(Incoming::PubAck))
            }
            (
                _,
                Packet::SubAck {
                    packet_id,
                    return_code,
                },
            ) => {
                let tag = self.acknowledged(packet_id, Awaits::SubAck);
                Ok(tag.map(|tag| Incoming::SubAck(tag, return_code)))
            }
            (_, Packet::UnsubAck(id)) => Ok(self
                .acknowledged(id, Awaits::UnsubAck)
                .map(Incoming::UnsubAck)),
            (_, Packet::PingResp) => {
                self.timers.answered(Expected::PingResp);
                Ok(None)
            }
        }
    }

    /// Records receipt and reschedules PINGREQ. Only the first packet received after a transmission moves it.
    fn record_receipt(&mut self, now: Moment) {
        let before = mem::replace(&mut self.last_heard, now);
        if before < self.last_handed_over {
            self.schedule_ping(now);
        }
    }

    fn acknowledged(&mut self, id: PacketId, awaits: Awaits) -> Option<T> {
        match self.ids.acknowledge(id, awaits) {
            Acknowledged::Matched(tag) => Some(tag),
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
        match self.ids.free() {
            0 => 0,
            _ => self.room(),
        }
    }

    /// Returns whether no identifier is free, and some may never become free.
    pub(crate) fn is_starved(&self) -> bool {
        self.ids.free() == 0 && self.ids.quarantined() > 0
    }

    /// Queues a PUBLISH at QoS 1.
    pub(crate) fn publish(&mut self, topic: &TopicName, payload: &[u8], tag: T) -> PacketId {
        let id = self.take_id(Awaits::PubAck, tag);
        codec::publish(self.transmit.buffer(), topic, payload, Some(id), false).expect(CHECKED);
        id
    }

    /// Queues a PUBLISH again, with its identifier and DUP 1 [MQTT-3.3.1-1].
    pub(crate) fn publish_again(&mut self, topic: &TopicName, payload: &[u8], id: PacketId) {
        codec::publish(self.transmit.buffer(), topic, payload, Some(id), true).expect(CHECKED);
    }

    /// Queues a PUBLISH at QoS 0. Returns the offset in the stream at which it ends.
    pub(crate) fn publish_once(&mut self, topic: &TopicName, payload: &[u8]) -> u64 {
        codec::publish(self.transmit.buffer(), topic, payload, None, false).expect(CHECKED);
        self.transmit.queued_end()
    }

    /// Queues a SUBSCRIBE of one filter.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS, tag: T) -> PacketId {
        let id = self.take_id(Awaits::SubAck, tag);
        codec::subscribe(self.transmit.buffer(), id, filter, qos).expect(CHECKED);
        id
    }

    /// Queues an UNSUBSCRIBE of one filter.
    pub(crate) fn unsubscribe(&mut self, filter: &str, tag: T) -> PacketId {
        let id = self.take_id(Awaits::UnsubAck, tag);
        codec::unsubscribe(self.transmit.buffer(), id, filter).expect(CHECKED);
        id
    }

    fn take_id(&mut self, awaits: Awaits, tag: T) -> PacketId {
        self.ids
            .take(awaits, tag)
            .expect("the caller checked that an identifier is free")
    }

    /// Queues the PUBACK of a PUBLISH from the peer.
    pub(crate) fn acknowledge(&mut self, id: PacketId) {
        codec::puback(self.transmit.buffer(), id);
    }

    /// Queues DISCONNECT, the last packet of the connection.
    pub(crate) fn disconnect(&mut self) {
        codec::disconnect(self.transmit.buffer());
        self.phase = Phase::Leaving;
        self.timers.stop(Timer::PingReq);
        self.timers.answered(Expected::PingResp);
    }

    /// Quarantines `id`, whose operation ended without its acknowledgement: it is not reused until the acknowledgement
    /// arrives.
    pub(crate) fn quarantine(&mut self, id: PacketId) {
        self.ids.quarantine(id);
    }

    pub(crate) fn find(&self, id: PacketId) -> Found<T> {
        self.ids.find(id)
    }

    /// Returns the number of identifiers whose acknowledgement is pending, not counting those in quarantine.
    pub(crate) fn in_flight(&self) -> usize {
        self.ids.in_flight()
    }

    /// Returns the number of bytes received of an incomplete packet.
    pub(crate) fn received(&self) -> usize {
        self.receive.waiting()
    }

    /// Returns the number of acknowledgements that matched nothing.
    pub(crate) fn unsolicited(&self) -> u64 {
        self.unsolicited
    }

    /// Returns the bytes to hand over to the transport.
    pub(crate) fn transmit(&self) -> &[u8] {
        self.transmit.bytes()
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
        self.last_handed_over = now;
        self.timers.stop(Timer::Stall);
        self.schedule_ping(now);
    }

    /// Returns the clock of the peer's time on this connection.
    #[inline]
    pub(crate) fn peer_clock(&self) -> &PeerClock {
        &self.timers.clock
    }

    /// Records whether the peer is read from `now` on: its deadlines are paused while it is not.
    #[inline]
    pub(crate) fn observe_reading(&mut self, is_reading: bool, now: Moment) {
        self.timers.clock.observe(is_reading, now);
    }

    /// Returns when to call [`run_timers`](Self::run_timers) next.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.timers.next()
    }

    /// Returns whether any timer may be due.
    #[inline]
    pub(crate) fn may_be_due(&mut self, now: Moment) -> bool {
        self.timers.may_be_due(now)
    }

    /// Runs the timers that are due. To be called after the changes of an input and before more is queued.
    pub(crate) fn run_timers(&mut self, now: Moment) -> Option<Silence> {
        if self.timers.expire_answer(Expected::ConnAck, now) {
            return Some(Silence::ConnAck(self.timing.connack_timeout));
        }
        if self.timers.expire_answer(Expected::PingResp, now) {
            return Some(Silence::PingResp(self.timing.ping_timeout()));
        }
        if self.timers.expire(Timer::Stall, now) {
            return Some(Silence::Stall(self.timing.keep_alive));
        }
        if self.timers.expire(Timer::PingReq, now)
            && self.phase == Phase::Open
            && self.transmit.is_empty()
        {
            codec::pingreq(self.transmit.buffer());
            if !self.timers.is_expected(Expected::PingResp) {
                let limit = self.timing.ping_timeout();
                self.timers.expect(Expected::PingResp, limit, now);
            }
        }
        None
    }

    /// Starts the time limit for handing over queued bytes. To be called once everything that an input causes is
    /// queued.
    pub(crate) fn watch_progress(&mut self, now: Moment) {
        if self.transmit.is_empty() {
            self.timers.stop(Timer::Stall);
        } else if !self.timers.is_set(Timer::Stall) {
            self.timers.set(Timer::Stall, self.timing.keep_alive, now);
        }
    }

    /// Schedules PINGREQ: the keep alive requires packets from the client, and a PINGREQ makes a peer answer that takes
    /// packets but sends none. Not while bytes are queued, because they have to be handed over first.
    fn schedule_ping(&mut self, now: Moment) {
        if self.phase == Phase::Open && self.transmit.is_empty() {
            let since = match self.timers.is_expected(Expected::PingResp) {
                true => self.last_handed_over,
                false => self.last_handed_over.min(self.last_heard),
            };
            let elapsed = now.since(since);
            let wait = self.timing.ping_after().saturating_sub(elapsed);
            self.timers.set(Timer::PingReq, wait, now);
        }
    }
}
