//! Unusable keys: the error says what is wrong, and contains nothing of the key.

use iotcore_gateway::driver::{KeyTokens, Tls};
use iotcore_gateway::{
    Algorithm,
    auth::{SigningKey, Token},
};
use iotcore_gateway_testkit::Registry;
use iotcore_gateway_testkit::bridge::registry::file;
use iotcore_gateway_testkit::keys::{DeviceKey, ServerIdentity};
use iotcore_gateway_testkit::serve::tls;

use crate::{Secrets, search};

/// The spoilt keys that can be read all the same.
const READABLE: [&str; 4] = [
    "on one line",
    "indented",
    "as a key of RSA",
    "as a key of SEC1",
];

/// Returns files that could be made of a key by mistake.
fn spoilt(pem: &str) -> Vec<(&'static str, Vec<u8>)> {
    let lines: Vec<_> = pem.lines().collect();
    let text = |lines: &[&str]| lines.join("\n").into_bytes();
    let body = lines[1..lines.len() - 1].concat();
    let relabelled = |label: &str| pem.replace("PRIVATE KEY", label).into_bytes();
    let mut damaged = search::scalar(pem);
    damaged.extend_from_slice(&damaged.clone());
    vec![
        ("without its first line", text(&lines[1..])),
        ("without its last line", text(&lines[..lines.len() - 1])),
        ("its body alone", body.clone().into_bytes()),
        ("on one line", pem.replace('\n', " ").into_bytes()),
        (
            "with its line breaks written out",
            pem.replace('\n', "\\n").into_bytes(),
        ),
        ("half of it", pem.as_bytes()[..pem.len() / 2].to_vec()),
        (
            "with a stray character",
            pem.replacen("\nM", "\n!M", 1).into_bytes(),
        ),
        (
            "with a changed byte",
            pem.replacen("MIGH", "MIGG", 1).into_bytes(),
        ),
        (
            "with a line twice",
            text(&[lines[0], lines[1], lines[1], lines[2], lines[3], lines[4]]),
        ),
        ("indented", pem.replace('\n', "\n  ").into_bytes()),
        ("as a certificate", relabelled("CERTIFICATE")),
        ("as a public key", relabelled("PUBLIC KEY")),
        ("as an encrypted key", relabelled("ENCRYPTED PRIVATE KEY")),
        ("as a key of RSA", relabelled("RSA PRIVATE KEY")),
        ("as a key of SEC1", relabelled("EC PRIVATE KEY")),
        ("as a key of SSH", relabelled("OPENSSH PRIVATE KEY")),
        (
            "with the key for a label",
            format!("-----BEGIN {body}-----\n{body}\n-----END {body}-----\n").into_bytes(),
        ),
        ("as bytes", damaged),
    ]
}

#[test]
fn an_unusable_key_is_not_shown() {
    let key = DeviceKey::generate().unwrap();
    let mut secrets = Secrets::default();
    let mut readable = Vec::new();
    secrets.add_key(&key.private_pem);
    assert!(secrets.find(&key.private_pem).is_some());
    assert_eq!(secrets.find(&key.public_pem), None);
    for (name, file) in spoilt(&key.private_pem) {
        match SigningKey::from_pem(&file, Algorithm::Es256) {
            Err(error) => secrets.check_error(name, &error),
            Ok(_) => readable.push(name),
        }
    }
    // They are read by their contents.
    assert_eq!(readable, READABLE);
    let error = SigningKey::from_pem(key.private_pem.as_bytes(), Algorithm::Rs256).unwrap_err();
    secrets.check_error("for the other algorithm", &error);
    let usable = SigningKey::from_pem(key.private_pem.as_bytes(), Algorithm::Es256).unwrap();
    secrets.check("a key", &format!("{usable:?} {usable:#?} {key:?}"));
    let tokens = KeyTokens::new(usable);
    secrets.check("a source of tokens", &format!("{tokens:?} {tokens:#?}"));
}

#[test]
fn a_private_key_in_the_wrong_place_is_not_shown() {
    let (key, identity) = (
        DeviceKey::generate().unwrap(),
        ServerIdentity::generate().unwrap(),
    );
    let mut secrets = Secrets::default();
    secrets.add_key(&key.private_pem);
    secrets.add_key(&identity.key_pem);
    let mut registry = Registry::new("plant", "us-central1", "sensors").unwrap();
    for pem in spoilt(&key.private_pem)
        .into_iter()
        .map(|(_, pem)| pem)
        .chain([key.private_pem.clone().into_bytes()])
    {
        let pem = String::from_utf8_lossy(&pem).into_owned();
        if let Err(error) = registry.add_device("boiler-7", &[&pem]) {
            secrets.check_error("a private key for a public one", &error);
        }
        for entry in [
            serde_json::json!(pem),
            serde_json::json!({ "pem": pem }),
            // A body without its first and last line could be the name of a file.
            serde_json::json!({ "file": pem.contains("-----").then_some(&pem) }),
            serde_json::json!({ "key": pem }),
        ] {
            let text = serde_json::json!({
                "project": "plant", "location": "us-central1", "registry": "sensors",
                "devices": [{ "id": "boiler-7", "public_keys": [entry] }],
            });
            let read = |_: &str| Err(std::io::ErrorKind::NotFound.into());
            if let Err(error) = file::parse(&text.to_string(), read) {
                secrets.check_error("a registry file", &error);
            }
        }
        if let Err(error) = tls::server_config(&identity.certificate_pem, &pem) {
            secrets.check_error("a server's key", &error);
        }
        if let Err(error) = tls::server_config(&pem, &identity.key_pem) {
            secrets.check_error("a server's certificate", &error);
        }
        let error = Tls::from_pem(pem.as_bytes()).unwrap_err();
        secrets.check_error("a private key for a CA", &error);
    }
    secrets.check("an identity", &format!("{identity:?} {registry:?}"));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn a_text_that_is_not_a_token_is_not_shown() {
    let mut secrets = Secrets::default();
    let text = "marked-header.marked-claims.marked-signature";
    secrets.add_text("token", text);
    for text in [
        format!("{text}\n"),
        format!("Bearer {text}"),
        text.repeat(2_000),
    ] {
        let error = Token::new(text, std::time::Instant::now()).unwrap_err();
        secrets.check_error("a token", &error);
    }
}
