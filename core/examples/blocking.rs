//! A gateway without a runtime: the state machine alone, `std::net`, rustls and one thread. It attaches a device,
//! publishes one reading, and closes once that has ended. `start` is the program; `run` is the adapter and fits any program.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "the example provides the clock")]

use std::io::{self, ErrorKind::*, Read, Write};
use std::time::{Duration, Instant, SystemTime};
use std::{env, error::Error, fs, iter::successors, net::Shutdown, net::TcpStream};
use std::{process, process::ExitCode, sync::Arc, thread};

use iotcore_gateway::{Algorithm, ClientId, DeviceAuth, Gateway, Options, Publication};
use iotcore_gateway::{auth::SigningKey, cause::TransportEnd};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring};

const USAGE: &str = "usage: blocking HOST PORT CA PROJECT LOCATION REGISTRY GATEWAY KEY DEVICE";
const HOUR: Duration = Duration::from_secs(3_600);
const LINGER: Duration = Duration::from_secs(2);
const BRIEFLY: Duration = Duration::from_millis(5);
type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Line = StreamOwned<ClientConnection, TcpStream>;

fn main() -> ExitCode {
    let Err(error) = start() else {
        return ExitCode::SUCCESS;
    };
    let causes = successors(error.source(), |&cause| cause.source());
    let told = causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"));
    let _ = writeln!(io::stderr(), "{told}");
    ExitCode::FAILURE
}

fn start() -> Result<()> {
    let arg = |n| env::args().nth(n).ok_or(USAGE);
    let (host, port, mut roots) = (arg(1)?, arg(2)?.parse()?, RootCertStore::empty());
    let name = ServerName::try_from(host.clone())?;
    roots.add(CertificateDer::from_pem_slice(&contents(arg(3)?)?)?)?;
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider())); // rustls panics if it has two
    let tls = tls.with_safe_default_protocol_versions()?;
    let tls = Arc::new(tls.with_root_certificates(roots).with_no_client_auth());
    let (project, location) = (arg(4)?.parse()?, arg(5)?.parse()?);
    let id = ClientId::new(project, location, arg(6)?.parse()?, arg(7)?.parse()?);
    let key = SigningKey::from_pem(&contents(arg(8)?)?, Algorithm::Es256)?;
    // Commands do not wait for a connection: accepted ones are kept across connections until the drain timeout.
    let mut options = Options::default();
    options.drain_timeout = HOUR;
    let mut gateway = Gateway::new(id, options, process::id().into())?;
    gateway.open(Instant::now())?;
    let (device, _) = gateway.attach(
        arg(9)?.parse()?,
        DeviceAuth::ByAssociation,
        SystemTime::now().try_into()?,
        Instant::now(),
    )?;
    gateway.publish(Publication::telemetry(device, "21.5"), Instant::now())?;
    gateway.close(Instant::now());
    run(&mut gateway, |gateway| {
        let socket = TcpStream::connect((&*host, port))?;
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(BRIEFLY))?;
        let tls = ClientConnection::new(Arc::clone(&tls), name.clone())?;
        let (audience, date) = (gateway.client_id().project(), SystemTime::now().try_into()?);
        let token = key.token(audience, HOUR, Instant::now(), date)?; // a fresh one, because the bridge refuses expired tokens
        gateway.handle_connected(token, date, Instant::now());
        Ok(StreamOwned::new(tls, socket)) // the handshake runs on first use, within the CONNACK timeout
    })?;
    let delivered = (gateway.stats().published > 0).then_some(());
    delivered.ok_or("the reading was not acknowledged".into())
}

fn contents(file: String) -> Result<Vec<u8>> {
    fs::read(&file).map_err(|error| format!("{file}: {error}").into())
}

