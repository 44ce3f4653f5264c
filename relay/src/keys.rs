//! The keys that sign the relay's tokens: the gateway's, and those of its devices.

use iotcore_gateway_tokio::{
    KeyTokens,
    auth::Token,
    token_source::{BoxError, TokenRequest, TokenSource},
};

use crate::device_keys::DeviceKeys;

/// The tokens of the gateway and its devices.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) gateway: KeyTokens,
    /// `None` if no device has a key here.
    pub(crate) devices: Option<DeviceKeys>,
}

impl TokenSource for Keys {
    async fn gateway(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        self.gateway.gateway(request).await
    }

    async fn device(&self, request: TokenRequest<'_>) -> Option<Result<Token, BoxError>> {
        let key = self.devices.as_ref()?.of(request.device)?;
        Some(match key {
            // A source with one key signs each token with it; the claims of a device's token are those of a gateway's.
            Ok(key) => key.gateway(request).await,
            Err(error) => Err(error.into()),
        })
    }
}
