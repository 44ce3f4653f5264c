//! A server that demands a certificate of its clients.

use std::{fs, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use serde_json::json;

use crate::{child::Relay, cloud::Cloud};

/// Serves with this version of TLS to clients whose certificate this authority has issued.
fn demanding(version: &'static SupportedProtocolVersion) -> Cloud {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let cloud = Cloud::tls_with(|identity| {
        let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes());
        let server_key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.unwrap()], server_key.unwrap());
        Arc::new(config.unwrap())
    });
    let issuer = Issuer::new(params, key);
    let client = CertificateParams::new(["gateway-1".to_owned()]).unwrap();
    let client_key = KeyPair::generate().unwrap();
    let certificate = client.signed_by(&client_key, &issuer).unwrap();
    fs::write(cloud.folder.join("client.pem"), certificate.pem()).unwrap();
    let key_file = cloud.folder.join("client.key.pem");
    fs::write(&key_file, client_key.serialize_pem()).unwrap();
    protect(&key_file, 0o600);
    cloud
}

#[cfg(unix)]
fn protect(file: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(windows)]
fn protect(_file: &std::path::Path, _mode: u32) {}

/// Returns the options of a relay with this certificate and this key, files in the cloud's folder.
fn authenticated(cloud: &Cloud, certificate: &str, key: &str) -> Vec<String> {
    let path = |name: &str| cloud.folder.join(name).to_str().unwrap().to_owned();
    cloud.options(&[
        "--client-cert",
        &path(certificate),
        "--client-key",
        &path(key),
    ])
}

#[test]
fn a_server_that_demands_a_client_certificate_accepts_the_one_that_is_given() {
    for version in [&TLS12, &TLS13] {
        let cloud = demanding(version);
        let mut relay = Relay::start(&authenticated(&cloud, "client.pem", "client.key.pem"));
        relay.send(json!({"op": "telemetry", "id": 1, "payload": "x"}));
        assert_eq!(relay.expect_end(1)["event"], "done");
        let end = relay.close();
        end.assert_closed(0);
        assert_eq!(end.stderr, "");
    }
}

#[test]
fn without_one_the_relay_says_how_to_give_it() {
    for version in [&TLS12, &TLS13] {
        let cloud = demanding(version);
        let end = Relay::start(&cloud.options(&["--no-reconnect"])).wait();
        assert_eq!(end.code, Some(1));
        let ended = &end.events[0];
        assert_eq!(ended["reason"], "tls_failed", "{ended}");
        let detail = ended["detail"].as_str().unwrap();
        for part in [
            "the server demands a client certificate: give one",
            "; a client certificate is given with --client-cert and --client-key",
        ] {
            assert!(detail.contains(part), "{detail}");
        }
    }
}

#[test]
fn a_client_certificate_that_cannot_be_used_is_told_with_its_option() {
    let cloud = demanding(&TLS13);
    for (certificate, key, parts) in [
        (
            "none.pem",
            "client.key.pem",
            ["--client-cert", "none.pem: No such file"],
        ),
        (
            "client.key.pem",
            "client.key.pem",
            ["--client-cert: ", "no certificate in"],
        ),
        (
            "client.pem",
            "client.pem",
            ["--client-key: ", "this is a certificate"],
        ),
        (
            "client.pem",
            "gateway.pem",
            ["--client-key: ", "is not the one of its certificate"],
        ),
    ] {
        let end = Relay::start(&authenticated(&cloud, certificate, key)).wait();
        assert_eq!(end.code, Some(1), "{}", end.stderr);
        for part in parts {
            assert!(end.stderr.contains(part), "{}", end.stderr);
        }
        assert_eq!(end.stderr.lines().count(), 1, "{}", end.stderr);
    }
    for (option, other) in [
        ("--client-cert", "--client-key"),
        ("--client-key", "--client-cert"),
    ] {
        let file = cloud.folder.join("client.pem");
        let end = Relay::start(&cloud.options(&[option, file.to_str().unwrap()])).wait();
        assert_eq!(end.code, Some(2), "{}", end.stderr);
        assert!(end.stderr.contains(other), "{}", end.stderr);
    }
}

#[cfg(unix)]
#[test]
fn a_client_key_that_others_may_read_is_noted_with_its_mode() {
    let cloud = demanding(&TLS13);
    protect(&cloud.folder.join("client.key.pem"), 0o640);
    let mut relay = Relay::start(&authenticated(&cloud, "client.pem", "client.key.pem"));
    relay.expect("connected");
    let end = relay.close();
    end.assert_closed(0);
    let expected = format!(
        "iotcore-relay: --client-key {}: its mode is 0640",
        cloud.folder.join("client.key.pem").display()
    );
    assert!(end.stderr.starts_with(&expected), "{}", end.stderr);
    assert_eq!(end.stderr.lines().count(), 1, "{}", end.stderr);
}
