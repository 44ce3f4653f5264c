//! Every way in which a server can break MQTT 3.1.1 or the bridge's own rules: the bytes, when they come, and what the
//! gateway does about them.
//!
//! A row runs at every split of its bytes into two fragments and byte by byte, and each time the events, the bytes out
//! and the counters are those of the whole. After a row that ends the connection nothing more is transmitted on it, and
//! the next one works; after any other this one still does.
#![forbid(unsafe_code)]

#[path = "../peer/mod.rs"]
mod peer;

mod after;
mod rows;
mod run;
mod stage;

use std::{collections::BTreeSet, time::Duration};

use iotcore_gateway::{DisconnectReason, Violation};

use self::stage::Stage;

/// One malformed input.
struct Row {
    /// The statement that it breaks: an id, a section, or `bridge` for one of the vendor's rules.
    clause: &'static str,
    name: String,
    stage: Stage,
    bytes: Vec<u8>,
    /// How long nothing follows.
    then: Duration,
    expect: Expect,
}

/// What must come of it.
enum Expect {
    /// The connection ends, for this violation.
    Closes(Violation),
    /// The connection ends, for it was refused with this code.
    Refuses(u8),
    /// The connection ends, for the peer was silent.
    TimesOut(DisconnectReason),
    /// Nothing is told and nothing answered; so many acknowledgements are counted as unsolicited.
    Ignores(u64),
    /// The connection lives on: what is told and then what is answered, as [`run::told`] and [`run::answered`] say it.
    Tolerates(&'static str),
}

impl Row {
    fn new(
        clause: &'static str,
        name: impl Into<String>,
        stage: Stage,
        bytes: impl Into<Vec<u8>>,
        expect: Expect,
    ) -> Self {
        Self {
            clause,
            name: name.into(),
            stage,
            bytes: bytes.into(),
            then: Duration::ZERO,
            expect,
        }
    }

    /// The row, and then silence for so many seconds.
    fn then_silence(self, secs: u64) -> Self {
        Self {
            then: peer::seconds(secs),
            ..self
        }
    }

    fn label(&self) -> String {
        format!("{} [{}] while {:?}", self.name, self.clause, self.stage)
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "how much was tried is worth knowing")]
fn each_malformed_input_closes_is_ignored_or_is_tolerated_at_every_split() {
    let rows = rows::all();
    let runs: usize = rows.iter().map(run::row).sum();
    println!("{} rows, {runs} runs", rows.len());
    assert!(rows.len() >= 250, "{} rows", rows.len());
}

#[test]
fn no_two_rows_are_the_same_test() {
    let rows = rows::all();
    let mut labels = BTreeSet::new();
    let mut inputs = BTreeSet::new();
    for row in &rows {
        assert!(labels.insert(row.label()), "{} twice", row.label());
        assert!(
            inputs.insert((row.stage, &row.bytes, row.then)),
            "{} has the bytes of another row",
            row.label()
        );
    }
}

/// A panic in a row is no use unless it says which row it was; this shows that a wrong expectation does.
#[test]
#[should_panic(expected = "a lie [MQTT-2.2.2-2] while Open")]
fn a_row_that_fails_names_itself() {
    let row = Row::new(
        "MQTT-2.2.2-2",
        "a lie",
        Stage::Open,
        [0x21],
        Expect::Ignores(0),
    );
    run::row(&row);
}
