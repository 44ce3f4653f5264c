//! Formats a fault as its line.

use core::fmt;
use core::num::NonZeroU32;

use super::super::{Fault, FaultKind, RefuseBy, Treatment};

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        match &self.client {
            Some(client) => write!(f, " --client {client}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refuse { count, by } => write!(f, "refuse{} {by}", Count(*count)),
            Self::Answer { answer, treatment } => write!(f, "{} {treatment}", answer.word()),
            Self::Release { answer } => write!(f, "{} release", answer.word()),
            Self::Service { service } if service.is_default() => f.write_str("service"),
            Self::Service { service } => write!(f, "service {service}"),
            Self::Stall { millis } => write!(f, "stall {millis}"),
            Self::Rate { direction, bytes } => write!(f, "rate {} {bytes}", direction.word()),
            Self::Segment { length } => write!(f, "segment {length}"),
            Self::Limit { bytes } => write!(f, "limit {bytes}"),
            Self::Raw { bytes } => write!(f, "raw {}", Hex(bytes)),
            Self::LoseReports { count } => write!(f, "reports lose{}", Count(*count)),
            Self::Cut { moment, packet } => write!(f, "cut {} {}", moment.word(), packet.word()),
            Self::Poison {
                packet,
                device,
                prefix,
            } => {
                write!(f, "poison {} {device}", packet.word())?;
                match prefix.as_slice() {
                    [] => Ok(()),
                    prefix => write!(f, " {}", Hex(prefix)),
                }
            }
            Self::Grant { grant, count } => write!(f, "grant {}{}", grant.word(), Count(*count)),
            Self::Clear => f.write_str("clear"),
        }
    }
}

impl fmt::Display for RefuseBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Close => f.write_str("close"),
            Self::Reset => f.write_str("reset"),
            Self::Silence => f.write_str("silence"),
            Self::Connack(code) => write!(f, "connack {code}"),
        }
    }
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hold { count } => write!(f, "hold{}", Count(*count)),
            Self::Delay { millis, count } => write!(f, "delay {millis}{}", Count(*count)),
            Self::Double { count } => write!(f, "double{}", Count(*count)),
            Self::Reorder { group } => write!(f, "reorder {group}"),
        }
    }
}

/// Writes a space and the count, or nothing if there is no count.
struct Count(Option<NonZeroU32>);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |count| write!(f, " {count}"))
    }
}

/// Writes two digits for each byte.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
