//! Outputs: what to do next.

use super::Gateway;
use crate::{clock::Moment, event::Event, time::Instant};

/// Outputs: what to do next.
///
/// ```
/// # use std::time::{Duration, Instant};
/// # use iotcore_gateway::{*, auth::{Token, UnixTime}};
/// # let id = ClientId::new("plant".try_into()?, "us-central1".try_into()?, "sensors".try_into()?, "gateway-1".try_into()?);
/// # let (now, unix_now) = (Instant::now(), UnixTime::from_secs(1_795_374_000));
/// let mut gateway = Gateway::new(id, Options::default(), 42)?;
/// assert!(!gateway.wants_transport());
/// let opened = gateway.open(now)?;
/// assert!(gateway.wants_transport()); // dial
///
/// # gateway.handle_connected(Token::new("a.jwt.here", now + Duration::from_secs(3_600))?, unix_now, now);
/// let bytes = gateway.poll_transmit(); // write these, then report how many were taken
/// assert_eq!(bytes[0], 0x10); // CONNECT
/// # gateway.handle_transmitted(bytes.len(), now);
/// let deadline = gateway.poll_timeout(); // wait for bytes, until then
/// assert!(deadline >= Some(now + Duration::from_secs(20))); // when CONNACK should have come
///
/// assert!(gateway.wants_input()); // read
/// gateway.handle_input(&[0x20, 2, 0, 0], now);
/// assert_eq!(gateway.poll_event(), Some(Event::Connected));
/// assert_eq!(gateway.poll_event(), Some(Event::Done { op: opened, outcome: Outcome::Opened }));
/// assert_eq!(gateway.poll_event(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Gateway {
    /// Returns the bytes to hand over to the transport next; [`handle_transmitted`](Self::handle_transmitted) records
    /// how many it took. They remain here until then. Every input and command can change them.
    pub fn poll_transmit(&self) -> &[u8] {
        let online = self.lifecycle.online();
        online.map_or(&[], |online| online.link.transmit())
    }

    /// Returns the oldest event that was not taken yet.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.session.events.pop_front()
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout) next. After that call the deadline is later, or
    /// `None`; queued bytes cause no deadline. Every input and command can change it. So can taking the events that had
    /// paused reading: it is then due at once, to record when reading resumed.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.session.clock.instant(self.next_deadline()?)
    }

    fn next_deadline(&self) -> Option<Moment> {
        let of_connection = match self.lifecycle.online() {
            Some(online) => match self.session.reading_resumed(online) {
                Some(since) => return Some(since),
                None => self.session.next_deadline(online),
            },
            None => None,
        };
        [
            of_connection,
            self.lifecycle.next_deadline(),
            self.session.drains.next(),
            self.session.outbox.paced_until(),
            self.session.outbox.next_expiry(),
            #[cfg(feature = "store")]
            self.session.outbox.next_store_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Returns whether there should be a transport. Level-triggered: if it is true and there is no transport, dial; if
    /// it is false and there is one, hang up and call [`handle_disconnected`](Self::handle_disconnected). It does not
    /// become true while `max_events` events wait to be taken, because the end of each attempt adds one; an attempt that
    /// has begun goes on.
    pub fn wants_transport(&self) -> bool {
        self.is_transport_wanted()
    }

    /// Returns whether to read from the transport now. False means back-pressure: the events, or the acknowledgements
    /// that the user or a slow peer holds back, have reached their limit.
    pub fn wants_input(&self) -> bool {
        match self.lifecycle.online() {
            Some(online) => self.session.wants_input(online),
            None => self.session.has_room_for_events(),
        }
    }
}
