//! One connection: a reader thread and a writer thread.
//!
//! Neither holds a lock while it waits for the client, so that a client that reads slowly delays nobody, not even its
//! own requests.

use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustls::ServerConnection;
use socket2::SockRef;

use super::{ServerOptions, Shared, handshake};
use crate::ConnectionId;

/// The time limit for a client to close its side once its connection has ended.
const LINGER: Duration = Duration::from_secs(2);

/// How often a write that makes no progress checks whether it is still wanted.
const WRITE_CHECK: Duration = Duration::from_millis(200);

/// The number of bytes read or written at a time.
const CHUNK: usize = 16 * 1024;

/// A connection's transport.
struct Transport<'a> {
    shared: &'a Shared,
    id: ConnectionId,
    peer: SocketAddr,
    stream: &'a TcpStream,
    layer: Layer,
}

/// The layer between the stream and MQTT.
enum Layer {
    Plain,
    Tls(Box<Mutex<ServerConnection>>),
}

/// Serves a connection until it ends, after it has reported whether it has its second thread.
pub(super) fn run(
    shared: &Shared,
    stream: &TcpStream,
    peer: SocketAddr,
    options: &ServerOptions,
    started: &Sender<io::Result<()>>,
) {
    let transport = thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel::<Arc<Transport<'_>>>();
        let write = move || {
            if let Ok(transport) = receiver.recv() {
                transport.write();
            }
        };
        let writer = thread::Builder::new().spawn_scoped(scope, write);
        let has_writer = writer.is_ok();
        // Whoever accepted the connection waits for that.
        let _ = started.send(writer.map(drop));
        has_writer
            .then(|| serve(shared, stream, peer, options, &sender))
            .flatten()
    });
    if let Some(transport) = transport.filter(|transport| transport.wants_reset()) {
        transport.reset();
    }
}

/// Serves a connection until its input ends; the other thread writes its output once it gets the transport. Returns
/// the transport, unless there was none.
fn serve<'a>(
    shared: &'a Shared,
    stream: &'a TcpStream,
    peer: SocketAddr,
    options: &ServerOptions,
    writer: &Sender<Arc<Transport<'a>>>,
) -> Option<Arc<Transport<'a>>> {
    let layer = match secure(stream, options) {
        Ok(layer) => layer,
        Err(reason) => {
            shared.lock().sockets.remove(&peer);
            let reason = format!("{peer}: {reason}");
            shared.with(|bridge, now| bridge.handle_failed_transport(reason, now));
            return None;
        }
    };
    let transport = Arc::new(Transport {
        shared,
        id: shared.with(|bridge, now| bridge.accept(now)),
        peer,
        stream,
        layer,
    });
    // It waits for it.
    let _ = writer.send(Arc::clone(&transport));
    transport.read();
    Some(transport)
}

/// Sets up the layer between the stream and MQTT; an error says why the client cannot be served.
fn secure(stream: &TcpStream, options: &ServerOptions) -> Result<Layer, String> {
    let text = |error: io::Error| error.to_string();
    stream.set_nodelay(true).map_err(text)?;
    stream.set_write_timeout(Some(WRITE_CHECK)).map_err(text)?;
    let Some(config) = &options.tls else {
        return Ok(Layer::Plain);
    };
    let tls = handshake::run(stream, Arc::clone(config), options.certificate_flaw)?;
    Ok(Layer::Tls(Box::new(Mutex::new(tls))))
}

