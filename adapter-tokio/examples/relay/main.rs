//! A gateway for programs in any language: operations come in as JSON Lines on standard input, events go out as JSON
//! Lines on standard output. `relay --help` lists the options, the README the operations and events.
#![forbid(unsafe_code)]

mod failure;
mod input;
mod operation;
mod options;
mod output;
mod session;
mod sources;
mod token;

use std::{io, process::ExitCode, sync::Arc};

use clap::Parser;
use iotcore_gateway_tokio::{CloseCause, connect};
use tokio::sync::Notify;

use self::{
    options::{Arguments, StartError},
    output::note,
    session::Session,
    sources::Sources,
};

const FAILED: u8 = 1;
const USAGE: u8 = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(CloseCause::Requested) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(FAILED),
        Err(error) => {
            note(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(arguments: Arguments) -> Result<CloseCause, Error> {
    let (manner, setup) = arguments.manner_and_setup().map_err(Error::Start)?;
    let stop = Arc::new(Notify::new());
    listen_to_signals(Arc::clone(&stop)).map_err(Error::Signals)?;
    let (client, driver) =
        connect(setup).map_err(|error| Error::Start(StartError::Setup(error)))?;
    let (session, messages) = Session::new(client.clone(), manner);
    let sources = Sources::new(client.status().holding(), messages, input::read(), stop);
    let driver = tokio::spawn(driver.run());
    let output = session.run(sources).await;
    // Nobody reads the events any more: what was accepted is still sent.
    client.close().await;
    let closed = driver.await;
    output.map_err(Error::Output)?;
    Ok(closed.map_or(CloseCause::DriverStopped, |closed| closed.cause))
}

/// The first signal closes, the next one ends the program at once: its output may not be read any more.
fn listen_to_signals(stop: Arc<Notify>) -> io::Result<()> {
    let mut signals = Signals::new()?;
    tokio::spawn(async move {
        signals.next().await;
        stop.notify_one();
        signals.next().await;
        std::process::exit(FAILED.into());
    });
    Ok(())
}

/// SIGTERM and SIGINT.
#[cfg(unix)]
struct Signals(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        ))
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

/// Ctrl-C.
#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// Why the program failed.
#[derive(Debug)]
enum Error {
    Start(StartError),
    Signals(io::Error),
    Output(io::Error),
}

impl Error {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Start(error) if error.is_usage() => USAGE,
            _ => FAILED,
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::Signals(error) => write!(f, "cannot listen to signals: {error}"),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}
