//! Where tokens come from: one for every connection, and for devices that have their own.

use core::error::Error;
#[cfg(feature = "jwt")]
use core::fmt;
use std::sync::Arc;
#[cfg(feature = "jwt")]
use std::{collections::BTreeMap, path::Path};

#[cfg(feature = "jwt")]
use crate::{
    driver::key_file::{KeyFile, KeyFileError, KeyKept},
    jwt::{Algorithm, MintError, SigningKey},
    time::Duration,
};
use crate::{
    driver::warnings::Warnings,
    id::{ClientId, DeviceId},
    time::{Instant, UnixTime},
    token::Token,
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
///
/// [`Driver::run`](crate::driver::Driver::run) polls the futures, wherever it was spawned, and the task that awaits an attach
/// polls that of [`device`](Self::device) once, at first. A source that needs the context of a runtime, such as Tokio's timers
/// or a client for HTTP on it, has it only if both run there; with the driver on a thread of its own, let it spawn its
/// work with a handle of that runtime, and await the result.
///
/// A panic goes through the task that polls. In `run` it drops the driver, so all handles fail with
/// [`DriverStopped`](crate::driver::error::DriverStopped): look at the driver's task or thread for the reason.
///
/// A source for a key that another process keeps:
///
/// ```
/// # mod bridge { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctests/bridge.rs")); }
/// # use iotcore_gateway::{*, auth::*, driver::{*, token_source::*}, id::ProjectId};
/// # use std::time::Duration;
/// struct Vault;
///
/// impl Vault {
///     /// Asks the vault to sign a token of an hour.
///     async fn sign(&self, device: &DeviceId, audience: &ProjectId, issued: UnixTime) -> Result<String, BoxError> {
/// #         let _ = (device, audience, issued);
/// #         Ok("a.jwt.here".into()) /*
///         …
/// #         */
///     }
/// }
///
/// impl TokenSource for Vault {
///     async fn gateway(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
///         const HOUR: Duration = Duration::from_secs(3_600);
///         let (audience, issued) = (request.client_id.project(), request.unix_now);
///         let jwt = self.sign(request.device, audience, issued).await?;
///         Ok(Token::new(jwt, request.now + HOUR)?.with_lifetime(issued, issued.saturating_add(HOUR)))
///     }
///
///     // Devices that attach with tokens of their own. Without this, all attach by their association with the gateway.
///     async fn device(&self, request: TokenRequest<'_>) -> Option<Result<Token, BoxError>> {
///         Some(self.gateway(request).await)
///     }
/// }
/// # let world = bridge::World::new();
/// # let setup = Setup::new("localhost", Security::PlainOnLoopback, bridge::client_id(), Vault);
/// # let (client, driver) = setup.start(world.clone())?;
/// # world.spawn(async { drop(driver.run().await) });
/// # world.run(async { Ok(drop(client.attach("boiler-7".parse::<DeviceId>()?).await?)) });
/// # assert_eq!(world.arrived("/devices/boiler-7/attach"), [r#"{"authorization":"a.jwt.here"}"#]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    /// The task that awaits the attach polls this once, with the attach's first poll; all else is for the driver to poll, on
    /// its own task, and so is each renewal from the first poll on. A panic in that one poll is one of the attaching task,
    /// and ends that attach alone.
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
    pub(crate) warnings: &'a Warnings,
}

impl TokenRequest<'_> {
    /// Tells of something that needs attention although it does not prevent the answer, such as a key that could not be
    /// renewed: the driver reports it as [`Status::TokenWarning`](crate::driver::Status::TokenWarning), of several for one
    /// device that were not reported yet the last one. It must not hold a token or a key.
    pub fn warn(&self, warning: impl Into<BoxError>) {
        self.warnings.add(self.device, warning.into());
    }
}

/// For a source that others use as well.
impl<T: TokenSource> TokenSource for Arc<T> {
    async fn gateway(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        T::gateway(self, request).await
    }

    async fn device(&self, request: TokenRequest<'_>) -> Option<Result<Token, BoxError>> {
        T::device(self, request).await
    }
}

