//! A gateway for programs in any language: reads operations as JSON Lines from standard input and writes events as JSON
//! Lines to standard output. `iotcore-relay --help` lists the options, `docs/book/relay-reference.md` the operations and
//! events.
#![forbid(unsafe_code)]

mod codes;
mod device_keys;
mod failure;
mod input;
mod key_file;
mod keys;
mod metrics;
mod notes;
mod notify;
mod operation;
mod options;
mod output;
mod program;
mod pulse;
mod relay;
#[cfg(test)]
#[path = "../schema/schema.rs"]
mod schema;
mod signals;
mod sources;
mod stdio;
mod store_tool;
mod token;
mod vitals;

use std::process::ExitCode;

use options::CommandLine;

fn main() -> ExitCode {
    match CommandLine::parse() {
        CommandLine::Relay(arguments) => program::run(*arguments),
        CommandLine::Store(arguments) => store_tool::run(&arguments),
    }
}
