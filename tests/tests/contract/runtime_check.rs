//! The testkit's check of a runtime: it finds nothing wrong with ours, and each fault of one that has it.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener},
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use iotcore_gateway_smol::{Runtime, SmolRuntime, auth::UnixTime};
use iotcore_gateway_testkit::runtime_check::{RuntimeFault, Step, check};
use iotcore_gateway_tokio::TokioRuntime;
use smol::{
    Async, Timer, future,
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    WakesEarly,
    NeverWakes,
    IgnoresRefusals,
    KeepsDroppedConnects,
    ClosesNothing,
    ClosesBothHalves,
    WritesNothing,
}

/// smol, with a flaw.
struct Flawed {
    flaw: Flaw,
    /// Where a connect leads that ignores a refusal.
    open: TcpListener,
    /// What a connect keeps that was dropped.
    kept: Mutex<Vec<TcpStream>>,
}

struct FlawedStream {
    flaw: Flaw,
    stream: TcpStream,
}

impl Runtime for Flawed {
    type Stream = FlawedStream;

    async fn connect(&self, address: SocketAddr) -> io::Result<FlawedStream> {
        let stream = match self.flaw {
            Flaw::KeepsDroppedConnects => self.connect_and_keep(address).await,
            Flaw::IgnoresRefusals => match TcpStream::connect(address).await {
                Err(_) => TcpStream::connect(self.open.local_addr()?).await,
                connected => connected,
            },
            _ => TcpStream::connect(address).await,
        };
        let flaw = self.flaw;
        Ok(FlawedStream {
            flaw,
            stream: stream?,
        })
    }

    async fn sleep_until(&self, deadline: Instant) {
        match self.flaw {
            Flaw::NeverWakes => std::future::pending().await,
            Flaw::WakesEarly => Timer::at(deadline - Duration::from_millis(20)).await,
            _ => Timer::at(deadline).await,
        };
    }

    fn now(&self) -> Instant {
        SmolRuntime.now()
    }

    fn unix_now(&self) -> UnixTime {
        SmolRuntime.unix_now()
    }
}

impl Flawed {
    /// Connects at once and keeps the connection, so that no thread decides what is found.
    async fn connect_and_keep(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream =
            Async::<std::net::TcpStream>::try_from(std::net::TcpStream::connect(address)?)?;
        let stream = TcpStream::from(stream);
        self.kept.lock().unwrap().push(stream.clone());
        future::yield_now().await;
        Ok(stream)
    }
}

impl AsyncRead for FlawedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for FlawedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.flaw {
            Flaw::WritesNothing => Poll::Ready(Ok(bytes.len())),
            _ => Pin::new(&mut self.stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.flaw {
            Flaw::ClosesNothing => Poll::Ready(Ok(())),
            Flaw::ClosesBothHalves => {
                ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                Poll::Ready(self.stream.shutdown(Shutdown::Both))
            }
            _ => Pin::new(&mut self.stream).poll_close(cx),
        }
    }
}

/// Returns what the check finds wrong with a runtime that has this flaw.
fn found(flaw: Flaw) -> Result<(), RuntimeFault> {
    let open = TcpListener::bind("127.0.0.1:0").unwrap();
    let kept = Mutex::default();
    smol::block_on(check(&Flawed { flaw, open, kept }))
}

#[test]
fn nothing_is_wrong_with_the_runtimes_of_the_adapters() {
    smol::block_on(check(&SmolRuntime)).unwrap();
    let tokio = tokio::runtime::Runtime::new().unwrap();
    tokio.block_on(check(&TokioRuntime::default())).unwrap();
    found(Flaw::None).unwrap();
}

#[test]
fn a_timer_that_is_early_or_never_rings_is_found() {
    let early = found(Flaw::WakesEarly).unwrap_err();
    assert!(matches!(early, RuntimeFault::WokeEarly { .. }), "{early}");
    let never = found(Flaw::NeverWakes).unwrap_err();
    assert!(
        matches!(never, RuntimeFault::TookTooLong(Step::Sleep)),
        "{never}"
    );
}

#[test]
fn a_connect_that_ignores_a_refusal_is_found() {
    let fault = found(Flaw::IgnoresRefusals).unwrap_err();
    assert!(
        matches!(fault, RuntimeFault::ConnectedToNobody(_)),
        "{fault}"
    );
}

#[test]
fn a_dropped_connect_that_leaves_its_connection_open_is_found() {
    let fault = found(Flaw::KeepsDroppedConnects).unwrap_err();
    assert!(
        matches!(fault, RuntimeFault::KeptDroppedConnect(_)),
        "{fault}"
    );
}

#[test]
fn a_close_of_no_half_or_of_both_is_found() {
    let none = found(Flaw::ClosesNothing).unwrap_err();
    assert!(matches!(none, RuntimeFault::StillOpen(_)), "{none}");
    let both = found(Flaw::ClosesBothHalves).unwrap_err();
    assert!(matches!(both, RuntimeFault::LostAnswer { .. }), "{both}");
}

#[test]
fn a_stream_that_loses_what_is_written_is_found() {
    let fault = found(Flaw::WritesNothing).unwrap_err();
    assert!(matches!(fault, RuntimeFault::LostRequest), "{fault}");
}
