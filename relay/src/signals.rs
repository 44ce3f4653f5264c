//! Handles the signals that request a shutdown.

use std::{io, sync::Arc, thread};

use tokio::{runtime::Builder, sync::Notify};

/// Listens for signals: the first one closes the gateway, the next one ends the program at once with this exit code,
/// because nobody may be reading its output any more. On a thread of its own, so that nothing that the rest of the program
/// waits for is in the way, not even at its end. From now on, neither SIGHUP kills the program, nor SIGXFSZ: a file that may
/// not grow any more is a full store, whose write fails.
pub(crate) fn listen(stop: Arc<Notify>, exit_code: i32) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _entered = runtime.enter();
        #[cfg(unix)]
        survive()?;
        Signals::new()?
    };
    let handle = async move {
        signals.next().await;
        stop.notify_one();
        signals.next().await;
        std::process::exit(exit_code);
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(handle))?;
    Ok(())
}

/// Takes the signals that would kill the program, and need nothing else here.
#[cfg(unix)]
fn survive() -> io::Result<()> {
    use rustix::process::Signal;
    use tokio::signal::unix::{SignalKind, signal};

    for kind in [Signal::HUP, Signal::XFSZ] {
        drop(signal(SignalKind::from_raw(kind.as_raw()))?);
    }
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
