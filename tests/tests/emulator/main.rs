//! The emulator as a program, on real sockets, pipes and files.
#![cfg(unix)]
#![forbid(unsafe_code)]

mod child;
mod clients;
mod example;
#[path = "../programs/mod.rs"]
mod executables;
mod folder;
mod input;
mod limits;
mod output;
mod signals;
mod tls;