/// Connects the gateway, transfers its bytes and reports the time, until it is closed.
fn run(gateway: &mut Gateway, dial: impl Fn(&mut Gateway) -> Result<Line>) -> Result<()> {
    let mut line = None;
    loop {
        gateway.handle_timeout(Instant::now()); // after reading: an answer that has arrived must not time out
        while let Some(event) = gateway.poll_event() {
            writeln!(io::stdout(), "{event:?}")?;
        }
        let is_stuck = line.as_mut().is_some_and(|up| !write(up, gateway));
        let is_wanted = gateway.wants_transport();
        if let Some(up) = line.take_if(|_| !is_wanted) {
            let _ = hang_up(up); // nothing depends on how it ends: what is not acknowledged is sent again
            gateway.handle_disconnected(TransportEnd::HungUp, Instant::now());
            continue;
        }
        let due = gateway.poll_timeout().filter(|_| !is_stuck);
        let left = due.map_or(BRIEFLY, |due| due.saturating_duration_since(Instant::now()));
        let moved = match &mut line {
            Some(up) if gateway.wants_input() => read(up, left.max(BRIEFLY), gateway),
            None if is_wanted => dial(gateway).map(|up| line = Some(up)),
            None if gateway.is_closed() => return Ok(()),
            _ => {
                thread::sleep(left);
                continue;
            }
        };
        let Err(error) = moved else { continue };
        let Some(end) = end_of(line.as_ref(), &*error) else {
            continue;
        };
        writeln!(io::stderr(), "{end}: {error}")?;
        let _ = line.take().map(|mut up| up.conn.write_tls(&mut up.sock)); // a TLS alert, if there is one
        gateway.handle_disconnected(end, Instant::now());
    }
}

/// Returns what an error means for the connection, or for the dial if there is none; `None` if it ends nothing.
fn end_of(line: Option<&Line>, error: &(dyn Error + 'static)) -> Option<TransportEnd> {
    let of_socket = error.downcast_ref::<io::Error>();
    let of_tls = error.downcast_ref::<rustls::Error>();
    Some(match (line, of_socket, of_tls) {
        (None, Some(_), _) => TransportEnd::DialFailed,
        (None, None, Some(_)) => TransportEnd::TlsFailed,
        (None, None, None) => TransportEnd::TokenFailed,
        (_, Some(e), _) if matches!(e.kind(), WouldBlock | TimedOut | Interrupted) => return None,
        (Some(up), ..) if up.conn.is_handshaking() => TransportEnd::TlsFailed,
        (_, Some(error), _) => TransportEnd::of_stream(error),
        (_, _, Some(rustls::Error::AlertReceived(_))) => TransportEnd::PeerClosed, // and it has said why
        _ => TransportEnd::Broken,
    })
}

/// Writes; returns whether everything was written. Bytes stay in the gateway until TLS takes them, so that a short write
/// loses none.
fn write(line: &mut Line, gateway: &mut Gateway) -> bool {
    let taken = line.conn.writer().write(gateway.poll_transmit());
    gateway.handle_transmitted(taken.unwrap_or(0), Instant::now());
    let _ = line.conn.write_tls(&mut line.sock); // an error recurs in `read`, after the peer's last bytes
    !line.conn.wants_write() && gateway.poll_transmit().is_empty()
}

/// Reads until no bytes are left, waiting up to `wait` for the first. Having none left is an error, but does not end the
/// connection.
fn read(line: &mut Line, wait: Duration, gateway: &mut Gateway) -> Result<()> {
    line.sock.set_read_timeout(Some(wait))?;
    line.conn.read_tls(&mut line.sock)?;
    line.conn.process_new_packets()?;
    let mut bytes = Vec::new();
    let ended = line.conn.reader().read_to_end(&mut bytes);
    gateway.handle_input(&bytes, Instant::now());
    Ok(ended.and(Err(UnexpectedEof.into()))?)
}

/// Sends what TLS has buffered, DISCONNECT last, and reads to the end of the peer's stream: dropping the socket at once
/// could lose data.
fn hang_up(mut line: Line) -> io::Result<()> {
    let deadline = Instant::now() + LINGER;
    line.conn.send_close_notify();
    line.sock.set_write_timeout(Some(LINGER))?;
    line.sock.set_read_timeout(Some(LINGER))?;
    while line.conn.wants_write() {
        line.conn.write_tls(&mut line.sock)?;
    }
    line.sock.shutdown(Shutdown::Write)?;
    while Instant::now() < deadline && line.sock.read(&mut [0; 1024])? > 0 {}
    Ok(())
}
