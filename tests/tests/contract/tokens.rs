//! The source of tokens.

use std::{
    future::pending,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use iotcore_gateway::{
    Algorithm,
    auth::{SigningKey, Token},
    driver::{
        KeyTokens,
        token_source::{BoxError, TokenRequest, TokenSource},
    },
};

use super::registry::{FAILING, FORGETTING, HANGING};

const GATEWAY_KEY: &[u8] = include_bytes!("../../src/link/gateway.key.pem");

/// A token source whose second token outlives its scenario even on a slow machine. It has tokens for the devices of
/// [`METERING`](super::registry::METERING).
pub(crate) struct Tokens {
    first: KeyTokens,
    later: KeyTokens,
    was_asked: AtomicBool,
    has_forgotten: AtomicBool,
}

impl Tokens {
    /// Creates a source whose first token is valid for this long.
    pub(crate) fn new(first: Duration) -> Self {
        let key = || SigningKey::from_pem(GATEWAY_KEY, Algorithm::Es256).unwrap();
        Self {
            first: KeyTokens::new(key()).lifetime(first).unwrap(),
            later: KeyTokens::new(key()),
            was_asked: AtomicBool::new(false),
            has_forgotten: AtomicBool::new(false),
        }
    }
}

impl TokenSource for Tokens {
    async fn gateway(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        let source = match self.was_asked.swap(true, Ordering::Relaxed) {
            false => &self.first,
            true => &self.later,
        };
        source.gateway(request).await
    }

    async fn device(&self, request: TokenRequest<'_>) -> Option<Result<Token, BoxError>> {
        match request.device.as_str() {
            FAILING => Some(Err("the key is lost".into())),
            HANGING => pending().await,
            FORGETTING if self.has_forgotten.swap(true, Ordering::Relaxed) => pending().await,
            // The key of its devices is that of the gateway.
            id if id.starts_with("meter-") || id.starts_with("bad-") => {
                Some(self.later.gateway(request).await)
            }
            _ => None,
        }
    }
}
