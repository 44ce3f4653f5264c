//! Runs a row: unfragmented, and in fragments.

use std::time::Duration;

use iotcore_gateway::{Event, Stats, cause::DisconnectReason};

use crate::{
    Expect, Row, after,
    peer::{Harness, Sent, parse},
};

/// The maximum length in bytes of a row that runs at every split.
const EVERY_SPLIT: usize = 512;

/// The observed reaction to a row.
#[derive(Clone, Debug, PartialEq)]
struct Outcome {
    events: Vec<Event>,
    sent: Vec<u8>,
    stats: Stats,
}

/// The fragmentation of a row's bytes.
#[derive(Clone, Copy, Debug)]
enum Fragmentation {
    Whole,
    /// In two fragments, the first with this length.
    Split(usize),
    Bytes,
}

impl Fragmentation {
    /// Returns the unfragmented form, every split in two, and byte by byte. The splits of a long input are limited to
    /// those near its start and end, and a sample between.
    fn all(len: usize) -> impl Iterator<Item = Self> {
        let is_included = move |at: &usize| {
            len <= EVERY_SPLIT || *at <= 64 || len - *at <= 64 || at.is_multiple_of(4_099)
        };
        let splits = (1..len).filter(is_included).map(Self::Split);
        std::iter::once(Self::Whole)
            .chain(splits)
            .chain((len > 2).then_some(Self::Bytes))
    }

    fn fragments(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Whole => vec![bytes],
            Self::Split(at) => {
                let (first, second) = bytes.split_at(at);
                vec![first, second]
            }
            Self::Bytes => bytes.chunks(1).collect(),
        }
    }
}

/// Runs a row with every fragmentation: checks that the reaction is as expected, that the fragmentation makes no
/// difference, and that the gateway still works. Returns the number of runs.
pub(crate) fn row(row: &Row) -> usize {
    let label = row.label();
    let mut whole = None;
    let mut runs = 0;
    for fragmentation in Fragmentation::all(row.bytes.len()) {
        let (harness, outcome) = observe(row, &fragmentation.fragments(&row.bytes));
        let whole = whole.get_or_insert_with(|| {
            check(row, &outcome, &label);
            outcome.clone()
        });
        assert_eq!(outcome, *whole, "{label}, {fragmentation:?}");
        after::check(row, harness, &label);
        runs += 1;
    }
    runs
}

fn observe(row: &Row, fragments: &[&[u8]]) -> (Harness, Outcome) {
    let mut harness = row.stage.harness();
    let waiting = harness.gateway.poll_transmit().to_vec();
    let before = harness.gateway.stats().unsolicited;
    for fragment in fragments {
        harness.receive(fragment);
    }
    let mut sent = waits(&mut harness, row.then, waiting.is_empty());
    let events = harness.events();
    sent.extend(take(&mut harness));
    let sent = sent.strip_prefix(&waiting[..]).unwrap_or(&sent).to_vec();
    let mut stats = harness.gateway.stats();
    stats.unsolicited -= before;
    (
        harness,
        Outcome {
            events,
            sent,
            stats,
        },
    )
}

/// Lets a silence pass. At each deadline the transport takes the bytes that are queued, unless it is stalled. Returns
/// them.
fn waits(harness: &mut Harness, silence: Duration, is_taking: bool) -> Vec<u8> {
    let mut taken = Vec::new();
    let end = harness.now + silence;
    while let Some(next) = harness.gateway.poll_timeout()
        && next <= end
    {
        harness.wait(next - harness.now);
        if is_taking {
            taken.extend(take(harness));
        }
    }
    harness.wait(end - harness.now);
    taken
}

fn take(harness: &mut Harness) -> Vec<u8> {
    let mut taken = Vec::new();
    while !harness.gateway.poll_transmit().is_empty() {
        let bytes = harness.gateway.poll_transmit().to_vec();
        harness.gateway.handle_transmitted(bytes.len(), harness.now);
        taken.extend(bytes);
    }
    taken
}

/// Compares the reaction to an unfragmented row with the expected one.
fn check(row: &Row, outcome: &Outcome, label: &str) {
    let ended = outcome.events.iter().filter_map(|event| match event {
        Event::Disconnected(disconnected) => Some(&disconnected.reason),
        _ => None,
    });
    let ended: Vec<_> = ended.collect();
    let lines: Vec<_> = outcome
        .events
        .iter()
        .map(event_text)
        .chain(parse(&outcome.sent).iter().map(answer_text))
        .collect();
    let lines = lines.join(", ");
    match &row.expect {
        Expect::Closes(violation) => {
            assert_eq!(
                ended,
                [&DisconnectReason::Violation(*violation)],
                "{label}: {lines}"
            );
            assert!(outcome.sent.is_empty(), "{label}");
        }
        Expect::Refuses(code) => {
            let is_refused = matches!(ended[..], [DisconnectReason::Refused(refusal)] if refusal.return_code == *code);
            assert!(is_refused, "{label}: {lines}");
            assert!(outcome.sent.is_empty(), "{label}");
        }
        Expect::TimesOut(reason) => assert_eq!(ended, [reason], "{label}: {lines}"),
        Expect::Ignores(unsolicited) => {
            assert_eq!(lines, "", "{label}");
            assert_eq!(outcome.stats.unsolicited, *unsolicited, "{label}");
        }
        Expect::Tolerates(expected) => assert_eq!(lines, *expected, "{label}"),
    }
}

/// Formats an event for a row's expectation.
pub(crate) fn event_text(event: &Event) -> String {
    match event {
        Event::Disconnected(disconnected) => format!("disconnected ({})", disconnected.reason),
        Event::Done { outcome, .. } => format!("done {outcome:?}"),
        Event::Failed { failure, .. } => format!("failed {}", variant_name(failure)),
        Event::Command {
            subfolder: Some(subfolder),
            ..
        } => format!("Command {subfolder}"),
        Event::ErrorReport(report) => format!("report {}", report.error_type()),
        Event::UnreadableErrorReport { error, .. } => format!("unreadable {}", variant_name(error)),
        other => variant_name(other),
    }
}

/// Returns the name of a variant.
fn variant_name(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    let end = text.find(|c: char| !c.is_alphanumeric());
    text[..end.unwrap_or(text.len())].to_owned()
}

/// Formats a packet that the gateway sent for a row's expectation.
pub(crate) fn answer_text(sent: &Sent) -> String {
    match sent {
        Sent::PubAck(id) => format!("PUBACK {id}"),
        Sent::Publish { id: Some(id), .. } => format!("PUBLISH {id}"),
        Sent::Subscribe { id, .. } => format!("SUBSCRIBE {id}"),
        Sent::Disconnect => "DISCONNECT".into(),
        other => format!("{other:?}"),
    }
}
