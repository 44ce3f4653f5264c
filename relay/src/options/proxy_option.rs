//! The value of `--proxy`.

use std::{convert::Infallible, str::FromStr};

use iotcore_gateway_tokio::proxy::{InvalidProxy, Proxy};

/// A proxy, no proxy, or why it is neither. Parsing it never fails, because clap would repeat an invalid value, which may
/// contain a password.
#[derive(Clone, Debug)]
pub(crate) struct ProxyOption(pub(crate) Result<Option<Proxy>, InvalidProxy>);

impl FromStr for ProxyOption {
    type Err = Infallible;

    fn from_str(value: &str) -> Result<Self, Infallible> {
        Ok(Self(match value {
            "none" => Ok(None),
            url => url.parse().map(Some),
        }))
    }
}
