//! The state machine compared with other implementations, and at growing sizes.
//!
//! ```sh
//! cargo bench -p iotcore-gateway-testkit --bench machine
//! ```
//!
//! prints the table and writes `machine.json`, `machine.svg` and `machine.md` to `target/bench`, or, after `-- --into FOLDER`, to
//! that folder of the workspace. Compare the ratios: the nanoseconds depend on the processor.
//!
//! `-- --only "64 B"` does the work of one row once, for use with a profiler: run under `valgrind --tool=callgrind
//! --toggle-collect='*dialogue::clock*'`, it counts the same instructions each time.
//!
//! `-- --costs` measures only what must not grow, and fails if it does: in seconds, and on any machine, because it compares
//! one run with another.
//!
//! Four subjects do the same work: this gateway's state machine without pacing, rumqttc's `MqttState` and
//! mqtt-protocol-core's client connection with their codecs, and the floor, a loop that writes the bytes and reads the
//! identifiers without checks. [`dialogue`] describes the measurement.

#![deny(unsafe_code)] // An allocator cannot be implemented without it.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures time and prints it"
)]

mod allocator;
mod costs;
mod dialogue;
#[path = "../../../examples/ending.rs"]
mod ending;
mod floor;
mod gateway;
mod json;
mod markdown;
mod ours;
mod peer;
mod protocol_core;
mod rows;
mod rumqttc;
mod subject;
mod svg;
mod table;

use std::{env, error::Error, fs, path::Path, process::ExitCode};

use ending::ending;
use gateway::Single;
use rows::{Check, Row};

/// All measurements.
struct Report {
    processor: String,
    rows: Vec<Row>,
    singles: Vec<Single>,
}

impl Report {
    fn checks(&self) -> impl Iterator<Item = Check> {
        let of_rows = self.rows.iter().flat_map(|row| row.checks(&self.rows));
        of_rows.chain(self.singles.iter().map(|single| single.check.clone()))
    }
}

fn main() -> ExitCode {
    ending(run())
}

/// Does what the command line asks for.
fn run() -> Result<(), Box<dyn Error>> {
    // Cargo adds `--bench`, and runs a benchmark in the folder of its package.
    let arguments: Vec<_> = env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => measure("target/bench"),
        ["--into", folder] => measure(folder),
        ["--costs"] => measure_costs(),
        ["--only", name] => {
            let cost = rows::once(name).ok_or("no row has this name")?;
            println!("{:.1} ns, {:.2} allocations", cost.nanos, cost.allocations);
            Ok(())
        }
        _ => Err("the options are --into FOLDER, --only ROW and --costs".into()),
    }
}

/// Measures everything, and writes it to this folder of the workspace.
fn measure(folder: &str) -> Result<(), Box<dyn Error>> {
    let report = Report {
        processor: processor(),
        rows: rows::measured(),
        singles: [
            vec![
                gateway::reconnect(),
                gateway::device_memory(),
                gateway::message_memory(),
            ],
            costs::all(),
            vec![gateway::simulation()],
        ]
        .concat(),
    };
    print!("{report}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .with_file_name("")
        .join(folder);
    fs::create_dir_all(&folder)?;
    let json = serde_json::to_string_pretty(&report.json())?;
    fs::write(folder.join("machine.json"), json + "\n")?;
    fs::write(folder.join("machine.svg"), report.svg())?;
    fs::write(folder.join("machine.md"), report.markdown())?;
    println!("Written to {}.", folder.display());
    Ok(())
}

/// Measures what must not grow.
fn measure_costs() -> Result<(), Box<dyn Error>> {
    let costs = costs::all();
    costs.iter().for_each(|single| println!("{single}"));
    match costs.iter().all(|single| single.check.is_met) {
        true => Ok(()),
        false => Err("a cost grows with what it has nothing to do with".into()),
    }
}

/// Returns the system that the figures were measured on.
fn processor() -> String {
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = about
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    format!(
        "Measured on one core: {}",
        name.unwrap_or("unknown processor").trim()
    )
}
