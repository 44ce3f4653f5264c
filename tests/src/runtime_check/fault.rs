//! What is wrong with a runtime.

use core::{error::Error, fmt, time::Duration};
use std::{io, net::SocketAddr};

use super::LIMIT;

/// A step of the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The check listens on loopback. What fails here is the machine's, not the runtime's.
    Listen,
    /// `sleep_until` an instant that is to come.
    Sleep,
    /// `sleep_until` an instant that has passed.
    SleepUntilPast,
    /// `connect` to a port where nothing listens.
    Refused,
    /// A `connect` that is polled once and dropped.
    DroppedConnect,
    /// `connect` to a listener.
    Connect,
    /// `poll_write` and `poll_flush`.
    Write,
    /// `poll_close`.
    Close,
    /// `poll_read` to the end, after `poll_close`.
    Read,
}

/// What is wrong with a runtime: the first thing that was found.
#[derive(Debug)]
#[non_exhaustive]
pub enum RuntimeFault {
    /// A step took longer than 5 s: the runtime did not wake the task, or the executor does not run the runtime.
    TookTooLong(Step),
    /// A step failed.
    Io(Step, io::Error),
    /// `sleep_until` ended before its deadline: the driver would judge the bridge too early.
    WokeEarly {
        /// How long it slept, by `now`.
        slept: Duration,
        /// How long it should have.
        until: Duration,
    },
    /// `connect` succeeded where nothing listens: the driver would choose an address that is dead.
    ConnectedToNobody(SocketAddr),
    /// A `connect` that was dropped left a connection open for so long: each race of addresses would leave one.
    KeptDroppedConnect(Duration),
    /// The peer did not receive what was written before `poll_close`.
    LostRequest,
    /// The peer saw no end of the stream for so long after `poll_close`.
    StillOpen(Duration),
    /// Not all that the peer sent after `poll_close` could be read: the driver could not read to the end, and a peer that
    /// still sends would be reset.
    LostAnswer {
        /// How many bytes could be read.
        read: usize,
        /// How many were sent.
        sent: usize,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Listen => "listening on loopback",
            Self::Sleep => "`sleep_until` in 100 ms",
            Self::SleepUntilPast => "`sleep_until` an instant that has passed",
            Self::Refused => "`connect` to a port where nothing listens",
            Self::DroppedConnect => "a `connect` that is dropped",
            Self::Connect => "`connect` to a listener",
            Self::Write => "`poll_write` and `poll_flush`",
            Self::Close => "`poll_close`",
            Self::Read => "`poll_read` after `poll_close`",
        })
    }
}

impl fmt::Display for RuntimeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TookTooLong(step) => write!(
                f,
                "{step} did not end within {LIMIT:?}: wake the task, and run the check on an executor that fits the runtime"
            ),
            Self::Io(step, error) => write!(f, "{step} failed: {error}"),
            Self::WokeEarly { slept, until } => write!(
                f,
                "`sleep_until` ended after {slept:?} instead of {until:?}: round up to the timer's resolution, and let `now` \
                 read the clock that it wakes by"
            ),
            Self::ConnectedToNobody(address) => write!(
                f,
                "`connect` succeeded at {address}, where nothing listens: wait until the socket is writable, and ask it for \
                 its error"
            ),
            Self::KeptDroppedConnect(limit) => write!(
                f,
                "a `connect` that was dropped left its connection open for {limit:?}: close the socket with the future"
            ),
            Self::LostRequest => f.write_str(
                "the peer did not receive what was written before `poll_close`: flush before the half is shut down",
            ),
            Self::StillOpen(limit) => write!(
                f,
                "the peer saw no end of the stream for {limit:?} after `poll_close`: shut down the half that is written"
            ),
            Self::LostAnswer { read, sent } => write!(
                f,
                "only {read} of the {sent} bytes that the peer sent after `poll_close` could be read: shut down the half \
                 that is written, and no more"
            ),
        }
    }
}

impl Error for RuntimeFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(_, error) => error.source(),
            _ => None,
        }
    }
}
