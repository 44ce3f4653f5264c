//! The driver on real sockets compared with other clients, against a third-party broker.
//!
//! ```sh
//! .ci/bench-driver
//! ```
//!
//! starts Debian's mosquitto and has this program, mqtt.js and paho publish to it, in turns. One run of the program is
//! one client: `driver CLIENT PORT` prints its figures as a line of JSON, and `driver report FOLDER` reads such lines,
//! prints a table, and writes `driver.json` there.
//!
//! Every client does the same: 100,000 messages of 64 bytes at QoS 1 with 100 of them in flight, and then some thousand
//! one by one. CPU time is that of the client's process, including system time, from the first message to the last
//! PUBACK; connecting is not included. The clients in Rust run on one thread each.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures time and prints it"
)]

#[path = "../../../examples/ending.rs"]
mod ending;
mod load;
mod ours;
mod raw;
mod report;
mod rumqttc;

use std::{env, error::Error, process::ExitCode};

use ending::ending;
use load::Figures;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    ending(measure().map_err(|error| error as Box<dyn Error>))
}

/// Does what the command line asks for.
fn measure() -> Outcome<()> {
    // Cargo adds `--bench`.
    let arguments: Vec<_> = env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["report", folder] => report::write(folder.as_ref()),
        [client, port] => {
            let figures = run(client, port.parse()?)?;
            println!("{}", serde_json::to_string(&figures)?);
            Ok(())
        }
        _ => {
            println!("This benchmark needs a broker and other clients: run .ci/bench-driver.");
            Ok(())
        }
    }
}

fn run(client: &str, port: u16) -> Outcome<Figures> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match client {
        "raw" => raw::blocking(port),
        "raw-tokio" => runtime.block_on(raw::on_tokio(port)),
        "iotcore" => runtime.block_on(ours::run(port)),
        "rumqttc" => runtime.block_on(rumqttc::run(port)),
        _ => Err(format!("unknown client {client}").into()),
    }
}
