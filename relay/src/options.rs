//! Parses the command line and the environment, and sets up the gateway accordingly.

mod command_line;
mod drain_timeout;
mod help;
mod proxy_option;
mod security_options;
mod settings;
mod start_error;
mod store_options;

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use clap::{Parser, builder::BoolishValueParser, value_parser};
use iotcore_gateway_tokio::{
    Algorithm, ClientId, DeviceId, KeyTokens, Options, Setup,
    id::{Location, ProjectId, RegistryId},
    options::{Backoff, QueueLimit, Reconnect},
    proxy::Proxy,
};

pub(crate) use self::{
    command_line::{CommandLine, StoreArguments, StoreFolder, StoreTask},
    drain_timeout::DrainTimeout,
    settings::{Acknowledge, DeviceQueue, Overflow, Settings},
    start_error::StartError,
};
use self::{
    proxy_option::ProxyOption, security_options::SecurityOptions, store_options::StoreOptions,
};
use crate::{device_keys::DeviceKeys, keys::Keys};

/// How many times `--max-queued` messages may be open in total.
const TOTAL_FACTOR: usize = 100;

/// The maximum total size, in bytes, of the payloads of open messages.
const MAX_TOTAL_BYTES: usize = 64 * 1024 * 1024;

/// The same for one device, at least; with many messages, the size for each.
const MIN_DEVICE_BYTES: usize = 1024 * 1024;
const DEVICE_BYTES_EACH: usize = 1024;

/// The part of the limits of a device that urgent messages may hold beyond them, so that they need not wait for room
/// behind ordinary ones; in bytes at least as much as the largest payload has.
const URGENT_PART: usize = 10;
const MIN_URGENT_BYTES: usize = 256 * 1024;

/// The number of unacknowledged configs and commands at which reading from the bridge is paused.
const MAX_UNACKNOWLEDGED: usize = 256;

/// A gateway on ClearBlade IoT Core's MQTT bridge, driven by JSON Lines: operations on standard
/// input, events on standard output.
///
/// Closes at the end of the input, on SIGTERM and on SIGINT; a second signal ends it at once. Exit codes: 0 closed,
/// 1 failed, 2 usage, 3 closed before all operations had ended, 4 the same, but all of them are in the store.
#[derive(Debug, Parser)]
#[command(
    name = "iotcore-relay",
    version,
    after_help = help::SHORT,
    after_long_help = help::LONG
)]
pub(crate) struct Arguments {
    /// The host of the bridge, such as us-central1-mqtt.clearblade.com
    #[arg(long, env = "IOTCORE_HOST")]
    host: String,

    /// The port of the bridge, which also listens on 443
    #[arg(long, env = "IOTCORE_PORT", default_value_t = 8883, value_parser = value_parser!(u16).range(1..))]
    port: u16,

    /// The id of the project
    #[arg(long, env = "IOTCORE_PROJECT", value_name = "ID")]
    project: ProjectId,

    /// The location of the registry, such as us-central1
    #[arg(long, env = "IOTCORE_LOCATION")]
    location: Location,

    /// The id of the registry
    #[arg(long, env = "IOTCORE_REGISTRY", value_name = "ID")]
    registry: RegistryId,

    /// The id of the gateway
    #[arg(long, env = "IOTCORE_GATEWAY", value_name = "ID")]
    gateway: DeviceId,

