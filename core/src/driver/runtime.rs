//! What the driver needs of the world: connections, timers and clocks.

use core::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
};
use std::{io, net::SocketAddr};

use futures_io::{AsyncRead, AsyncWrite};

#[cfg(feature = "store")]
use crate::driver::store::{Worker, WorkerThread};
use crate::{
    driver::resolver,
    time::{Duration, Instant, UnixTime},
};

/// An async runtime, as far as the driver needs one. The driver has no clock and no socket of its own and spawns nothing,
/// so it runs just as well on a virtual clock and network.
///
/// All instants come from one clock: `sleep_until` wakes by the clock that `now` reads.
///
/// The runtime, its streams and its futures are [`Send`], because handles on any thread use its clock and its timers, and
/// [`Driver::run`](crate::driver::Driver::run) is for executors that move tasks between threads. So a runtime whose sockets
/// or timers stay on one thread, such as a thread-per-core or a `wasm` one, cannot be a `Runtime`; the compiler says that
/// something in it "cannot be sent between threads safely". Run the driver on a thread of its own **with another runtime**,
/// for example with `iotcore-gateway-smol` and `std::thread::spawn(|| smol::block_on(driver.run()))`: the handles work in
/// tasks of any executor whose wakers may be used from other threads. Or drive a [`Gateway`](crate::Gateway) yourself, which
/// needs no runtime.
///
/// `iotcore_gateway_testkit::runtime_check` checks what the driver relies on: that no timer is early, that dropped connects
/// leave nothing open, and that `poll_close` closes one half.
///
/// A runtime that wraps another one, here to test how a program fares on a slow satellite link:
///
/// ```
/// # mod bridge { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctests/bridge.rs")); }
/// # use iotcore_gateway::{auth::UnixTime, driver::*};
/// # use std::{io, net::SocketAddr, time::{Duration, Instant}};
/// struct Satellite<R>(R);
///
/// impl<R: Runtime> Runtime for Satellite<R> {
///     type Stream = R::Stream;
///
///     async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
///         self.0.resolve(host, port).await
///     }
///
///     async fn connect(&self, address: SocketAddr) -> io::Result<R::Stream> {
///         self.0.sleep_until(self.0.now() + Duration::from_millis(1_200)).await;
///         self.0.connect(address).await
///     }
///
///     async fn sleep_until(&self, deadline: Instant) {
///         self.0.sleep_until(deadline).await;
///     }
///
///     fn now(&self) -> Instant {
///         self.0.now()
///     }
///
///     fn unix_now(&self) -> UnixTime {
///         self.0.unix_now()
///     }
/// }
///
/// # let world = bridge::World::new();
/// # let (setup, runtime) = (world.setup(), world.clone());
/// # let begun = world.now();
/// let (client, driver) = setup.start(Satellite(runtime))?;
/// # world.spawn(async { drop(driver.run().await) });
/// # world.run(async { Ok(client.connected().await?) });
/// # assert_eq!(world.now() - begun, Duration::from_millis(1_200));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Runtime: Send + Sync + 'static {
    /// A connected byte stream. `poll_close` ends the half that is written, with a FIN (`shutdown(Write)`), so that the peer
    /// can read to its end, and leaves the other half open: the driver reads to the end of it, for at most 2 s. One that does
    /// nothing leaves a peer waiting for those 2 s; one that ends both halves resets the connection if the peer still sends,
    /// and the peer loses what it has not read.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Resolves `host`, a name or an address without brackets, to addresses with this port, the best one first. Called for
    /// each attempt to connect; while one takes longer than an attempt, the next attempt waits for it and calls no other.
    ///
    /// By default, it asks the resolver of the operating system on a thread of its own, which lives until that answers and
    /// delays the end of the program by nothing. A runtime whose clock is not the machine's has to resolve by its own means.
    ///
    /// # Errors
    ///
    /// Fails with the error of the resolver, for example if it does not know the host.
    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
        resolver::resolve(host, port)
    }

    /// Connects to this address over TCP, and sets the options of the socket as
    /// [`set_up_socket`](crate::driver::sockets::set_up_socket) does. The driver connects to several addresses at once,
    /// and drops the future of one that is too late.
    ///
    /// # Errors
    ///
    /// Fails with the error of the operating system.
    fn connect(&self, address: SocketAddr)
    -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Starts what carries out the jobs of a store, which block for as long as a disk takes; by default a thread, which lives
    /// until the driver is dropped and its last job is done. A runtime whose clock is not the machine's has to do them by its
    /// own means.
    ///
    /// # Errors
    ///
    /// Fails with the error of the operating system.
    #[cfg(feature = "store")]
    fn worker(&self) -> io::Result<Box<dyn Worker>> {
        Ok(Box::new(WorkerThread::start()?))
    }

    /// Ends at `deadline` or soon after, never before; at once for one that has passed.
    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send;

    /// The monotonic clock.
    fn now(&self) -> Instant;

    /// The date, for the claims of tokens; one before 1970 is 1970.
    fn unix_now(&self) -> UnixTime;
}

/// Lets `future` take at most `limit`; `None` when it took longer.
pub(crate) async fn within<R: Runtime, F: Future>(
    runtime: &R,
    limit: Duration,
    future: F,
) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut sleep = pin!(runtime.sleep_until(runtime.now() + limit));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        sleep.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// A future that can be kept, and moved between threads.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
