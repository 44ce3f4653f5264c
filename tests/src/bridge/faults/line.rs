//! The text form of a fault: one line.
//!
//! | line | effect |
//! |---|---|
//! | `refuse [N] close` | the next N connections are closed |
//! | `refuse [N] reset` | … are reset (RST) |
//! | `refuse [N] silence` | … are accepted, and nothing is ever answered |
//! | `refuse [N] connack CODE` | … get this CONNACK (1 to 255) and are closed |
//! | `ANSWER hold [N]` | the next N are held back until `release` or the connection's end |
//! | `ANSWER release` | answers that are held back, delayed or not yet reordered are sent |
//! | `ANSWER delay MS [N]` | the next N are sent MS milliseconds later |
//! | `ANSWER double [N]` | the next N are sent twice |
//! | `ANSWER reorder K` | K are collected and sent in reverse order, repeatedly |
//! | `service WORDS` | packets take time or are ignored: see [`text`](crate::bridge::service::text) |
//! | `stall MS` | for MS milliseconds nothing is answered; then, everything is |
//! | `rate up N` | the link carries N bytes a second to the bridge |
//! | `rate down N` | … to the client |
//! | `segment N` | at most N bytes are written at a time |
//! | `limit N` | each packet of more than N bytes ends the connection, as soon as its length is known |
//! | `raw [CLIENT] HEX` | these bytes are sent to a client, or to all |
//! | `reports lose [N]` | the next N error reports are lost |
//! | `cut before PACKET` | the next packet of the kind is ignored, and the connection ends |
//! | `cut instead PACKET` | … takes effect, and the connection ends without the answer |
//! | `cut after PACKET` | … is answered, and the connection ends |
//! | `poison PACKET DEVICE [HEX]` | each such packet about the device ends the connection, without an effect; with HEX: each whose payload begins with it |
//! | `grant qos0 [N]` | the next N topic filters that ask for more are granted QoS 0 |
//! | `grant failure [N]` | … are refused by SUBACK 0x80 |
//! | `clear` | all faults end, the service is as it was before, and held-back answers are sent |
//!
//! ANSWER is `puback`, `suback`, `unsuback` or `pingresp`. PACKET is `connect`, `publish` (any),
//! `attach`, `detach`, `telemetry`, `state`, `subscribe`, `unsubscribe`, `pingreq`, `puback` or
//! `disconnect`; after `poison`, one from `publish` to `unsubscribe`. Without `[N]`: always, until `clear`. Each may be limited to the connections of one
//! gateway or device by `--client ID`, except `service`.

mod format;
#[cfg(test)]
mod tests;

use core::error::Error;
use core::fmt;
use core::num::{NonZeroU32, NonZeroUsize};
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    AnswerKind, CutMoment, Direction, Fault, FaultKind, Grant, PacketKind, RefuseBy, Treatment,
};
use crate::bridge::service::ServiceError;

/// The reason why a line is not a fault; its text says what would be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultError {
    /// The line is incomplete.
    Missing {
        /// What must follow.
        expected: String,
    },
    /// A word is not valid at its position.
    Unexpected {
        /// The word.
        word: String,
        /// What would be valid there.
        expected: String,
    },
    /// The words after `service` are not one.
    Service(ServiceError),
    /// There are words after the end of the fault.
    TooMuch {
        /// The first of them.
        word: String,
    },
}

/// The unread words of a line.
struct Words<'a> {
    words: std::vec::IntoIter<&'a str>,
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(line: &str) -> Result<Self, FaultError> {
        let mut all: Vec<&str> = line.split_whitespace().collect();
        let option = all.iter().position(|word| *word == "--client");
        let mut client = None;
        if let Some(index) = option {
            all.remove(index);
            if index == all.len() {
                return Err(missing("the id of a gateway or device after --client"));
            }
            client = Some(all.remove(index).to_owned());
        }
        let mut words = Words {
            words: all.into_iter(),
        };
        let kind = words.kind(&mut client)?;
        match words.words.next() {
            None => Ok(Self { client, kind }),
            Some(word) => Err(FaultError::TooMuch {
                word: word.to_owned(),
            }),
        }
    }
}

