//! Prints the best of each client's runs as a table, and our targets.

use std::{fs, io, path::Path};

use serde_json::json;

use crate::{Outcome, load::Figures};

/// The clients that our figures are compared with.
const OURS: &str = "iotcore-gateway";
const RAW: &str = "raw socket";
const RAW_ON_TOKIO: &str = "raw socket on Tokio";
const RUMQTTC: &str = "rumqttc";

/// A target, and our figure.
struct Check {
    what: String,
    found: f64,
    is_met: bool,
}

/// Reads lines of figures, prints the table, and writes `driver.json` to this folder.
pub(crate) fn write(folder: &Path) -> Outcome<()> {
    let clients = best(io::read_to_string(io::stdin())?.lines())?;
    let checks = checks(&clients)?;
    print(&clients, &checks)?;
    let checks = checks
        .iter()
        .map(|check| json!({ "target": check.what, "found": check.found, "met": check.is_met }));
    let report = json!({ "clients": clients, "checks": checks.collect::<Vec<_>>() });
    fs::create_dir_all(folder)?;
    let file = folder.join("driver.json");
    fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")?;
    println!("\nWritten to {}.", file.display());
    Ok(())
}

/// Returns the best of each figure of each client, in the order of their first runs.
fn best<'a>(lines: impl Iterator<Item = &'a str>) -> Outcome<Vec<Figures>> {
    let mut clients: Vec<Figures> = Vec::new();
    for line in lines {
        let run: Figures = serde_json::from_str(line)?;
        match clients.iter_mut().find(|best| best.client == run.client) {
            Some(best) => {
                best.cpu_micros = best.cpu_micros.min(run.cpu_micros);
                best.messages_per_second = best.messages_per_second.max(run.messages_per_second);
                best.p50_micros = best.p50_micros.min(run.p50_micros);
                best.p99_micros = best.p99_micros.min(run.p99_micros);
            }
            None => clients.push(run),
        }
    }
    Ok(clients)
}

fn find<'a>(clients: &'a [Figures], name: &str) -> Outcome<&'a Figures> {
    let found = clients.iter().find(|figures| figures.client == name);
    found.ok_or_else(|| format!("there are no figures of {name}").into())
}

fn checks(clients: &[Figures]) -> Outcome<Vec<Check>> {
    let ours = find(clients, OURS)?;
    let rumqttc = find(clients, RUMQTTC)?;
    let cpu = |name| Outcome::Ok(ours.cpu_micros / find(clients, name)?.cpu_micros);
    let at_most = |what: &str, found: f64, limit: f64| Check {
        what: format!("{what} ≤ {limit}"),
        found,
        is_met: found <= limit,
    };
    let throughput = ours.messages_per_second / rumqttc.messages_per_second;
    Ok(vec![
        at_most("CPU relative to the raw socket", cpu(RAW)?, 1.3),
        at_most(
            "CPU relative to the raw socket on Tokio",
            cpu(RAW_ON_TOKIO)?,
            1.3,
        ),
        at_most("CPU relative to rumqttc", cpu(RUMQTTC)?, 0.8),
        Check {
            what: "throughput relative to rumqttc ≥ 1".to_owned(),
            found: throughput,
            is_met: throughput >= 1.0,
        },
        at_most(
            "p99 relative to rumqttc",
            ours.p99_micros / rumqttc.p99_micros,
            1.0,
        ),
    ])
}

fn print(clients: &[Figures], checks: &[Check]) -> Outcome<()> {
    let (raw, rumqttc) = (find(clients, RAW)?, find(clients, RUMQTTC)?);
    println!(
        "                               full window                                │ one in flight"
    );
    println!(
        "{:<22}{:>14}{:>8}{:>11}{:>16}   │{:>10}{:>10}",
        "", "CPU µs/message", "× raw", "× rumqttc", "messages/s", "p50 µs", "p99 µs"
    );
    for figures in clients {
        println!(
            "{:<22}{:>14.2}{:>8.2}{:>11.2}{:>16.0}   │{:>10.1}{:>10.1}",
            figures.client,
            figures.cpu_micros,
            figures.cpu_micros / raw.cpu_micros,
            figures.cpu_micros / rumqttc.cpu_micros,
            figures.messages_per_second,
            figures.p50_micros,
            figures.p99_micros,
        );
    }
    println!();
    for Check {
        what,
        found,
        is_met,
    } in checks
    {
        let mark = if *is_met { '✓' } else { '✗' };
        println!("{mark} {found:.2}  {what}");
    }
    Ok(())
}
