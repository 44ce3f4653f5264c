//! How a publication is to be sent, and which operation is cancelled.

use core::time::Duration;

use iotcore_gateway::message::{Priority, QoS};

use super::{Command, with_qos};

/// How a publication is to be sent, besides its quality of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Its priority.
    pub priority: Priority,
    /// When it is too old.
    pub expires_after: Option<Duration>,
    /// Whether it has a tag, which is its number.
    pub is_tagged: bool,
}

/// Which operations one is chosen of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Publications that have not ended.
    Pending,
    /// Those of them that were queued for transmission on this connection.
    InFlight,
    /// All operations so far, and one that does not exist.
    Any,
}

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// The times until a publication expires, in bytes.
const EXPIRIES: [Option<Duration>; 14] = [
    None,
    Some(Duration::ZERO),
    Some(MILLI),
    Some(Duration::from_millis(10)),
    Some(Duration::from_millis(50)),
    Some(Duration::from_millis(200)),
    Some(SECOND),
    Some(Duration::from_secs(3)),
    Some(Duration::from_secs(10)),
    Some(Duration::from_secs(31)),
    Some(Duration::from_secs(60)),
    Some(Duration::from_secs(300)),
    Some(Duration::from_secs(1_200)),
    Some(Duration::from_secs(6 * 3_600)),
];

const URGENT: u8 = 0x80;
const TAGGED: u8 = 0x40;

/// The size from which on sizes are counted in thousands, in a step with terms.
const EXACT: u8 = 192;

const CHOICES: [Choice; 8] = [
    Choice::Pending,
    Choice::InFlight,
    Choice::Any,
    Choice::Pending,
    Choice::Pending,
    Choice::Pending,
    Choice::InFlight,
    Choice::InFlight,
];

impl Terms {
    fn from_byte(byte: u8) -> Self {
        let expiry = usize::from(byte & !(URGENT | TAGGED));
        Self {
            priority: match byte & URGENT {
                0 => Priority::Ordinary,
                _ => Priority::Urgent,
            },
            expires_after: EXPIRIES[expiry % EXPIRIES.len()],
            is_tagged: byte & TAGGED != 0,
        }
    }

    /// Takes the longest time of [`EXPIRIES`] that is not longer.
    fn to_byte(self) -> u8 {
        let expiry = EXPIRIES
            .iter()
            .rposition(|time| *time <= self.expires_after);
        let urgent = match self.priority {
            Priority::Urgent => URGENT,
            _ => 0,
        };
        let tagged = if self.is_tagged { TAGGED } else { 0 };
        expiry.unwrap_or(0) as u8 | urgent | tagged
    }
}

impl Choice {
    pub(super) fn from_byte(byte: u8) -> Self {
        CHOICES[usize::from(byte) % CHOICES.len()]
    }

    pub(super) fn to_byte(self) -> u8 {
        let place = CHOICES.iter().position(|choice| *choice == self);
        place.unwrap_or(0) as u8
    }
}

/// Returns a publication with terms: its device, its size and its terms.
pub(super) fn publication(
    is_state: bool,
    (device, qos): (usize, QoS),
    size: u8,
    terms: u8,
) -> Command {
    let size = match size.checked_sub(EXACT) {
        None => u16::from(size),
        Some(thousands) => u16::from(EXACT) + u16::from(thousands) * 1_000,
    };
    let terms = Terms::from_byte(terms);
    match is_state {
        true => Command::State {
            device,
            qos,
            size,
            terms,
        },
        false => Command::Telemetry {
            device,
            qos,
            size,
            terms,
        },
    }
}

/// Returns the bytes of a publication, after its kind: without terms its size is exact.
pub(super) fn to_bytes(
    [plain, with_terms]: [u8; 2],
    (device, qos): (usize, QoS),
    size: u16,
    terms: Terms,
) -> [u8; 4] {
    let a = with_qos(device, qos);
    if terms == Terms::default() {
        let [b, c] = size.to_le_bytes();
        return [plain, a, b, c];
    }
    let thousands = size.checked_sub(u16::from(EXACT)).map(|more| more / 1_000);
    let size = match thousands {
        None => size as u8,
        Some(thousands) => EXACT + thousands.min(u16::from(u8::MAX - EXACT)) as u8,
    };
    [with_terms, a, size, terms.to_byte()]
}

#[cfg(test)]
mod tests {
    use super::super::DEVICES;
    use super::*;

    #[test]
    fn every_byte_is_terms_and_all_terms_are_encoded() {
        for byte in 0..=u8::MAX {
            let terms = Terms::from_byte(byte);
            assert_eq!(Terms::from_byte(terms.to_byte()), terms);
            let choice = Choice::from_byte(byte);
            assert_eq!(Choice::from_byte(choice.to_byte()), choice);
        }
        assert_eq!(Terms::from_byte(0), Terms::default());
        assert!(DEVICES.len() < 128);
    }
}
