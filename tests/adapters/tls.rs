//! An adapter against local servers, over real sockets on loopback: whom it trusts, and how it hangs up.

mod refused;
pub(crate) mod server;
mod signatures;

use std::{sync::Arc, time::Duration};

use rustls::{
    ServerConfig, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

use self::server::{Authority, serve, serve_an_alert, serve_something_else};
use crate::runtime::{
    adapter::{
        Attach, Client, ClientId, Security, Setup, Status, Telemetry, Tls,
        auth::Token,
        cause::{DisconnectReason, TransportEnd},
        closed::{CloseCause, Closed},
        connect,
        error::TransportError,
        message::QoS,
        tls::TlsError,
        token_source::{BoxError, TokenRequest, TokenSource},
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
    let server = authority.server("localhost", version);
    does_its_work(server, trusting(&authority)).await;
}

/// Attaches, publishes and closes.
async fn does_its_work(server: Arc<ServerConfig>, security: Security) {
    let (port, serving) = serve(server);
    let (client, driver) = start("localhost", port, security);
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
fn a_client_authenticates_itself_with_a_certificate() {
    run(async || {
        for version in [&TLS12, &TLS13] {
            let authority = Authority::new("plant");
            let (certificate, key) = authority.client();
            let tls = Tls::from_pem(authority.pem()).unwrap();
            let tls = tls.client_certificate(certificate.as_bytes(), key.as_bytes());
            let server = authority.demanding_server("localhost", version);
            does_its_work(server, Security::Tls(tls.unwrap())).await;
        }
    });
}

#[test]
fn a_client_without_the_certificate_that_the_server_demands_is_told_so() {
    run(async || {
        let authority = Authority::new("plant");
        let (certificate, key) = Authority::new("other").client();
        let none = || Tls::from_pem(authority.pem()).unwrap();
        let foreign = || {
            none()
                .client_certificate(certificate.as_bytes(), key.as_bytes())
                .unwrap()
        };
        for (version, tls, part) in [
            (
                &TLS12,
                none(),
                "the server demands a client certificate: give one, with its private key (alert",
            ),
            (
                &TLS13,
                none(),
                "the server demands a client certificate: give one, with its private key (alert",
            ),
            (
                &TLS12,
                foreign(),
                "the server does not trust the CA of the client certificate",
            ),
            (
                &TLS13,
                foreign(),
                "the server does not trust the CA of the client certificate",
            ),
        ] {
            let (port, serving) = serve(authority.demanding_server("localhost", version));
            let error = first_failure("localhost", port, Security::Tls(tls)).await;
            assert!(
                error.to_string().contains(part),
                "{part:?} is not in {error}"
            );
            assert!(!error.is_ca_unknown());
            assert!(serving.join().unwrap().packets.is_empty());
        }
    });
}

#[test]
fn roots_are_added_to_those_that_are_trusted_already() {
    run(async || {
        let (first, second) = (Authority::new("first"), Authority::new("second"));
        let both = Tls::from_pem(first.pem())
            .unwrap()
            .trust_pem(second.pem())
            .unwrap();
        let mut trusting = vec![both];
        // A machine without CA certificates has no platform to add to.
        if let Ok(platform) = Tls::platform() {
            let platform = platform.trust_pem(first.pem()).unwrap();
            trusting.push(platform.trust_pem(second.pem()).unwrap());
        }
        for tls in trusting {
            for authority in [&first, &second] {
                let server = authority.server("localhost", &TLS13);
                does_its_work(server, Security::Tls(tls.clone())).await;
            }
        }
    });
}

/// Also with the certificate of a client, which is added to the configuration.
#[cfg(feature = "rustls")]
#[test]
fn settings_of_rustls_are_used_as_they_are() {
    use crate::runtime::adapter::tls::rustls::{
        ClientConfig, RootCertStore, crypto::ring, pki_types::pem::PemObject,
    };

    run(async || {
        let authority = Authority::new("plant");
        let mut roots = RootCertStore::empty();
        roots
            .add(PemObject::from_pem_slice(authority.pem()).unwrap())
            .unwrap();
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = Tls::from_client_config(config);
        let server = authority.server("localhost", &TLS12);
        does_its_work(server, Security::Tls(tls.clone())).await;
        let server = authority.server("localhost", &TLS13);
        let (port, serving) = serve(server);
        let error = first_failure("localhost", port, Security::Tls(tls.clone())).await;
        assert!(
            error.to_string().contains("(alert ProtocolVersion)"),
            "{error}"
        );
        assert!(serving.join().unwrap().packets.is_empty());
        let (certificate, key) = authority.client();
        let client = tls
            .clone()
            .client_certificate(certificate.as_bytes(), key.as_bytes());
        let server = authority.demanding_server("localhost", &TLS12);
        does_its_work(server, Security::Tls(client.unwrap())).await;
        let error = tls.trust_pem(authority.pem()).unwrap_err();
        assert!(matches!(error, TlsError::OwnVerifier), "{error:?}");
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

/// Otherwise a message at which a server fails, and says so, would never be suspected.
#[test]
fn an_alert_after_the_handshake_is_a_close_of_the_server() {
    run(async || {
        let authority = Authority::new("plant");
        let (port, serving) = serve_an_alert(authority.server("localhost", &TLS13));
        let (client, driver) = prepare("localhost", port, trusting(&authority));
        let mut status = client.status();
        let driver = spawn(driver);
        let (ended, error) = loop {
            match status.next().await {
                Some(Status::Disconnected { ended, error }) => break (ended, error.unwrap()),
                Some(_) => {}
                None => panic!("the driver ended"),
            }
        };
        assert!(matches!(*error, TransportError::TlsBroken(_)), "{error:?}");
        let part = "what arrived at the server was damaged: something on the way, or its TLS, is faulty (alert";
        assert!(error.to_string().contains(part), "{error}");
        let reason = DisconnectReason::Transport(TransportEnd::PeerClosed);
        assert_eq!(ended.reason, reason);
        serving.join().unwrap();
        client.close().await;
        driver.await;
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
