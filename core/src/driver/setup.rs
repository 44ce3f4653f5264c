//! Configuration and start of a gateway.

use core::hash::{BuildHasher, Hasher};
use std::{hash::RandomState, sync::Arc};

#[cfg(feature = "store")]
use crate::driver::{
    environment::Environment,
    store::{Store, StoreRunner, StoreSlot},
};
use crate::{
    driver::{
        Driver, Target,
        client::Client,
        environment::RuntimeEnvironment,
        proxy::Proxy,
        runtime::Runtime,
        setup_error::SetupError,
        shared::Shared,
        tls::{Checked, Security},
        tokens::TokenSource,
    },
    gateway::Gateway,
    id::ClientId,
    options::{Acknowledge, MAX_DURATION, Options},
    time::Duration,
};

/// Port of the bridge for MQTT over TLS.
const PORT: u16 = 8_883;

/// How long a message may wait for its acknowledgement before it is put into the store, if the options do not say.
#[cfg(feature = "store")]
const STORE_LINGER: Duration = Duration::from_secs(1);

/// The configuration of a gateway: where it connects, its identity, and its options.
///
/// ```
/// # mod bridge { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctests/bridge.rs")); }
/// # use iotcore_gateway::{*, driver::*, options::QueueLimit};
/// # use std::time::Duration;
/// # fn main() -> bridge::Example {
/// # let world = bridge::World::new();
/// # let (tokens, runtime) = (bridge::Tokens, world.clone());
/// # let (host, security) = ("localhost", Security::PlainOnLoopback);
/// let id = ClientId::new("plant".parse()?, "us-central1".parse()?, "sensors".parse()?, "gateway-1".parse()?);
/// let mut options = Options::default();
/// options.drain_timeout = Duration::from_secs(2); // how long a close takes at most
/// options.device_queue = QueueLimit { messages: 100, bytes: 256 * 1024 };
///
/// let setup = Setup::new(host, security, id, tokens)
///     .port(443)
///     .options(options)
///     .dial_timeout(Duration::from_secs(5));
/// let (client, driver) = setup.start(runtime)?; // `connect(setup)?` of an adapter
/// # world.spawn(async { drop(driver.run().await) });
/// # world.run(async { Ok(client.connected().await?) });
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens until it is started"]
pub struct Setup<T> {
    host: String,
    port: u16,
    security: Security,
    proxy: Option<Proxy>,
    client_id: ClientId,
    tokens: T,
    options: Options,
    dial_timeout: Duration,
    reports_replaced_states: bool,
    seed: Option<u64>,
    #[cfg(feature = "store")]
    store: Option<StoreSlot>,
}

impl<T: TokenSource> Setup<T> {
    /// Configures the gateway `client_id` on the bridge at `host`, port 8883, with tokens from `tokens`.
    pub fn new(
        host: impl Into<String>,
        security: Security,
        client_id: ClientId,
        tokens: T,
    ) -> Self {
        Self {
            host: host.into(),
            port: PORT,
            security,
            proxy: None,
            client_id,
            tokens,
            options: Options::default(),
            dial_timeout: Duration::from_secs(20),
            reports_replaced_states: false,
            seed: None,
            #[cfg(feature = "store")]
            store: None,
        }
    }

    /// Sets the port. The bridge speaks the same protocol on 443, for networks that block other ports.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Connects through this proxy, or directly for `None` (the default). With [`Proxy::from_env`], as the environment
    /// says. Only with TLS: [`Security::PlainOnLoopback`] has nothing to do with a proxy.
    pub fn proxy(mut self, proxy: impl Into<Option<Proxy>>) -> Self {
        self.proxy = proxy.into();
        self
    }

    /// Sets the options of the gateway.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Sets the time limit of each step towards a connection: the token, the lookup of the host, TCP with all of its
    /// addresses together, the tunnel through a proxy, the TLS handshake (default 20 s each, at most 7 days, not zero). The
    /// wait for CONNACK is an option.
    pub fn dial_timeout(mut self, limit: Duration) -> Self {
        self.dial_timeout = limit;
        self
    }

