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

/// Supplies the tokens of the driver. Asynchronous, because the key may live in hardware or in another process.
///
/// The driver asks for a new token for **every** connection, and waits for each answer for at most `dial_timeout`. A source
/// that returns the same one again makes the driver report [`Status::TokenUnchanged`](crate::driver::Status::TokenUnchanged).
/// A token that has expired, by the monotonic clock or by the date, is a failure: a source that keeps tokens has to judge
/// them by both clocks of the request, because the monotonic one may stand still while the machine sleeps.
/// With the feature `jwt`, `KeyTokens` is the ready-made source, from a PEM key.
pub trait TokenSource: Send + Sync + 'static {
    /// A token for the gateway's next connection.
    ///
    /// An error is a failed attempt to connect: it is reported with the status, and tried again with backoff.
    fn gateway(
        &self,
        request: TokenRequest<'_>,
    ) -> impl Future<Output = Result<Token, BoxError>> + Send;

    /// A token for a device that is about to be attached, whose token has expired or is in doubt, or whose token the bridge
    /// has refused. Up to 16 are asked for at once, never two for one device, those first that have needed one for longest.
    /// The driver polls this; only its first poll may be on the task that attaches the device.
    ///
    /// An error ends an attach that waits for the token. Any other is reported with the status, and the device is asked for
    /// again after a backoff of its own, for which no other device waits. `None`, the default: this source has none for it,
    /// so it attaches by its association with the gateway, or with what
    /// [`Device::authorize`](crate::driver::Device::authorize) is given; a device that needs a token is asked for again on
    /// each connection.
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

#[cfg(all(test, feature = "jwt"))]
mod tests {
    use core::task::{Context, Poll, Waker};

    use super::*;
    use crate::jwt::Algorithm;

    fn now<T>(future: impl Future<Output = T>) -> T {
        match core::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("minting waits for nothing"),
        }
    }

    fn key() -> SigningKey {
        let pem = include_bytes!("../../tests/keys/p256.pkcs8.pem");
        SigningKey::from_pem(pem, Algorithm::Es256).unwrap()
    }

    #[test]
    fn keys_mint_for_the_gateway_and_for_their_devices_alone() {
        let id = |id: &str| DeviceId::try_from(id).unwrap();
        let client_id = ClientId::new(
            "plant".try_into().unwrap(),
            "us-central1".try_into().unwrap(),
            "sensors".try_into().unwrap(),
            id("gateway-1"),
        );
        let tokens = KeyTokens::new(key())
            .device_key(id("boiler-7"), key())
            .lifetime(Duration::from_secs(600))
            .unwrap();
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let instant = Instant::now();
        let request = |device| TokenRequest {
            client_id: &client_id,
            device,
            now: instant,
            unix_now: UnixTime::from_secs(1_795_374_000),
        };
        let (boiler, stranger) = (id("boiler-7"), id("boiler-8"));
        let token = now(tokens.gateway(request(client_id.gateway()))).unwrap();
        assert_eq!(token.expires_at(), instant + Duration::from_secs(600));
        assert_eq!(token.expires(), Some(UnixTime::from_secs(1_795_374_600)));
        assert!(now(tokens.device(request(&boiler))).unwrap().is_ok());
        assert!(now(tokens.device(request(&stranger))).is_none());
    }

    #[test]
    fn they_show_for_whom_they_mint_and_nothing_of_the_keys() {
        let device = DeviceId::try_from("boiler-7").unwrap();
        let shown = format!("{:?}", KeyTokens::new(key()).device_key(device, key()));
        for part in ["KeyTokens", "boiler-7", "3600s"] {
            assert!(shown.contains(part), "{part:?} is not in {shown}");
        }
        assert_eq!(shown.matches(&format!("{:?}", key())).count(), 2, "{shown}");
    }

    #[test]
    fn a_lifetime_that_the_bridge_would_refuse_is_refused_at_once() {
        for lifetime in [Duration::ZERO, Duration::from_secs(86_401)] {
            let refused = KeyTokens::new(key()).lifetime(lifetime).unwrap_err();
            assert_eq!(refused, MintError::Lifetime(lifetime));
        }
    }
}
