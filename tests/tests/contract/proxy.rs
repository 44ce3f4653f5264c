//! A network that goes wrong: between a gateway and a bridge on real sockets, two threads a connection.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use socket2::SockRef;

/// How much is carried at a time, in bytes.
const CHUNK: usize = 16 * 1024;

/// How much is still taken of a gateway that is stalled: a PINGREQ, which is to be answered until a message waits.
const STALLED: usize = 1024;

/// The gateway's segments, and what comes of it and is not yet taken, in bytes. The kernel lets a gateway write so many
/// segments ahead: with these, less than a large message is on its way.
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
    /// While the gateway is stalled: how many more bytes are taken of what it writes.
    room: Option<usize>,
    segment: Option<usize>,
    /// How many more bytes come to the gateway before everything is closed.
    close_after: Option<usize>,
    /// Connections by their number; those before `live` lose what is sent.
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
        // Nothing in std ends a blocking accept but a connection.
        let _wake = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(accepting) = self.accepting.take() {
            // A panic there has been printed; it is no reason for another here.
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

    /// Carries bytes in one direction, to their end.
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
        // A peer that takes nothing does not hang up either.
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

    /// The part of what comes to the gateway that comes before the end, and whether the end is there.
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

    /// Waits until something is taken of what the gateway writes, and gives how much.
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
            // Many have ended already.
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
