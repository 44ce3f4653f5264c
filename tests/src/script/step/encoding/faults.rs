//! Encodes the bridge's faults.

use core::num::{NonZeroU8, NonZeroU32, NonZeroUsize};

use super::super::DEVICES;
use crate::bridge::faults::{
    AnswerKind, CutMoment, FaultKind, Grant, PacketKind, RefuseBy, Treatment,
};

/// Returns the fault that the four bytes of a step encode.
pub(super) fn from_bytes([kind, a, b, c]: [u8; 4]) -> FaultKind {
    let count = NonZeroU32::new(u32::from(b % 8));
    let answer = pick(AnswerKind::ALL, a);
    let answers = |treatment| FaultKind::Answer { answer, treatment };
    let refuse = |by| FaultKind::Refuse { count, by };
    match kind {
        20 => refuse(RefuseBy::Close),
        21 => refuse(RefuseBy::Reset),
        22 => refuse(RefuseBy::Silence),
        23 => refuse(RefuseBy::Connack(
            NonZeroU8::new(a).unwrap_or(NonZeroU8::MIN),
        )),
        24 => answers(Treatment::Hold { count }),
        25 => answers(Treatment::Delay {
            millis: NonZeroU32::MIN.saturating_add(u32::from(c) * 200),
            count,
        }),
        26 => answers(Treatment::Double { count }),
        27 => answers(Treatment::Reorder {
            group: NonZeroU32::MIN.saturating_add(1 + u32::from(b % 4)),
        }),
        28 => FaultKind::Release { answer },
        29 => FaultKind::Segment {
            length: NonZeroUsize::MIN.saturating_add(usize::from(a)),
        },
        30 => FaultKind::LoseReports { count },
        31 => FaultKind::Cut {
            moment: pick(CutMoment::ALL, b),
            packet: pick(PacketKind::ALL, a),
        },
        51 => poison(a, b, c),
        52 => FaultKind::Grant {
            grant: pick(Grant::ALL, a),
            count,
        },
        57 => FaultKind::Limit {
            bytes: NonZeroU32::MIN.saturating_add(u32::from(a) * 64),
        },
        _ => FaultKind::Clear,
    }
}

/// Returns four bytes that encode a fault. Those that have their own kinds of steps are taken for a clear.
pub(super) fn to_bytes(fault: &FaultKind) -> [u8; 4] {
    match fault {
        FaultKind::Refuse { count, by } => match by {
            RefuseBy::Close => [20, 0, counted(*count), 0],
            RefuseBy::Reset => [21, 0, counted(*count), 0],
            RefuseBy::Silence => [22, 0, counted(*count), 0],
            RefuseBy::Connack(code) => [23, code.get(), counted(*count), 0],
        },
        FaultKind::Answer { answer, treatment } => {
            let answer = place(AnswerKind::ALL, answer);
            match treatment {
                Treatment::Hold { count } => [24, answer, counted(*count), 0],
                Treatment::Delay { millis, count } => {
                    let delay = ((millis.get() - 1) / 200) as u8;
                    [25, answer, counted(*count), delay]
                }
                Treatment::Double { count } => [26, answer, counted(*count), 0],
                Treatment::Reorder { group } => [27, answer, (group.get() - 2) as u8, 0],
            }
        }
        FaultKind::Release { answer } => [28, place(AnswerKind::ALL, answer), 0, 0],
        FaultKind::Segment { length } => [29, (length.get() - 1) as u8, 0, 0],
        FaultKind::LoseReports { count } => [30, 0, counted(*count), 0],
        FaultKind::Cut { moment, packet } => {
            let (moment, packet) = (
                place(CutMoment::ALL, moment),
                place(PacketKind::ALL, packet),
            );
            [31, packet, moment, 0]
        }
        FaultKind::Poison {
            packet,
            device,
            prefix,
        } => {
            let device = place(&DEVICES, &device.as_str());
            let packet = place(PacketKind::ABOUT_DEVICES, packet);
            [51, device, packet, publication(prefix)]
        }
        FaultKind::Grant { grant, count } => [52, place(Grant::ALL, grant), counted(*count), 0],
        FaultKind::Limit { bytes } => [57, ((bytes.get() - 1) / 64) as u8, 0, 0],
        FaultKind::Clear
        | FaultKind::Raw { .. }
        | FaultKind::Rate { .. }
        | FaultKind::Service { .. }
        | FaultKind::Stall { .. } => [32, 0, 0, 0],
    }
}

/// Returns a poison for a device: any packet of a kind, or the publications whose number begins with some digits.
fn poison(device: u8, packet: u8, number: u8) -> FaultKind {
    let packet = pick(PacketKind::ABOUT_DEVICES, packet);
    let has_payload = matches!(
        packet,
        PacketKind::Publish | PacketKind::Telemetry | PacketKind::State
    );
    let prefix = match number.checked_sub(1).filter(|_| has_payload) {
        None => Vec::new(),
        Some(number) => format!("p{number}").into_bytes(),
    };
    FaultKind::Poison {
        packet,
        device: pick(&DEVICES, device).to_owned(),
        prefix,
    }
}

/// Returns the number from which [`poison`] derives a prefix.
fn publication(prefix: &[u8]) -> u8 {
    let text = core::str::from_utf8(prefix).unwrap_or_default();
    let number: Option<u8> = text
        .strip_prefix('p')
        .and_then(|digits| digits.parse().ok());
    number.map_or(0, |number| number.saturating_add(1))
}

fn pick<T: Copy>(all: &[T], number: u8) -> T {
    all[usize::from(number) % all.len()]
}

fn place<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|of| of == one).unwrap_or(0) as u8
}

fn counted(count: Option<NonZeroU32>) -> u8 {
    count.map_or(0, |count| count.get() as u8)
}
