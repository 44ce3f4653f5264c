//! A runtime whose machine can sleep, and whose names resolve as a scenario wants.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use iotcore_gateway::{auth::UnixTime, driver::Runtime};

/// A runtime with a date that has gone on while its machine slept, and a resolver of its own. Cheap to clone; all clones
/// share both.
#[derive(Clone)]
pub(crate) struct Dated<R> {
    runtime: R,
    /// In seconds.
    slept: Arc<AtomicU64>,
    /// What every name resolves to, unless it is empty.
    addresses: Arc<Mutex<Vec<SocketAddr>>>,
}

impl<R> Dated<R> {
    pub(crate) fn new(runtime: R) -> Self {
        Self {
            runtime,
            slept: Arc::default(),
            addresses: Arc::default(),
        }
    }

    /// Sets what every name resolves to.
    pub(crate) fn resolve_to(&self, addresses: Vec<SocketAddr>) {
        *self.addresses.lock().unwrap() = addresses;
    }

    /// Lets the date go on, in whole seconds.
    pub(crate) fn suspend(&self, duration: Duration) {
        self.slept.fetch_add(duration.as_secs(), Ordering::Relaxed);
    }
}

impl<R: Runtime> Runtime for Dated<R> {
    type Stream = R::Stream;

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses = self.addresses.lock().unwrap().clone();
        if addresses.is_empty() {
            return self.runtime.resolve(host, port).await;
        }
        Ok(addresses)
    }

    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<R::Stream>> + Send {
        self.runtime.connect(address)
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
