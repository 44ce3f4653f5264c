//! A gateway for programs in any language: operations come in as JSON Lines on standard input, events go out as JSON
//! Lines on standard output. `iotcore-relay --help` lists the options, the README the operations and events.
#![forbid(unsafe_code)]

mod failure;
mod input;
mod operation;
mod options;
mod output;
mod program;
mod session;
mod signals;
mod sources;
mod token;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    program::run(options::Arguments::parse()).await
}