impl<'a> Words<'a> {
    fn kind(&mut self, client: &mut Option<String>) -> Result<FaultKind, FaultError> {
        const EXPECTED: &str = "refuse, puback, suback, unsuback, pingresp, service, stall, rate, segment, limit, raw, reports, cut, poison, grant or clear";
        let first = self.next(EXPECTED)?;
        let answer = AnswerKind::ALL.iter().find(|kind| kind.word() == first);
        if let Some(answer) = answer {
            return self.answer(*answer);
        }
        match first {
            "refuse" => self.refusal(),
            "service" => self.service(client.as_deref()),
            "stall" => {
                let millis = self.number("a duration in milliseconds, 1 to 4294967295")?;
                Ok(FaultKind::Stall { millis })
            }
            "rate" => Ok(FaultKind::Rate {
                direction: self.one_of(Direction::ALL, Direction::word)?,
                bytes: self.number("bytes a second, 1 to 4294967295")?,
            }),
            "segment" => {
                let expected = "the most bytes to write at a time, 1 or more";
                let length: NonZeroUsize = self.number(expected)?;
                Ok(FaultKind::Segment { length })
            }
            "limit" => Ok(FaultKind::Limit {
                bytes: self.number("the most bytes of a packet, 1 to 4294967295")?,
            }),
            "raw" => self.raw(client),
            "reports" => match self.next("lose")? {
                "lose" => Ok(FaultKind::LoseReports {
                    count: self.count()?,
                }),
                word => Err(unexpected(word, "lose")),
            },
            "cut" => Ok(FaultKind::Cut {
                moment: self.one_of(CutMoment::ALL, CutMoment::word)?,
                packet: self.one_of(PacketKind::ALL, PacketKind::word)?,
            }),
            "poison" => self.poison(),
            "grant" => Ok(FaultKind::Grant {
                grant: self.one_of(Grant::ALL, Grant::word)?,
                count: self.count()?,
            }),
            "clear" => Ok(FaultKind::Clear),
            word => Err(unexpected(word, EXPECTED)),
        }
    }

    fn service(&mut self, client: Option<&str>) -> Result<FaultKind, FaultError> {
        if client.is_some() {
            return Err(unexpected(
                "--client",
                "the service alone, which is that of all clients",
            ));
        }
        let words: Vec<&str> = self.words.by_ref().collect();
        let service = words.join(" ").parse().map_err(FaultError::Service)?;
        let service = Box::new(service);
        Ok(FaultKind::Service { service })
    }

    fn refusal(&mut self) -> Result<FaultKind, FaultError> {
        const EXPECTED: &str =
            "close, reset, silence or connack CODE, after the number of connections if not all";
        let count = match self.words.as_slice().first() {
            Some(word) if word.starts_with(|first: char| first.is_ascii_digit()) => self.count()?,
            _ => None,
        };
        let by = match self.next(EXPECTED)? {
            "close" => RefuseBy::Close,
            "reset" => RefuseBy::Reset,
            "silence" => RefuseBy::Silence,
            "connack" => RefuseBy::Connack(self.number("a CONNACK return code, 1 to 255")?),
            word => return Err(unexpected(word, EXPECTED)),
        };
        Ok(FaultKind::Refuse { count, by })
    }

    fn answer(&mut self, answer: AnswerKind) -> Result<FaultKind, FaultError> {
        const EXPECTED: &str =
            "hold [N], release, delay MILLISECONDS [N], double [N] or reorder HOW-MANY";
        let treatment = match self.next(EXPECTED)? {
            "release" => return Ok(FaultKind::Release { answer }),
            "hold" => Treatment::Hold {
                count: self.count()?,
            },
            "delay" => Treatment::Delay {
                millis: self.number("a delay in milliseconds, 1 to 4294967295")?,
                count: self.count()?,
            },
            "double" => Treatment::Double {
                count: self.count()?,
            },
            "reorder" => self.reorder()?,
            word => return Err(unexpected(word, EXPECTED)),
        };
        Ok(FaultKind::Answer { answer, treatment })
    }

