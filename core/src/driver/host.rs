//! The runtime and the token source, as handles see them: without their types.

use std::sync::Arc;

use crate::{
    driver::{
        Runtime, TokenFailure, TokenRequest, TokenSource,
        runtime::{BoxFuture, within},
    },
    id::{ClientId, DeviceId},
    time::{Duration, Instant},
    token::Token,
};

/// What handles need of the world.
pub(crate) trait Host: Send + Sync {
    fn now(&self) -> Instant;

    /// Asks the token source for a device's token, after a while.
    fn device_token(
        self: Arc<Self>,
        device: DeviceId,
        after: Duration,
    ) -> BoxFuture<Result<Option<Token>, TokenFailure>>;
}

/// The world of one driver.
pub(crate) struct World<R, T> {
    pub(crate) runtime: Arc<R>,
    pub(crate) tokens: T,
    pub(crate) client_id: ClientId,
    /// What each step towards a connection may take.
    pub(crate) limit: Duration,
}

impl<R: Runtime, T: TokenSource> World<R, T> {
    /// Asks the token source for the gateway's token.
    pub(crate) async fn gateway_token(&self) -> Result<Token, TokenFailure> {
        let answer = self.tokens.gateway(self.request(self.client_id.gateway()));
        match within(&*self.runtime, self.limit, answer).await {
            Some(answer) => answer.map_err(TokenFailure::Source),
            None => Err(TokenFailure::TimedOut(self.limit)),
        }
    }

    fn request<'a>(&'a self, device: &'a DeviceId) -> TokenRequest<'a> {
        TokenRequest {
            client_id: &self.client_id,
            device,
            now: self.runtime.now(),
            unix_now: self.runtime.unix_now(),
        }
    }
}

impl<R: Runtime, T: TokenSource> Host for World<R, T> {
    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn device_token(
        self: Arc<Self>,
        device: DeviceId,
        after: Duration,
    ) -> BoxFuture<Result<Option<Token>, TokenFailure>> {
        Box::pin(async move {
            if !after.is_zero() {
                self.runtime.sleep_until(self.runtime.now() + after).await;
            }
            let answer = self.tokens.device(self.request(&device));
            match within(&*self.runtime, self.limit, answer).await {
                Some(answer) => answer.transpose().map_err(TokenFailure::Source),
                None => Err(TokenFailure::TimedOut(self.limit)),
            }
        })
    }
}
