//! The bridge's topics: the only place where they are built or parsed.

use core::{error::Error, fmt, str::FromStr};
use std::sync::Arc;

use crate::{
    id::{DeviceId, excerpt},
    mqtt::TopicName,
    quota::MAX_SUBFOLDER_CHARS,
};

/// A validated subfolder: the part after `events/` in the topic of a telemetry event.
///
/// 1 to 256 characters, which may include `/` except at the beginning, without `+`, `#`, control characters and Unicode
/// noncharacters. MQTT forbids U+0000 and the wildcards in a topic name [MQTT-1.5.3-2, MQTT-3.3.2-2], and lets a server
/// close the connection for the others (section 1.5.3). Cheap to clone.
///
/// ```
/// # use iotcore_gateway::message::Subfolder;
/// let subfolder: Subfolder = "alerts/critical".parse()?;
/// assert_eq!(subfolder.as_str(), "alerts/critical");
/// assert!(Subfolder::try_from("/alerts").is_err());
/// # Ok::<(), iotcore_gateway::message::SubfolderError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subfolder(Arc<str>);

impl Subfolder {
    /// Returns the subfolder as it appears in the topic.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check(value: &str) -> Result<(), SubfolderProblem> {
        let len = value.chars().count();
        if len == 0 {
            return Err(SubfolderProblem::Empty);
        }
        if len > MAX_SUBFOLDER_CHARS {
            return Err(SubfolderProblem::TooLong {
                len,
                max: MAX_SUBFOLDER_CHARS,
            });
        }
        if value.starts_with('/') {
            return Err(SubfolderProblem::LeadingSlash);
        }
        let illegal = |c: char| "+#".contains(c) || c.is_control() || is_noncharacter(c);
        match value
            .chars()
            .enumerate()
            .find(|&(_, character)| illegal(character))
        {
            Some((position, character)) => Err(SubfolderProblem::Character {
                character,
                position,
            }),
            None => Ok(()),
        }
    }
}

/// Returns whether Unicode never assigns this code point: U+FDD0 to U+FDEF and the last two of each plane.
fn is_noncharacter(character: char) -> bool {
    matches!(u32::from(character), 0xFDD0..=0xFDEF) || u32::from(character) & 0xFFFE == 0xFFFE
}

impl TryFrom<&str> for Subfolder {
    type Error = SubfolderError;

    fn try_from(value: &str) -> Result<Self, SubfolderError> {
        match Self::check(value) {
            Ok(()) => Ok(Self(value.into())),
            Err(problem) => Err(SubfolderError {
                value: excerpt(value),
                problem,
            }),
        }
    }
}

impl TryFrom<String> for Subfolder {
    type Error = SubfolderError;

    fn try_from(value: String) -> Result<Self, SubfolderError> {
        Self::try_from(value.as_str())
    }
}

impl FromStr for Subfolder {
    type Err = SubfolderError;

    fn from_str(value: &str) -> Result<Self, SubfolderError> {
        Self::try_from(value)
    }
}

impl fmt::Display for Subfolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Subfolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subfolder({:?})", self.as_str())
    }
}

/// Why a subfolder is invalid: an error of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubfolderError {
    value: String,
    problem: SubfolderProblem,
}

impl SubfolderError {
    /// Returns the invalid value, truncated to 64 characters.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns what is wrong with it.
    #[must_use]
    pub const fn problem(&self) -> SubfolderProblem {
        self.problem
    }
}

impl fmt::Display for SubfolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value, problem } = self;
        write!(
            f,
            "subfolder {value:?} {problem}; it must be 1 to {MAX_SUBFOLDER_CHARS} characters \
             without '+', '#' and control characters, not beginning with '/'"
        )
    }
}

impl Error for SubfolderError {}

/// What is wrong with an invalid subfolder. Lengths and positions count characters; positions start at 0.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubfolderProblem {
    /// It is empty; publish an event outside any subfolder without one.
    Empty,
    /// It has more characters than the bridge accepts.
    TooLong {
        /// Its length.
        len: usize,
        /// Maximum.
        max: usize,
    },
    /// It begins with `/`, so no route of the registry would match it.
    LeadingSlash,
    /// It contains a character that a topic name must not or should not contain.
    Character {
        /// The character.
        character: char,
        /// Its position.
        position: usize,
    },
}

impl fmt::Display for SubfolderProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong { len, max } => {
                write!(f, "is too long: {len} of at most {max} characters")
            }
            Self::LeadingSlash => f.write_str("begins with '/'"),
            Self::Character {
                character,
                position,
            } => {
                write!(f, "has {character:?} at position {position}")
            }
        }
    }
}

/// What a gateway may publish for a device; the bridge closes the connection for any other topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel<'a> {
    /// Telemetry events, with or without a subfolder.
    Events(Option<&'a Subfolder>),
    /// The device's state, which has no subfolders.
    State,
    /// Control message: attach the device.
    Attach,
    /// Control message: detach the device.
    Detach,
}

/// Builds the topic of `channel` in `out`. Reuse `out` to avoid allocations.
pub(crate) fn make_topic(out: &mut TopicName, device: &DeviceId, channel: Channel<'_>) {
    let write = |out: &mut String| {
        out.push_str("/devices/");
        out.push_str(device.as_str());
        out.push_str(match channel {
            Channel::Events(_) => "/events",
            Channel::State => "/state",
            Channel::Attach => "/attach",
            Channel::Detach => "/detach",
        });
        if let Channel::Events(Some(subfolder)) = channel {
            out.push('/');
            out.push_str(subfolder.as_str());
        }
    };
    out.make(write)
        .expect("device ids and subfolders are valid in a topic, and short");
}

/// Returns the filter for the configs of `device`.
pub(crate) fn config_filter(device: &DeviceId) -> String {
    format!("/devices/{device}/config")
}

/// Returns the filter for the commands to `device`, in all subfolders: the bridge supports no narrower one.
pub(crate) fn commands_filter(device: &DeviceId) -> String {
    format!("/devices/{device}/commands/#")
}

/// Returns the filter for the error reports to `gateway`.
pub(crate) fn errors_filter(gateway: &DeviceId) -> String {
    format!("/devices/{gateway}/errors")
}

/// The parsed topic of an incoming PUBLISH. The ids come from the peer and are not validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IncomingTopic<'a> {
    /// A config for `device`.
    Config { device: &'a str },
    /// A command to `device`; an empty subfolder counts as none.
    Command {
        device: &'a str,
        subfolder: Option<&'a str>,
    },
    /// An error report to `gateway`.
    Errors { gateway: &'a str },
}

/// Parses the topic of an incoming PUBLISH; returns `None` if it is not one of the bridge's.
pub(crate) fn parse(topic: &str) -> Option<IncomingTopic<'_>> {
    let (device, channel) = topic.strip_prefix("/devices/")?.split_once('/')?;
    if device.is_empty() {
        return None;
    }
    match channel {
        "config" => Some(IncomingTopic::Config { device }),
        "errors" => Some(IncomingTopic::Errors { gateway: device }),
        "commands" => Some(IncomingTopic::Command {
            device,
            subfolder: None,
        }),
        _ => Some(IncomingTopic::Command {
            device,
            subfolder: Some(channel.strip_prefix("commands/")?)
                .filter(|subfolder| !subfolder.is_empty()),
        }),
    }
}

#[cfg(test)]
mod tests;