    fn reorder(&mut self) -> Result<Treatment, FaultError> {
        const EXPECTED: &str = "how many to collect and reverse, 2 or more";
        let word = self.next(EXPECTED)?;
        match word.parse::<NonZeroU32>() {
            Ok(group) if group.get() >= 2 => Ok(Treatment::Reorder { group }),
            _ => Err(unexpected(word, EXPECTED)),
        }
    }

    fn raw(&mut self, client: &mut Option<String>) -> Result<FaultKind, FaultError> {
        const EXPECTED: &str =
            "bytes in hexadecimal, such as d000, after the client if not for all";
        let first = self.next(EXPECTED)?;
        let hex = match self.words.next() {
            None => first,
            Some(hex) if client.is_none() => {
                *client = Some(first.to_owned());
                hex
            }
            Some(_) => return Err(unexpected(first, "the bytes alone, as --client is given")),
        };
        let bytes = from_hex(hex).ok_or_else(|| unexpected(hex, EXPECTED))?;
        Ok(FaultKind::Raw { bytes })
    }

    fn poison(&mut self) -> Result<FaultKind, FaultError> {
        const EXPECTED: &str = "what payloads begin with in hexadecimal, after a kind of PUBLISH";
        let packet = self.one_of(PacketKind::ABOUT_DEVICES, PacketKind::word)?;
        let device = self.next("the id of a device, or of the gateway itself")?;
        let has_payload = !matches!(packet, PacketKind::Subscribe | PacketKind::Unsubscribe);
        let prefix = match self.words.next() {
            None => Vec::new(),
            Some(hex) => from_hex(hex)
                .filter(|_| has_payload)
                .ok_or_else(|| unexpected(hex, EXPECTED))?,
        };
        Ok(FaultKind::Poison {
            packet,
            device: device.to_owned(),
            prefix,
        })
    }

    fn next(&mut self, expected: &str) -> Result<&'a str, FaultError> {
        self.words.next().ok_or_else(|| missing(expected))
    }

    fn number<T: FromStr>(&mut self, expected: &str) -> Result<T, FaultError> {
        let word = self.next(expected)?;
        word.parse().map_err(|_| unexpected(word, expected))
    }

    /// Parses the optional count.
    fn count(&mut self) -> Result<Option<NonZeroU32>, FaultError> {
        match self.words.as_slice() {
            [] => Ok(None),
            _ => self
                .number("how many, 1 or more; nothing for all")
                .map(Some),
        }
    }

    fn one_of<T: Copy>(&mut self, all: &[T], word: fn(T) -> &'static str) -> Result<T, FaultError> {
        let words: Vec<&str> = all.iter().map(|one| word(*one)).collect();
        let expected = format!("one of {}", words.join(", "));
        let given = self.next(&expected)?;
        let found = all.iter().find(|one| word(**one) == given);
        found.copied().ok_or_else(|| unexpected(given, &expected))
    }
}

fn missing(expected: &str) -> FaultError {
    FaultError::Missing {
        expected: expected.to_owned(),
    }
}

fn unexpected(word: &str, expected: &str) -> FaultError {
    FaultError::Unexpected {
        word: word.to_owned(),
        expected: expected.to_owned(),
    }
}

/// Parses at least one byte, two digits each.
fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex
        .chars()
        .map(|digit| digit.to_digit(16).map(|value| value as u8))
        .collect();
    let (bytes, rest) = digits.as_deref()?.as_chunks::<2>();
    let bytes: Vec<u8> = bytes.iter().map(|[high, low]| high << 4 | low).collect();
    (rest.is_empty() && !bytes.is_empty()).then_some(bytes)
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = String::deserialize(deserializer)?;
        line.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { expected } => {
                write!(f, "the line ends, expected {expected}")
            }
            Self::Unexpected { word, expected } => {
                write!(f, "found {word:?}, expected {expected}")
            }
            Self::Service(error) => error.fmt(f),
            Self::TooMuch { word } => write!(f, "unexpected {word:?} after the end of the fault"),
        }
    }
}

impl Error for FaultError {}
