//! Carries the operations of a gateway out on its store, beside the driver.

use core::task::{Context, Waker};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Group, Job, Store, Worker};
use crate::store::{StoreFailure, StoreFailureKind, StoreSeq};

/// How a group has ended.
pub(crate) type Answer = Result<StoreSeq, StoreFailure>;

/// The store of a driver, and the group that is under way.
pub(crate) struct StoreRunner {
    worker: Box<dyn Worker>,
    desk: Arc<Desk>,
    /// Whether a group was begun and not answered.
    is_awaiting: bool,
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
    StoreFailure {
        kind: StoreFailureKind::Broken,
        detail: "it has panicked, and cannot be used any more".into(),
    }
}

impl StoreRunner {
    pub(crate) fn new(store: Box<dyn Store>, worker: Box<dyn Worker>) -> Self {
        let desk = Desk::default();
        desk.lock().store = Some(store);
        Self {
            worker,
            desk: Arc::new(desk),
            is_awaiting: false,
        }
    }

    /// Returns the answer to the last group, if there is one that was not taken; registers the task for the next change.
    pub(crate) fn poll_answer(&mut self, cx: &Context<'_>) -> Option<Answer> {
        let mut state = self.desk.lock();
        state.driver = Some(cx.waker().clone());
        let answer = state.answer.take();
        self.is_awaiting &= answer.is_none();
        answer
    }

    /// Returns whether the store can take a group.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.desk.lock();
        state.store.is_some() || state.is_lost
    }

    /// Returns whether nothing has to be waited for before the store is dropped: it tidies up for a moment only, but a disk
    /// may never answer.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.is_idle() || self.is_awaiting
    }

    /// Begins to carry a group out. Only while it is idle.
    pub(crate) fn begin(&mut self, group: Group) {
        self.is_awaiting = true;
        let store = self.desk.lock().store.take();
        match store {
            Some(store) => self.worker.start(job(Arc::clone(&self.desk), store, group)),
            None => self.desk.change(|state| state.answer = Some(Err(lost()))),
        }
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
        desk.change(|state| state.store = Some(store));
    })
}
