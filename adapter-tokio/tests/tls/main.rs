//! The driver on Tokio, over real sockets on loopback.

mod server;

use std::{net::TcpListener, sync::Arc, time::Duration};

use iotcore_gateway_tokio::{
    Attach, BoxError, Client, ClientId, CloseCause, Closed, DisconnectReason, QoS, Security, Setup,
    Status, Telemetry, Tls, TlsError, Token, TokenRequest, TokenSource, TransportError, connect,
};
use rustls::{
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use tokio::task::JoinHandle;

use self::server::{Authority, serve, serve_something_else};

struct Tokens;

impl TokenSource for Tokens {
    async fn gateway(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        let expiry = request.now + Duration::from_secs(3_600);
        Ok(Token::new("header.claims.signature", expiry)?)
    }
}

fn start(host: &str, port: u16, security: Security) -> (Client, JoinHandle<Closed>) {
    let id = ClientId::new(
        "plant".parse().unwrap(),
        "us-central1".parse().unwrap(),
        "sensors".parse().unwrap(),
        "gateway-1".parse().unwrap(),
    );
    let setup = Setup::new(host, security, id, Tokens).port(port);
    let (client, driver) = connect(setup).unwrap();
    let driver = tokio::spawn(driver.run());
    (client, driver)
}

/// Trusts this authority alone.
fn trusting(authority: &Authority) -> Security {
    Security::Tls(Tls::from_pem(authority.pem()).unwrap())
}

/// The reason of the first attempt that failed.
async fn first_failure(host: &str, port: u16, security: Security) -> Arc<TransportError> {
    let (client, driver) = start(host, port, security);
    let mut status = client.status();
    let error = match status.next().await {
        Some(Status::Disconnected {
            error: Some(error), ..
        }) => error,
        other => panic!("{other:?}"),
    };
    client.close().await;
    driver.await.unwrap();
    error
}

async fn attaches_publishes_and_closes_over(version: &'static SupportedProtocolVersion) {
    let authority = Authority::new("plant");
    let (port, serving) = serve(authority.server("localhost", version));
    let (client, driver) = start("localhost", port, trusting(&authority));
    let device: iotcore_gateway_tokio::DeviceId = "boiler-7".parse().unwrap();
    let boiler = client
        .attach(Attach::new(device).config(None))
        .await
        .unwrap();
    let delivery = boiler.telemetry("71").await.unwrap();
    delivery.await.unwrap();
    let closed = client.close().await;
    assert_eq!(closed.cause, CloseCause::Requested);
    assert!(closed.unsent.is_empty());
    assert_eq!(driver.await.unwrap(), closed);
    let served = serving.join().unwrap();
    assert_eq!(served.packets, [0x10, 0x82, 0x32, 0x82, 0x32, 0xe0]);
    served.end.expect("the end is announced");
}

#[tokio::test]
async fn a_gateway_attaches_publishes_and_closes_over_tls_1_3() {
    attaches_publishes_and_closes_over(&TLS13).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_attaches_publishes_and_closes_over_tls_1_2() {
    attaches_publishes_and_closes_over(&TLS12).await;
}

#[tokio::test]
async fn nothing_that_was_handed_over_before_a_close_is_lost() {
    let authority = Authority::new("plant");
    let (port, serving) = serve(authority.server("localhost", &TLS13));
    let (client, driver) = start("localhost", port, trusting(&authority));
    client.connected().await.unwrap();
    let gateway = client.gateway();
    for _ in 0..500 {
        let event = Telemetry::new(vec![7; 10_000]).qos(QoS::AtMostOnce);
        let _delivery = gateway.telemetry(event).await.unwrap();
    }
    client.close().await;
    driver.await.unwrap();
    let served = serving.join().unwrap();
    served.end.expect("the end is announced");
    let events = served.packets.iter().filter(|first| **first == 0x30);
    assert_eq!(events.count(), 500);
    assert_eq!(served.packets.last(), Some(&0xe0));
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    // Of another name, and of the same name with another key.
    for name in ["other", "plant"] {
        let (port, serving) = serve(Authority::new(name).server("localhost", &TLS13));
        let trusted = trusting(&Authority::new("plant"));
        let error = first_failure("localhost", port, trusted).await;
        let shown = error.to_string();
        assert!(
            shown.contains("its CA is not among the trusted ones"),
            "{shown}"
        );
        let served = serving.join().unwrap();
        assert!(served.packets.is_empty() && served.end.is_err());
    }
}

#[tokio::test]
async fn a_server_of_another_name_is_refused() {
    let authority = Authority::new("plant");
    let (port, serving) = serve(authority.server("elsewhere.example", &TLS13));
    let error = first_failure("localhost", port, trusting(&authority)).await;
    let shown = error.to_string();
    assert!(
        shown.contains("its certificate is for another host name"),
        "{shown}"
    );
    let served = serving.join().unwrap();
    assert!(served.packets.is_empty() && served.end.is_err());
}

#[tokio::test]
async fn a_private_authority_is_not_trusted_by_the_platform() {
    let platform = match Tls::platform() {
        Ok(platform) => platform,
        // A machine without CA certificates trusts nobody, and says so.
        Err(error) => return assert!(matches!(error, TlsError::Platform(_)), "{error:?}"),
    };
    let (port, serving) = serve(Authority::new("plant").server("localhost", &TLS13));
    let error = first_failure("localhost", port, Security::Tls(platform)).await;
    assert!(matches!(*error, TransportError::Tls { .. }), "{error:?}");
    assert!(serving.join().unwrap().packets.is_empty());
}

#[tokio::test]
async fn a_port_that_speaks_no_tls_is_told_as_that() {
    let authority = Authority::new("plant");
    let (port, serving) = serve_something_else();
    let error = first_failure("127.0.0.1", port, trusting(&authority)).await;
    let shown = error.to_string();
    assert!(shown.contains("is this a port for TLS?"), "{shown}");
    serving.join().unwrap();
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_named() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = first_failure("127.0.0.1", port, Security::PlainOnLoopback).await;
    let shown = error.to_string();
    let expected = format!("cannot connect to 127.0.0.1 port {port}: ");
    assert!(shown.starts_with(&expected), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn timers_follow_a_paused_clock() {
    // Nobody accepts, but the kernel completes the connection: CONNACK never comes.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (client, _driver) = start("127.0.0.1", port, Security::PlainOnLoopback);
    let mut status = client.status();
    let begun = tokio::time::Instant::now();
    match status.next().await {
        Some(Status::Disconnected { ended, .. }) => assert_eq!(
            ended.reason,
            DisconnectReason::ConnAckTimedOut(Duration::from_secs(20))
        ),
        other => panic!("{other:?}"),
    }
    assert!(begun.elapsed() >= Duration::from_secs(20));
}
