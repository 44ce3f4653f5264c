//! Where a story takes place: on the emulator, or wherever the options say.

use core::error::Error;
use core::fmt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Parser;
use iotcore_gateway::{Algorithm, ClientId, DeviceId, IdError, KeyError, SigningKey};

use super::{Cloud, Timeline};

/// Tells the whole story of a gateway on the MQTT bridge, as a timeline.
///
/// Without options it starts an emulator of the bridge on this machine, with keys and a certificate
/// made on the spot. With --host it does the same against a real service or broker, as far as that
/// can be done without the cloud's side.
#[derive(Debug, Parser)]
#[command(
    after_help = "Every option can also be set in the environment, as IOTCORE_HOST and so on."
)]
pub struct Arguments {
    /// The host of the bridge, such as us-central1-mqtt.clearblade.com
    #[arg(long, env = "IOTCORE_HOST", requires_all = ["project", "location", "registry", "gateway", "device", "key"])]
    host: Option<String>,

    /// Its port; the bridge also listens on 443
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

    /// The certificates to trust instead of this machine's (PEM)
    #[arg(long, env = "IOTCORE_CA", value_name = "FILE", requires = "host")]
    ca: Option<PathBuf>,

    /// No TLS; to this machine only
    #[arg(long, env = "IOTCORE_PLAIN", requires = "host", conflicts_with = "ca")]
    plain: bool,
}

/// Where a story takes place, and as whom.
#[derive(Debug)]
pub struct Place {
    /// The host of the bridge.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub trust: Trust,
    /// The gateway.
    pub client_id: ClientId,
    /// Its private key.
    pub key: SigningKey,
    /// A device that it may attach.
    pub device: DeviceId,
    /// The cloud's side, if it is an emulator of ours.
    pub cloud: Option<Cloud>,
}

/// How the connection is secured.
#[derive(Debug)]
pub enum Trust {
    /// By TLS, with the certificates of this machine.
    Platform,
    /// By TLS, with these certificates (PEM).
    Certificates(Vec<u8>),
    /// Not at all.
    Plain,
}

impl Place {
    /// What the command line and the environment say; without a host, an emulator that starts here.
    ///
    /// Prints and exits when they make no sense, or when help was asked for.
    ///
    /// # Errors
    /// [`PlaceError`] names the value or file that cannot be used.
    pub fn from_arguments(timeline: &Timeline) -> Result<Self, PlaceError> {
        let arguments = Arguments::parse();
        match &arguments.host {
            Some(host) => Self::real(host, &arguments),
            None => Cloud::start(timeline).map_err(PlaceError::Emulator),
        }
    }

    fn real(host: &str, arguments: &Arguments) -> Result<Self, PlaceError> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let key = read(arguments.key.as_deref().unwrap_or(Path::new("")))?;
        let trust = match &arguments.ca {
            _ if arguments.plain => Trust::Plain,
            Some(file) => Trust::Certificates(read(file)?),
            None => Trust::Platform,
        };
        Ok(Self {
            host: host.to_owned(),
            port: arguments.port,
            trust,
            client_id: ClientId::new(
                text(&arguments.project).try_into()?,
                text(&arguments.location).try_into()?,
                text(&arguments.registry).try_into()?,
                text(&arguments.gateway).try_into()?,
            ),
            key: SigningKey::from_pem(&key, arguments.algorithm)?,
            device: text(&arguments.device).try_into()?,
            cloud: None,
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, PlaceError> {
    if file.to_string_lossy().contains("-----") {
        return Err(PlaceError::NotAFile);
    }
    fs::read(file).map_err(|error| PlaceError::File(file.to_owned(), error))
}

/// What cannot be used, and why.
#[derive(Debug)]
#[non_exhaustive]
pub enum PlaceError {
    /// An id is not legal.
    Id(IdError),
    /// A PEM text was given instead of a file. It may be a key, and is not repeated.
    NotAFile,
    /// A file cannot be read.
    File(PathBuf, io::Error),
    /// The private key cannot be used.
    Key(KeyError),
    /// The emulator cannot start.
    Emulator(Box<dyn Error + Send + Sync>),
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
            Self::Emulator(error) => write!(f, "the emulator cannot start: {error}"),
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
