//! The figures as a page of the book.

use std::fmt::Write;

use crate::{
    Report,
    rows::{Check, Row},
    subject::Contender,
};

impl Report {
    /// Returns all figures as tables, each with its targets, and which of them are missed.
    pub(crate) fn markdown(&self) -> String {
        let met = self.checks().filter(|check| check.is_met).count();
        let mut page = format!(
            "{}. {met} of {} targets are met; those that are missed are **bold**.\n",
            self.processor,
            self.checks().count()
        );
        let mut group = "";
        for row in &self.rows {
            if row.group != group {
                group = row.group;
                head(&mut page, group);
            }
            page += &line(row, &self.rows);
        }
        page += "\n| the gateway | target |\n|---|---|\n";
        for single in &self.singles {
            let check = target(&single.check);
            writeln!(page, "| {} | {check} |", single.name).expect("a string takes all");
        }
        page
    }
}

fn head(page: &mut String, group: &str) {
    let names = Contender::ALL.map(Contender::short_name).join(" | ");
    let rule = "---:|".repeat(Contender::ALL.len());
    write!(
        page,
        "\n| {group}: ns a message | {names} | × rumqttc | allocations | targets |\n|---|{rule}---:|---:|---|\n"
    )
    .expect("a string takes all");
}

fn line(row: &Row, rows: &[Row]) -> String {
    let nanos = Contender::ALL.map(|contender| figure(row.cost(contender).map(|cost| cost.nanos)));
    let allocations = row.cost(Contender::Ours).map(|cost| cost.allocations);
    let targets = Vec::from_iter(row.checks(rows).iter().map(target)).join("; ");
    format!(
        "| {} | {} | {} | {} | {targets} |\n",
        row.name,
        nanos.join(" | "),
        figure(row.ratio(Contender::Rumqttc)),
        figure(allocations),
    )
}

fn target(check: &Check) -> String {
    let found = format!("{:.2} ({})", check.found, check.target);
    match check.is_met {
        true => found,
        false => format!("**{found}**"),
    }
}

fn figure(number: Option<f64>) -> String {
    number.map_or_else(|| "–".to_owned(), |number| format!("{number:.2}"))
}
