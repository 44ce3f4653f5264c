//! Encodes steps as bytes: a kind and three numbers each.

mod faults;

use core::time::Duration;

use iotcore_gateway::{
    cause::TransportEnd,
    message::{QoS, Subscription},
};

use super::terms;
use super::{
    Choice, CloudOperation, Command, DEVICES, NetworkFault, REPORTS, Step, Stray, Terms, Tokens,
};
use crate::link::Side;
use crate::script::world::Slowness;

/// The maximum wait of a step; longer ones are clamped.
const MAX_WAIT: Duration = Duration::from_secs(1_800);

/// The longest sleep of a step.
const MAX_SLEEP: Duration = Duration::from_secs(9_000);

const UNITS: [Duration; 4] = [
    Duration::from_millis(1),
    Duration::from_millis(50),
    Duration::from_secs(1),
    Duration::from_secs(10),
];

const ENDS: [TransportEnd; 5] = [
    TransportEnd::DialFailed,
    TransportEnd::TlsFailed,
    TransportEnd::TokenFailed,
    TransportEnd::PeerClosed,
    TransportEnd::Broken,
];

const TOKENS: [Tokens; 3] = [Tokens::Fixed, Tokens::Renewable, Tokens::ToCome];

/// The number of kinds of steps.
pub const KINDS: u8 = 58;

/// The number of kinds before those of a slow world were added; a first byte that is no kind is taken modulo this number.
const OLDER_KINDS: u8 = 46;

impl Step {
    /// Returns the step that four bytes encode: its kind and three numbers. Any bytes are valid.
    pub fn from_bytes([kind, a, b, c]: [u8; 4]) -> Self {
        let device = usize::from(a) % DEVICES.len();
        let number = u16::from_le_bytes([b, c]);
        let lifetime = Duration::from_secs(u64::from(number).max(1));
        let qos = [QoS::AtLeastOnce, QoS::AtMostOnce][usize::from(a >> 7)];
        let subscription = [Subscription::Config, Subscription::Commands][usize::from(b % 2)];
        let side = [Side::Gateway, Side::Bridge][usize::from(a % 2)];
        match if kind < KINDS {
            kind
        } else {
            kind % OLDER_KINDS
        } {
            0 => Self::Wait(span(a, number).min(MAX_WAIT)),
            1 => Self::User(Command::Open),
            2 => Self::User(Command::Attach {
                device,
                lifetime,
                tokens: TOKENS[usize::from(a) / DEVICES.len() % TOKENS.len()],
            }),
            3 => Self::User(Command::Authorize { device, lifetime }),
            4 => Self::User(Command::Detach { device }),
            5 => Self::User(Command::Telemetry {
                device,
                qos,
                size: number,
                terms: Terms::default(),
            }),
            6 => Self::User(Command::State {
                device,
                qos,
                size: number,
                terms: Terms::default(),
            }),
            53 | 54 => Self::User(terms::publication(kind == 54, (device, qos), b, c)),
            55 => Self::User(Command::Cancel {
                choice: Choice::from_byte(a),
                nth: b,
            }),
            56 => Self::User(Command::ResetWorstLatency),
            7 => Self::User(Command::Subscribe {
                device,
                subscription,
                qos,
            }),
            8 => Self::User(Command::Unsubscribe {
                device,
                subscription,
            }),
            9 if b % 4 == 1 => Self::User(Command::Postpone { delivery: a }),
            9 => Self::User(Command::Acknowledge { delivery: a }),
            10 => Self::User(Command::Close),
            11 => Self::User(Command::Restart),
            12 => Self::Cloud(CloudOperation::Config {
                device,
                size: number % 1_024,
            }),
            13 => Self::Cloud(CloudOperation::Command {
                device,
                size: number % 1_024,
            }),
            14 => Self::Cloud(CloudOperation::Detach { device }),
            15 => Self::Cloud(CloudOperation::DropConnection),
            16 => Self::Cloud(CloudOperation::Block { device }),
            17 => Self::Cloud(CloudOperation::Unblock { device }),
            18 => Self::Cloud(CloudOperation::Bind { device }),
            19 => Self::Cloud(CloudOperation::Unbind { device }),
            20..=32 | 51 | 52 | 57 => Self::Fault(faults::from_bytes([kind, a, b, c])),
            33 => Self::Stray(Stray::from_bytes(a, b)),
            34 => Self::Report {
                device,
                error: usize::from(b) % REPORTS.len(),
                packet_id: c,
            },
            35 => Self::Network(NetworkFault::Latency(Duration::from_millis(u64::from(
                number % 5_000,
            )))),
            36 => Self::Network(NetworkFault::Fragment(number.max(1))),
            37 => Self::Network(NetworkFault::Capacity(number.max(1))),
            38 => Self::Network(NetworkFault::Cut),
            39 => Self::Network(NetworkFault::CutAfter {
                side,
                bytes: number,
            }),
            40 => Self::Network(NetworkFault::HalfOpen),
            41 => Self::Network(NetworkFault::Flip {
                side,
                bytes: b,
                bit: c % 8,
            }),
            42 => Self::Network(NetworkFault::Stall(span(a, number).min(MAX_WAIT))),
            43 => Self::Network(NetworkFault::FailDials {
                count: b % 16,
                end: ENDS[usize::from(a) % ENDS.len()],
            }),
            44 => Self::LeaveUnpolled(span(a, number).min(MAX_WAIT)),
            46 => Self::Slow(Slowness::from_bytes(a, b, c)),
            47 => Self::StallService(span(a, number).min(MAX_WAIT)),
            48 => Self::Network(NetworkFault::Rate {
                to: [None, Some(Side::Gateway), Some(Side::Bridge)][usize::from(a % 3)],
                bytes: number,
            }),
            49 => Self::Sleep(span(a, number).min(MAX_SLEEP)),
            50 => [Self::ForgetDate, Self::SetDate][usize::from(a % 2)].clone(),
            _ => match a % 2 {
                0 => Self::ClockError(i16::from_le_bytes([b, c])),
                _ => Self::TokenLifetime(lifetime),
            },
        }
    }

