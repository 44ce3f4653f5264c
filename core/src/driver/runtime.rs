//! What the driver needs of the world: connections, timers and clocks.

use core::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
};
use std::io;

use futures_io::{AsyncRead, AsyncWrite};

use crate::time::{Duration, Instant, UnixTime};

/// An async runtime, as far as the driver needs one. The driver has no clock and no socket of its own and spawns nothing,
/// so it runs just as well on a virtual clock and network.
///
/// All instants come from one clock: `sleep_until` wakes by the clock that `now` reads.
pub trait Runtime: Send + Sync + 'static {
    /// A connected byte stream. Closing it closes the half that is written, so that the peer can read to its end.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Connects to `host`, a name or an address without brackets, over TCP and without Nagle's delay. The driver drops
    /// the future when it has taken too long.
    fn connect(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send;

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
