//! Servers that are refused, or that refuse, in the handshake, and what is said of it.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use rustls::{
    ServerConfig,
    pki_types::PrivatePkcs8KeyDer,
    version::{TLS12, TLS13},
};

use super::{
    first_failure,
    server::{Authority, config, serve, serve_nothing},
    trusting,
};
use crate::runtime::{
    adapter::{Security, error::TransportError},
    run,
};

/// Asserts that a server is refused before anything is sent to it, and what is said about it.
pub(super) async fn is_refused(server: Arc<ServerConfig>, security: Security, parts: &[&str]) {
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
                "its CA is not among the trusted ones: its certificate says that it is from CN=other; trust that CA only if",
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
fn a_server_with_a_self_signed_certificate_is_refused_with_its_name() {
    run(async || {
        let mut params = Authority::params("localhost");
        params.distinguished_name = DistinguishedName::new();
        let name = "my \u{1b}[31mserver";
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        for version in [&TLS12, &TLS13] {
            let server = config(version).with_no_client_auth().with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            );
            let part = "its certificate is self-signed (CN=my \\u{1b}[31mserver), by no CA, and not among the trusted ones: trust";
            let trusted = trusting(&Authority::new("plant"));
            is_refused(Arc::new(server.unwrap()), trusted, &[part]).await;
        }
    });
}

/// The server's log is where its owner looks.
#[test]
fn a_server_that_is_refused_is_told_the_reason_by_the_right_alert() {
    run(async || {
        let trusted = trusting(&Authority::new("plant"));
        let alerts = [("other", "UnknownCA"), ("plant", "DecryptError")];
        for (version, (name, alert)) in [&TLS12, &TLS13]
            .into_iter()
            .flat_map(|version| alerts.map(|alert| (version, alert)))
        {
            let (port, serving) = serve(Authority::new(name).server("localhost", version));
            let error = first_failure("localhost", port, trusted.clone()).await;
            let address = format!(" at 127.0.0.1:{port}: ");
            assert!(error.to_string().contains(&address), "{error}");
            let end = serving.join().unwrap().end.unwrap_err().to_string();
            assert!(end.contains(alert), "{version:?}: {end}");
        }
    });
}

#[test]
fn a_server_of_another_name_is_refused() {
    run(async || {
        let authority = Authority::new("plant");
        let server = authority.server("elsewhere.example", &TLS13);
        let part =
            "its certificate is not for this host: it is for elsewhere.example; check the host";
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
                "the connection was closed during the handshake (tls handshake eof): check that this is a port"
            ),
            "{shown}"
        );
        assert!(!error.is_ca_unknown());
        serving.join().unwrap();
    });
}