    /// Returns four bytes that encode this step.
    pub fn to_bytes(&self) -> [u8; 4] {
        let with = |kind: u8, a: usize, number: u16| {
            let [b, c] = number.to_le_bytes();
            [kind, a as u8, b, c]
        };
        match self {
            Self::Wait(duration) => timed(0, *duration),
            Self::User(command) => command.to_bytes(),
            Self::Cloud(operation) => operation.to_bytes(),
            Self::Fault(fault) => faults::to_bytes(fault),
            Self::Stray(stray) => stray.to_bytes(),
            Self::Report {
                device,
                error,
                packet_id,
            } => [34, *device as u8, *error as u8, *packet_id],
            Self::Network(weather) => weather.to_bytes(),
            Self::LeaveUnpolled(duration) => timed(44, *duration),
            Self::Slow(slow) => [46, slow.speed, slow.style, slow.seed],
            Self::StallService(duration) => timed(47, *duration),
            Self::Sleep(duration) => timed(49, *duration),
            Self::ForgetDate => [50, 0, 0, 0],
            Self::SetDate => [50, 1, 0, 0],
            Self::ClockError(seconds) => with(45, 0, seconds.cast_unsigned()),
            Self::TokenLifetime(lifetime) => with(45, 1, lifetime.as_secs() as u16),
        }
    }
}

fn span(unit: u8, count: u16) -> Duration {
    UNITS[usize::from(unit) % UNITS.len()] * u32::from(count)
}

/// Encodes a kind of step with a duration, in the finest unit in which it fits.
fn timed(kind: u8, duration: Duration) -> [u8; 4] {
    let tell = |(unit, length): (usize, &Duration)| {
        let count = u16::try_from(duration.as_millis() / length.as_millis()).ok()?;
        let [b, c] = count.to_le_bytes();
        Some([kind, unit as u8, b, c])
    };
    UNITS
        .iter()
        .enumerate()
        .find_map(tell)
        .unwrap_or([kind, 3, 0xFF, 0xFF])
}

