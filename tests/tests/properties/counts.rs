//! What can be counted in a history, or in the bytes that a gateway has written, without the model.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use iotcore_gateway::{Event, OpId, message::QoS};
use iotcore_gateway_testkit::{
    packets,
    script::{Command, History, Step, What},
};

/// Returns, for each process, the operations that were started, and those that ended with their number of ends.
pub(crate) fn operations(history: &History) -> Vec<(BTreeSet<String>, BTreeMap<OpId, u32>)> {
    let mut processes = vec![Default::default()];
    for entry in history.entries() {
        let Some((given, ended)): Option<&mut (BTreeSet<String>, BTreeMap<OpId, u32>)> =
            processes.last_mut()
        else {
            break;
        };
        match &entry.what {
            What::Step { step, answer } => {
                if *step == Step::from_bytes([11, 0, 0, 0]) {
                    processes.push(Default::default());
                } else if let Some(op) = answer.split(',').next().filter(|op| op.starts_with('#')) {
                    given.insert(op.to_owned());
                }
            }
            What::Event(Event::Done { op, .. } | Event::Failed { op, .. }) => {
                *ended.entry(*op).or_default() += 1;
            }
            _ => {}
        }
    }
    processes
}

/// Returns the number of a publication in its payload.
pub(crate) fn number_in(payload: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(payload).ok()?;
    text.strip_prefix('p')?.split_once('.')?.0.parse().ok()
}

/// Returns the numbers of the publications in written bytes, in order.
pub(crate) fn written(bytes: &[u8]) -> Vec<u32> {
    let (mut rest, mut numbers) = (bytes, Vec::new());
    while let Some((first, body, behind)) = packets::split(rest) {
        let topic = body
            .split_first_chunk()
            .map(|(length, _)| u16::from_be_bytes(*length));
        let id = if first & 0b0110 == 0 { 0 } else { 2 };
        let payload = topic.and_then(|topic| body.get(2 + usize::from(topic) + id..));
        if first >> 4 == 3 {
            numbers.extend(payload.and_then(number_in));
        }
        rest = behind;
    }
    numbers
}

/// Returns the number of a publication that was accepted and expires, and when.
pub(crate) fn deadline(step: &Step, answer: &str, at: Duration) -> Option<(u32, Duration)> {
    let (Step::User(Command::Telemetry { terms, .. }) | Step::User(Command::State { terms, .. })) =
        step
    else {
        return None;
    };
    let (_, number) = answer.split_once(", number ")?;
    Some((number.parse().ok()?, at + terms.expires_after?))
}

/// Returns how many publications were accepted at QoS 1.
pub(crate) fn at_qos_1(history: &History) -> u64 {
    let accepted = history.entries().iter().filter(|entry| match &entry.what {
        What::Step {
            step:
                Step::User(
                    Command::Telemetry {
                        qos: QoS::AtLeastOnce,
                        ..
                    }
                    | Command::State {
                        qos: QoS::AtLeastOnce,
                        ..
                    },
                ),
            answer,
        } => answer.contains("number"),
        _ => false,
    });
    accepted.count() as u64
}
