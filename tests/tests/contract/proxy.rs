//! A TCP proxy between gateway and bridge that injects network faults. It uses two threads per connection.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use socket2::SockRef;

/// Maximum number of bytes forwarded at a time.
const CHUNK: usize = 16 * 1024;

/// Number of bytes still read from a stalled gateway: enough for a PINGREQ, which must be answered until a message is
/// blocked.
const STALLED: usize = 1024;

/// Sizes of the gateway's segments and of the receive buffer, in bytes. The kernel lets a gateway write a number of
/// segments ahead: with these sizes, less than a large message is in transit.
const SEGMENT: u32 = 1024;
const BUFFER: usize = 4 * 1024;

pub(crate) struct FaultProxy {
    shared: Arc<Shared>,
    port: u16,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<ProxyState>,
    changed: Condvar,
}

#[derive(Default)]
struct ProxyState {
    is_ending: bool,
    /// While the gateway is stalled: the number of bytes that are still read from it.
    room: Option<usize>,
    segment: Option<usize>,
    /// Number of bytes still forwarded to the gateway before all connections are closed.
    close_after: Option<usize>,
    /// Connections by number; data sent on those before `live` is dropped.
    sockets: Vec<[TcpStream; 2]>,
    live: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Towards {
    Bridge,
    Gateway,
}

impl FaultProxy {
    pub(crate) fn start(bridge: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let socket = SockRef::from(&listener);
        socket.set_tcp_mss(SEGMENT)?;
        socket.set_recv_buffer_size(BUFFER)?;
        let port = listener.local_addr()?.port();
        let shared = Arc::<Shared>::default();
        let accepting = Arc::clone(&shared);
        Ok(Self {
            shared,
            port,
            accepting: Some(thread::spawn(move || accepting.accept(&listener, bridge))),
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn one_byte_per_segment(&self) {
        self.shared.lock().segment = Some(1);
    }

    pub(crate) fn cut(&self) {
        self.shared.lock().close_all();
    }

    pub(crate) fn close_after(&self, bytes: usize) {
        self.shared.lock().close_after = Some(bytes);
    }

    pub(crate) fn half_open(&self) {
        let mut state = self.shared.lock();
        state.live = state.sockets.len();
    }

    pub(crate) fn stall(&self, is_stalled: bool) {
        self.shared.lock().room = is_stalled.then_some(STALLED);
        self.shared.changed.notify_all();
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_ending = true;
        state.close_all();
        drop(state);
        self.shared.changed.notify_all();
        // In std, only a connection can end a blocking accept.
        let _wake = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(accepting) = self.accepting.take() {
            // A panic there has already been printed and does not cause another one here.
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, ProxyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener, bridge: SocketAddr) {
        thread::scope(|scope| {
            loop {
                let accepted = listener.accept();
                if self.lock().is_ending {
                    break;
                }
                let Ok(pair) = accepted.and_then(|(gateway, _)| connect(gateway, bridge)) else {
                    continue;
                };
                let Ok(kept) = clone(&pair) else { continue };
                let number = {
                    let mut state = self.lock();
                    state.sockets.push(kept);
                    state.sockets.len() - 1
                };
                let Ok([gateway, bridge]) = clone(&pair) else {
                    continue;
                };
                let [from_gateway, from_bridge] = pair;
                scope.spawn(move || self.pump(number, from_gateway, bridge, Towards::Bridge));
                scope.spawn(move || self.pump(number, from_bridge, gateway, Towards::Gateway));
            }
        });
    }

    /// Forwards bytes in one direction until the stream ends.
    fn pump(&self, number: usize, mut from: TcpStream, mut to: TcpStream, towards: Towards) {
        let mut chunk = [0; CHUNK];
        loop {
            let room = match towards {
                Towards::Bridge => self.wait_for_room(),
                Towards::Gateway => CHUNK,
            };
            match from.read(&mut chunk[..room]) {
                Ok(length) if length > 0 => {
                    if towards == Towards::Bridge {
                        self.take(length);
                    }
                    if self
                        .carry(number, &chunk[..length], &mut to, towards)
                        .is_err()
                    {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => break,
            }
        }
        // A stalled peer does not hang up either.
        drop(self.wait_while(|state| state.room.is_some()));
        if self.is_live(number) {
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    fn carry(
        &self,
        number: usize,
        bytes: &[u8],
        to: &mut TcpStream,
        towards: Towards,
    ) -> io::Result<()> {
        if !self.is_live(number) {
            return Ok(());
        }
        let (bytes, closes) = match towards {
            Towards::Gateway => self.before_close(bytes),
            Towards::Bridge => (bytes, false),
        };
        let segment = self.lock().segment.unwrap_or(bytes.len().max(1));
        for segment in bytes.chunks(segment) {
            to.write_all(segment)?;
        }
        if closes {
            self.lock().close_all();
        }
        Ok(())
    }

    /// Returns the part of the bytes that is forwarded before the close, and whether the close is reached.
    fn before_close<'a>(&self, bytes: &'a [u8]) -> (&'a [u8], bool) {
        let mut state = self.lock();
        let Some(left) = state.close_after else {
            return (bytes, false);
        };
        let arriving = left.min(bytes.len());
        state.close_after = (arriving < left).then_some(left - arriving);
        (&bytes[..arriving], arriving == left)
    }

    fn is_live(&self, number: usize) -> bool {
        self.lock().live <= number
    }

    /// Waits until bytes may be read from the gateway, and returns how many.
    fn wait_for_room(&self) -> usize {
        let state = self.wait_while(|state| state.room == Some(0));
        state.room.map_or(CHUNK, |room| room.clamp(1, CHUNK))
    }

    fn take(&self, length: usize) {
        if let Some(room) = &mut self.lock().room {
            *room = room.saturating_sub(length);
        }
    }

    fn wait_while(&self, condition: impl Fn(&ProxyState) -> bool) -> MutexGuard<'_, ProxyState> {
        let waits = |state: &mut ProxyState| condition(state) && !state.is_ending;
        let state = self.changed.wait_while(self.lock(), waits);
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProxyState {
    fn close_all(&self) {
        for socket in self.sockets.iter().flatten() {
            // Many are closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn connect(gateway: TcpStream, bridge: SocketAddr) -> io::Result<[TcpStream; 2]> {
    let bridge = TcpStream::connect(bridge)?;
    for stream in [&gateway, &bridge] {
        stream.set_nodelay(true)?;
    }
    Ok([gateway, bridge])
}

fn clone([gateway, bridge]: &[TcpStream; 2]) -> io::Result<[TcpStream; 2]> {
    Ok([gateway.try_clone()?, bridge.try_clone()?])
}
