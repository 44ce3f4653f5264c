//! Every way in which a server can violate MQTT 3.1.1 or the bridge's own rules: the bytes, the stage at which they
//! arrive, and the gateway's reaction.
//!
//! A row runs at every split of its bytes into two fragments and byte by byte; the events, the bytes sent and the
//! counters must be the same each time. After a row that ends the connection, nothing more is sent on it, and the next connection
//! works; after any other row, the connection still works.
#![forbid(unsafe_code)]

#[path = "../peer/mod.rs"]
mod peer;

mod after;
mod rows;
mod run;
mod stage;

use std::{collections::BTreeSet, time::Duration};

use iotcore_gateway::cause::{DisconnectReason, Violation};

use self::stage::Stage;

/// One malformed input.
struct Row {
    /// The statement that it violates: an id, a section, or `bridge` for one of the vendor's rules.
    clause: &'static str,
    name: String,
    stage: Stage,
    bytes: Vec<u8>,
    /// The silence after the bytes.
    then: Duration,
    expect: Expect,
}

/// The expected reaction.
enum Expect {
    /// The connection ends because of this violation.
    Closes(Violation),
    /// The connection ends because it was refused with this code.
    Refuses(u8),
    /// The connection ends because of a timeout.
    TimesOut(DisconnectReason),
    /// There are no events and no answers; this number of acknowledgements is counted as unsolicited.
    Ignores(u64),
    /// The connection stays up: the events and then the answers, in the format of [`run::event_text`] and
    /// [`run::answer_text`].
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

    /// Adds a silence of `secs` seconds after the bytes.
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
#[expect(clippy::print_stdout, reason = "shows the number of runs")]
fn each_malformed_input_closes_is_ignored_or_is_tolerated_at_every_split() {
    let rows = rows::all();
    let runs: usize = rows.iter().map(run::row).sum();
    println!("{} rows, {runs} runs", rows.len());
    assert!(rows.len() >= 250, "{} rows", rows.len());
}

#[test]
fn no_two_rows_have_the_same_label_or_input() {
    let rows = rows::all();
    let mut labels = BTreeSet::new();
    let mut inputs = BTreeSet::new();
    for row in &rows {
        assert!(labels.insert(row.label()), "{} twice", row.label());
        assert!(
            inputs.insert((row.stage, &row.bytes, row.then)),
            "{} has the input of another row",
            row.label()
        );
    }
}

/// Shows that the panic of a wrong expectation identifies its row.
#[test]
#[should_panic(expected = "a wrong expectation [MQTT-2.2.2-2] while Open")]
fn a_failing_row_is_named_in_the_panic() {
    let row = Row::new(
        "MQTT-2.2.2-2",
        "a wrong expectation",
        Stage::Open,
        [0x21],
        Expect::Ignores(0),
    );
    run::row(&row);
}
