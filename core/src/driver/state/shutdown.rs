//! The end of the gateway: whether it was requested or reached, and who waits for it.

use core::task::{Context, Poll};

use crate::{
    driver::{
        closed::{CloseCause, Closed},
        operation_error::{DriverStopped, OperationError},
        state::{waiters::Waiters, wakers::Wakers},
    },
    error::CommandError,
};

/// How far the end of the gateway has come.
#[derive(Default)]
pub(crate) struct Shutdown {
    phase: Phase,
    waiters: Waiters,
}

#[derive(Default)]
enum Phase {
    #[default]
    Running,
    /// A handle has asked for it.
    Closing,
    Ended(Closed),
}

impl Shutdown {
    /// Records that a handle has asked for the end. Returns `false` if it is over already.
    pub(crate) fn request(&mut self) -> bool {
        if self.has_ended() {
            return false;
        }
        self.phase = Phase::Closing;
        true
    }

    /// Records the end, and wakes everybody who waits for it.
    pub(crate) fn finish(&mut self, closed: Closed, wakers: &mut Wakers) {
        self.phase = Phase::Ended(closed);
        self.waiters.wake_all(wakers);
    }

    /// Returns the end, once it is reached.
    pub(crate) fn closed(&self) -> Option<&Closed> {
        match &self.phase {
            Phase::Ended(closed) => Some(closed),
            Phase::Running | Phase::Closing => None,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.closed().is_some()
    }

    /// Returns why the gateway ends: a handle has asked for it, or it has given up.
    pub(crate) fn cause(&self) -> CloseCause {
        match &self.phase {
            Phase::Running => CloseCause::GaveUp,
            Phase::Closing => CloseCause::Requested,
            Phase::Ended(closed) => closed.cause,
        }
    }

    /// Fails once the driver was dropped.
    pub(crate) fn check_driver(&self) -> Result<(), DriverStopped> {
        match self.closed() {
            Some(closed) if closed.cause == CloseCause::DriverStopped => Err(DriverStopped),
            _ => Ok(()),
        }
    }

    /// Fails once the end was requested or reached.
    pub(crate) fn check_running(&self) -> Result<(), OperationError> {
        match self.phase {
            Phase::Running => Ok(()),
            Phase::Closing | Phase::Ended(_) => Err(self.refusal()),
        }
    }

    /// Returns why nothing is accepted any more, once the end was requested or reached.
    pub(crate) fn refusal(&self) -> OperationError {
        match self.check_driver() {
            Ok(()) => CommandError::Closed.into(),
            Err(stopped) => stopped.into(),
        }
    }

    /// Waits for the end.
    pub(crate) fn poll(
        &mut self,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
        wakers: &mut Wakers,
    ) -> Poll<Closed> {
        match &self.phase {
            Phase::Ended(closed) => Poll::Ready(closed.clone()),
            Phase::Running | Phase::Closing => {
                self.waiters.register(waiter, cx, wakers);
                Poll::Pending
            }
        }
    }

    /// Removes the waker of a future that waits no longer.
    pub(crate) fn stop_waiting(&mut self, waiter: Option<u64>, wakers: &mut Wakers) {
        self.waiters.forget(waiter, wakers);
    }
}
