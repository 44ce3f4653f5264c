//! Where tokens come from: one for every connection, and for devices that have their own.

use core::error::Error;
#[cfg(feature = "jwt")]
use core::fmt;
#[cfg(feature = "jwt")]
use std::collections::BTreeMap;

use crate::{
    id::{ClientId, DeviceId},
    time::{Instant, UnixTime},
    token::Token,
};
#[cfg(feature = "jwt")]
use crate::{
    jwt::{MintError, SigningKey},
    time::Duration,
};

/// Any error, of a source that the driver knows nothing of. It is shown to the user: it must not hold a token or a key.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Gives the driver its tokens. Asynchronous, for the key may live in hardware or in another process.
///
/// The driver asks for a new token for **every** connection, and gives each answer the setup's `dial_timeout`.
/// [`KeyTokens`](crate::driver::KeyTokens) is the ready-made source, from a PEM key (feature `jwt`).
pub trait TokenSource: Send + Sync + 'static {
    /// A token for the gateway's next connection.
    ///
    /// An error is a failed attempt to connect: it is reported with the status, and tried again with backoff.
    fn gateway(
        &self,
        request: TokenRequest<'_>,
    ) -> impl Future<Output = Result<Token, BoxError>> + Send;

    /// A token for a device that is about to be attached or whose token has expired. `None`, the default: this source
    /// has none for it, so it attaches by its association with the gateway, or with what
    /// [`Device::authorize`](crate::driver::Device::authorize) is given.
    fn device(
        &self,
        request: TokenRequest<'_>,
    ) -> impl Future<Output = Option<Result<Token, BoxError>>> + Send {
        let _ = request;
        core::future::ready(None)
    }
}

/// For whom a token is wanted, and when.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TokenRequest<'a> {
    /// The gateway that asks; its project is the token's audience.
    pub client_id: &'a ClientId,
    /// Whom the token is for: the gateway itself, or one of its devices.
    pub device: &'a DeviceId,
    /// The monotonic clock, for [`Token::new`].
    pub now: Instant,
    /// The date, for the token's claims.
    pub unix_now: UnixTime,
}

/// Tokens minted from private keys (feature `jwt`): the gateway's, and those of devices that authenticate themselves.
///
/// Signing takes about a millisecond with an RSA key, less with an elliptic-curve one, on the driver's thread.
#[cfg(feature = "jwt")]
pub struct KeyTokens {
    gateway: SigningKey,
    devices: BTreeMap<DeviceId, SigningKey>,
    lifetime: Duration,
}

#[cfg(feature = "jwt")]
impl KeyTokens {
    /// Tokens of one hour from the gateway's key.
    pub fn new(gateway: SigningKey) -> Self {
        Self {
            gateway,
            devices: BTreeMap::new(),
            lifetime: Duration::from_secs(3_600),
        }
    }

    /// Lets every token live so long: 1 second to 24 hours.
    ///
    /// # Errors
    ///
    /// [`MintError::Lifetime`] for any other.
    pub fn lifetime(mut self, lifetime: Duration) -> Result<Self, MintError> {
        crate::jwt::check_lifetime(lifetime)?;
        self.lifetime = lifetime;
        Ok(self)
    }

    /// Mints this device's tokens, too.
    #[must_use]
    pub fn device_key(mut self, device: DeviceId, key: SigningKey) -> Self {
        self.devices.insert(device, key);
        self
    }

    fn mint(&self, key: &SigningKey, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        let audience = request.client_id.project();
        let token = key.token(audience, self.lifetime, request.now, request.unix_now)?;
        Ok(token)
    }
}

#[cfg(feature = "jwt")]
impl TokenSource for KeyTokens {
    async fn gateway(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        self.mint(&self.gateway, request)
    }

    async fn device(&self, request: TokenRequest<'_>) -> Option<Result<Token, BoxError>> {
        let key = self.devices.get(request.device)?;
        Some(self.mint(key, request))
    }
}

#[cfg(feature = "jwt")]
impl fmt::Debug for KeyTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyTokens")
            .field("gateway", &self.gateway)
            .field("devices", &self.devices)
            .field("lifetime", &self.lifetime)
            .finish()
    }
}
