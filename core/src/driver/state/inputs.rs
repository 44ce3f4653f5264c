//! Inputs of the driver to the gateway: transports, bytes and time.

use core::task::Poll;
use std::{io, sync::Arc};

use crate::{
    driver::{state::State, transport_error::TransportError},
    event::TransportEnd,
    input::Input,
    time::{Instant, UnixTime},
    token::Token,
};

impl State {
    /// Reports a transport to the gateway, with the token to connect with.
    pub(crate) fn start_connection(&mut self, token: Token, unix_now: UnixTime, now: Instant) {
        self.transport_error = None;
        self.apply(Input::Connected { token, unix_now }, now);
    }

    /// Reports that the driver has closed the transport, as the gateway wanted.
    pub(crate) fn end_connection(&mut self, now: Instant) {
        self.apply(Input::Disconnected(TransportEnd::HungUp), now);
    }

    /// Reports that the transport was lost, or could not be established.
    pub(crate) fn lose_connection(&mut self, error: TransportError, now: Instant) {
        let end = error.end();
        self.transport_error = Some(Arc::new(error));
        self.apply(Input::Disconnected(end), now);
    }

    /// Hands bytes of the peer to the gateway.
    pub(crate) fn receive(&mut self, bytes: &[u8], now: Instant) {
        self.apply(Input::Received(bytes), now);
    }

    /// Passes the gateway's next bytes to `write`. Returns its result, or `None` if there was nothing to write.
    pub(crate) fn transmit(
        &mut self,
        now: Instant,
        write: impl FnOnce(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Option<Poll<io::Result<usize>>> {
        let bytes = self.gateway.poll_transmit();
        if bytes.is_empty() {
            return None;
        }
        let written = write(bytes);
        if let Poll::Ready(Ok(len)) = written {
            self.apply(Input::Transmitted(len), now);
        }
        Some(written)
    }

    /// Reports the time to the gateway if its deadline has passed.
    pub(crate) fn handle_deadline(&mut self, now: Instant) {
        if self.gateway.poll_timeout().is_some_and(|at| at <= now) {
            self.apply(Input::Timeout, now);
        }
    }
}