impl Transport<'_> {
    /// Passes received bytes to the bridge until the stream ends; continues to read after the bridge has ended the
    /// connection, because a reset would discard what the client has not read yet.
    fn read(&self) {
        let mut chunk = vec![0; CHUNK];
        // The handshake may have read the beginning of the data after it.
        let mut length = 0;
        loop {
            let mut plain = Vec::new();
            let raw = chunk.get(..length).unwrap_or_default();
            let opened = self.layer.open(raw, &mut plain);
            self.shared
                .with(|bridge, now| bridge.handle_input(self.id, &plain, now));
            if self.wants_reset() {
                return;
            }
            if opened.is_err() {
                break;
            }
            drop(self.shared.wait_while(|state| {
                !state.is_stopping
                    && state.bridge.wants_transport(self.id)
                    && !state.bridge.wants_input(self.id)
            }));
            length = match { self.stream }.read(&mut chunk) {
                Ok(length) if length > 0 => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Ok(_) | Err(_) => break,
            };
        }
        self.handle_closed();
    }

    fn handle_closed(&self) {
        self.shared.lock().sockets.remove(&self.peer);
        self.shared
            .with(|bridge, now| bridge.handle_closed(self.id, now));
    }

    /// Writes the bridge's output until it ends the connection, and then closes it: first this side, and the other side
    /// once the client has read everything or the time limit is reached.
    fn write(&self) {
        while let Some(chunk) = self.next_chunk() {
            if self.write_all(&self.layer.seal(&chunk)).is_err() {
                let _ = self.stream.shutdown(Shutdown::Both);
                return;
            }
            let length = chunk.len();
            self.shared
                .with(|bridge, now| bridge.handle_transmitted(self.id, length, now));
        }
        if self.wants_reset() {
            return;
        }
        let _ = self.write_all(&self.layer.close());
        let _ = self.stream.shutdown(Shutdown::Write);
        drop(
            self.shared
                .wait_while_for(LINGER, |state| state.sockets.contains_key(&self.peer)),
        );
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Returns whether the bridge requests a reset, which only input can cause and which it reports until the
    /// connection is closed.
    fn wants_reset(&self) -> bool {
        self.shared.lock().bridge.wants_reset(self.id)
    }

    /// Configures the socket to send RST when its last handle is dropped; neither thread closes it.
    fn reset(&self) {
        // If this fails, the connection is closed normally.
        let _ = SockRef::from(self.stream).set_linger(Some(Duration::ZERO));
        self.handle_closed();
    }

    /// Waits for bytes to write; returns `None` once there will be no more.
    fn next_chunk(&self) -> Option<Vec<u8>> {
        let state = self.shared.wait_while(|state| {
            state.bridge.poll_transmit(self.id).is_empty() && state.bridge.wants_transport(self.id)
        });
        let waiting = state.bridge.poll_transmit(self.id);
        let chunk = waiting.get(..CHUNK).unwrap_or(waiting);
        (!chunk.is_empty()).then(|| chunk.to_vec())
    }

    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match { self.stream }.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
                Err(error) if self.is_patient_with(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns whether to keep waiting: a client may be arbitrarily slow while the bridge wants the connection.
    fn is_patient_with(&self, error: &io::Error) -> bool {
        match error.kind() {
            io::ErrorKind::Interrupted => true,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                self.shared.lock().bridge.wants_transport(self.id)
            }
            _ => false,
        }
    }
}

impl Layer {
    /// Decrypts what the client sent and appends it to `plain`.
    ///
    /// # Errors
    /// The client has closed the stream, or sent something that is not TLS.
    fn open(&self, mut raw: &[u8], plain: &mut Vec<u8>) -> io::Result<()> {
        let Self::Tls(tls) = self else {
            plain.extend_from_slice(raw);
            return Ok(());
        };
        let mut tls = lock(tls);
        loop {
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            let mut fresh = vec![0; state.plaintext_bytes_to_read()];
            tls.reader().read_exact(&mut fresh)?;
            plain.append(&mut fresh);
            if state.peer_has_closed() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if raw.is_empty() {
                return Ok(());
            }
            tls.read_tls(&mut raw)?;
        }
    }

    /// Returns the bytes to write to the stream in order to send `plain`.
    fn seal(&self, plain: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => plain.to_vec(),
            Self::Tls(tls) => {
                let mut tls = lock(tls);
                // A chunk is far below the limit of the writer's buffer, so all of it is accepted.
                let _ = tls.writer().write_all(plain);
                records(&mut tls)
            }
        }
    }

    /// Returns the bytes to write at the end of the stream.
    fn close(&self) -> Vec<u8> {
        match self {
            Self::Plain => Vec::new(),
            Self::Tls(tls) => {
                let mut tls = lock(tls);
                tls.send_close_notify();
                records(&mut tls)
            }
        }
    }
}

/// Returns the pending TLS records.
fn records(tls: &mut ServerConnection) -> Vec<u8> {
    let mut records = Vec::new();
    // Writing to memory cannot fail.
    while tls.wants_write() && tls.write_tls(&mut records).is_ok() {}
    records
}

/// Locks the TLS state. Nothing that can panic runs under this lock.
fn lock(tls: &Mutex<ServerConnection>) -> MutexGuard<'_, ServerConnection> {
    tls.lock().unwrap_or_else(PoisonError::into_inner)
}
