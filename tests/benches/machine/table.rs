//! The figures as a table for a terminal.

use std::{fmt, slice};

use crate::{
    Report,
    gateway::Single,
    rows::{Check, Row},
    subject::Contender,
};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.processor)?;
        head(f)?;
        let mut group = "";
        for row in &self.rows {
            if row.group != group {
                group = row.group;
                writeln!(f, "\n{group}")?;
            }
            figures(f, row)?;
            writeln!(f, "{}", checks(&row.checks(&self.rows)))?;
        }
        writeln!(f, "\nThe gateway")?;
        for single in &self.singles {
            writeln!(f, "{single}")?;
        }
        let all: Vec<_> = self.checks().collect();
        let met = all.iter().filter(|check| check.is_met).count();
        writeln!(f, "\n{met} of {} targets are met.", all.len())
    }
}

impl fmt::Display for Single {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let check = checks(slice::from_ref(&self.check));
        write!(f, "  {:<66}{check}", self.name)
    }
}

fn head(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let [of_all, ours] = ["nanoseconds a message", "iotcore"];
    write!(f, "  {:<31}{of_all:>36}  │{ours:>29}  │", "")?;
    writeln!(f, "{:>25}  │ targets of iotcore", "allocations a message")?;
    write!(f, "  {:<31}", "")?;
    for contender in Contender::ALL {
        write!(f, "{:>9}", contender.short_name())?;
    }
    write!(
        f,
        "  │{:>8}{:>10}{:>11}  │",
        "× floor", "× rumqttc", "× m-p-core"
    )?;
    writeln!(f, "{:>8}{:>8}{:>9}  │", "iotcore", "rumqttc", "m-p-core")
}

fn figures(f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
    write!(f, "  {:<31}", row.name)?;
    for contender in Contender::ALL {
        number(f, 9, 1, row.cost(contender).map(|cost| cost.nanos))?;
    }
    write!(f, "  │")?;
    number(f, 8, 2, row.ratio(Contender::Floor))?;
    number(f, 10, 2, row.ratio(Contender::Rumqttc))?;
    number(f, 11, 2, row.ratio(Contender::ProtocolCore))?;
    write!(f, "  │")?;
    let allocations = |contender| row.cost(contender).map(|cost| cost.allocations);
    number(f, 8, 2, allocations(Contender::Ours))?;
    number(f, 8, 2, allocations(Contender::Rumqttc))?;
    number(f, 9, 2, allocations(Contender::ProtocolCore))?;
    write!(f, "  │ ")
}

fn number(
    f: &mut fmt::Formatter<'_>,
    width: usize,
    precision: usize,
    number: Option<f64>,
) -> fmt::Result {
    match number {
        Some(number) => write!(f, "{number:>width$.precision$}"),
        None => write!(f, "{:>width$}", "–"),
    }
}

fn checks(checks: &[Check]) -> String {
    let texts = checks.iter().map(|check| {
        let mark = if check.is_met { '✓' } else { '✗' };
        format!("{mark} {:.2} {}", check.found, check.target)
    });
    texts.collect::<Vec<_>>().join("   ")
}
