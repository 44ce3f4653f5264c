//! The bridge's topics, `/devices/{device}/{kind}`, as clients publish and subscribe to them.

use super::registry::is_id;

/// The topic of a PUBLISH that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublishTopic<'a> {
    pub(crate) device: &'a str,
    pub(crate) kind: PublishKind<'a>,
}

/// The kinds of topics that a client can publish to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishKind<'a> {
    Attach,
    Detach,
    Data(Data<'a>),
}

/// The kinds of messages from a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data<'a> {
    Events { subfolder: Option<&'a str> },
    State,
}

/// The kinds of topics that a client can subscribe to, for one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SubscriptionKind {
    Config,
    Commands,
    Errors,
}

/// The reason why a PUBLISH's topic is not one of the bridge's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IllegalTopic<'a> {
    /// It does not begin with `/devices/`.
    Foreign,
    /// The rest does not name a device, or not a kind that can be published.
    IllFormed {
        /// The part in the place of the device.
        device: &'a str,
    },
}

impl<'a> PublishTopic<'a> {
    /// Parses a topic. Documented: events with or without subfolder, state without, attach and detach.
    pub(crate) fn parse(topic: &'a str) -> Result<Self, IllegalTopic<'a>> {
        let path = topic
            .strip_prefix("/devices/")
            .ok_or(IllegalTopic::Foreign)?;
        let (device, kind) = path.split_once('/').unwrap_or((path, ""));
        let kind = match kind {
            "attach" => Some(PublishKind::Attach),
            "detach" => Some(PublishKind::Detach),
            _ => Data::parse(kind).map(PublishKind::Data),
        };
        match kind {
            Some(kind) if is_id(device) => Ok(Self { device, kind }),
            _ => Err(IllegalTopic::IllFormed { device }),
        }
    }
}

impl<'a> Data<'a> {
    fn parse(kind: &'a str) -> Option<Self> {
        match kind {
            "events" => Some(Self::Events { subfolder: None }),
            "state" => Some(Self::State),
            _ => kind.strip_prefix("events/").map(|subfolder| Self::Events {
                subfolder: Some(subfolder),
            }),
        }
    }
}

impl SubscriptionKind {
    /// Returns the device and kind of a topic filter, if the bridge supports it.
    ///
    /// Documented: only config and `commands/#`; a single subfolder of commands is not supported.
    pub(crate) fn parse(filter: &str) -> Option<(&str, Self)> {
        let (device, kind) = filter.strip_prefix("/devices/")?.split_once('/')?;
        let kind = match kind {
            "config" => Self::Config,
            "commands/#" => Self::Commands,
            "errors" => Self::Errors,
            _ => return None,
        };
        Some((device, kind))
    }

    /// Returns the topic filter for a device.
    pub(crate) fn filter(self, device: &str) -> String {
        let kind = match self {
            Self::Config => "config",
            Self::Commands => "commands/#",
            Self::Errors => "errors",
        };
        format!("/devices/{device}/{kind}")
    }
}

/// Returns the topic on which a command is delivered.
pub(crate) fn command(device: &str, subfolder: Option<&str>) -> String {
    match subfolder {
        None => format!("/devices/{device}/commands"),
        Some(subfolder) => format!("/devices/{device}/commands/{subfolder}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_events_is_the_subfolder() {
        for (topic, subfolder) in [
            ("/devices/dev/events", None),
            ("/devices/dev/events/", Some("")),
            ("/devices/dev/events/a/b", Some("a/b")),
        ] {
            let parsed = PublishTopic::parse(topic).unwrap();
            assert_eq!(parsed.device, "dev");
            assert_eq!(parsed.kind, PublishKind::Data(Data::Events { subfolder }));
        }
    }

    #[test]
    fn only_the_bridges_topics_are_accepted() {
        for topic in [
            "projects/p/topics/t",
            "devices/dev/events",
            "/device/dev/events",
        ] {
            assert_eq!(
                PublishTopic::parse(topic),
                Err(IllegalTopic::Foreign),
                "{topic}"
            );
        }
        for (topic, device) in [
            ("/devices/dev", "dev"),
            ("/devices/dev/", "dev"),
            ("/devices/dev/config", "dev"),
            ("/devices/dev/commands", "dev"),
            ("/devices/dev/state/sub", "dev"),
            ("/devices/dev/eventsx", "dev"),
            ("/devices/d/events", "d"),
            ("/devices/9dev/events", "9dev"),
            ("/devices//events", ""),
        ] {
            let error = IllegalTopic::IllFormed { device };
            assert_eq!(PublishTopic::parse(topic), Err(error), "{topic}");
        }
    }

    #[test]
    fn filters_are_config_all_commands_and_errors() {
        use SubscriptionKind::{Commands, Config, Errors};
        for kind in [Config, Commands, Errors] {
            let filter = kind.filter("dev");
            assert_eq!(SubscriptionKind::parse(&filter), Some(("dev", kind)));
        }
        for filter in [
            "#",
            "/devices/dev/commands",
            "/devices/dev/commands/a",
            "/devices/dev/#",
        ] {
            assert_eq!(SubscriptionKind::parse(filter), None, "{filter}");
        }
    }
}
