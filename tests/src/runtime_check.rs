//! A check of an adapter: whether its [`Runtime`] keeps what the driver relies on, over sockets on loopback.
//!
//! It finds what no conversation with the emulator shows, such as a `poll_close` that does nothing, or that closes both
//! halves. It does not replace one: run your adapter against [`serve`](mod@crate::serve), too.
//!
//! ```
//! use iotcore_gateway_smol::SmolRuntime; // your own here
//! use iotcore_gateway_testkit::runtime_check;
//!
//! smol::block_on(runtime_check::check(&SmolRuntime))?;
//! # Ok::<(), runtime_check::RuntimeFault>(())
//! ```

mod fault;
mod off_thread;

use core::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Poll, ready},
    time::Duration,
};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
};

use futures_io::{AsyncRead, AsyncWrite};
use iotcore_gateway::driver::Runtime;

pub use self::fault::{RuntimeFault, Step};
use self::off_thread::{in_time, off_thread, pause};

/// How long a step may take.
const LIMIT: Duration = Duration::from_secs(5);

/// How long the check's own end of a connection waits for what has to arrive at once.
const PATIENCE: Duration = Duration::from_secs(1);

const NAP: Duration = Duration::from_millis(100);

const REQUEST: &[u8] = b"the last bytes of the gateway";

/// How many bytes the peer sends after it has seen the end of the gateway's: more than wait in a socket.
const ANSWER_BYTES: usize = 1024 * 1024;

/// Checks a runtime of real sockets, on an executor that fits it. Takes a few seconds at most, and runs threads for the
/// other ends. It checks that
///
/// * `sleep_until` never ends early, and ends;
/// * `connect` fails where nothing listens, and a `connect` that is dropped leaves no connection open;
/// * after `poll_close` the peer sees the end of the stream, and what it then sends can be read to its end.
///
/// # Errors
///
/// [`RuntimeFault`]: the first thing that is wrong.
pub async fn check<R: Runtime>(runtime: &R) -> Result<(), RuntimeFault> {
    check_timer(runtime).await?;
    check_refused(runtime).await?;
    check_dropped(runtime).await?;
    check_half_close(runtime).await
}

async fn check_timer<R: Runtime>(runtime: &R) -> Result<(), RuntimeFault> {
    let begun = runtime.now();
    in_time(Step::Sleep, runtime.sleep_until(begun + NAP)).await?;
    let slept = runtime.now().saturating_duration_since(begun);
    if slept < NAP {
        return Err(RuntimeFault::WokeEarly { slept, until: NAP });
    }
    in_time(Step::SleepUntilPast, runtime.sleep_until(begun)).await
}

/// Connects to a port that is reserved and unused.
async fn check_refused<R: Runtime>(runtime: &R) -> Result<(), RuntimeFault> {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    match in_time(Step::Refused, runtime.connect(nobody)).await? {
        Ok(_) => Err(RuntimeFault::ConnectedToNobody(nobody)),
        Err(_) => Ok(()),
    }
}

async fn check_dropped<R: Runtime>(runtime: &R) -> Result<(), RuntimeFault> {
    let (listener, address) = listen()?;
    {
        let mut connect = pin!(runtime.connect(address));
        poll_fn(|cx| Poll::Ready(connect.as_mut().poll(cx).is_ready())).await;
    }
    let was_closed = off_thread(move || {
        pause(PATIENCE);
        // Its own connection is the first one if the other was never made.
        drop(TcpStream::connect(address)?);
        let (mut first, _) = listener.accept()?;
        ends(&mut first, &mut Vec::new())
    });
    match in_time(Step::DroppedConnect, was_closed).await? {
        Ok(true) => Ok(()),
        Ok(false) => Err(RuntimeFault::KeptDroppedConnect(PATIENCE)),
        Err(error) => Err(RuntimeFault::Io(Step::DroppedConnect, error)),
    }
}

async fn check_half_close<R: Runtime>(runtime: &R) -> Result<(), RuntimeFault> {
    let (listener, address) = listen()?;
    let peer = off_thread(move || {
        let (mut stream, _) = listener.accept()?;
        let mut request = Vec::new();
        let has_ended = ends(&mut stream, &mut request)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // It fails if nobody reads any more, which the other side tells.
        let _ = stream.write_all(&vec![b'.'; ANSWER_BYTES]);
        Ok((request, has_ended))
    });
    let connected = in_time(Step::Connect, runtime.connect(address)).await?;
    let mut stream = connected.map_err(|error| RuntimeFault::Io(Step::Connect, error))?;
    let written = in_time(Step::Write, write_all(&mut stream, REQUEST)).await?;
    written.map_err(|error| RuntimeFault::Io(Step::Write, error))?;
    let closed = poll_fn(|cx| Pin::new(&mut stream).poll_close(cx));
    let closed = in_time(Step::Close, closed).await?;
    closed.map_err(|error| RuntimeFault::Io(Step::Close, error))?;
    let answer = in_time(Step::Read, read_to_end(&mut stream)).await?;
    drop(stream);
    let (request, has_ended) = in_time(Step::Close, peer)
        .await?
        .map_err(|error: io::Error| RuntimeFault::Io(Step::Close, error))?;
    if !has_ended {
        return Err(RuntimeFault::StillOpen(PATIENCE));
    }
    let read = answer.map_err(|error| RuntimeFault::Io(Step::Read, error))?;
    match (request == REQUEST, read) {
        (true, ANSWER_BYTES) => Ok(()),
        (true, read) => Err(RuntimeFault::LostAnswer {
            read,
            sent: ANSWER_BYTES,
        }),
        (false, _) => Err(RuntimeFault::LostRequest),
    }
}

fn listen() -> Result<(TcpListener, SocketAddr), RuntimeFault> {
    let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    listening
        .and_then(|listener| Ok((listener.local_addr()?, listener)))
        .map(|(address, listener)| (listener, address))
        .map_err(|error| RuntimeFault::Io(Step::Listen, error))
}

/// Reads to the end; returns whether that came in time. A reset is an end, too.
fn ends(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<bool> {
    stream.set_read_timeout(Some(PATIENCE))?;
    match stream.read_to_end(bytes).map_err(|error| error.kind()) {
        Ok(_) => Ok(true),
        Err(kind) if is_reset(kind) => Ok(true),
        Err(ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
        Err(kind) => Err(kind.into()),
    }
}

async fn write_all(stream: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8]) -> io::Result<()> {
    poll_fn(|cx| {
        while !bytes.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, bytes))?;
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            bytes = &bytes[written..];
        }
        Pin::new(&mut *stream).poll_flush(cx)
    })
    .await
}

/// Returns how many bytes there were.
/// Reads to the end, or to a reset, which answers what the peer sends to a half that is shut down.
async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
    let (mut buffer, mut len) = (vec![0; 16 * 1024], 0);
    poll_fn(|cx| {
        loop {
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)) {
                Ok(0) => return Poll::Ready(Ok(len)),
                Ok(read) => len += read,
                Err(error) if is_reset(error.kind()) => return Poll::Ready(Ok(len)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    })
    .await
}

fn is_reset(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted
    )
}
