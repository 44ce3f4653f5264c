//! Tokio's TCP streams, timers and clock as the driver's [`Runtime`].

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll},
    time::{Instant, SystemTime},
};

use futures_io::{AsyncRead, AsyncWrite};
use iotcore_gateway::{
    auth::UnixTime,
    driver::{Runtime, sockets::set_up_socket},
};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
    runtime::Handle,
    time::{self, Sleep},
};

/// The Tokio runtime. Use it inside a Tokio runtime whose I/O and time are enabled. It remembers the first one that it is
/// used in, or that it is created in by [`connect`](crate::connect), so that handles work on any thread.
#[derive(Clone, Debug, Default)]
pub struct TokioRuntime {
    remembered: OnceLock<Handle>,
}

impl TokioRuntime {
    /// Remembers the runtime that this is called in, if there is one and it is the first.
    pub(crate) fn remember(&self) -> bool {
        let current = Handle::try_current();
        let is_inside = current.is_ok();
        if let (Ok(handle), None) = (current, self.remembered.get()) {
            // Another thread may have been faster, with as good a runtime.
            let _ = self.remembered.set(handle);
        }
        is_inside
    }

    /// Creates a timer, also on a thread without a runtime if one is remembered.
    fn timer(&self, deadline: Instant) -> Sleep {
        let is_inside = self.remember();
        let remembered = self.remembered.get().filter(|_| !is_inside);
        let _entered = remembered.map(Handle::enter);
        time::sleep_until(deadline.into())
    }
}

impl Runtime for TokioRuntime {
    type Stream = TokioStream;

    async fn connect(&self, address: SocketAddr) -> io::Result<TokioStream> {
        let stream = TcpStream::connect(address).await?;
        set_up_socket(&stream)?;
        Ok(TokioStream(stream))
    }

    async fn sleep_until(&self, deadline: Instant) {
        self.timer(deadline).await;
    }

    fn now(&self) -> Instant {
        time::Instant::now().into_std()
    }

    fn unix_now(&self) -> UnixTime {
        UnixTime::try_from(SystemTime::now()).unwrap_or(UnixTime::from_secs(0))
    }
}

/// A TCP stream of Tokio with the traits of `futures-io`.
#[derive(Debug)]
pub struct TokioStream(TcpStream);

impl AsyncRead for TokioStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let read = Pin::new(&mut self.0).poll_read(cx, &mut buffer);
        read.map_ok(|()| buffer.filled().len())
    }
}

impl AsyncWrite for TokioStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
