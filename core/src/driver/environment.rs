//! The environment of a driver: its runtime and its token source.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    driver::{
        runtime::{BoxFuture, Runtime, within},
        tokens::{BoxError, TokenRequest, TokenSource},
        transport_error::TokenFailure,
        warnings::Warnings,
    },
    id::{ClientId, DeviceId},
    time::{Duration, Instant, UnixTime},
    token::Token,
};

/// What the token source has answered for a device.
pub(crate) type TokenAnswer = Result<Option<Token>, TokenFailure>;

/// The future of a device's token.
pub(crate) type TokenFetch = BoxFuture<TokenAnswer>;

/// What handles need of the environment, without the types of the runtime and the token source.
pub(crate) trait Environment: Send + Sync {
    /// Returns the time of the runtime's clock.
    fn now(&self) -> Instant;

    /// Returns the date of the runtime's wall clock.
    fn unix_now(&self) -> UnixTime;

    /// Ends at `deadline` or soon after.
    fn sleep_until(self: Arc<Self>, deadline: Instant) -> BoxFuture<()>;

    /// Asks the token source for a device's token, from the first poll on and within the limit of a step.
    fn device_token(self: Arc<Self>, device: DeviceId) -> TokenFetch;
}

/// The environment on a runtime `R`, with a token source `T`.
pub(crate) struct RuntimeEnvironment<R, T> {
    runtime: Arc<R>,
    tokens: T,
    client_id: ClientId,
    step_timeout: Duration,
    warnings: Warnings,
}

impl<R: Runtime, T: TokenSource> RuntimeEnvironment<R, T> {
    /// Creates the environment of one driver. `step_timeout` limits each step towards a connection.
    pub(crate) fn new(runtime: R, tokens: T, client_id: ClientId, step_timeout: Duration) -> Self {
        Self {
            runtime: Arc::new(runtime),
            tokens,
            client_id,
            step_timeout,
            warnings: Warnings::default(),
        }
    }

    pub(crate) fn runtime(&self) -> &Arc<R> {
        &self.runtime
    }

    pub(crate) fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// Returns the limit of each step towards a connection.
    pub(crate) fn step_timeout(&self) -> Duration {
        self.step_timeout
    }

    /// Asks the token source for the gateway's token.
    pub(crate) async fn gateway_token(&self) -> Result<Token, TokenFailure> {
        let request = self.request(self.client_id.gateway());
        let answer = self.answer(self.tokens.gateway(request)).await?;
        self.check(answer)
    }

    /// Takes what the token source has warned of, by device; the gateway itself is one.
    pub(crate) fn take_warnings(&self) -> BTreeMap<DeviceId, BoxError> {
        self.warnings.take()
    }

    /// Checks an answer of the token source: a token that has expired is a failure.
    fn check(&self, answer: Result<Token, BoxError>) -> Result<Token, TokenFailure> {
        let token = answer.map_err(TokenFailure::Source)?;
        let (now, unix_now) = (self.runtime.now(), self.runtime.unix_now());
        match token.expired_by(now, Some(unix_now)) {
            Some(clock) => Err(TokenFailure::Expired(clock)),
            None => Ok(token),
        }
    }

    fn request<'a>(&'a self, device: &'a DeviceId) -> TokenRequest<'a> {
        TokenRequest {
            client_id: &self.client_id,
            device,
            now: self.runtime.now(),
            unix_now: self.runtime.unix_now(),
            warnings: &self.warnings,
        }
    }

    /// Waits for an answer of the token source, within the limit of a step.
    async fn answer<A>(&self, answer: impl Future<Output = A>) -> Result<A, TokenFailure> {
        let answer = within(&*self.runtime, self.step_timeout, answer).await;
        answer.ok_or(TokenFailure::TimedOut(self.step_timeout))
    }
}

impl<R: Runtime, T: TokenSource> Environment for RuntimeEnvironment<R, T> {
    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn unix_now(&self) -> UnixTime {
        self.runtime.unix_now()
    }

    fn sleep_until(self: Arc<Self>, deadline: Instant) -> BoxFuture<()> {
        Box::pin(async move { self.runtime.sleep_until(deadline).await })
    }

    fn device_token(self: Arc<Self>, device: DeviceId) -> TokenFetch {
        Box::pin(async move {
            let request = self.request(&device);
            let answer = self.answer(self.tokens.device(request)).await?;
            answer.map(|answer| self.check(answer)).transpose()
        })
    }
}
