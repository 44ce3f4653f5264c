//! Runs the program from its start to its exit code.

use std::{fmt, io, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use iotcore_gateway_tokio::{closed::CloseCause, connect};
use tokio::{runtime::Builder, sync::Notify, time::timeout_at};

use crate::{
    input::{Gate, Input},
    key_file, metrics, notes,
    notes::note,
    notify::Notifier,
    options::{Arguments, StartError},
    pulse::Pulse,
    relay::Relay,
    signals,
    sources::Sources,
    vitals::Vitals,
};

const CLOSED: u8 = 0;
pub(crate) const FAILED: u8 = 1;
const USAGE: u8 = 2;
const CUT_SHORT: u8 = 3;
const KEPT: u8 = 4;

/// How long the end waits for notes to be read.
pub(crate) const MAX_FLUSH: Duration = Duration::from_secs(1);

/// Runs until the gateway is closed; returns the exit code.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let runtime = Builder::new_current_thread().enable_all().build();
    let code = runtime.map_err(Error::Runtime).and_then(|runtime| {
        let code = runtime.block_on(run_relay(arguments));
        // The system may still be looking up a name, which is not waited for.
        runtime.shutdown_background();
        code
    });
    let code = code.unwrap_or_else(|error| {
        note(&error);
        error.exit_code()
    });
    notes::flush(MAX_FLUSH);
    ExitCode::from(code)
}

async fn run_relay(arguments: Arguments) -> Result<u8, Error> {
    let stop = Arc::new(Notify::new());
    // Before any file is read, because that may take long, and a signal would kill the program.
    signals::listen(Arc::clone(&stop), FAILED.into()).map_err(Error::Signals)?;
    let notifier = Notifier::new().map_err(Error::Notifier)?;
    let (mut settings, setup) = arguments.settings_and_setup().map_err(Error::Start)?;
    key_file::check_modes(&settings.key, &settings.keys);
    key_file::reload_on_hangup(&settings.key, &settings.keys).map_err(Error::Signals)?;
    let (client, driver) =
        connect(setup).map_err(|error| Error::Start(StartError::Setup(error)))?;
    let vitals = Arc::new(Vitals::default());
    if let Some(address) = &mut settings.metrics {
        let served = metrics::serve(*address, client.clone(), Arc::clone(&vitals)).await;
        *address = served.map_err(|error| Error::Metrics(*address, error))?;
    }
    let pulse = Pulse::new(client.clone(), vitals, notifier.clone());
    let gate = Arc::new(Gate::default());
    let (relay, messages) = Relay::new(
        client.clone(),
        settings,
        pulse,
        Arc::clone(&stop),
        Arc::clone(&gate),
    );
    // Before the driver runs, so that none is missed.
    let restored = client.restored();
    let input = Input::read(gate);
    let sources = Sources::new(client.status().holding(), messages, input, stop);
    notifier.ready();
    let driver = tokio::spawn(driver.run());
    let end = relay.run(sources, restored).await;
    notifier.stopping();
    let closing = async {
        // If the events are no longer read, accepted messages are still sent.
        client.close().await;
        let closed = driver.await;
        closed.map_or(CloseCause::DriverStopped, |closed| closed.cause)
    };
    let cause = match end.ends_at {
        Some(deadline) => timeout_at(deadline, closing).await,
        None => Ok(closing.await),
    };
    notifier.flush(MAX_FLUSH);
    end.output.map_err(Error::Output)?;
    end.input.map_err(Error::Input)?;
    Ok(match cause {
        Ok(CloseCause::Requested) | Err(_) if end.is_cut_short => CUT_SHORT,
        Ok(CloseCause::Requested) | Err(_) if end.has_kept => KEPT,
        Ok(CloseCause::Requested) | Err(_) => CLOSED,
        Ok(_) => FAILED,
    })
}

/// The reason why the program failed.
#[derive(Debug)]
enum Error {
    Runtime(io::Error),
    Start(StartError),
    Signals(io::Error),
    Notifier(io::Error),
    Metrics(SocketAddr, io::Error),
    Input(io::Error),
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
            Self::Runtime(error) => write!(f, "cannot start the async runtime: {error}"),
            Self::Start(error) => error.fmt(f),
            Self::Signals(error) => write!(f, "cannot listen for signals: {error}"),
            Self::Notifier(error) => write!(f, "cannot reach the service manager: {error}"),
            Self::Metrics(address, error) => write!(
                f,
                "--metrics {address} cannot be listened on: {error}; give an address of this machine with a port that is free, \
                 or port 0 for any"
            ),
            Self::Input(error) => write!(f, "cannot read standard input: {error}"),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}