    /// The gateway's private key (PEM), read again for each token and on SIGHUP
    #[arg(
        long,
        env = "IOTCORE_KEY",
        value_name = "FILE",
        hide_env_values = true,
        allow_hyphen_values = true
    )]
    key: PathBuf,

    /// The algorithm of the key: RS256 or ES256
    #[arg(long, env = "IOTCORE_ALGORITHM", value_name = "NAME")]
    algorithm: Algorithm,

    /// The folder with the private keys of devices that authenticate themselves: a file DEVICE.pem (RSA, or on P-256) for
    /// each, read when the device needs a token, and on SIGHUP
    #[arg(long, env = "IOTCORE_DEVICE_KEYS", value_name = "FOLDER")]
    device_keys: Option<PathBuf>,

    #[command(flatten)]
    security: SecurityOptions,

    /// The proxy to connect through: http://HOST:PORT or socks5://HOST:PORT, or `none`
    ///
    /// With USER:PASSWORD@ before the host if it requires them. By default that of the environment: https_proxy,
    /// HTTPS_PROXY, all_proxy or ALL_PROXY, unless no_proxy or NO_PROXY lists the host. Others can see a command line:
    /// give a password in the environment
    #[arg(
        long,
        env = "IOTCORE_PROXY",
        value_name = "URL",
        hide_env_values = true
    )]
    proxy: Option<ProxyOption>,

    /// The lifetime of each token; 1 to 86400
    #[arg(long, env = "IOTCORE_TOKEN_LIFETIME", value_name = "SECONDS", default_value_t = 3_600,
          value_parser = value_parser!(u64).range(1..=86_400))]
    token_lifetime: u64,

    /// The MQTT keep alive; 1 to 1199
    #[arg(long, env = "IOTCORE_KEEP_ALIVE", value_name = "SECONDS", default_value_t = 60,
          value_parser = value_parser!(u64).range(1..=1_199))]
    keep_alive: u64,

    /// The timeout for the answer to an attach
    #[arg(long, env = "IOTCORE_ATTACH_TIMEOUT", value_name = "SECONDS", default_value_t = 30,
          value_parser = value_parser!(u64).range(1..=86_400))]
    attach_timeout: u64,

    /// The timeout for PUBACK, after which a message is sent again, and for SUBACK
    #[arg(long, env = "IOTCORE_ACK_TIMEOUT", value_name = "SECONDS", default_value_t = 30,
          value_parser = value_parser!(u64).range(1..=86_400))]
    ack_timeout: u64,

    /// How long the end waits for operations while none succeeds, and how long it takes after a signal; 1 to 86400
    ///
    /// A detach waits as long. Half of it is for what waits in the relay, half for what the gateway has accepted
    #[arg(long, env = "IOTCORE_DRAIN_TIMEOUT", value_name = "SECONDS", default_value_t = 10,
          value_parser = value_parser!(u64).range(1..=86_400))]
    drain_timeout: u64,

    /// The maximum number of attaches and detaches in flight; 1 to 1000
    #[arg(long, env = "IOTCORE_ATTACH_WINDOW", value_name = "N", default_value_t = 100,
          value_parser = value_parser!(u16).range(1..=1_000))]
    attach_window: u16,

    /// The maximum number of messages in flight; 1 to 32000
    #[arg(long, env = "IOTCORE_WINDOW", value_name = "N", default_value_t = 100,
          value_parser = value_parser!(u16).range(1..=32_000))]
    window: u16,

    /// The maximum number of messages in flight per device; 1 keeps their order even when messages are sent again
    #[arg(long, env = "IOTCORE_DEVICE_WINDOW", value_name = "N", default_value_t = 32_000, hide_default_value = true,
          value_parser = value_parser!(u16).range(1..=32_000))]
    device_window: u16,

    /// The number of messages of one device without `done` or `failed` at which its further ones wait
    ///
    /// In flight or not; urgent ones wait at a tenth more. At 100 times as many of all devices, reading the input pauses
    #[arg(long, env = "IOTCORE_MAX_QUEUED", value_name = "N", default_value_t = 1_000,
          value_parser = value_parser!(u32).range(1..=10_000_000))]
    max_queued: u32,

    /// What to do with messages beyond --max-queued
    #[arg(
        long,
        env = "IOTCORE_OVERFLOW",
        value_name = "HOW",
        default_value = "wait"
    )]
    overflow: Overflow,

    #[command(flatten)]
    store: StoreOptions,

    /// The minimum time between two states of a device; 0 for none
    #[arg(long, env = "IOTCORE_STATE_INTERVAL", value_name = "MS", default_value_t = 1_250,
          value_parser = value_parser!(u32).range(..=86_400_000))]
    state_interval: u32,

    /// The rate limit of each device, in bytes; 0 for no limit
    #[arg(
        long,
        env = "IOTCORE_DEVICE_BYTES_PER_SECOND",
        value_name = "N",
        default_value_t = 512_000
    )]
    device_bytes_per_second: u32,

    /// The rate limit for all devices together, in messages; 0 for no limit
    #[arg(
        long,
        env = "IOTCORE_MESSAGES_PER_SECOND",
        value_name = "N",
        default_value_t = 0
    )]
    messages_per_second: u32,

    /// The first delay between two connection attempts
    #[arg(long, env = "IOTCORE_BACKOFF_MIN", value_name = "MS", default_value_t = 1_000,
          value_parser = value_parser!(u32).range(1..))]
    backoff_min: u32,

    /// The maximum delay between two connection attempts; once it is reached, each is up to a quarter shorter, at random
    #[arg(
        long,
        env = "IOTCORE_BACKOFF_MAX",
        value_name = "MS",
        default_value_t = 32_000
    )]
    backoff_max: u32,

    /// The seed of the jitter, to make delays the same in every run
    #[arg(long, env = "IOTCORE_SEED", value_name = "N")]
    seed: Option<u64>,

    /// Exit with code 1 when the connection cannot be made or is lost, instead of reconnecting
    #[arg(long, env = "IOTCORE_NO_RECONNECT", value_parser = BoolishValueParser::new())]
    no_reconnect: bool,

    /// When configs and commands are acknowledged to the bridge
    #[arg(
        long,
        env = "IOTCORE_ACKNOWLEDGE",
        value_name = "WHEN",
        default_value = "taken"
    )]
    acknowledge: Acknowledge,

    /// Serve metrics for Prometheus at http://IP:PORT/metrics
    ///
    /// To everyone who can reach the address; port 0 for a free one. The event `metrics` has the address in use
    #[arg(long, env = "IOTCORE_METRICS", value_name = "IP:PORT")]
    metrics: Option<SocketAddr>,
}

