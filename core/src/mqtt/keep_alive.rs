//! Whether the peer is alive: CONNACK, PINGREQ, and bytes that are not taken.
//!
//! | what | ends the connection |
//! |---|---|
//! | no byte from the peer after CONNECT or PINGREQ was handed over | after the timeout, and what a slow link needs |
//! | a packet that began to arrive is not whole | after ten keep alives |
//! | no byte from the peer, while PINGREQ waits behind bytes that the transport takes slowly | after ten keep alives |
//! | queued bytes of which the transport takes none, and no byte from the peer | after one keep alive; for CONNECT, the timeout of CONNACK if that is shorter |
//!
//! Any byte shows that the peer is alive, because a large packet on a slow link delays PINGRESP.

use super::ack_clock::allowance;
use crate::{
    clock::{Moment, PeerClock, PeerTime},
    time::Duration,
};

/// A packet may take this many keep alives to arrive.
const PACKET_KEEP_ALIVES: u32 = 10;

/// How long a connection waits for its peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) keep_alive: Duration,
    pub(crate) connack_timeout: Duration,
}

/// A timeout of the connection: the peer sent nothing, or took nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    ConnAck(Duration),
    PingResp(Duration),
    Packet(Duration),
    Stall(Duration),
}

impl Timing {
    /// Returns somewhat less than the keep alive, because the gap between packets must not exceed it [MQTT-3.1.2-23].
    fn ping_after(&self) -> Duration {
        self.keep_alive - (self.keep_alive / 4).min(Duration::from_secs(5))
    }

    fn ping_timeout(&self) -> Duration {
        self.keep_alive.min(self.connack_timeout)
    }

    fn packet_timeout(&self) -> Duration {
        self.keep_alive.saturating_mul(PACKET_KEEP_ALIVES)
    }
}

/// CONNECT or PINGREQ, to which the peer has yet to react.
#[derive(Clone, Copy, Debug)]
struct Question {
    is_connect: bool,
    /// The offset in the stream at which it ends.
    end: u64,
    queued: PeerTime,
    handed: Option<PeerTime>,
}

/// What is known of the peer's life, and the next PINGREQ.
#[derive(Debug)]
pub(super) struct KeepAlive {
    timing: Timing,
    question: Option<Question>,
    /// The offset in the stream at which the last PINGREQ ends, until its PINGRESP.
    pinged: Option<u64>,
    last_handed_over: Moment,
    last_byte: Moment,
    /// The same in peer time.
    last_heard: PeerTime,
    /// When the packet began to arrive that is not whole yet.
    begun: Option<PeerTime>,
    /// Since when the transport has taken none of the queued bytes.
    stalled_since: Option<Moment>,
}

/// The state of the stream in both directions, as far as deadlines depend on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    /// Whether queued bytes wait to be handed over.
    pub(super) is_queued: bool,
    /// The offset up to which the peer has proven to have read.
    pub(super) proven: u64,
}

impl KeepAlive {
    /// Starts with CONNECT, which was queued and ends at this offset.
    pub(super) fn new(timing: Timing, connect_end: u64, now: Moment) -> Self {
        Self {
            timing,
            question: Some(Question {
                is_connect: true,
                end: connect_end,
                queued: PeerTime::START,
                handed: None,
            }),
            pinged: None,
            last_handed_over: now,
            last_byte: now,
            last_heard: PeerTime::START,
            begun: None,
            stalled_since: Some(now),
        }
    }

    /// Records bytes from the peer.
    #[inline]
    pub(super) fn heard(&mut self, now: Moment, peer_now: PeerTime) {
        self.last_byte = now;
        self.last_heard = peer_now;
        let question = self.question;
        if question.is_some_and(|question| !question.is_connect && question.handed.is_some()) {
            self.question = None;
        }
    }

    /// Returns the offset in the stream at which a PINGREQ ends that was answered by PINGRESP now.
    pub(super) fn take_pinged(&mut self) -> Option<u64> {
        self.pinged.take()
    }

    /// Records a whole packet from the peer.
    #[inline]
    pub(super) fn received(&mut self) {
        self.begun = None;
    }

    /// Records that the last bytes from the peer are part of a packet.
    #[inline]
    pub(super) fn begun(&mut self, now: PeerTime) {
        self.begun.get_or_insert(now);
    }

    /// Records CONNACK, or that no answer matters any more. Returns the offset in the stream at which the question ends.
    pub(super) fn answered(&mut self) -> Option<u64> {
        Some(self.question.take()?.end)
    }

