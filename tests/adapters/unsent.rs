//! An adapter on a link that takes nothing: how much has left the machine and is not sent.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use iotcore_gateway_testkit::packets::{self, Sent};
use rustls::{ServerConfig, ServerConnection, StreamOwned, version::TLS13};

use crate::{
    runtime::{
        adapter::{ClientId, Options, Security, Setup, Telemetry, connect, message::QoS},
        run, spawn, yield_now,
    },
    tls::{Tokens, server::Authority, trusting},
};

/// Bytes of a message.
const MESSAGE: usize = 10_000;

/// How long nothing is taken until nothing more is.
const STANDSTILL: Duration = Duration::from_millis(500);

/// A bridge that accepts a connection and stops reading at the first message.
struct Stalling {
    port: u16,
    /// Receives how many bytes of messages were read, once no more are.
    stalled: mpsc::Receiver<usize>,
    /// Lets it end.
    end: mpsc::Sender<()>,
}

impl Stalling {
    fn start(config: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stalls, stalled) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = secure(stream, config);
            stalls.send(answer(&mut stream)).unwrap();
            let _ = ends.recv();
        });
        Self { port, stalled, end }
    }

    /// Returns the number of bytes that the kernel holds for the bridge: they have arrived.
    fn arrived(&self) -> usize {
        let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
        let local = format!(":{:04X}", self.port);
        let arrived = sockets.lines().skip(1).find_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (address, _, state) = (fields.next()?, fields.next()?, fields.next()?);
            let (_, received) = fields.next()?.split_once(':')?;
            let is_it = address.ends_with(&local) && state == "01";
            is_it.then(|| usize::from_str_radix(received, 16).unwrap())
        });
        arrived.expect("connected")
    }
}

/// A stream with TLS or without.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

fn secure(stream: TcpStream, config: Option<Arc<ServerConfig>>) -> Box<dyn Stream> {
    match config {
        None => Box::new(stream),
        Some(config) => {
            let connection = ServerConnection::new(config).unwrap();
            Box::new(StreamOwned::new(connection, stream))
        }
    }
}

/// Accepts every packet until the first message; returns how long that is.
fn answer(stream: &mut impl Stream) -> usize {
    loop {
        let bytes = packets::read(stream).unwrap().expect("a message comes");
        for sent in packets::parse(&bytes) {
            if matches!(sent, Sent::Publish { .. }) {
                return bytes.len();
            }
            if let Some(answer) = sent.answer() {
                stream.write_all(&answer).unwrap();
            }
        }
    }
}

/// Returns the number of bytes that the machine has handed over and that have not arrived at a peer that reads nothing.
async fn unsent_bytes(host: &str, security: Security, config: Option<Arc<ServerConfig>>) -> usize {
    let bridge = Stalling::start(config);
    let id = ClientId::new(
        "plant".parse().unwrap(),
        "us-central1".parse().unwrap(),
        "sensors".parse().unwrap(),
        "gateway-1".parse().unwrap(),
    );
    let mut options = Options::default();
    options.device_queue.bytes = 32 * 1024 * 1024;
    options.quota.device_bytes_per_second = None;
    let setup = Setup::new(host, security, id, Tokens).port(bridge.port);
    let (client, driver) = connect(setup.options(options)).unwrap();
    let driver = spawn(driver.run());
    client.connected().await.unwrap();
    let gateway = client.gateway();
    for _ in 0..1_000 {
        let message = Telemetry::new(vec![7; MESSAGE]).qos(QoS::AtMostOnce);
        let _delivery = gateway.telemetry(message).await.unwrap();
    }
    let mut last = (client.stats().published, Instant::now());
    while last.1.elapsed() < STANDSTILL {
        let published = client.stats().published;
        if published != last.0 {
            last = (published, Instant::now());
        }
        yield_now().await;
    }
    let handed_over = usize::try_from(last.0).unwrap() * MESSAGE;
    assert!(handed_over < 1_000 * MESSAGE, "the link takes everything");
    let arrived = bridge.stalled.recv().unwrap() + bridge.arrived();
    drop(bridge.end);
    drop(driver);
    handed_over.saturating_sub(arrived)
}

/// 16 KiB wait in the socket at most when it takes the last segment, which has 64 KiB on loopback.
#[test]
fn a_stalled_link_takes_little_that_it_does_not_send() {
    run(async || {
        let unsent = unsent_bytes("127.0.0.1", Security::PlainOnLoopback, None).await;
        assert!(unsent < 96 * 1024, "{unsent} bytes");
    });
}

/// 16 KiB wait in the socket at most when it takes the last record, and a record waits in TLS. The peer's TLS may have read
/// one more.
#[test]
fn a_stalled_link_takes_little_that_it_does_not_send_over_tls() {
    run(async || {
        let authority = Authority::new("plant");
        let config = authority.server("localhost", &TLS13);
        let unsent = unsent_bytes("localhost", trusting(&authority), Some(config)).await;
        assert!(unsent < 80 * 1024, "{unsent} bytes");
    });
}