impl Command {
    fn to_bytes(self) -> [u8; 4] {
        let lived = |kind: u8, device: usize, lifetime: Duration| {
            let [b, c] = (lifetime.as_secs() as u16).to_le_bytes();
            [kind, device as u8, b, c]
        };
        let which = |subscription| u8::from(subscription == Subscription::Commands);
        match self {
            Self::Open => [1, 0, 0, 0],
            Self::Attach {
                device,
                lifetime,
                tokens,
            } => {
                let tokens = TOKENS.iter().position(|of| *of == tokens);
                lived(2, device + DEVICES.len() * tokens.unwrap_or(0), lifetime)
            }
            Self::Authorize { device, lifetime } => lived(3, device, lifetime),
            Self::Detach { device } => [4, device as u8, 0, 0],
            Self::Telemetry {
                device,
                qos,
                size,
                terms,
            } => terms::to_bytes([5, 53], (device, qos), size, terms),
            Self::State {
                device,
                qos,
                size,
                terms,
            } => terms::to_bytes([6, 54], (device, qos), size, terms),
            Self::Cancel { choice, nth } => [55, choice.to_byte(), nth, 0],
            Self::ResetWorstLatency => [56, 0, 0, 0],
            Self::Subscribe {
                device,
                subscription,
                qos,
            } => [7, with_qos(device, qos), which(subscription), 0],
            Self::Unsubscribe {
                device,
                subscription,
            } => [8, device as u8, which(subscription), 0],
            Self::Acknowledge { delivery } => [9, delivery, 0, 0],
            Self::Postpone { delivery } => [9, delivery, 1, 0],
            Self::Close => [10, 0, 0, 0],
            Self::Restart => [11, 0, 0, 0],
        }
    }
}

/// Encodes a device and a quality of service in one byte: 128 and above means QoS 0.
pub(super) fn with_qos(device: usize, qos: QoS) -> u8 {
    match qos {
        QoS::AtLeastOnce => device as u8,
        QoS::AtMostOnce => {
            let past = (128_usize).next_multiple_of(DEVICES.len());
            (past + device) as u8
        }
    }
}

impl CloudOperation {
    fn to_bytes(self) -> [u8; 4] {
        let sized = |kind: u8, device: usize, size: u16| {
            let [b, c] = size.to_le_bytes();
            [kind, device as u8, b, c]
        };
        match self {
            Self::Config { device, size } => sized(12, device, size),
            Self::Command { device, size } => sized(13, device, size),
            Self::Detach { device } => [14, device as u8, 0, 0],
            Self::DropConnection => [15, 0, 0, 0],
            Self::Block { device } => [16, device as u8, 0, 0],
            Self::Unblock { device } => [17, device as u8, 0, 0],
            Self::Bind { device } => [18, device as u8, 0, 0],
            Self::Unbind { device } => [19, device as u8, 0, 0],
        }
    }
}

impl Stray {
    fn from_bytes(kind: u8, number: u8) -> Self {
        match kind % 8 {
            0 => Self::Puback(number),
            1 => Self::Suback(number),
            2 => Self::Unsuback(number),
            3 => Self::Pingresp,
            4 => Self::Connack(number),
            5 => Self::Publish(number),
            6 => Self::BadSuback(number),
            _ => Self::Garbage,
        }
    }

    fn to_bytes(self) -> [u8; 4] {
        let (kind, number) = match self {
            Self::Puback(id) => (0, id),
            Self::Suback(id) => (1, id),
            Self::Unsuback(id) => (2, id),
            Self::Pingresp => (3, 0),
            Self::Connack(code) => (4, code),
            Self::Publish(id) => (5, id),
            Self::BadSuback(id) => (6, id),
            Self::Garbage => (7, 0),
        };
        [33, kind, number, 0]
    }
}

impl NetworkFault {
    fn to_bytes(self) -> [u8; 4] {
        let with = |kind: u8, a: u8, number: u16| {
            let [b, c] = number.to_le_bytes();
            [kind, a, b, c]
        };
        let at = |side| u8::from(side == Side::Bridge);
        match self {
            Self::Latency(latency) => with(35, 0, latency.as_millis() as u16),
            Self::Fragment(length) => with(36, 0, length),
            Self::Capacity(bytes) => with(37, 0, bytes),
            Self::Cut => with(38, 0, 0),
            Self::CutAfter { side, bytes } => with(39, at(side), bytes),
            Self::HalfOpen => with(40, 0, 0),
            Self::Flip { side, bytes, bit } => [41, at(side), bytes, bit],
            Self::Stall(duration) => timed(42, duration),
            Self::Rate { to, bytes } => {
                let to = match to {
                    None => 0,
                    Some(Side::Gateway) => 1,
                    Some(Side::Bridge) => 2,
                };
                with(48, to, bytes)
            }
            Self::FailDials { count, end } => {
                let end = ENDS.iter().position(|of| *of == end).unwrap_or(0);
                [43, end as u8, count, 0]
            }
        }
    }
}