    /// Records that bytes were handed over to the transport, up to this offset; `is_queued` if more wait.
    #[inline]
    pub(super) fn handed_over(
        &mut self,
        offset: u64,
        is_queued: bool,
        now: Moment,
        peer_now: PeerTime,
    ) {
        self.last_handed_over = now;
        self.stalled_since = is_queued.then_some(now);
        if let Some(question) = &mut self.question
            && question.handed.is_none()
            && question.end <= offset
        {
            question.handed = Some(peer_now);
        }
    }

    /// Starts the time limit for handing over queued bytes.
    #[inline]
    pub(super) fn watch_progress(&mut self, is_queued: bool, now: Moment) {
        match is_queued {
            true => _ = self.stalled_since.get_or_insert(now),
            false => self.stalled_since = None,
        }
    }

    /// Returns the timeout that has passed.
    pub(super) fn judge(
        &self,
        streams: Streams,
        clock: &PeerClock,
        now: Moment,
    ) -> Option<Silence> {
        let peer_now = clock.time_if_running(now);
        let is_over = |at: Option<PeerTime>| at.is_some() && at <= peer_now;
        if is_over(self.answer_overdue_at(streams)) {
            let is_connect = self.question?.is_connect;
            return Some(match is_connect {
                true => Silence::ConnAck(self.timing.connack_timeout),
                false => Silence::PingResp(self.timing.ping_timeout()),
            });
        }
        if is_over(self.packet_overdue_at()) {
            return Some(Silence::Packet(self.timing.packet_timeout()));
        }
        let is_stalled = self.stalled_at().is_some_and(|at| at <= now);
        is_stalled.then(|| Silence::Stall(self.stall_limit()))
    }

    /// Returns the next deadline, by machine time. PINGREQ only while the connection is `open`.
    pub(super) fn next_deadline(
        &self,
        is_open: bool,
        streams: Streams,
        clock: &PeerClock,
    ) -> Option<Moment> {
        let answers = [self.answer_overdue_at(streams), self.packet_overdue_at()];
        let answers = answers.map(|at| clock.machine_time(at?));
        let ping = self.ping_at(streams).filter(|_| is_open);
        let own = [self.stalled_at(), ping];
        answers.into_iter().chain(own).flatten().min()
    }

    fn answer_overdue_at(&self, streams: Streams) -> Option<PeerTime> {
        let question = self.question?;
        let timeout = match question.is_connect {
            true => self.timing.connack_timeout,
            false => self.timing.ping_timeout(),
        };
        Some(question.handed? + timeout + allowance(question.end, streams.proven))
    }

    fn packet_overdue_at(&self) -> Option<PeerTime> {
        let waits = self.question.filter(|question| question.handed.is_none());
        let unheard = waits.filter(|question| !question.is_connect);
        // A question that was queued late, because nobody reported the time, is given its time.
        let unheard = unheard.map(|question| {
            let asked = question.queued - self.timing.ping_after();
            asked.max(self.last_heard)
        });
        let since = [self.begun, unheard].into_iter().flatten().min()?;
        Some(since + self.timing.packet_timeout())
    }

    /// A full buffer of a thin link takes nothing for long, while answers arrive.
    fn stalled_at(&self) -> Option<Moment> {
        Some(self.stalled_since?.max(self.last_byte) + self.stall_limit())
    }

    fn stall_limit(&self) -> Duration {
        let is_connecting = self.question.is_some_and(|question| question.is_connect);
        match is_connecting {
            true => self.timing.ping_timeout(),
            false => self.timing.keep_alive,
        }
    }

    /// Returns when to queue PINGREQ: the keep alive requires packets from the client, and a PINGREQ makes a peer answer
    /// that takes packets but sends none. Queued bytes satisfy the first, once they are handed over.
    pub(super) fn ping_at(&self, streams: Streams) -> Option<Moment> {
        let idle = (!streams.is_queued).then_some(self.last_handed_over);
        let is_answer_open = self.question.is_some();
        let takes_bytes = !streams.is_queued || self.last_byte < self.last_handed_over;
        let silent = (!is_answer_open && takes_bytes).then_some(self.last_byte);
        let since = [idle, silent].into_iter().flatten().min()?;
        Some(since + self.timing.ping_after())
    }

    /// Records that PINGREQ was queued and ends at this offset.
    pub(super) fn pinged(&mut self, end: u64, peer_now: PeerTime) {
        self.pinged.get_or_insert(end);
        self.question.get_or_insert(Question {
            is_connect: false,
            end,
            queued: peer_now,
            handed: None,
        });
    }
}
