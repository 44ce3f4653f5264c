//! Carries the operations of a gateway out on its store, beside the driver.

use core::task::{Context, Waker};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Group, Job, Store, Worker};
use crate::store::{Damage, StoreFailure, StoreFailureKind, StoreSeq};

/// How a group has ended.
pub(crate) type Answer = Result<StoreSeq, StoreFailure>;

/// The store of a driver, and the group that is under way.
pub(crate) struct StoreRunner {
    worker: Box<dyn Worker>,
    desk: Arc<Desk>,
}

/// Where the driver and the worker meet.
#[derive(Default)]
struct Desk {
    state: Mutex<DeskState>,
}

#[derive(Default)]
struct DeskState {
    /// There while no job has it.
    store: Option<Box<dyn Store>>,
    /// Of the last group, until it is taken.
    answer: Option<Answer>,
    /// What has turned out to be damaged since the start.
    damage: Damage,
    /// Whether the store was lost in a panic.
    is_lost: bool,
    driver: Option<Waker>,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, DeskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes the driver.
    fn change(&self, change: impl FnOnce(&mut DeskState)) {
        let driver = {
            let mut state = self.lock();
            change(&mut state);
            state.driver.take()
        };
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

/// Records that the store is lost, unless the job has come to its end.
struct Watch {
    desk: Arc<Desk>,
    is_over: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.is_over {
            self.desk.change(|state| {
                state.is_lost = true;
                state.answer.get_or_insert(Err(lost()));
            });
        }
    }
}

fn lost() -> StoreFailure {
    let detail = "it has panicked, and cannot be used any more";
    StoreFailure::new(StoreFailureKind::Broken, detail)
}

impl StoreRunner {
    pub(crate) fn new(store: Box<dyn Store>, worker: Box<dyn Worker>) -> Self {
        let desk = Desk::default();
        desk.lock().store = Some(store);
        Self {
            worker,
            desk: Arc::new(desk),
        }
    }

    /// Returns the answer to the last group, if there is one that was not taken; registers the task for the next change.
    pub(crate) fn poll_answer(&self, cx: &Context<'_>) -> Option<Answer> {
        let mut state = self.desk.lock();
        state.driver = Some(cx.waker().clone());
        state.answer.take()
    }

    /// Returns what has turned out to be damaged since the start.
    pub(crate) fn damage(&self) -> Damage {
        self.desk.lock().damage
    }

    /// Returns whether the store can take a group, or be dropped.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.desk.lock();
        state.store.is_some() || state.is_lost
    }

    /// Begins to carry a group out. Only while it is idle.
    pub(crate) fn begin(&mut self, group: Group) {
        let store = self.desk.lock().store.take();
        match store {
            Some(store) => self.worker.start(job(Arc::clone(&self.desk), store, group)),
            None => self.desk.change(|state| state.answer = Some(Err(lost()))),
        }
    }
}

/// The worker may still hold the desk for a moment after its last job: the store is not to be in use any longer than this.
impl Drop for StoreRunner {
    fn drop(&mut self) {
        let store = self.desk.lock().store.take();
        drop(store);
    }
}

fn job(desk: Arc<Desk>, mut store: Box<dyn Store>, group: Group) -> Job {
    Box::new(move || {
        let mut watch = Watch {
            desk: Arc::clone(&desk),
            is_over: false,
        };
        let answer = group.commit(&mut *store);
        desk.change(|state| state.answer = Some(answer));
        store.tidy();
        watch.is_over = true;
        desk.change(|state| {
            state.damage = store.damage();
            state.store = Some(store);
        });
    })
}
