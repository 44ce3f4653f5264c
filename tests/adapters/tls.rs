//! An adapter against local servers, over real sockets on loopback: whom it trusts, and how it hangs up.

pub(crate) mod server;

use std::{sync::Arc, time::Duration};

use rustls::{
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

use self::server::{Authority, serve, serve_something_else};
use crate::runtime::{
    adapter::{
        Attach, BoxError, Client, ClientId, CloseCause, Closed, QoS, Security, Setup, Status,
        Telemetry, Tls, TlsError, Token, TokenRequest, TokenSource, TransportError, connect,
    },
    run, spawn,
};

pub(crate) struct Tokens;

impl TokenSource for Tokens {
    async fn gateway(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        let expiry = request.now + Duration::from_secs(3_600);
        Ok(Token::new("header.claims.signature", expiry)?)
    }
}

/// A client, and its driver, which is not running yet.
fn prepare(
    host: &str,
    port: u16,
    security: Security,
) -> (Client, impl Future<Output = Closed> + Send + use<>) {
    let id = ClientId::new(
        "plant".parse().unwrap(),
        "us-central1".parse().unwrap(),
        "sensors".parse().unwrap(),
        "gateway-1".parse().unwrap(),
    );
    let setup = Setup::new(host, security, id, Tokens).port(port);
    let (client, driver) = connect(setup).unwrap();
    (client, driver.run())
}

pub(crate) fn start(
    host: &str,
    port: u16,
    security: Security,
) -> (Client, impl Future<Output = Closed> + use<>) {
    let (client, driver) = prepare(host, port, security);
    (client, spawn(driver))
}

/// Trusts only this CA.
pub(crate) fn trusting(authority: &Authority) -> Security {
    Security::Tls(Tls::from_pem(authority.pem()).unwrap())
}

/// Returns the reason of the first attempt that failed.
async fn first_failure(host: &str, port: u16, security: Security) -> Arc<TransportError> {
    let (client, driver) = prepare(host, port, security);
    // Created before anything can fail.
    let mut status = client.status();
    let driver = spawn(driver);
    let error = match status.next().await {
        Some(Status::Disconnected {
            error: Some(error), ..
        }) => error,
        other => panic!("{other:?}"),
    };
    client.close().await;
    driver.await;
    error
}

async fn attaches_publishes_and_closes_over(version: &'static SupportedProtocolVersion) {
    let authority = Authority::new("plant");
    let (port, serving) = serve(authority.server("localhost", version));
    let (client, driver) = start("localhost", port, trusting(&authority));
    let device: crate::runtime::adapter::DeviceId = "boiler-7".parse().unwrap();
    let boiler = client
        .attach(Attach::new(device).config(None))
        .await
        .unwrap();
    let delivery = boiler.telemetry("71").await.unwrap();
    delivery.await.unwrap();
    let closed = client.close().await;
    assert_eq!(closed.cause, CloseCause::Requested);
    assert!(closed.unsent.is_empty());
    assert_eq!(driver.await, closed);
    let served = serving.join().unwrap();
    assert_eq!(served.packets, [0x10, 0x82, 0x32, 0x82, 0x32, 0xe0]);
    served.end.expect("the end of the stream is announced");
}

#[test]
fn a_gateway_attaches_publishes_and_closes_over_tls_1_3() {
    run(async || {
        attaches_publishes_and_closes_over(&TLS13).await;
    });
}

#[test]
fn a_gateway_attaches_publishes_and_closes_over_tls_1_2() {
    run(async || {
        attaches_publishes_and_closes_over(&TLS12).await;
    });
}

#[test]
fn nothing_written_before_a_close_is_lost() {
    run(async || {
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
        driver.await;
        let served = serving.join().unwrap();
        served.end.expect("the end of the stream is announced");
        let events = served.packets.iter().filter(|first| **first == 0x30);
        assert_eq!(events.count(), 500);
        assert_eq!(served.packets.last(), Some(&0xe0));
    });
}

#[test]
fn a_server_of_another_authority_is_refused() {
    run(async || {
        // A CA with another name, and one with the same name and another key.
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
    });
}

#[test]
fn a_server_of_another_name_is_refused() {
    run(async || {
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
    });
}

#[test]
fn a_private_authority_is_not_trusted_by_the_platform() {
    run(async || {
        let platform = match Tls::platform() {
            Ok(platform) => platform,
            // A machine without CA certificates trusts nobody, and reports so.
            Err(error) => return assert!(matches!(error, TlsError::Platform(_)), "{error:?}"),
        };
        let (port, serving) = serve(Authority::new("plant").server("localhost", &TLS13));
        let error = first_failure("localhost", port, Security::Tls(platform)).await;
        assert!(matches!(*error, TransportError::Tls { .. }), "{error:?}");
        assert!(serving.join().unwrap().packets.is_empty());
    });
}

#[test]
fn a_port_without_tls_is_reported_as_such() {
    run(async || {
        let authority = Authority::new("plant");
        let (port, serving) = serve_something_else();
        let error = first_failure("127.0.0.1", port, trusting(&authority)).await;
        let shown = error.to_string();
        assert!(shown.contains("is this a port for TLS?"), "{shown}");
        serving.join().unwrap();
    });
}

#[test]
fn a_closed_port_is_named_in_the_error() {
    run(async || {
        // The port is reserved and unused; one that was recently free could be in use by another test.
        let port = 1;
        let error = first_failure("127.0.0.1", port, Security::PlainOnLoopback).await;
        let shown = error.to_string();
        let expected = format!("cannot connect to 127.0.0.1 port {port}: ");
        assert!(shown.starts_with(&expected), "{shown}");
    });
}
