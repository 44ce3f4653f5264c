//! The thread of a store.

use std::{
    io,
    sync::mpsc::{self, Sender},
    thread,
};

/// What a [`Worker`] does: it blocks for as long as a disk takes.
pub type Job = Box<dyn FnOnce() + Send>;

/// Does jobs that block, one after the other, beside the tasks of a runtime.
pub trait Worker: Send {
    /// Does a job once the earlier ones are done. Returns at once.
    fn start(&mut self, job: Job);
}

/// A thread that does jobs. It ends after the last one, once this is dropped.
#[derive(Debug)]
pub struct WorkerThread {
    jobs: Sender<Job>,
}

impl WorkerThread {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The operating system has no thread left.
    pub fn start() -> io::Result<Self> {
        let (jobs, next) = mpsc::channel::<Job>();
        let work = move || next.into_iter().for_each(|job| job());
        thread::Builder::new()
            .name("iotcore-store".to_owned())
            .spawn(work)?;
        Ok(Self { jobs })
    }
}

impl Worker for WorkerThread {
    fn start(&mut self, job: Job) {
        // The thread ends with this, or with a job that panics, which its own end reports.
        drop(self.jobs.send(job));
    }
}
