//! The signals that end the program, which do so only with a handler if it is the first process of a container.

use std::io;
use std::sync::mpsc::SyncSender;

use crate::Input;

/// Starts to listen for SIGINT and SIGTERM, and reports them.
///
/// # Errors
/// The system refuses the handlers, or has no thread for them.
#[cfg(unix)]
pub(crate) fn listen(inputs: SyncSender<Input>) -> io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};

    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new().spawn(move || {
        for signal in signals.forever() {
            let name = if signal == SIGINT {
                "SIGINT"
            } else {
                "SIGTERM"
            };
            // The program is already ending if nobody receives it.
            let _ = inputs.send(Input::Signal(name));
        }
    })?;
    Ok(())
}

/// Leaves the signals to the system, which ends the program.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub(crate) fn listen(_: SyncSender<Input>) -> io::Result<()> {
    Ok(())
}
