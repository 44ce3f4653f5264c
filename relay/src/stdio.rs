//! The standard streams, unbuffered. A call waits although another process that shares the stream, such as `ssh` or `node`,
//! has made it non-blocking, so that no line is lost or torn.

#[cfg(unix)]
mod unix;

use std::io;

#[cfg(unix)]
pub(crate) fn input() -> impl io::Read {
    unix::Waiting(io::stdin())
}

/// Waits until something can be read from the input, or it has ended.
#[cfg(unix)]
pub(crate) fn wait_for_input() -> io::Result<()> {
    unix::wait_for(&io::stdin(), rustix::event::PollFlags::IN)
}

/// Waits for nothing: a call that reads waits.
#[cfg(windows)]
pub(crate) fn wait_for_input() -> io::Result<()> {
    Ok(())
}

/// Returns whether something can be read from the input now, or it has ended.
#[cfg(unix)]
pub(crate) fn is_input_ready() -> bool {
    unix::is_ready(&io::stdin(), rustix::event::PollFlags::IN)
}

/// Returns false, because it cannot be found out.
#[cfg(windows)]
pub(crate) fn is_input_ready() -> bool {
    false
}

#[cfg(unix)]
pub(crate) fn output() -> impl io::Write {
    unix::Waiting(io::stdout())
}

#[cfg(unix)]
pub(crate) fn error() -> impl io::Write {
    unix::Waiting(io::stderr())
}

#[cfg(windows)]
pub(crate) fn input() -> impl io::Read {
    io::stdin()
}

#[cfg(windows)]
pub(crate) fn output() -> impl io::Write {
    io::stdout()
}

#[cfg(windows)]
pub(crate) fn error() -> impl io::Write {
    io::stderr()
}
