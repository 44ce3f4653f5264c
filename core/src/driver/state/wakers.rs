//! Wakers that are collected under the lock and used without it.

use core::task::{Context, Waker};

/// The driver's waker, and what to wake and drop once the lock is released.
///
/// A task may be dropped with its last waker, and the task's handles with it, which lock again. So no waker is woken or
/// dropped under the lock: every type of the state passes its wakers on to this one.
#[derive(Default)]
pub(crate) struct Wakers {
    driver: DriverTask,
    deferred: DeferredWakers,
}

/// The task that runs the driver.
#[derive(Default)]
enum DriverTask {
    /// None has polled it yet.
    #[default]
    None,
    /// It waits to be woken.
    Waiting(Waker),
    /// It was woken since it was last polled.
    Woken,
}

impl Wakers {
    /// Registers the driver's task, which handles wake.
    pub(crate) fn register_driver(&mut self, cx: &Context<'_>) {
        let waiting = DriverTask::Waiting(cx.waker().clone());
        if let DriverTask::Waiting(previous) = core::mem::replace(&mut self.driver, waiting) {
            self.discard(Some(previous));
        }
    }

    /// Wakes the driver's task once the lock is released.
    pub(crate) fn wake_driver(&mut self) {
        if matches!(self.driver, DriverTask::Waiting(_))
            && let DriverTask::Waiting(driver) =
                core::mem::replace(&mut self.driver, DriverTask::Woken)
        {
            self.wake([driver]);
        }
    }

    /// Returns whether the driver was ever polled.
    pub(crate) fn have_driver(&self) -> bool {
        !matches!(self.driver, DriverTask::None)
    }

    /// Wakes these tasks once the lock is released.
    pub(crate) fn wake(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        self.deferred.to_wake.extend(wakers);
    }

    /// Drops this waker once the lock is released.
    pub(crate) fn discard(&mut self, waker: Option<Waker>) {
        self.deferred.to_drop.extend(waker);
    }

    /// Takes what is to be woken and dropped.
    pub(crate) fn take_deferred(&mut self) -> DeferredWakers {
        core::mem::take(&mut self.deferred)
    }
}

/// Wakers to be woken or dropped without the lock.
#[derive(Default)]
#[must_use = "dropping it under the lock may lock again"]
pub(crate) struct DeferredWakers {
    to_wake: Vec<Waker>,
    to_drop: Vec<Waker>,
}

impl DeferredWakers {
    /// Drops and wakes them. The caller must not hold the lock.
    pub(crate) fn finish(self) {
        drop(self.to_drop);
        for waker in self.to_wake {
            waker.wake();
        }
    }
}
