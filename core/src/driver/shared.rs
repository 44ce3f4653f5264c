//! What the driver and the handles share: the environment, and the state behind its lock.

use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    driver::{environment::Environment, state::State},
    gateway::Gateway,
    options::{Acknowledge, Options},
    time::Instant,
};

/// Shared by the driver and all handles. The lock is held for one step of the state and never across an await.
pub(crate) struct Shared {
    environment: Arc<dyn Environment>,
    state: Mutex<State>,
}

impl Shared {
    pub(crate) fn new(
        gateway: Gateway,
        options: &Options,
        acknowledge: Acknowledge,
        reports_replaced_states: bool,
        environment: Arc<impl Environment + 'static>,
    ) -> Self {
        Self {
            environment,
            state: Mutex::new(State::new(
                gateway,
                options,
                acknowledge,
                reports_replaced_states,
            )),
        }
    }

    pub(crate) fn environment(&self) -> &Arc<dyn Environment> {
        &self.environment
    }

    /// Runs one step under the lock, with the current time.
    pub(crate) fn with<T>(&self, step: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = self.environment.now();
        self.lock(|state| step(state, now))
    }

    /// Runs one step under the lock, then wakes the tasks that it concerns. What the step drops must not lock again.
    pub(crate) fn lock<T>(&self, step: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = step(&mut state);
        let wakers = state.take_deferred_wakers();
        drop(state);
        wakers.finish();
        result
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
