//! The server on real sockets on the loopback interface.

mod faults;
mod handshakes;
mod slow;

use core::time::Duration;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;

use super::terminal::{self, Answer};
use super::*;
use crate::AuthMethod;
use crate::bridge::tests::packets::{
    DISCONNECT, Received, acknowledgement, connect, parse, publish, subscribe, token,
};
use crate::bridge::tests::{ES256_PRIVATE, ES256_PUBLIC};
use crate::keys::ServerIdentity;
use crate::packets;

/// A server whose events are collected as lines.
struct Served {
    server: Server,
    events: Arc<Mutex<Vec<String>>>,
}

impl Served {
    fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let mut registry = Registry::new("my-project", "us-central1", "my-registry").unwrap();
        registry
            .add_gateway("gateway", &[ES256_PUBLIC], AuthMethod::AssociationOnly)
            .unwrap();
        registry.add_device("solo", &[ES256_PUBLIC]).unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&events);
        let on_event = move |event: &Event| lines.lock().unwrap().push(event.to_string());
        let settings = Settings::default();
        let server = Server::start(registry, settings, "127.0.0.1:0", tls, on_event).unwrap();
        Self { server, events }
    }

    fn stream(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.local_addr()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    fn has_event(&self, words: &[&str]) -> bool {
        let lines = self.events.lock().unwrap();
        lines
            .iter()
            .any(|line| words.iter().all(|word| line.contains(word)))
    }
}

fn fresh_token() -> String {
    token(unix_now(), unix_now() + 3600, "my-project", ES256_PRIVATE)
}

/// Creates a TLS client for a server with this identity, which it addresses by this name.
fn tls_client(identity: &ServerIdentity, name: &'static str) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(identity.ca_pem.as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name).unwrap();
    ClientConnection::new(Arc::new(config), name).unwrap()
}

/// Reads one packet.
fn receive(stream: &mut impl Read) -> Received {
    let packet = packets::read(stream).unwrap().expect("a packet");
    parse(&packet).remove(0)
}

/// Waits longer than the time after which a write is abandoned if it is no longer wanted: twice that, because the first
/// attempt may have made a little progress.
fn wait(served: &Served) {
    let mut idle = served.stream();
    idle.set_read_timeout(Some(Duration::from_millis(1_200)))
        .unwrap();
    assert!(
        idle.read(&mut [0]).is_err(),
        "nothing is sent before CONNECT"
    );
}

/// Runs the complete session of a device, to the end of the stream.
fn converse(served: &Served, stream: &mut (impl Read + Write)) {
    stream
        .write_all(&connect("solo", &fresh_token(), 60))
        .unwrap();
    assert_eq!(receive(stream), Received::Connack(0));
    let topic = "/devices/solo/config";
    stream.write_all(&subscribe(1, &[(topic, 1)])).unwrap();
    assert_eq!(receive(stream), Received::Suback(1, vec![1]));
    assert_eq!(receive(stream), Received::acknowledged(topic, 1, false, ""));
    let answer = terminal::run(&served.server, "config solo base64:aGVsbG8gd29ybGQ=");
    assert_eq!(answer.to_string(), "ok: solo has config version 2");
    assert_eq!(
        receive(stream),
        Received::acknowledged(topic, 2, false, "hello world")
    );
    stream.write_all(&acknowledgement(0x40, 2)).unwrap();
    let large = publish("/devices/solo/events", 1, 7, &[b'x'; 200_000]);
    stream.write_all(&large).unwrap();
    assert_eq!(receive(stream), Received::Puback(7));
    let acknowledged = served.server.with(|bridge, _| {
        let record = bridge.device("solo").unwrap();
        (record.config_acknowledged(), record.telemetry_total())
    });
    assert_eq!(acknowledged, (Some(2), 1));
    stream.write_all(DISCONNECT).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert!(served.has_event(&["solo", "CLOSED", "DISCONNECT"]));
}

#[test]
fn a_client_is_served_over_tcp() {
    let served = Served::start(None);
    converse(&served, &mut served.stream());
}

#[test]
fn a_client_is_served_over_tls_1_2_and_1_3() {
    let identity = ServerIdentity::generate().unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(identity.ca_pem.as_bytes()).unwrap())
        .unwrap();
    let tls = tls::server_config(&identity.certificate_pem, &identity.key_pem).unwrap();
    let served = Served::start(Some(tls));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(client, served.stream());
        stream
            .write_all(&connect("gateway", &fresh_token(), 60))
            .unwrap();
        assert_eq!(receive(&mut stream), Received::Connack(0));
        stream
            .write_all(&publish("/devices/gateway/events", 1, 7, &[0; 100_000]))
            .unwrap();
        assert_eq!(receive(&mut stream), Received::Puback(7));
        assert!(matches!(
            terminal::run(&served.server, "drop gateway"),
            Answer::Done { .. }
        ));
        assert_eq!(
            stream.read(&mut [0]).unwrap(),
            0,
            "a close_notify, not a cut"
        );
    }

    let mut plain = served.stream();
    plain.write_all(&connect("solo", "", 60)).unwrap();
    let mut answer = Vec::new();
    // The client reads either the alert or the reset that follows it, but never a CONNACK.
    let _ = plain.read_to_end(&mut answer);
    assert_ne!(answer.first(), Some(&0x20));
    assert!(served.has_event(&["FAILED", "does the client speak TLS"]));
}

#[test]
fn a_device_is_served_over_tls() {
    let identity = ServerIdentity::generate().unwrap();
    let tls = tls::server_config(&identity.certificate_pem, &identity.key_pem).unwrap();
    let served = Served::start(Some(tls));
    let mut stream = StreamOwned::new(tls_client(&identity, "127.0.0.1"), served.stream());
    converse(&served, &mut stream);
}

