//! The options of the example: where it runs.

use std::{
    error::Error,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use clap::Parser;
use iotcore_gateway::{
    Algorithm, ClientId, DeviceId,
    auth::{KeyError, SigningKey},
    id::IdError,
};

/// The name of the example, for the texts of its help.
const NAME: &str = env!("CARGO_BIN_NAME");

/// The end of `-h`.
const VARIABLES: &str = "\
Every option can also be set with an environment variable: IOTCORE_HOST,
IOTCORE_PORT and so on.";

/// The end of `--help`.
const EXAMPLES: &str = concat!(
    "\
Every option can also be set with an environment variable: IOTCORE_HOST,
IOTCORE_PORT and so on.

Examples:
  ",
    env!("CARGO_BIN_NAME"),
    "
      runs against an emulator in the same process
  export IOTCORE_PROJECT=my-project IOTCORE_LOCATION=us-central1
  export IOTCORE_REGISTRY=my-registry IOTCORE_GATEWAY=my-gateway
  ",
    env!("CARGO_BIN_NAME"),
    " \\
      --host us-central1-mqtt.clearblade.com --device my-sensor --key gateway.pem
      runs against the service"
);

/// Shows the lifecycle of a gateway on the MQTT bridge as a timeline.
///
/// Without options it starts an emulator of the bridge on this machine, with generated keys and a
/// generated certificate. With --host it uses a real service or broker, and leaves out the steps
/// that need control of the cloud's side. Exit codes: 0 each step was as it should be, 1 one was not,
/// 2 usage.
#[derive(Debug, Parser)]
#[command(name = NAME, version, after_help = VARIABLES, after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The host of the bridge, such as us-central1-mqtt.clearblade.com
    #[arg(long, env = "IOTCORE_HOST", requires_all = ["project", "location", "registry", "gateway", "device", "key"])]
    host: Option<String>,

    /// The port of the bridge, which also listens on 443
    #[arg(long, env = "IOTCORE_PORT", default_value_t = 8883)]
    port: u16,

    /// The id of the project
    #[arg(long, env = "IOTCORE_PROJECT", value_name = "ID", requires = "host")]
    project: Option<String>,

    /// The location of the registry, such as us-central1
    #[arg(long, env = "IOTCORE_LOCATION", requires = "host")]
    location: Option<String>,

    /// The id of the registry
    #[arg(long, env = "IOTCORE_REGISTRY", value_name = "ID", requires = "host")]
    registry: Option<String>,

    /// The id of the gateway
    #[arg(long, env = "IOTCORE_GATEWAY", value_name = "ID", requires = "host")]
    gateway: Option<String>,

    /// The id of a device that is bound to the gateway
    #[arg(long, env = "IOTCORE_DEVICE", value_name = "ID", requires = "host")]
    device: Option<String>,

    /// The gateway's private key (PEM)
    #[arg(
        long,
        env = "IOTCORE_KEY",
        value_name = "FILE",
        requires = "host",
        hide_env_values = true,
        allow_hyphen_values = true
    )]
    key: Option<PathBuf>,

    /// The algorithm of the key: RS256 or ES256
    #[arg(
        long,
        env = "IOTCORE_ALGORITHM",
        value_name = "NAME",
        default_value = "ES256"
    )]
    algorithm: Algorithm,

    /// The CA certificates to trust instead of the system's (PEM)
    #[arg(long, env = "IOTCORE_CA", value_name = "FILE", requires = "host")]
    ca: Option<PathBuf>,

    /// Use TCP without TLS; for loopback addresses only
    #[arg(long, env = "IOTCORE_PLAIN", requires = "host", conflicts_with = "ca")]
    plain: bool,
}

/// The target of the example, and its identity.
pub(crate) struct Place {
    /// The host of the bridge.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// How the connection is secured.
    pub(crate) trust: Trust,
    /// The gateway.
    pub(crate) client_id: ClientId,
    /// Its private key.
    pub(crate) key: SigningKey,
    /// A device that it may attach.
    pub(crate) device: DeviceId,
}

/// How the connection is secured.
pub(crate) enum Trust {
    /// With TLS, and the system's CA certificates.
    Platform,
    /// With TLS, and these CA certificates (PEM).
    Certificates(Vec<u8>),
    /// Without TLS.
    Plain,
}

impl Arguments {
    /// Returns the target that the options specify; `None` without a host.
    pub(crate) fn place(self) -> Result<Option<Place>, PlaceError> {
        let Some(host) = self.host else {
            return Ok(None);
        };
        let key = read(&self.key.unwrap_or_default())?;
        let trust = match &self.ca {
            _ if self.plain => Trust::Plain,
            Some(file) => Trust::Certificates(read(file)?),
            None => Trust::Platform,
        };
        Ok(Some(Place {
            host,
            port: self.port,
            trust,
            client_id: ClientId::new(
                self.project.unwrap_or_default().try_into()?,
                self.location.unwrap_or_default().try_into()?,
                self.registry.unwrap_or_default().try_into()?,
                self.gateway.unwrap_or_default().try_into()?,
            ),
            key: SigningKey::from_pem(&key, self.algorithm)?,
            device: self.device.unwrap_or_default().try_into()?,
        }))
    }
}

fn read(file: &Path) -> Result<Vec<u8>, PlaceError> {
    if file.to_string_lossy().contains("-----") {
        return Err(PlaceError::NotAFile);
    }
    fs::read(file).map_err(|error| PlaceError::File(file.to_owned(), error))
}

/// The error of an invalid option.
#[derive(Debug)]
pub(crate) enum PlaceError {
    /// An id is invalid.
    Id(IdError),
    /// A PEM text was passed instead of a file. It may be a key, and is not repeated.
    NotAFile,
    /// A file cannot be read.
    File(PathBuf, io::Error),
    /// The private key cannot be used.
    Key(KeyError),
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(error) => error.fmt(f),
            Self::NotAFile => {
                f.write_str("this is the key itself, and must be the name of its file")
            }
            Self::File(file, error) => write!(f, "{} cannot be read: {error}", file.display()),
            Self::Key(error) => write!(f, "the private key cannot be used: {error}"),
        }
    }
}

impl Error for PlaceError {}

impl From<IdError> for PlaceError {
    fn from(error: IdError) -> Self {
        Self::Id(error)
    }
}

impl From<KeyError> for PlaceError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}
