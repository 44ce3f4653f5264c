//! Inputs of the driver to the gateway: transports, bytes, time and renewed tokens.

use core::task::Poll;
use std::{io, sync::Arc};

use crate::{
    command::DeviceKey,
    driver::{
        error::{TokenFailure, TransportError},
        state::State,
        status::Status,
    },
    event::TransportEnd,
    gateway::DeviceState,
    id::DeviceId,
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

    /// Returns the next device that has asked for a token, and still needs one.
    pub(crate) fn next_token_needed(&mut self) -> Option<(DeviceKey, DeviceId)> {
        loop {
            let device = self.tokens_needed.pop_front()?;
            if let Some(id) = self.needs_token(device) {
                return Some((device, id));
            }
        }
    }

    /// Returns the id of a device that needs a token: one that was detached or authorized in the meantime needs none.
    pub(crate) fn needs_token(&self, device: DeviceKey) -> Option<DeviceId> {
        let is_needed = self.gateway.device_state(device) == Some(DeviceState::TokenNeeded);
        let id = self.gateway.device_id(device).filter(|_| is_needed);
        id.cloned()
    }

    /// Returns the seed of the jitter of a device's delays, unless it was detached.
    pub(crate) fn jitter_seed(&self, device: DeviceKey) -> Option<u64> {
        let id = self.gateway.device_id(device)?;
        let of_gateway = u64::from(self.gateway.client_id().fingerprint()) << 32;
        Some(of_gateway | u64::from(id.fingerprint()))
    }

    /// Hands a device's new token to the gateway, or reports that there is none.
    pub(crate) fn renew_token(
        &mut self,
        key: DeviceKey,
        answer: Result<Option<Token>, TokenFailure>,
        unix_now: UnixTime,
        now: Instant,
    ) {
        let Some(device) = self.gateway.device_id(key).cloned() else {
            return;
        };
        match answer {
            Ok(Some(token)) => {
                // Only a device that is being detached refuses it, and needs it no more.
                let authorize = Input::Authorize {
                    device: key,
                    token,
                    unix_now,
                };
                let _ = self.apply(authorize, now).op();
            }
            Ok(None) => self.report(&Status::TokenNeeded { device }),
            Err(error) => {
                let error = Arc::new(error);
                self.report(&Status::TokenFailed { device, error });
            }
        }
    }
}