/// Tokens minted from private keys (feature `jwt`): the gateway's, and those of devices that authenticate themselves.
///
/// Signing takes about a millisecond with an RSA key, less with an elliptic-curve one, on the driver's thread. A key that is
/// given by its file is read again for each token, so that a replaced one is used from the next token on; that blocks the
/// thread as well, without a time limit: on a mount that hangs, the driver and all that shares its thread stand still until
/// the system answers, and `dial_timeout` ends nothing, so the file should be on a local disk. A file that cannot be read
/// then, or has no key that fits, is reported as [`Status::TokenWarning`](crate::driver::Status::TokenWarning), and the last
/// key that was read is used. A pipe or device is read to its end once, at first, and not again.
///
/// Replace the file by renaming another one, so that nobody reads half of it, and register the new public key first: a good
/// key that is not registered is used as well, the bridge refuses its tokens, and the old key is not tried again.
///
/// ```
/// # use std::time::Duration;
/// # use iotcore_gateway::{Algorithm, driver::KeyTokens};
/// # let gateway_key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/p256.pkcs8.pem");
/// # let meter_key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/rsa-2048.pkcs8.pem");
/// let tokens = KeyTokens::from_pem_file(gateway_key, Algorithm::Es256)?
///     .lifetime(Duration::from_secs(900))?
///     .device_key_file("meter-4".parse()?, meter_key, Algorithm::Rs256)?; // a device with a key of its own
/// assert!(tokens.reload().is_empty()); // no error: all files could be read again
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "jwt")]
pub struct KeyTokens {
    gateway: Key,
    devices: BTreeMap<DeviceId, Key>,
    lifetime: Duration,
}

/// Where a key comes from.
#[cfg(feature = "jwt")]
#[derive(Debug)]
enum Key {
    Given(SigningKey),
    File(KeyFile),
}

#[cfg(feature = "jwt")]
impl KeyTokens {
    /// Tokens of one hour from the gateway's key.
    pub fn new(gateway: SigningKey) -> Self {
        Self::with(Key::Given(gateway))
    }

    /// Tokens of one hour from the gateway's key in this PEM file, which is read at once, and again for each token.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`] if it cannot be read, or has no key that fits the algorithm.
    pub fn from_pem_file(
        path: impl AsRef<Path>,
        algorithm: Algorithm,
    ) -> Result<Self, KeyFileError> {
        let file = KeyFile::open(path.as_ref(), algorithm)?;
        Ok(Self::with(Key::File(file)))
    }

    fn with(gateway: Key) -> Self {
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
        self.devices.insert(device, Key::Given(key));
        self
    }

    /// Mints this device's tokens, too, from the key in this PEM file, which is read at once, and again for each token.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`] if it cannot be read, or has no key that fits the algorithm.
    pub fn device_key_file(
        mut self,
        device: DeviceId,
        path: impl AsRef<Path>,
        algorithm: Algorithm,
    ) -> Result<Self, KeyFileError> {
        let file = KeyFile::open(path.as_ref(), algorithm)?;
        self.devices.insert(device, Key::File(file));
        Ok(self)
    }

    /// Reads all key files again, and returns the errors of those that cannot be used: the last keys that were read from them
    /// remain in use. No token is minted anew for that; share the source in an `Arc` to call this while it is used.
    #[must_use = "the errors are told nowhere else until the next token"]
    pub fn reload(&self) -> Vec<KeyFileError> {
        let keys = core::iter::once(&self.gateway).chain(self.devices.values());
        let reload = |key: &Key| match key {
            Key::Given(_) => None,
            Key::File(file) => file.reload().err(),
        };
        keys.filter_map(reload).collect()
    }

    fn mint(&self, key: &Key, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        match key {
            Key::Given(key) => self.sign(key, request),
            Key::File(file) => {
                if let Err(error) = file.renew() {
                    request.warn(KeyKept(error));
                }
                self.sign(&file.key(), request)
            }
        }
    }

    fn sign(&self, key: &SigningKey, request: TokenRequest<'_>) -> Result<Token, BoxError> {
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
        let warnings = Warnings::default();
        let request = |device| TokenRequest {
            client_id: &client_id,
            device,
            now: instant,
            unix_now: UnixTime::from_secs(1_795_374_000),
            warnings: &warnings,
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
