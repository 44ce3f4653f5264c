//! The result of each scenario in each world and for the program, printed when all have run.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write as _},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Results by scenario and column.
type Results = BTreeMap<(&'static str, &'static str), Result<Duration, ()>>;

static RESULTS: Mutex<Results> = Mutex::new(Results::new());

/// Runs a scenario and records its result in a column of the table.
pub(crate) fn note(scenario: &'static str, column: &'static str, play: impl FnOnce()) {
    let begun = now();
    // Nothing that it uses is accessed after a panic.
    let played = catch_unwind(AssertUnwindSafe(play));
    let result = match &played {
        Ok(()) => Ok(now() - begun),
        Err(_) => Err(()),
    };
    let table = {
        let mut results = RESULTS.lock().unwrap_or_else(PoisonError::into_inner);
        results.insert((scenario, column), result);
        let in_worlds = super::SCENARIOS.len() * super::WORLDS.len();
        let is_whole = results.len() == in_worlds + super::PROGRAM.len();
        is_whole.then(|| draw(&results))
    };
    if let Some(table) = table {
        // Not with `print`, whose output the test harness captures unless the test fails.
        let _ = io::stdout().write_all(table.as_bytes());
    }
    if let Err(panic) = played {
        resume_unwind(panic);
    }
}

#[expect(clippy::disallowed_methods, reason = "the duration is shown")]
fn now() -> Instant {
    Instant::now()
}

fn draw(results: &Results) -> String {
    let mut table = String::from("\nThe contract:\n");
    let mut row = |name: &str, cells: &mut dyn Iterator<Item = String>| {
        let _ = write!(table, "  {name:60}");
        cells.for_each(|cell| {
            let _ = write!(table, "{cell:>15}");
        });
        table.push('\n');
    };
    let columns = || super::WORLDS.iter().chain(super::PROGRAM.first());
    row("", &mut columns().map(ToString::to_string));
    for scenario in super::SCENARIOS {
        let mut cells = columns().map(|column| match results.get(&(*scenario, *column)) {
            Some(Ok(time)) => format!("ok {:>8.3} s", time.as_secs_f64()),
            Some(Err(())) => "FAILED".into(),
            None => "–".into(),
        });
        row(&scenario.replace('_', " "), &mut cells);
    }
    table
}
