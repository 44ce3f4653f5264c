//! The text form of a service: words, separated by blanks, in any order, each at most once.
//!
//! | word | meaning |
//! |---|---|
//! | `one` | one queue for all packets of a connection; so it is without this word |
//! | `per-kind` | one queue for each KIND of packet |
//! | `workers=N` | each queue has N workers; 1 without this word |
//! | `KIND=TIME` | a worker takes this long for a packet of the kind |
//! | `tail=SHAPE:MAX` | times are random: at least as long, up to MAX times as long, with a heavy tail (bounded Pareto); SHAPE such as `1.5` |
//! | `burst=TIME` | packets have their effect and are answered only at multiples of this time |
//! | `buffer=N` | what a queue of N packets has no room for is dropped |
//! | `lose=N/1000` | N packets of a thousand, at random, are never answered |
//! | `lose-KIND=N/1000` | … of this kind |
//! | `ignore=ID,ID,…` | attaches of these devices are never answered |
//! | `ignore-publish=ID,ID,…` | telemetry and states of these devices are never answered |
//! | `ignore-all=ID,ID,…` | nothing of these devices is ever answered |
//! | `stall=TIME+TIME` | from the first time on, for the second, nothing is answered; then, everything is |
//! | `seed=N` | the seed of everything random; 0 without this word |
//!
//! KIND is `attach` (and detach), `subscribe` (and unsubscribe), `publish` or `ping`. TIME is a whole number with `s`,
//! `ms`, `us` or `ns`, at most a day. No words at all: every packet is processed at once.

#[cfg(test)]
mod tests;

use core::error::Error;
use core::fmt;
use core::num::NonZeroU32;
use core::str::FromStr;
use core::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{MAX_TIME, Queues, Service, ServiceKind, Stall, Tail};

const WORDS: &str = "one, per-kind, workers=, attach=, subscribe=, publish=, ping=, tail=, burst=, buffer=, lose=, \
                     lose-attach=, lose-subscribe=, lose-publish=, lose-ping=, ignore=, ignore-publish=, \
                     ignore-all=, stall= or seed=";
const TIME: &str = "a whole number with s, ms, us or ns, such as 400ms, at most a day";
const COUNT: &str = "a number from 1 to 4294967295";
const SHARE: &str = "a number of a thousand, such as 100/1000";
const DEVICES: &str = "names of devices, separated by commas";

/// The reason why a text is not a service; its text says what would be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceError {
    /// There is no such word.
    Unknown {
        /// The word.
        word: String,
    },
    /// The value of a word is not valid.
    Value {
        /// The word, with its value.
        word: String,
        /// What would be valid after `=`.
        expected: &'static str,
    },
    /// The same was said twice, or its opposite.
    Repeated {
        /// The second of the words.
        word: String,
    },
}

impl FromStr for Service {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        let mut service = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for word in text.split_whitespace() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            let topic = if name == "per-kind" { "one" } else { name };
            if seen.contains(&topic) {
                let word = word.to_owned();
                return Err(ServiceError::Repeated { word });
            }
            seen.push(topic);
            service.read(word, name, value)?;
        }
        Ok(service)
    }
}

impl Service {
    fn read(&mut self, word: &str, name: &str, value: Option<&str>) -> Result<(), ServiceError> {
        let unknown = || ServiceError::Unknown {
            word: word.to_owned(),
        };
        let wrong = |expected| ServiceError::Value {
            word: word.to_owned(),
            expected,
        };
        match (name, value) {
            ("one", None) => self.queues = Queues::One,
            ("per-kind", None) => self.queues = Queues::PerKind,
            (_, None) => return Err(unknown()),
            ("workers", Some(value)) => self.workers = value.parse().map_err(|_| wrong(COUNT))?,
            ("tail", Some(value)) => {
                const EXPECTED: &str = "SHAPE:MAX, such as 1.5:20, SHAPE from 0.001 to 1000 with at most three decimals";
                self.tail = Some(tail(value).ok_or_else(|| wrong(EXPECTED))?);
            }
            ("burst", Some(value)) => {
                let period = time(value).filter(|period| !period.is_zero());
                self.burst = Some(period.ok_or_else(|| wrong(TIME))?);
            }
            ("buffer", Some(value)) => {
                self.buffer = Some(value.parse().map_err(|_| wrong(COUNT))?);
            }
            ("stall", Some(value)) => {
                const EXPECTED: &str = "when, + and how long, such as 60s+5s, each at most a day";
                self.stall = Some(stall(value).ok_or_else(|| wrong(EXPECTED))?);
            }
            ("seed", Some(value)) => {
                const EXPECTED: &str = "a number from 0 to 18446744073709551615";
                self.seed = value.parse().map_err(|_| wrong(EXPECTED))?;
            }
            ("ignore", Some(value)) => {
                self.ignored = devices(value).ok_or_else(|| wrong(DEVICES))?;
            }
            ("ignore-publish", Some(value)) => {
                self.ignored_publications = devices(value).ok_or_else(|| wrong(DEVICES))?;
            }
            ("ignore-all", Some(value)) => {
                self.ignored_entirely = devices(value).ok_or_else(|| wrong(DEVICES))?;
            }
            ("lose", Some(value)) => {
                let lost = share(value).ok_or_else(|| wrong(SHARE))?;
                for kind in ServiceKind::ALL {
                    self.work_mut(kind).lost = lost;
                }
            }
            (name, Some(value)) => {
                let (is_share, kind) = match name.strip_prefix("lose-") {
                    Some(kind) => (true, kind),
                    None => (false, name),
                };
                let mut kinds = ServiceKind::ALL.into_iter();
                let kind = kinds.find(|one| one.word() == kind).ok_or_else(unknown)?;
                match is_share {
                    true => {
                        self.work_mut(kind).lost = share(value).ok_or_else(|| wrong(SHARE))?;
                    }
                    false => self.work_mut(kind).time = time(value).ok_or_else(|| wrong(TIME))?,
                }
            }
        }
        Ok(())
    }
}

