//! Tokens of devices, between those who need them and the driver, which fetches them.

use core::task::{Context, Poll};
use std::sync::Arc;

use crate::{
    command::DeviceKey,
    driver::{
        environment::{TokenAnswer, TokenFetch},
        operation_error::OperationError,
        state::{Asker, NextFetch, State},
        status::Status,
        tokens::BoxError,
    },
    gateway::{DeviceState, Gateway},
    id::DeviceId,
    input::Input,
    time::{Instant, UnixTime},
};

/// Attaches.
impl State {
    /// Records that an attach needs its device's token. Returns the number of the request, and whether the caller is to
    /// begin the fetch immediately.
    pub(crate) fn ask_for_token(
        &mut self,
        device: &DeviceId,
        now: Instant,
    ) -> Result<(u64, bool), OperationError> {
        self.shutdown.check_running()?;
        self.wakers.wake_driver();
        Ok(self.token_requests.add_attach(device, now))
    }

    /// Hands a fetch that an attach has begun over to the driver. Returns it if the attach has ended meanwhile.
    pub(crate) fn hand_over(&mut self, request: u64, fetch: TokenFetch) -> Option<TokenFetch> {
        self.wakers.wake_driver();
        self.token_requests.hand_over(request, fetch)
    }

    /// Waits for the answer to the request of an attach.
    pub(crate) fn poll_token(
        &mut self,
        request: u64,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Result<TokenAnswer, OperationError>> {
        let answer = self
            .token_requests
            .poll(request, waiter, cx, &mut self.wakers);
        answer.map(|answer| answer.ok_or_else(|| self.shutdown.refusal()))
    }

    /// Withdraws the request of an attach. Returns what was there for it, to be dropped without the lock.
    pub(crate) fn withdraw_token_request(
        &mut self,
        request: u64,
        waiter: Option<u64>,
    ) -> impl Sized + use<> {
        // It may have held up another one.
        self.wakers.wake_driver();
        self.token_requests
            .withdraw(request, waiter, &mut self.wakers)
    }
}

/// The driver.
impl State {
    /// Returns what the driver is to do next about the tokens of devices.
    pub(crate) fn next_fetch(&mut self, now: Instant) -> NextFetch {
        let gateway = &self.gateway;
        self.token_requests
            .next(now, |device| needs_token(gateway, device))
    }

    /// Returns whether a fetch is still wanted.
    pub(crate) fn wants_fetch(&self, asker: Asker) -> bool {
        self.token_requests.is_wanted(asker)
    }

    /// Records that a device needs a token.
    pub(super) fn on_token_needed(&mut self, key: DeviceKey, now: Instant) {
        if let Some(device) = self.gateway.device_id(key) {
            self.token_requests.add_device(key, device.clone(), now);
        }
    }

    /// Hands the answer of the token source to whom it is for. Returns it if nobody waits for it any more.
    pub(crate) fn end_fetch(
        &mut self,
        asker: Asker,
        answer: TokenAnswer,
        unix_now: UnixTime,
        now: Instant,
    ) -> Option<TokenAnswer> {
        self.token_requests.end(asker);
        match asker {
            Asker::Attach(request) => self
                .token_requests
                .answer(request, answer, &mut self.wakers),
            Asker::Device(key) => self.renew_token(key, answer, unix_now, now),
        }
    }

    /// Hands a device's new token to the gateway, or reports that no token can be had.
    fn renew_token(
        &mut self,
        key: DeviceKey,
        answer: TokenAnswer,
        unix_now: UnixTime,
        now: Instant,
    ) -> Option<TokenAnswer> {
        let Some(device) = self.gateway.device_id(key).cloned() else {
            self.token_requests.forgive(key);
            return Some(answer);
        };
        match answer {
            Ok(token) => {
                self.token_requests.forgive(key);
                let Some(token) = token else {
                    self.report(&Status::TokenNeeded { device });
                    return None;
                };
                // Only a device that is being detached refuses it, and needs it no more.
                let authorize = Input::Authorize {
                    device: key,
                    token,
                    unix_now,
                };
                let _ = self.apply(authorize, now).op();
            }
            Err(error) => {
                let seed = self.jitter_seed(&device);
                self.token_requests.retry(key, device.clone(), seed, now);
                let error = Arc::new(error);
                self.report(&Status::TokenFailed { device, error });
            }
        }
        None
    }

    /// Reports what the token source has warned of.
    pub(crate) fn report_token_warning(&mut self, device: DeviceId, warning: BoxError) {
        let error = warning.into();
        self.report(&Status::TokenWarning { device, error });
    }

    /// Returns the seed of the jitter of a device's delays.
    fn jitter_seed(&self, device: &DeviceId) -> u64 {
        let of_gateway = u64::from(self.gateway.client_id().fingerprint()) << 32;
        of_gateway | u64::from(device.fingerprint())
    }
}

/// Returns whether a device needs a token: one that was detached or authorized in the meantime needs none.
fn needs_token(gateway: &Gateway, device: DeviceKey) -> bool {
    gateway.device_state(device) == Some(DeviceState::TokenNeeded)
}
