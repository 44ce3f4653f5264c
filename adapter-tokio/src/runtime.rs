//! Tokio's TCP streams, timers and clock as the driver's [`Runtime`].

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::{Instant, SystemTime},
};

use futures_io::{AsyncRead, AsyncWrite};
use iotcore_gateway::{
    UnixTime,
    driver::{Runtime, set_up_socket},
};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
    time,
};

/// The Tokio runtime. Use it inside a Tokio runtime whose I/O and time are enabled.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioRuntime;

impl Runtime for TokioRuntime {
    type Stream = TokioStream;

    async fn connect(&self, address: SocketAddr) -> io::Result<TokioStream> {
        let stream = TcpStream::connect(address).await?;
        set_up_socket(&stream)?;
        Ok(TokioStream(stream))
    }

    async fn sleep_until(&self, deadline: Instant) {
        time::sleep_until(deadline.into()).await;
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

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