    /// Reports the states that a newer one replaced as [`Status::Undelivered`](crate::driver::Status::Undelivered), if their
    /// deliveries are not awaited (by default they are not reported, because the replacement is intended).
    pub fn report_replaced_states(mut self) -> Self {
        self.reports_replaced_states = true;
        self
    }

    /// Keeps accepted messages in this store, so that they survive the end of the process, and a power cut. What is in it is
    /// restored by [`start`](Self::start) and goes out first.
    ///
    /// [`Options::durability`] says when a message is put, and how much; without a
    /// [`linger`](crate::options::Durability::linger) there, a message is put that was not acknowledged for 1 s, or at once
    /// while there is no connection. Each gateway needs a store of its own.
    #[cfg(feature = "store")]
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(StoreSlot::new(store));
        self
    }

    /// Sets the seed of the jitter in all delays, to make them reproducible (default: a random seed). The client id is
    /// mixed into it, so that a fleet may share a seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Creates the client and its driver: spawn [`Driver::run`]. Adapters call this with their runtime.
    ///
    /// # Errors
    ///
    /// [`SetupError`] names the host, time limit or option that is invalid, and what it must be; or why the store cannot be
    /// used. Reading a store blocks: a million messages take about a second.
    pub fn start<R: Runtime>(self, runtime: R) -> Result<(Client, Driver<R, T>), SetupError> {
        let security = self.security.check(&self.host).map_err(SetupError::Host)?;
        if self.dial_timeout.is_zero() || self.dial_timeout > MAX_DURATION {
            return Err(SetupError::DialTimeout(self.dial_timeout));
        }
        if self.proxy.is_some() && matches!(security, Checked::Plain) {
            return Err(SetupError::PlainThroughProxy);
        }
        let target = Target {
            host: self.host,
            port: self.port,
            proxy: self.proxy,
            security,
        };
        let mut options = self.options;
        let acknowledge = options.acknowledge;
        // The driver does it for the machine.
        options.acknowledge = Acknowledge::Manual;
        #[cfg(feature = "store")]
        check_store(self.store.as_ref(), &mut options)?;
        let seed = self.seed.unwrap_or_else(random_seed);
        let gateway = Gateway::new(self.client_id.clone(), options.clone(), seed)
            .map_err(SetupError::Options)?;
        #[cfg(feature = "store")]
        let store = self
            .store
            .map(|slot| slot.take())
            .transpose()
            .map_err(SetupError::Store)?;
        let environment = Arc::new(RuntimeEnvironment::new(
            runtime,
            self.tokens,
            self.client_id,
            self.dial_timeout,
        ));
        let shared = Arc::new(Shared::new(
            gateway,
            &options,
            acknowledge,
            self.reports_replaced_states,
            Arc::clone(&environment),
        ));
        #[cfg(feature = "store")]
        let store = match store {
            Some(mut store) => {
                let (client, unix_now) = (environment.client_id(), environment.unix_now());
                shared
                    .with(|state, now| state.restore(&mut *store, client, unix_now, now))
                    .map_err(SetupError::Store)?;
                let worker = environment.runtime().worker();
                let worker = worker.map_err(|error| SetupError::NoThread(error.to_string().into()));
                Some(StoreRunner::new(store, worker?))
            }
            None => None,
        };
        shared.with(|state, now| state.start(now));
        let client = Client::new(Arc::clone(&shared));
        let driver = Driver::new(shared, environment, target);
        #[cfg(feature = "store")]
        let driver = driver.with_store(store);
        Ok((client, driver))
    }
}

/// Checks that a store is there if one is needed, and sets what its options leave open.
#[cfg(feature = "store")]
fn check_store(store: Option<&StoreSlot>, options: &mut Options) -> Result<(), SetupError> {
    let linger = &mut options.durability.linger;
    if store.is_none() && linger.is_some() {
        return Err(SetupError::NoStore);
    }
    if store.is_some() {
        linger.get_or_insert(STORE_LINGER);
    }
    Ok(())
}

/// Returns a seed that spreads the reconnects of a fleet. No secret depends on it.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
