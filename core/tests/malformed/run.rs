//! Running a row: whole, and in fragments.

use iotcore_gateway::{DisconnectReason, Event, Stats};

use crate::{
    Expect, Row, after,
    peer::{Sent, Session, parse},
};

/// Rows of up to so many bytes run at every split.
const EVERY_SPLIT: usize = 512;

/// What came of a row.
#[derive(Clone, Debug, PartialEq)]
struct Outcome {
    events: Vec<Event>,
    sent: Vec<u8>,
    stats: Stats,
}

/// How the bytes of a row come.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Whole,
    /// In two fragments, the first of so many bytes.
    Split(usize),
    Bytes,
}

impl Manner {
    /// Whole, in every split in two, and byte by byte. Of a long input not every split: those in its first and last
    /// bytes, and a sample between.
    fn all(len: usize) -> impl Iterator<Item = Self> {
        let is_taken = move |at: &usize| {
            len <= EVERY_SPLIT || *at <= 64 || len - *at <= 64 || at.is_multiple_of(4_099)
        };
        let splits = (1..len).filter(is_taken).map(Self::Split);
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

/// Runs a row in every manner: what must come of it does, the manner makes no difference, and the gateway is good for
/// what follows. Gives how often it ran.
pub(crate) fn row(row: &Row) -> usize {
    let label = row.label();
    let mut whole = None;
    let mut runs = 0;
    for manner in Manner::all(row.bytes.len()) {
        let (session, outcome) = observe(row, &manner.fragments(&row.bytes));
        let whole = whole.get_or_insert_with(|| {
            check(row, &outcome, &label);
            outcome.clone()
        });
        assert_eq!(outcome, *whole, "{label}, {manner:?}");
        after::check(row, session, &label);
        runs += 1;
    }
    runs
}

fn observe(row: &Row, fragments: &[&[u8]]) -> (Session, Outcome) {
    let mut session = row.stage.session();
    let waiting = session.gateway.poll_transmit().to_vec();
    let before = session.gateway.stats().unsolicited;
    for fragment in fragments {
        session.receive(fragment);
    }
    session.wait(row.then);
    let events = session.events();
    let sent = take(&mut session);
    let sent = sent.strip_prefix(&waiting[..]).unwrap_or(&sent).to_vec();
    let mut stats = session.gateway.stats();
    stats.unsolicited -= before;
    (
        session,
        Outcome {
            events,
            sent,
            stats,
        },
    )
}

fn take(session: &mut Session) -> Vec<u8> {
    let mut taken = Vec::new();
    while !session.gateway.poll_transmit().is_empty() {
        let bytes = session.gateway.poll_transmit().to_vec();
        session.gateway.handle_transmitted(bytes.len(), session.now);
        taken.extend(bytes);
    }
    taken
}

/// Compares what came of a whole row with what must come of it.
fn check(row: &Row, outcome: &Outcome, label: &str) {
    let ended = outcome.events.iter().filter_map(|event| match event {
        Event::Disconnected(disconnected) => Some(&disconnected.reason),
        _ => None,
    });
    let ended: Vec<_> = ended.collect();
    let lines: Vec<_> = outcome
        .events
        .iter()
        .map(told)
        .chain(parse(&outcome.sent).iter().map(answered))
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

/// An event in a word or two.
pub(crate) fn told(event: &Event) -> String {
    match event {
        Event::Disconnected(disconnected) => format!("disconnected ({})", disconnected.reason),
        Event::Done { outcome, .. } => format!("done {outcome:?}"),
        Event::Failed { failure, .. } => format!("failed {}", first_word(failure)),
        Event::Command {
            subfolder: Some(subfolder),
            ..
        } => format!("Command {subfolder}"),
        Event::ErrorReport(report) => format!("report {}", report.error_type()),
        Event::UnreadableErrorReport { error, .. } => format!("unreadable {}", first_word(error)),
        other => first_word(other),
    }
}

/// The name of a variant.
fn first_word(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    let end = text.find(|c: char| !c.is_alphanumeric());
    text[..end.unwrap_or(text.len())].to_owned()
}

/// A packet that the gateway sent, in a word or two.
pub(crate) fn answered(sent: &Sent) -> String {
    match sent {
        Sent::PubAck(id) => format!("PUBACK {id}"),
        Sent::Publish { id: Some(id), .. } => format!("PUBLISH {id}"),
        Sent::Subscribe { id, .. } => format!("SUBSCRIBE {id}"),
        Sent::Disconnect => "DISCONNECT".into(),
        other => format!("{other:?}"),
    }
}
