//! The program's own CA, and certificates that clients refuse.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use iotcore_gateway_testkit::keys::{Authority, ServerIdentity};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde_json::json;

use crate::child::{Emulator, connect};
use crate::folder::Folder;

const DAY: u64 = 24 * 60 * 60;

#[expect(clippy::disallowed_methods, reason = "the program has a real clock")]
fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// Runs a TLS handshake with a server that the client knows by this name.
fn shake_hands(address: SocketAddr, name: &str, ca_pem: &str) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = connect(address);
    while client.is_handshaking() {
        client
            .complete_io(&mut stream)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Starts an emulator with the program's own CA, and checks that a client that trusts `ca_pem`, or else the one in the
/// folder, accepts it under each name. Returns whether the CA is a new one.
fn serve_own(folder: &Folder, arguments: &[&str], names: &[&str], ca_pem: Option<&str>) -> bool {
    let (registry, own) = (folder.registry(), folder.path("tls"));
    let mut emulator = Emulator::start(
        &[
            &["--registry", &registry, "--tls-self-signed", &own],
            arguments,
        ]
        .concat(),
    );
    let ca =
        emulator.await_event(&json!({ "event": "ca", "certificate": folder.path("tls/ca.pem") }));
    let address = emulator.address();
    let found = folder.read("tls/ca.pem");
    for name in names {
        assert_eq!(
            shake_hands(address, name, ca_pem.unwrap_or(&found)),
            Ok(()),
            "{name}"
        );
    }
    assert!(shake_hands(address, "elsewhere.example", &found).is_err());
    ca["new"].as_bool().unwrap()
}

/// Starts an emulator that fails, and returns what it says.
fn fails(arguments: &[&str]) -> String {
    let (status, stderr) = Emulator::start(arguments).end();
    assert_eq!(status.code(), Some(1), "{stderr}");
    stderr
}

#[test]
fn a_ca_is_created_once_and_signs_a_certificate_for_the_wanted_names_at_each_start() {
    let folder = Folder::new("own-ca");
    let names = ["localhost", "127.0.0.1", "::1"];
    assert!(serve_own(&folder, &[], &names, None));
    let ca_pem = folder.read("tls/ca.pem");
    assert!(!ca_pem.contains("PRIVATE"));
    let mode = |file: &str| {
        fs::metadata(folder.path(file))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("tls/ca.key"), 0o600);
    assert_eq!(mode("tls/ca.pem") & 0o444, 0o444);
    let more = ["localhost", "bridge.test", "192.0.2.7"];
    let options = ["--tls-name", "bridge.test", "--tls-name", "192.0.2.7"];
    let is_new = serve_own(&folder, &options, &more, Some(&ca_pem));
    assert!(!is_new && folder.read("tls/ca.pem") == ca_pem);
}

#[test]
fn programs_that_start_at_once_share_a_ca() {
    let folder = Folder::new("one-ca");
    let (registry, own) = (folder.registry(), folder.path("tls"));
    let arguments = ["--registry", &registry, "--tls-self-signed", &own];
    let mut emulators = [(); 4].map(|()| Emulator::start(&arguments));
    let addresses = emulators.each_mut().map(Emulator::address);
    let ca_pem = folder.read("tls/ca.pem");
    for address in addresses {
        assert_eq!(shake_hands(address, "localhost", &ca_pem), Ok(()));
    }
}

#[test]
fn a_ca_that_cannot_be_used_is_explained_and_stays_as_it_is() {
    let folder = Folder::new("bad-ca");
    let (registry, own) = (folder.registry(), folder.path("."));
    let arguments = ["--registry", &registry, "--tls-self-signed", &own];
    let now = unix_now();
    let generate = |validity| Authority::generate(validity).unwrap();
    let (good, expired) = (generate(None), generate(Some(now - 9 * DAY..now - DAY)));
    let ended = generate(Some(now - 9 * DAY..now + DAY / 2));
    let server = ServerIdentity::generate().unwrap();
    for (certificate, key, words) in [
        (
            Some(&expired.certificate_pem),
            Some(&expired.key_pem),
            "ca.pem has expired, or does within a day: remove it",
        ),
        (
            Some(&ended.certificate_pem),
            Some(&ended.key_pem),
            "give clients the new ca.pem",
        ),
        (
            Some(&good.certificate_pem),
            Some(&expired.key_pem),
            "ca.key is not the key of",
        ),
        (
            Some(&good.certificate_pem),
            Some(&good.certificate_pem),
            "ca.key cannot sign",
        ),
        (
            Some(&good.certificate_pem),
            None,
            "exists without its ca.key, and is not overwritten",
        ),
        (None, Some(&good.key_pem), "exists without its ca.pem"),
        (
            Some(&server.certificate_pem),
            Some(&server.key_pem),
            "ca.pem is not the certificate of a CA",
        ),
    ] {
        let files = [("ca.pem", certificate), ("ca.key", key)];
        for (file, text) in files {
            let _ = fs::remove_file(folder.path(file));
            let _ = text.map(|text| folder.write(file, text));
        }
        let stderr = fails(&arguments);
        assert!(stderr.contains(words), "{words}: {stderr}");
        assert!(!stderr.contains("-----"), "{stderr}");
        for (file, text) in files {
            assert_eq!(
                fs::read_to_string(folder.path(file)).ok().as_ref(),
                text,
                "{file}"
            );
        }
    }
}

#[test]
fn a_name_that_is_none_is_refused() {
    let folder = Folder::new("bad-name");
    let (registry, own) = (folder.registry(), folder.path("tls"));
    let arguments = [
        "--registry",
        &registry,
        "--tls-self-signed",
        &own,
        "--tls-name",
        "a b",
    ];
    let stderr = fails(&arguments);
    assert!(
        stderr.contains("--tls-name a b: neither a host name nor an address"),
        "{stderr}"
    );
}

#[test]
fn a_ca_used_as_the_servers_certificate_is_explained_at_the_start_and_when_a_client_refuses_it() {
    let folder = Folder::new("ca-as-server");
    let registry = folder.registry();
    // What `openssl req -x509` makes.
    let ca = Authority::generate(None).unwrap();
    let certificate = folder.write("server.pem", &ca.certificate_pem);
    let key = folder.write("server.key", &ca.key_pem);
    let arguments = [
        "--registry",
        &registry,
        "--tls-cert",
        &certificate,
        "--tls-key",
        &key,
    ];
    let mut emulator = Emulator::start(&arguments);
    let address = emulator.address();
    let refused = shake_hands(address, "localhost", &ca.certificate_pem).unwrap_err();
    assert!(refused.contains("CaUsedAsEndEntity"), "{refused}");
    let failed = emulator.await_event(&json!({ "event": "transport_failed" }));
    let explained = "the certificate is a CA certificate (basicConstraints CA:TRUE) used as the server's own, which \
                     many clients refuse (CaUsedAsEndEntity): make a server certificate signed by the CA, or let \
                     --tls-self-signed do it";
    let reason = failed["reason"].as_str().unwrap();
    assert!(
        reason.contains("refuses this server's certificate"),
        "{reason}"
    );
    assert!(reason.ends_with(explained), "{reason}");
    emulator.signal("TERM");
    let (_, stderr) = emulator.end();
    let warning = explained.replace("certificate is", &format!("certificate {certificate} is"));
    assert!(stderr.contains(&format!("warning: {warning}")), "{stderr}");
}

#[test]
fn a_certificate_out_of_its_time_is_told_at_the_start() {
    let folder = Folder::new("out-of-time");
    let registry = folder.registry();
    let now = unix_now();
    let names = ["localhost".to_owned()];
    for (validity, words) in [
        (now - 9 * DAY..now - DAY, "has expired: make a new one"),
        (
            now + DAY..now + 9 * DAY,
            "is not valid yet: check this machine's clock",
        ),
    ] {
        let identity = Authority::generate(None)
            .unwrap()
            .sign(&names, Some(validity))
            .unwrap();
        let certificate = folder.write("server.pem", &identity.certificate_pem);
        let key = folder.write("server.key", &identity.key_pem);
        let arguments = [
            "--registry",
            &registry,
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
        ];
        let mut emulator = Emulator::start(&arguments);
        emulator.address();
        emulator.signal("TERM");
        let (_, stderr) = emulator.end();
        assert!(
            stderr.contains(&format!("warning: the certificate {certificate} {words}")),
            "{stderr}"
        );
    }
}
