//! The standard streams, unbuffered. A call waits although another process that shares the stream, such as `ssh` or `node`,
//! has made it non-blocking, so that no line is lost or torn.

#[cfg(unix)]
mod unix;

use std::io;

/// Returns standard input.
///
/// # Errors
///
/// Fails if the program was started without one.
#[cfg(unix)]
pub(crate) fn input() -> io::Result<impl io::Read> {
    let stdin = io::stdin();
    match unix::was_closed(&stdin)? {
        true => Err(io::Error::other(
            "it is closed: give the program a pipe, a file or a terminal",
        )),
        false => Ok(unix::Waiting(stdin)),
    }
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
pub(crate) fn input() -> io::Result<impl io::Read> {
    Ok(io::stdin())
}

#[cfg(windows)]
pub(crate) fn output() -> impl io::Write {
    io::stdout()
}

#[cfg(windows)]
pub(crate) fn error() -> impl io::Write {
    io::stderr()
}
