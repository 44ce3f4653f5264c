//! The reasons why the relay cannot start.

use std::{error::Error, fmt, path::PathBuf};

use iotcore_gateway_tokio::{
    auth::MintError,
    error::{KeyFileError, SetupError, StoreError},
    proxy::InvalidProxy,
    tls::TlsError,
};

use crate::device_keys::DeviceKeysError;

/// The reason why the relay cannot start, and what to do about it.
#[derive(Debug)]
pub(crate) enum StartError {
    /// The key itself was passed instead of a file name. It is not repeated.
    NotAFile,
    /// The file with the private key cannot be read, or contains none that fits the algorithm.
    Key(KeyFileError),
    /// The keys of devices cannot be used.
    DeviceKeys(DeviceKeysError),
    /// The CA certificates in this file, or the system's, cannot be used.
    Roots(Option<PathBuf>, TlsError),
    /// The client certificate or its key cannot be used.
    ClientCertificate(TlsError),
    /// The proxy of `--proxy` cannot be used.
    Proxy(InvalidProxy),
    /// The proxy that a variable of the environment sets cannot be used.
    ProxyVariable(InvalidProxy),
    /// `--token-lifetime` is out of range.
    Lifetime(MintError),
    /// `--backoff-max` is less than `--backoff-min`; both in milliseconds.
    Backoff { min: u32, max: u32 },
    /// The store cannot be used.
    Store(StoreError),
    /// The host or another option is invalid.
    Setup(SetupError),
}

impl StartError {
    /// Returns whether the command line is wrong, rather than a file or the machine.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            Self::Key(_)
            | Self::DeviceKeys(_)
            | Self::Roots(..)
            | Self::ClientCertificate(_)
            | Self::Store(_)
            | Self::Setup(SetupError::Store(_) | SetupError::NoThread(_)) => false,
            Self::NotAFile
            | Self::Proxy(_)
            | Self::ProxyVariable(_)
            | Self::Lifetime(_)
            | Self::Backoff { .. }
            | Self::Setup(_) => true,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFile => {
                f.write_str("--key is the key itself, and must be the name of its file")
            }
            Self::Key(error) => write!(f, "--key: {error}"),
            Self::DeviceKeys(error) => write!(f, "--device-keys: {error}"),
            Self::Roots(None, error) => {
                of_tls(error, f)?;
                f.write_str("; it is given with --ca")
            }
            Self::Roots(Some(_), error @ TlsError::File(..)) => {
                f.write_str("--ca: ")?;
                of_tls(error, f)
            }
            Self::Roots(Some(file), error) => {
                write!(f, "--ca {}: ", file.display())?;
                of_tls(error, f)
            }
            Self::ClientCertificate(error) => {
                let option = match error {
                    TlsError::NoClientKey(_) | TlsError::ClientKey(_) => "--client-key",
                    TlsError::NoClientCertificate
                    | TlsError::ClientCertificate(_)
                    | TlsError::ClientCertificateOrder(_) => "--client-cert",
                    _ => "--client-cert and --client-key",
                };
                write!(f, "{option}: ")?;
                of_tls(error, f)
            }
            Self::Proxy(error) => write!(f, "--proxy: {error}"),
            Self::ProxyVariable(error) => {
                write!(
                    f,
                    "{error}; give --proxy to ignore the variable, or --proxy none"
                )
            }
            Self::Lifetime(error) => write!(f, "--token-lifetime: {error}"),
            Self::Backoff { min, max } => write!(
                f,
                "--backoff-max is {max} ms: it must not be below --backoff-min, {min} ms"
            ),
            Self::Store(error) | Self::Setup(SetupError::Store(error)) => {
                write!(f, "--store: {error}")?;
                match error {
                    StoreError::InUse { .. } => f.write_str(
                        "; a relay whose program has ended may have it for a second more than twice its --drain-timeout: start this one again then",
                    ),
                    _ => Ok(()),
                }
            }
            Self::Setup(SetupError::Host(error)) => write!(f, "--host: {error}"),
            Self::Setup(error @ SetupError::PlainThroughProxy) => {
                write!(f, "--plain with --proxy: {error}")
            }
            Self::Setup(error) => error.fmt(f),
        }
    }
}

/// Shows what is wrong with TLS settings, with the system's reason.
fn of_tls(error: &TlsError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{error}")?;
    match error {
        TlsError::File(_, reason) => write!(f, ": {reason}"),
        TlsError::Platform(reason) => write!(f, " ({reason})"),
        _ => Ok(()),
    }
}

impl Error for StartError {}
