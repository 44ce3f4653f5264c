//! The jobs of stores, which take virtual time.

use core::mem;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::panic::catch_unwind;
use std::time::Instant;

use iotcore_gateway::driver::store::{Job, Worker};

use super::SimRuntime;

/// How long a job of a store takes: all that its disk does for one group of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobTime {
    /// It takes this long (default: no time).
    Takes(Duration),
    /// It takes until this is changed, as on a disk that never answers.
    Hangs,
}

/// The jobs of all workers, by what the monotonic clock of the machine shows.
pub(super) struct Jobs {
    queues: BTreeMap<u64, Queue>,
    last_worker: u64,
    time: JobTime,
}

/// The jobs of one worker, the first of which is under way.
struct Queue {
    begun: Instant,
    jobs: VecDeque<Job>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            queues: BTreeMap::new(),
            last_worker: 0,
            time: JobTime::Takes(Duration::ZERO),
        }
    }
}

impl Jobs {
    fn add_worker(&mut self, now: Instant) -> u64 {
        self.last_worker += 1;
        let queue = Queue {
            begun: now,
            jobs: VecDeque::new(),
        };
        self.queues.insert(self.last_worker, queue);
        self.last_worker
    }

    /// Adds a job. Returns it if its worker has ended.
    fn add(&mut self, worker: u64, job: Job, now: Instant) -> Option<Job> {
        let Some(queue) = self.queues.get_mut(&worker) else {
            return Some(job);
        };
        if queue.jobs.is_empty() {
            queue.begun = now;
        }
        queue.jobs.push_back(job);
        None
    }

    /// Returns when the next job is done.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let JobTime::Takes(time) = self.time else {
            return None;
        };
        let busy = self.queues.values().filter(|queue| !queue.jobs.is_empty());
        busy.map(|queue| queue.begun + time).min()
    }

    /// Takes a job that is done by now, with its worker.
    fn take_due(&mut self, now: Instant) -> Option<(u64, Job)> {
        let due = self.next_due().filter(|due| *due <= now)?;
        let JobTime::Takes(time) = self.time else {
            return None;
        };
        let mut queues = self.queues.iter_mut();
        let (worker, queue) = queues.find(|(_, queue)| queue.begun + time == due)?;
        let job = queue.jobs.pop_front()?;
        queue.begun = now;
        Some((*worker, job))
    }
}

/// A worker of the simulated machine. Like a thread, it does its jobs after it was dropped, and ends with one that panics.
struct SimWorker {
    runtime: SimRuntime,
    id: u64,
}

impl Worker for SimWorker {
    fn start(&mut self, job: Job) {
        let undone = self.runtime.with_world(|world| {
            let now = world.clock.monotonic(world.now);
            world.jobs.add(self.id, job, now)
        });
        drop(undone);
    }
}

impl SimRuntime {
    /// Sets how long the jobs of stores take, also the one that is under way. What a job does happens at its end.
    pub fn set_job_time(&self, time: JobTime) {
        self.with_world(|world| world.jobs.time = time);
    }

    /// Drops the jobs of stores that are not done, as the end of the process does.
    pub fn drop_jobs(&self) {
        let queues = self.with_world(|world| mem::take(&mut world.jobs.queues));
        drop(queues);
    }

    pub(super) fn new_worker(&self) -> Box<dyn Worker> {
        let id = self.with_world(|world| {
            let now = world.clock.monotonic(world.now);
            world.jobs.add_worker(now)
        });
        Box::new(SimWorker {
            runtime: self.clone(),
            id,
        })
    }

    /// Does the jobs whose time has passed; returns whether there were any.
    pub(super) fn do_jobs(&self) -> bool {
        let take = || {
            self.with_world(|world| {
                let now = world.clock.monotonic(world.now);
                world.jobs.take_due(now)
            })
        };
        let mut were_any = false;
        while let Some((worker, job)) = take() {
            were_any = true;
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                let undone = self.with_world(|world| world.jobs.queues.remove(&worker));
                drop(undone);
            }
        }
        were_any
    }
}
