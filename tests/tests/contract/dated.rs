//! A runtime whose machine can sleep.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use iotcore_gateway::{UnixTime, driver::Runtime};

/// A runtime with a date that has gone on while its machine slept. Cheap to clone; all clones share their date.
#[derive(Clone)]
pub(crate) struct Dated<R> {
    runtime: R,
    /// In seconds.
    slept: Arc<AtomicU64>,
}

impl<R> Dated<R> {
    pub(crate) fn new(runtime: R) -> Self {
        Self {
            runtime,
            slept: Arc::default(),
        }
    }

    /// Lets the date go on, in whole seconds.
    pub(crate) fn suspend(&self, duration: Duration) {
        self.slept.fetch_add(duration.as_secs(), Ordering::Relaxed);
    }
}

impl<R: Runtime> Runtime for Dated<R> {
    type Stream = R::Stream;

    fn connect(&self, host: &str, port: u16) -> impl Future<Output = io::Result<R::Stream>> + Send {
        self.runtime.connect(host, port)
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send {
        self.runtime.sleep_until(deadline)
    }

    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn unix_now(&self) -> UnixTime {
        let slept = Duration::from_secs(self.slept.load(Ordering::Relaxed));
        self.runtime.unix_now().saturating_add(slept)
    }
}
