//! Runs the program from its start to its exit code.

use std::{fmt, io, process::ExitCode, sync::Arc, time::Duration};

use iotcore_gateway_tokio::{CloseCause, connect};
use tokio::sync::Notify;

use crate::{
    input, key_file, notes,
    notes::note,
    options::{Arguments, StartError},
    relay::Relay,
    signals,
    sources::Sources,
};

const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// How long the end waits for notes to be read.
const MAX_FLUSH: Duration = Duration::from_secs(1);

/// Runs until the gateway is closed; returns the exit code.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    let code = match run_relay(arguments).await {
        Ok(CloseCause::Requested) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(FAILED),
        Err(error) => {
            note(&error);
            ExitCode::from(error.exit_code())
        }
    };
    notes::flush(MAX_FLUSH);
    code
}

async fn run_relay(arguments: Arguments) -> Result<CloseCause, Error> {
    let (settings, setup) = arguments.settings_and_setup().map_err(Error::Start)?;
    let stop = Arc::new(Notify::new());
    signals::listen(Arc::clone(&stop), FAILED.into()).map_err(Error::Signals)?;
    key_file::check_mode(&settings.key);
    key_file::reload_on_hangup(&settings.key, &settings.tokens).map_err(Error::Signals)?;
    let (client, driver) =
        connect(setup).map_err(|error| Error::Start(StartError::Setup(error)))?;
    let (relay, messages) = Relay::new(client.clone(), settings, Arc::clone(&stop));
    let sources = Sources::new(client.status().holding(), messages, input::read(), stop);
    let driver = tokio::spawn(driver.run());
    let output = relay.run(sources).await;
    // The events are no longer read, but accepted messages are still sent.
    client.close().await;
    let closed = driver.await;
    output.map_err(Error::Output)?;
    Ok(closed.map_or(CloseCause::DriverStopped, |closed| closed.cause))
}

/// The reason why the program failed.
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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::Signals(error) => write!(f, "cannot listen for signals: {error}"),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}
