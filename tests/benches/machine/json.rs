//! The figures as JSON.

use serde_json::{Value, json};

use crate::{
    Report,
    rows::{Check, Row},
    subject::Contender,
};

impl Report {
    /// Returns nanoseconds and allocations of every row and subject, and every target.
    pub(crate) fn json(&self) -> Value {
        json!({
            "processor": self.processor,
            "rows": self.rows.iter().map(|row| row_json(row, &self.rows)).collect::<Vec<_>>(),
            "gateway": self.singles.iter().map(|single| json!({
                "name": single.name,
                "checks": [check_json(&single.check)],
            })).collect::<Vec<_>>(),
        })
    }
}

fn row_json(row: &Row, rows: &[Row]) -> Value {
    let subjects = Contender::ALL.into_iter().filter_map(|contender| {
        let cost = row.cost(contender)?;
        let figures = json!({ "nanoseconds": cost.nanos, "allocations": cost.allocations });
        Some((contender.name().to_owned(), figures))
    });
    json!({
        "group": row.group,
        "name": row.name,
        "subjects": subjects.collect::<serde_json::Map<_, _>>(),
        "checks": row.checks(rows).iter().map(check_json).collect::<Vec<_>>(),
    })
}

fn check_json(check: &Check) -> Value {
    json!({ "target": check.target, "found": check.found, "met": check.is_met })
}
