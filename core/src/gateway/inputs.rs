//! Inputs: what the transport and the clock report.

use super::{Gateway, lifecycle::State};
#[cfg(doc)]
use crate::event::Event;
use crate::{
    clock::Moment,
    event::{DisconnectReason, TransportEnd},
    mqtt::Incoming,
    time::{Instant, UnixTime},
    token::Token,
};

/// Inputs: what the transport and the clock report.
///
/// ```
/// # use std::time::{Duration, Instant};
/// # use iotcore_gateway::{*, auth::{Token, UnixTime}, cause::TransportEnd};
/// # let id = ClientId::new("plant".try_into()?, "us-central1".try_into()?, "sensors".try_into()?, "gateway-1".try_into()?);
/// # let (now, unix_now) = (Instant::now(), UnixTime::from_secs(1_795_374_000));
/// let mut gateway = Gateway::new(id, Options::default(), 42)?;
/// gateway.open(now)?;
///
/// let token = Token::new("a.jwt.here", now + Duration::from_secs(3_600))?;
/// gateway.handle_connected(token, unix_now, now); // the transport is up: CONNECT is queued
/// gateway.handle_transmitted(gateway.poll_transmit().len(), now); // and written
/// gateway.handle_input(&[0x20, 2], now); // CONNACK 0 arrives in two parts
/// gateway.handle_input(&[0, 0], now);
/// assert!(gateway.is_open());
///
/// gateway.handle_disconnected(TransportEnd::PeerClosed, now);
/// assert!(!gateway.wants_transport());
/// let next_attempt = gateway.poll_timeout().expect("the backoff");
/// gateway.handle_timeout(next_attempt);
/// assert!(gateway.wants_transport());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Gateway {
    /// Records that the transport is up: queues CONNECT with this token, also if the events have reached their limit
    /// since the dial began. While [`wants_transport`](Self::wants_transport) is false, this transmits nothing and does
    /// not count as an attempt. A token that has expired, by either clock, counts as a failed attempt.
    ///
    /// The time limit for CONNACK begins once CONNECT is handed over. A TLS handshake may come before this call, with a time
    /// limit of your own, or after it: TLS then takes CONNECT at once, and the handshake is part of the time for CONNACK.
    ///
    /// `unix_now` is the time of the machine's wall clock. Tokens are judged by it, and it is shown in a
    /// [`Refusal`](crate::cause::Refusal). It may jump: the newest counts, and goes on with `now`.
    pub fn handle_connected(&mut self, token: Token, unix_now: UnixTime, now: Instant) {
        let now = self.observe_time(now);
        self.session.clock.observe_date(unix_now);
        self.start_connection(token, now);
        self.flush(now);
    }

    /// Records the date of the machine's wall clock, as [`handle_connected`](Self::handle_connected) and
    /// [`attach`](Self::attach) do too. With a store, call it at the start: a deadline is kept there as a date.
    pub fn handle_date(&mut self, unix_now: UnixTime, now: Instant) {
        let now = self.observe_time(now);
        self.session.clock.observe_date(unix_now);
        self.flush(now);
    }

    /// Records bytes from the peer, in fragments of any size. Processes all of them and queues the responses after each
    /// packet, so the fragmentation makes no difference. Runs no timers: read first, then report the time, so that an
    /// answer that has arrived does not time out. A violation of the standard by the peer ends the connection with
    /// [`Event::Disconnected`].
    pub fn handle_input(&mut self, mut bytes: &[u8], now: Instant) {
        let now = self.observe_time(now);
        if let State::Online(online) = &mut self.lifecycle.state
            && !bytes.is_empty()
            && online.link.heard(bytes, now)
        {
            return;
        }
        while let State::Online(online) = &mut self.lifecycle.state {
            if let Some((id, owner)) = online.link.next_acknowledged(&mut bytes, now) {
                self.session.on_acknowledged(online, id, owner, now);
            } else if !self.handle_next_packet(&mut bytes, now) {
                break;
            }
            self.flush(now);
        }
    }

    /// Handles the next packet, of any type; returns false once all of the input is consumed. Never inlined, so that
    /// acknowledgements are handled in registers.
    #[inline(never)]
    fn handle_next_packet(&mut self, bytes: &mut &[u8], now: Moment) -> bool {
        let State::Online(online) = &mut self.lifecycle.state else {
            return false;
        };
        match online.link.next(bytes, now) {
            Ok(Some(Incoming::ConnAck(return_code))) => self.on_connack(return_code, now),
            Ok(Some(incoming)) => self.session.on_incoming(online, incoming, now),
            Ok(None) => return false,
            Err(violation) => self.end_connection(DisconnectReason::Violation(violation), now),
        }
        true
    }

    /// Records that the first `len` bytes of [`poll_transmit`](Self::poll_transmit) were handed over to the transport,
    /// which sends them without being asked again: a library for TLS takes bytes into a buffer of its own, which you flush
    /// also while `poll_transmit` is empty. A larger `len` counts as all of them.
    ///
    /// A write that fails hands over 0 bytes. Report its error only after what the peer has sent is read to the end: a peer
    /// that refuses the gateway sends the reason and closes.
    pub fn handle_transmitted(&mut self, len: usize, now: Instant) {
        let now = self.observe_time(now);
        if let State::Online(online) = &mut self.lifecycle.state {
            online.link.transmitted(len, now);
            self.session.end_handed_over(online);
        }
        self.flush(now);
    }

    /// Records that the deadline returned by [`poll_timeout`](Self::poll_timeout) was reached. Pass the current time,
    /// not the deadline. Spurious calls change nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.observe_time(now);
        self.run_due(now);
        self.flush(now);
        self.flush_probes(now);
    }

    /// Records that the transport is down or could not be established. Call this whichever side ended it. The
    /// [`TransportEnd`] decides who is blamed; [`TransportEnd::of_stream`] chooses it for an error of a socket. A failed dial
    /// while [`wants_transport`](Self::wants_transport) is false does not count as an attempt.
    pub fn handle_disconnected(&mut self, end: TransportEnd, now: Instant) {
        let now = self.observe_time(now);
        self.on_transport_end(end, now);
        self.flush(now);
    }
}