impl Arguments {
    /// Returns the relay's settings and the gateway's setup.
    pub(crate) fn settings_and_setup(self) -> Result<(Settings, Setup<Arc<Keys>>), StartError> {
        if self.backoff_max < self.backoff_min {
            return Err(StartError::Backoff {
                min: self.backoff_min,
                max: self.backoff_max,
            });
        }
        let device_queue = self.device_queue();
        let options = self.options(device_queue.urgent);
        let keys = Arc::new(self.keys()?);
        let settings = Settings {
            gateway: self.gateway.clone(),
            acknowledge: self.acknowledge,
            device_queue,
            total_queue: options.total_queue,
            overflow: self.overflow,
            drain_timeout: self.drain_timeout(),
            has_store: self.store.is_given(),
            metrics: self.metrics,
            key: self.key.clone(),
            keys: Arc::clone(&keys),
        };
        let security = self.security.security()?;
        let proxy = match self.proxy {
            Some(option) => option.0.map_err(StartError::Proxy)?,
            // What connects to loopback without TLS needs no proxy.
            None if self.security.plain => None,
            None => Proxy::from_env(&self.host).map_err(StartError::ProxyVariable)?,
        };
        let client_id = ClientId::new(self.project, self.location, self.registry, self.gateway);
        let setup = Setup::new(self.host, security, client_id, keys)
            .port(self.port)
            .proxy(proxy)
            .options(options);
        let setup = match self.seed {
            Some(seed) => setup.seed(seed),
            None => setup,
        };
        let setup = match self.store.open().map_err(StartError::Store)? {
            Some(store) => setup.store(store),
            None => setup,
        };
        Ok((settings, setup))
    }

    /// Returns the limits of one device. With [`Overflow::DropOldest`] an urgent message needs no more room, because it
    /// finds it at once.
    fn device_queue(&self) -> DeviceQueue {
        let messages = self.max_queued as usize;
        let bytes = (messages * DEVICE_BYTES_EACH).clamp(MIN_DEVICE_BYTES, MAX_TOTAL_BYTES);
        let ordinary = QueueLimit { messages, bytes };
        let urgent = match self.overflow {
            Overflow::DropOldest => ordinary,
            Overflow::Wait => QueueLimit {
                messages: messages + messages.div_ceil(URGENT_PART),
                bytes: bytes + (bytes / URGENT_PART).max(MIN_URGENT_BYTES),
            },
        };
        DeviceQueue { ordinary, urgent }
    }

    fn drain_timeout(&self) -> DrainTimeout {
        DrainTimeout::new(Duration::from_secs(self.drain_timeout))
    }

    fn options(&self, device_queue: QueueLimit) -> Options {
        let mut options = Options::default();
        options.keep_alive = Duration::from_secs(self.keep_alive);
        options.attach_timeout = Duration::from_secs(self.attach_timeout);
        options.ack_timeout = Duration::from_secs(self.ack_timeout);
        options.max_ack_timeout = options.max_ack_timeout.max(options.ack_timeout);
        options.drain_timeout = self.drain_timeout().half();
        options.attach_window = self.attach_window;
        options.window = self.window;
        options.device_window = self.device_window;
        options.quota.state_interval = Duration::from_millis(self.state_interval.into());
        options.quota.device_bytes_per_second = NonZeroU32::new(self.device_bytes_per_second);
        options.quota.messages_per_second = NonZeroU32::new(self.messages_per_second);
        options.device_queue = device_queue;
        options.total_queue = QueueLimit {
            messages: self.max_queued as usize * TOTAL_FACTOR,
            bytes: MAX_TOTAL_BYTES,
        };
        if self.overflow == Overflow::DropOldest {
            options.overflow = iotcore_gateway_tokio::options::Overflow::DropOldest;
        }
        // The relay acknowledges a message after its line was written, because only the relay knows when that is.
        options.acknowledge = iotcore_gateway_tokio::options::Acknowledge::Manual;
        options.max_unacknowledged = MAX_UNACKNOWLEDGED;
        options.durability = self.store.durability();
        options.backoff = Backoff {
            min: Duration::from_millis(self.backoff_min.into()),
            max: Duration::from_millis(self.backoff_max.into()),
        };
        if self.no_reconnect {
            options.reconnect = Reconnect::Attempts(0);
        }
        options
    }

    fn keys(&self) -> Result<Keys, StartError> {
        if self.key.to_string_lossy().contains("-----") {
            return Err(StartError::NotAFile);
        }
        let lifetime = Duration::from_secs(self.token_lifetime);
        let gateway = KeyTokens::from_pem_file(&self.key, self.algorithm);
        let gateway = gateway.map_err(StartError::Key)?.lifetime(lifetime);
        let devices = self.device_keys.clone();
        let devices = devices.map(|folder| DeviceKeys::open(folder, lifetime));
        Ok(Keys {
            gateway: gateway.map_err(StartError::Lifetime)?,
            devices: devices.transpose().map_err(StartError::DeviceKeys)?,
        })
    }
}
