//! What an adapter does for a [`Gateway`]: dials, moves bytes, waits, and hangs up.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant, SystemTime};
use std::{sync::Arc, thread};

use iotcore_gateway::{Gateway, SigningKey, Token, TransportEnd};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring};

const TOKEN_LIFE: Duration = Duration::from_secs(3_600);
const PATIENCE: Duration = Duration::from_secs(20);
const LINGER: Duration = Duration::from_secs(2);
const BRIEFLY: Duration = Duration::from_millis(5);

/// Where to connect, whom to trust there, and how to sign.
pub(crate) struct Bridge {
    address: (String, u16),
    tls: Arc<ClientConfig>,
    key: SigningKey,
}

impl Bridge {
    pub(crate) fn new(
        host: String,
        port: u16,
        ca: &[u8],
        key: SigningKey,
    ) -> Result<Self, Box<dyn Error>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca)?)?;
        // The provider by name: rustls panics when it has to choose between two.
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (address, tls) = ((host, port), Arc::new(tls));
        Ok(Self { address, tls, key })
    }

    /// Connects. The token is a fresh one each time: the bridge refuses one that has expired.
    pub(crate) fn dial(&self, gateway: &mut Gateway) -> Result<Line, TransportEnd> {
        let told = |end: TransportEnd, error: Box<dyn Error>| {
            let _ = writeln!(io::stderr(), "{end}: {error}");
            end
        };
        let token = self
            .token(gateway)
            .map_err(|error| told(TransportEnd::TokenFailed, error))?;
        let socket = self
            .connect()
            .map_err(|error| told(TransportEnd::DialFailed, error.into()))?;
        let line = self
            .secure(socket)
            .map_err(|error| told(TransportEnd::TlsFailed, error))?;
        gateway.handle_connected(token, Instant::now());
        Ok(line)
    }

    fn token(&self, gateway: &Gateway) -> Result<Token, Box<dyn Error>> {
        let (audience, date) = (gateway.client_id().project(), SystemTime::now().try_into()?);
        Ok(self.key.token(audience, TOKEN_LIFE, Instant::now(), date)?)
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut connected = Err(ErrorKind::NotFound.into());
        for address in self.address.to_socket_addrs()? {
            connected =
                connected.or_else(|_: io::Error| TcpStream::connect_timeout(&address, PATIENCE));
        }
        connected
    }

    fn secure(&self, socket: TcpStream) -> Result<Line, Box<dyn Error>> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let tls = ClientConnection::new(Arc::clone(&self.tls), self.address.0.clone().try_into()?)?;
        let mut stream = StreamOwned::new(tls, socket);
        stream.flush()?; // shakes hands
        stream.sock.set_write_timeout(Some(BRIEFLY))?;
        Ok(Line(stream))
    }
}

/// How long the machine has nothing to do by itself.
pub(crate) fn time_left(gateway: &Gateway) -> Duration {
    let due = gateway.poll_timeout().unwrap_or_else(Instant::now);
    due.saturating_duration_since(Instant::now()).max(BRIEFLY)
}

/// One connection.
pub(crate) struct Line(StreamOwned<ClientConnection, TcpStream>);

impl Line {
    /// Writes, then reads or waits until the machine has something to do. An error is how the connection ended.
    pub(crate) fn turn(&mut self, gateway: &mut Gateway) -> Result<(), TransportEnd> {
        // Bytes stay in the machine until TLS has taken them, so that no short write loses one.
        let Self(stream) = self;
        let taken = stream.conn.writer().write(gateway.poll_transmit());
        gateway.handle_transmitted(taken.unwrap_or(0), Instant::now());
        if !gateway.wants_transport() {
            return Err(self.hang_up());
        }
        let mut is_stuck = !gateway.poll_transmit().is_empty();
        if stream.conn.wants_write() {
            let _ = stream.conn.write_tls(&mut stream.sock); // what fails here fails again below
            is_stuck |= stream.conn.wants_write();
        }
        // A peer that takes no more may wait for us to read: neither is waited for alone.
        let wait = if is_stuck {
            BRIEFLY
        } else {
            time_left(gateway)
        };
        if !gateway.wants_input() {
            thread::sleep(BRIEFLY); // what there is waits in the socket
            return Ok(());
        }
        let mut buffer = [0; 16 * 1024];
        let readable = stream.sock.set_read_timeout(Some(wait));
        match readable.and_then(|()| stream.read(&mut buffer)) {
            Ok(0) => return Err(TransportEnd::PeerClosed),
            Ok(len) => gateway.handle_input(&buffer[..len], Instant::now()),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                ErrorKind::UnexpectedEof => return Err(TransportEnd::PeerClosed),
                _ => return Err(TransportEnd::Broken),
            },
        }
        Ok(())
    }

    /// Sends what TLS has taken, DISCONNECT at its end, and reads to the peer's end: a socket that is dropped before
    /// loses what the peer has not read yet.
    fn hang_up(&mut self) -> TransportEnd {
        let Self(stream) = self;
        let deadline = Instant::now() + LINGER;
        stream.conn.send_close_notify();
        let _ = stream.sock.set_write_timeout(Some(LINGER));
        let _ = stream.sock.set_read_timeout(Some(LINGER));
        let sent = stream
            .flush()
            .and_then(|()| stream.sock.shutdown(Shutdown::Write));
        let mut rest = [0; 1024];
        while sent.is_ok()
            && Instant::now() < deadline
            && stream.read(&mut rest).is_ok_and(|len| len > 0)
        {}
        TransportEnd::PeerClosed
    }
}
