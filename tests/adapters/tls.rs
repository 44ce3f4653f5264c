//! An adapter against local servers, over real sockets on loopback: whom it trusts, and how it hangs up.

pub(crate) mod server;

use std::{sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CustomExtension, ExtendedKeyUsagePurpose, IsCa, date_time_ymd};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

use self::server::{Authority, serve, serve_nothing, serve_something_else};
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
    use crate::runtime::adapter::rustls::{
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

/// Asserts that a server is refused before anything is sent to it, and what is said about it.
async fn is_refused(server: Arc<ServerConfig>, security: Security, parts: &[&str]) {
    let (port, serving) = serve(server);
    let error = first_failure("localhost", port, security).await;
    assert!(matches!(*error, TransportError::Tls { .. }), "{error:?}");
    let shown = error.to_string();
    for part in parts {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    let is_ca = shown.contains("trusted");
    assert_eq!(error.is_ca_unknown(), is_ca, "{shown}");
    let served = serving.join().unwrap();
    assert!(served.packets.is_empty() && served.end.is_err());
}

#[test]
fn a_server_of_another_authority_is_refused() {
    run(async || {
        // A CA with another name, and one with the same name and another key.
        for (name, part) in [
            (
                "other",
                "its CA is not among the trusted ones: trust the CA",
            ),
            (
                "plant",
                "has another key: trust the CA's current certificate",
            ),
        ] {
            let server = Authority::new(name).server("localhost", &TLS13);
            is_refused(server, trusting(&Authority::new("plant")), &[part]).await;
        }
    });
}

#[test]
fn a_server_of_another_name_is_refused() {
    run(async || {
        let authority = Authority::new("plant");
        let server = authority.server("elsewhere.example", &TLS13);
        let part = "its certificate is for another host name: elsewhere.example; check the host";
        is_refused(server, trusting(&authority), &[part]).await;
    });
}

#[test]
fn a_server_s_certificate_that_is_out_of_date_is_refused_with_the_dates() {
    run(async || {
        let authority = Authority::new("plant");
        let mut expired = Authority::params("localhost");
        expired.not_after = date_time_ymd(2020, 2, 29);
        let part = "expired on 2020-02-29 00:00:00 UTC: renew it; this machine's date is 20";
        is_refused(
            authority.server_with(expired, &TLS13),
            trusting(&authority),
            &[part],
        )
        .await;
        let mut early = Authority::params("localhost");
        early.not_before = date_time_ymd(4000, 1, 1);
        let part = "is not valid before 4000-01-01 00:00:00 UTC, and this machine's date is 20";
        is_refused(
            authority.server_with(early, &TLS12),
            trusting(&authority),
            &[part],
        )
        .await;
    });
}

#[test]
fn a_server_s_certificate_of_another_kind_is_refused_with_its_kind() {
    run(async || {
        let authority = Authority::new("plant");
        let mut of_ca = Authority::params("localhost");
        of_ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let mut for_clients = Authority::params("localhost");
        for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let mut critical = Authority::params("localhost");
        let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 99], vec![4, 0]);
        extension.set_criticality(true);
        critical.custom_extensions.push(extension);
        for (params, parts) in [
            (
                of_ca,
                [
                    "presents a CA certificate as its own",
                    "(CaUsedAsEndEntity)",
                ],
            ),
            (
                for_clients,
                ["not meant for servers, only for clients", "serverAuth"],
            ),
            (
                critical,
                [
                    "has a critical extension that is not supported",
                    "have it issued without",
                ],
            ),
        ] {
            let server = authority.server_with(params, &TLS13);
            is_refused(server, trusting(&authority), &parts).await;
        }
    });
}

#[test]
fn a_server_that_closes_in_the_handshake_is_no_matter_of_certificates() {
    run(async || {
        let (port, serving) = serve_nothing();
        let trusted = trusting(&Authority::new("plant"));
        let error = first_failure("localhost", port, trusted).await;
        let shown = error.to_string();
        assert!(
            shown.contains(
                "the connection was closed during the handshake: check that this is a port"
            ),
            "{shown}"
        );
        assert!(!error.is_ca_unknown());
        serving.join().unwrap();
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
