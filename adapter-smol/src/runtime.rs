//! smol's TCP streams, timers and clock as the driver's [`Runtime`].

use std::{
    io::{self, IoSlice},
    net::{Shutdown, SocketAddr, TcpStream},
    pin::Pin,
    task::{Context, Poll},
    time::{Instant, SystemTime},
};

use async_io::{Async, Timer};
use futures_io::{AsyncRead, AsyncWrite};
use iotcore_gateway::{
    auth::UnixTime,
    driver::{Runtime, sockets::set_up_socket},
};

/// The smol runtime. Use it on any executor: nothing has to be started or entered first.
#[derive(Clone, Copy, Debug, Default)]
pub struct SmolRuntime;

impl Runtime for SmolRuntime {
    type Stream = SmolStream;

    async fn connect(&self, address: SocketAddr) -> io::Result<SmolStream> {
        let stream = Async::<TcpStream>::connect(address).await?;
        set_up_socket(&stream)?;
        Ok(SmolStream(stream))
    }

    async fn sleep_until(&self, deadline: Instant) {
        Timer::at(deadline).await;
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn unix_now(&self) -> UnixTime {
        UnixTime::try_from(SystemTime::now()).unwrap_or(UnixTime::from_secs(0))
    }
}

/// A TCP stream of smol.
#[derive(Debug)]
pub struct SmolStream(Async<TcpStream>);

impl AsyncRead for SmolStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for SmolStream {
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

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.get_ref().shutdown(Shutdown::Write))
    }
}
