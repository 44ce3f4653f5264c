//! Tasks on one thread, polled in the order in which they were woken.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// The tasks of a simulation.
#[derive(Default)]
pub(super) struct Executor {
    ready: Arc<Ready>,
    /// The tasks; `None` while a task is being polled.
    tasks: RefCell<BTreeMap<u64, Option<Boxed>>>,
    last: Cell<u64>,
}

/// Tasks that are ready to be polled.
#[derive(Default)]
struct Ready(Mutex<VecDeque<Arc<Woken>>>);

/// The part of a task that its wakers refer to.
struct Woken {
    id: u64,
    is_queued: AtomicBool,
    polls: AtomicUsize,
    ready: Arc<Ready>,
}

impl Ready {
    fn push(&self, task: Arc<Woken>) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push_back(task);
    }

    fn pop(&self) -> Option<Arc<Woken>> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.pop_front()
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::Relaxed) {
            let ready = Arc::clone(&self.ready);
            ready.push(self);
        }
    }
}

impl Executor {
    pub(super) fn spawn<T: 'static>(
        self: &Rc<Self>,
        future: impl Future<Output = T> + 'static,
    ) -> Task<T> {
        let result = Rc::new(RefCell::new(Slot::default()));
        let slot = Rc::clone(&result);
        let task = self.new_task();
        let future = Box::pin(async move {
            let output = future.await;
            slot.borrow_mut().end(output);
        });
        self.tasks.borrow_mut().insert(task.id, Some(future));
        Task {
            result,
            task,
            executor: Rc::downgrade(self),
        }
    }

    /// Creates a task that is polled at once.
    fn new_task(&self) -> Arc<Woken> {
        self.last.set(self.last.get() + 1);
        let task = Arc::new(Woken {
            id: self.last.get(),
            is_queued: AtomicBool::new(false),
            polls: AtomicUsize::new(0),
            ready: Arc::clone(&self.ready),
        });
        Arc::clone(&task).wake();
        task
    }

    /// Polls this future and all tasks until it ends. `idle` is called when no task is ready, and returns whether that
    /// has changed.
    pub(super) fn run<T>(
        &self,
        mut main: Pin<&mut impl Future<Output = T>>,
        mut idle: impl FnMut() -> bool,
    ) -> T {
        let this = self.new_task();
        loop {
            let mut polls = 0;
            while let Some(task) = self.next(&mut polls) {
                if task.id != this.id {
                    self.poll(&task);
                    continue;
                }
                let waker = Waker::from(task);
                if let Poll::Ready(output) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return output;
                }
            }
            assert!(
                idle(),
                "a deadlock: every task waits, and no bytes or timers are pending"
            );
        }
    }

    /// Polls all tasks that are woken, until none is.
    pub(super) fn run_until_idle(&self) {
        let mut polls = 0;
        while let Some(task) = self.next(&mut polls) {
            self.poll(&task);
        }
    }

    /// Returns the next task to poll; `polls` counts those since time last advanced.
    fn next(&self, polls: &mut usize) -> Option<Arc<Woken>> {
        let task = self.ready.pop()?;
        *polls += 1;
        assert!(
            *polls < MAX_POLLS,
            "a busy loop: {MAX_POLLS} polls at one instant"
        );
        task.is_queued.store(false, Ordering::Relaxed);
        Some(task)
    }

    fn poll(&self, task: &Arc<Woken>) {
        // Moved out of the map while it is polled, because it may spawn others or cancel itself.
        let taken = self
            .tasks
            .borrow_mut()
            .get_mut(&task.id)
            .and_then(Option::take);
        let Some(mut future) = taken else {
            return;
        };
        task.polls.fetch_add(1, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(task));
        if future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
        {
            return self.cancel(task.id);
        }
        let ended = match self.tasks.borrow_mut().get_mut(&task.id) {
            Some(place) => place.replace(future),
            None => Some(future),
        };
        drop(ended);
    }

    fn cancel(&self, id: u64) {
        // Dropped outside the borrow, because dropping a future may also spawn or cancel tasks.
        let task = self.tasks.borrow_mut().remove(&id);
        drop(task);
    }
}

/// The number of polls without progress of time that counts as a busy loop.
const MAX_POLLS: usize = 1_000_000;

/// A spawned task; a future of its result. Dropping it does not affect the task.
#[must_use = "dropping this detaches the task; `cancel` ends it"]
pub struct Task<T> {
    result: Rc<RefCell<Slot<T>>>,
    task: Arc<Woken>,
    executor: Weak<Executor>,
}

struct Slot<T> {
    output: Option<T>,
    waiting: Option<Waker>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            output: None,
            waiting: None,
        }
    }
}

impl<T> Slot<T> {
    fn end(&mut self, output: T) {
        self.output = Some(output);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

impl<T> Task<T> {
    /// Cancels the task by dropping its future.
    pub fn cancel(self) {
        if let Some(executor) = self.executor.upgrade() {
            executor.cancel(self.task.id);
        }
    }

    /// Returns whether it has ended and its result was not taken.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.result.borrow().output.is_some()
    }

    /// Returns its result, for a test that proceeds in steps instead of waiting.
    ///
    /// # Panics
    ///
    /// If it has not ended, or its result was taken.
    #[track_caller]
    pub fn ended(&self) -> T {
        let output = self.result.borrow_mut().output.take();
        output.expect("the task has not ended, or its result was taken")
    }

    /// Returns how often it was polled.
    #[must_use]
    pub fn polls(&self) -> usize {
        self.task.polls.load(Ordering::Relaxed)
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut slot = self.result.borrow_mut();
        match slot.output.take() {
            Some(output) => Poll::Ready(output),
            None => {
                slot.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("is_finished", &self.is_finished())
            .field("polls", &self.polls())
            .finish_non_exhaustive()
    }
}
