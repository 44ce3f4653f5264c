//! Invalid options.

use core::fmt;

use super::Backoff;
use crate::time::Duration;

/// Invalid [`Options`](super::Options): an error of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionsError {
    /// The keep alive is not a whole number of seconds from 1 to 1,199.
    KeepAlive(Duration),
    /// This option must not be zero.
    Zero(&'static str),
    /// This option is longer than 7 days.
    TooLong {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: Duration,
    },
    /// This option is above its limit.
    TooLarge {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: usize,
        /// Maximum.
        limit: usize,
    },
    /// This option is below its minimum.
    TooSmall {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: usize,
        /// Minimum.
        least: usize,
    },
    /// `backoff.max` is less than `backoff.min`.
    Backoff(Backoff),
    /// `max_ack_timeout` is less than `ack_timeout`.
    AckTimeout {
        /// `ack_timeout`.
        first: Duration,
        /// `max_ack_timeout`.
        max: Duration,
    },
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeepAlive(value) => write!(
                f,
                "keep_alive is {value:?}: it must be a whole number of seconds from 1 to 1199, \
                 because the bridge closes a connection that was idle for 20 minutes"
            ),
            Self::Zero(name) => write!(f, "{name} is zero: it must be longer"),
            Self::TooLong { name, value } => {
                write!(f, "{name} is {value:?}: it must be at most 7 days")
            }
            Self::TooLarge { name, value, limit } => {
                write!(f, "{name} is {value}: it must be at most {limit}")
            }
            Self::TooSmall { name, value, least } => {
                write!(f, "{name} is {value}: it must be at least {least}")
            }
            Self::Backoff(backoff) => write!(
                f,
                "backoff.max is {:?}: it must not be shorter than backoff.min, {:?}",
                backoff.max, backoff.min
            ),
            Self::AckTimeout { first, max } => write!(
                f,
                "max_ack_timeout is {max:?}: it must not be shorter than ack_timeout, {first:?}"
            ),
        }
    }
}

impl core::error::Error for OptionsError {}