fn time(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let number: u64 = number.parse().ok()?;
    let time = match unit {
        "s" => Duration::from_secs(number),
        "ms" => Duration::from_millis(number),
        "us" => Duration::from_micros(number),
        "ns" => Duration::from_nanos(number),
        _ => return None,
    };
    (time <= MAX_TIME).then_some(time)
}

fn tail(text: &str) -> Option<Tail> {
    let (shape, limit) = text.split_once(':')?;
    let (whole, decimals) = shape.split_once('.').unwrap_or((shape, "0"));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || !(1..=3).contains(&decimals.len()) {
        return None;
    }
    let thousandths = format!("{decimals:0<3}").parse::<u32>().ok()?;
    let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 1_000)?;
    Some(Tail {
        shape: NonZeroU32::new((whole * 1_000 + thousandths).min(1_000_000))?,
        limit: limit.parse().ok()?,
    })
}

fn stall(text: &str) -> Option<Stall> {
    let (from, duration) = text.split_once('+')?;
    Some(Stall {
        from: time(from)?,
        duration: time(duration)?,
    })
}

fn share(text: &str) -> Option<u16> {
    let share = text.strip_suffix("/1000")?.parse().ok()?;
    (share <= 1_000).then_some(share)
}

fn devices(text: &str) -> Option<Vec<String>> {
    let devices: Vec<String> = text.split(',').map(str::to_owned).collect();
    devices
        .iter()
        .all(|device| !device.is_empty())
        .then_some(devices)
}

/// Only what differs from the default, in the order of the table; the empty text for the default.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

impl Service {
    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.queues == Queues::PerKind {
            words.push("per-kind".to_owned());
        }
        if self.workers != NonZeroU32::MIN {
            words.push(format!("workers={}", self.workers));
        }
        for kind in ServiceKind::ALL {
            let time = self.work(kind).time;
            if !time.is_zero() {
                words.push(format!("{}={}", kind.word(), Time(time)));
            }
        }
        if let Some(tail) = self.tail {
            let shape = format!(
                "{}.{:03}",
                tail.shape.get() / 1_000,
                tail.shape.get() % 1_000
            );
            let shape = shape.trim_end_matches('0').trim_end_matches('.');
            words.push(format!("tail={shape}:{}", tail.limit));
        }
        words.extend(self.burst.map(|period| format!("burst={}", Time(period))));
        words.extend(self.buffer.map(|most| format!("buffer={most}")));
        let lost = ServiceKind::ALL.map(|kind| self.work(kind).lost);
        match lost {
            [0, 0, 0, 0] => {}
            [all, subscribe, publish, ping] if [subscribe, publish, ping] == [all; 3] => {
                words.push(format!("lose={all}/1000"));
            }
            _ => {
                let lost = ServiceKind::ALL.into_iter().zip(lost);
                let lost = lost.filter(|(_, lost)| *lost > 0);
                words.extend(lost.map(|(kind, lost)| format!("lose-{}={lost}/1000", kind.word())));
            }
        }
        for (name, devices) in [
            ("ignore", &self.ignored),
            ("ignore-publish", &self.ignored_publications),
            ("ignore-all", &self.ignored_entirely),
        ] {
            if !devices.is_empty() {
                words.push(format!("{name}={}", devices.join(",")));
            }
        }
        words.extend(
            self.stall
                .map(|stall| format!("stall={}+{}", Time(stall.from), Time(stall.duration))),
        );
        if self.seed != 0 {
            words.push(format!("seed={}", self.seed));
        }
        words
    }
}

/// A time, in the largest unit of which it is a whole number.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        for (unit, length) in [("s", 1_000_000_000_u128), ("ms", 1_000_000), ("us", 1_000)] {
            if nanos.is_multiple_of(length) {
                return write!(f, "{}{unit}", nanos / length);
            }
        }
        write!(f, "{nanos}ns")
    }
}

impl Serialize for Service {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Service {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { word } => write!(f, "there is no {word:?}; there are {WORDS}"),
            Self::Value { word, expected } => {
                write!(f, "{word:?} has to have {expected} after its =")
            }
            Self::Repeated { word } => write!(f, "{word:?} says again what was said before"),
        }
    }
}

impl Error for ServiceError {}