#[test]
fn a_refusal_reaches_a_client_that_keeps_sending() {
    let served = Served::start(None);
    let mut stream = served.stream();
    stream.write_all(&connect("solo", "nonsense", 60)).unwrap();
    while !served.has_event(&["CLOSED", "refused"]) {
        thread::yield_now();
    }
    let more = publish("/devices/solo/events", 0, 0, &[0; 200_000]);
    for _ in 0..40 {
        stream.write_all(&more).unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(parse(&answer), [Received::Connack(4)]);
}

#[test]
fn a_client_that_does_not_read_delays_nobody() {
    let served = Served::start(None);
    let mut slow = served.stream();
    slow.write_all(&connect("gateway", &fresh_token(), 60))
        .unwrap();
    slow.write_all(&subscribe(1, &[("/devices/gateway/commands/#", 0)]))
        .unwrap();
    assert_eq!(receive(&mut slow), Received::Connack(0));
    assert_eq!(receive(&mut slow), Received::Suback(1, vec![0]));
    let send = |bridge: &mut Bridge, now| {
        bridge
            .send_command("gateway", None, vec![b'x'; 262_144], now)
            .unwrap();
    };
    for _ in 0..200 {
        served.server.with(send);
    }
    converse(&served, &mut served.stream());
    wait(&served);
    for _ in 0..200 {
        assert!(matches!(receive(&mut slow), Received::Publish { .. }));
    }
}

#[test]
fn shutting_down_ends_every_connection() {
    let served = Served::start(None);
    let mut idle = served.stream();
    let mut client = served.stream();
    client
        .write_all(&connect("solo", &fresh_token(), 60))
        .unwrap();
    assert_eq!(receive(&mut client), Received::Connack(0));
    let address = served.server.local_addr();
    served.server.shutdown();
    assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn shutting_down_is_in_order_over_tls_and_soon() {
    let identity = ServerIdentity::generate().unwrap();
    let tls = tls::server_config(&identity.certificate_pem, &identity.key_pem).unwrap();
    let served = Served::start(Some(tls));
    let mut stream = StreamOwned::new(tls_client(&identity, "localhost"), served.stream());
    stream
        .write_all(&connect("solo", &fresh_token(), 60))
        .unwrap();
    assert_eq!(receive(&mut stream), Received::Connack(0));
    // One that never gets further than the handshake, and never closes its side.
    let silent = served.stream();
    let start = now();
    served.server.shutdown();
    assert!(now() - start < Duration::from_secs(2));
    assert_eq!(
        stream.read(&mut [0]).unwrap(),
        0,
        "a close_notify, not a cut"
    );
    let lines = served.events.lock().unwrap().concat();
    assert!(lines.contains("the bridge is shut down"), "{lines}");
    drop(silent);
}

#[test]
fn a_lost_client_is_detected() {
    let served = Served::start(None);
    let mut client = served.stream();
    client
        .write_all(&connect("solo", &fresh_token(), 60))
        .unwrap();
    assert_eq!(receive(&mut client), Received::Connack(0));
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert!(served.has_event(&["solo", "CLOSED", "by the client"]));
    assert!(served.server.shared.lock().sockets.is_empty());
    assert!(
        served
            .server
            .with(|bridge, _| bridge.connected().next().is_none())
    );
}

#[test]
fn the_operators_mistakes_are_explained() {
    let served = Served::start(None);
    for (line, words) in [
        ("confg solo x", "type help"),
        ("config", "DEVICE is missing"),
        ("config nobody x", "no device \"nobody\""),
        ("config solo base64:!", "base64"),
        ("command solo x", "not connected"),
        ("command solo --subfolder a+b x", "subfolder"),
        ("detach solo", "not attached"),
        ("drop solo", "not connected"),
        ("drop solo now", "unexpected"),
        ("bind solo gateway", "no gateway"),
        ("bind gateway", "DEVICE is missing"),
        ("set mqtt5 maybe", "`accept`"),
    ] {
        let Answer::Failed { error } = terminal::run(&served.server, line) else {
            panic!("{line} is no mistake");
        };
        assert!(error.contains(words), "{line}: {error}");
    }
    for line in [
        "bind gateway solo",
        "unbind gateway solo",
        "block solo",
        "unblock solo",
    ] {
        let answer = terminal::run(&served.server, line);
        assert_eq!(answer.to_string(), format!("ok: {line}"));
    }
    assert!(matches!(
        terminal::run(&served.server, "quit"),
        Answer::Quit
    ));
    assert!(
        terminal::run(&served.server, "settings")
            .to_string()
            .contains("mqtt5=refuse")
    );
    let state = terminal::run(&served.server, "state").to_string();
    assert!(
        state.starts_with("nobody is connected\n") && state.contains("solo"),
        "{state}"
    );
}

#[test]
fn a_wrong_certificate_or_key_is_named() {
    let (one, other) = (
        ServerIdentity::generate().unwrap(),
        ServerIdentity::generate().unwrap(),
    );
    let config = |certificate: &str, key: &str| tls::server_config(certificate, key).map(|_| ());
    assert_eq!(config(&one.certificate_pem, &one.key_pem), Ok(()));
    assert_eq!(
        config(&one.key_pem, &one.key_pem),
        Err(tls::TlsError::Certificate)
    );
    assert_eq!(
        config(&one.certificate_pem, "none"),
        Err(tls::TlsError::Key)
    );
    let version_1 = include_str!("../../fixtures/es256_version_1_certificate.pem");
    assert_eq!(
        config(version_1, ES256_PRIVATE),
        Err(tls::TlsError::Version)
    );
    let pair = config(&one.certificate_pem, &other.key_pem);
    assert!(matches!(pair, Err(tls::TlsError::Pair(_))));
}
