//! Options, files and peers with which the relay cannot start or connect.

use std::fs;

use serde_json::{Value, json};

use crate::{
    child::Relay,
    cloud::{CLOSED_PORT, Cloud},
};

/// Returns the exit code and standard error of a program that fails to start.
fn refusal(options: &[String]) -> (Option<i32>, String) {
    let relay = Relay::start(options);
    let end = relay.wait();
    assert_eq!(end.events, [] as [Value; 0]);
    (end.code, end.stderr)
}

/// Returns the options with these changes.
fn changed(options: &[String], changes: &[(&str, &str)]) -> Vec<String> {
    let mut changed = Vec::new();
    let mut given = options.iter();
    while let Some(option) = given.next() {
        if changes.iter().any(|(name, _)| name == option) {
            given.next();
        } else {
            changed.push(option.clone());
        }
    }
    for (name, value) in changes {
        changed.extend([name, value].map(|part| part.to_string()));
    }
    changed
}

#[test]
fn invalid_options_end_with_exit_code_2_and_name_valid_values() {
    let cloud = Cloud::plain();
    let options = cloud.options(&[]);
    for (changes, part) in [
        (&[("--host", "example.org")][..], "not a loopback address"),
        (&[("--host", "192.168.0.1")], "not a loopback address"),
        (&[("--port", "0")], "--port"),
        (&[("--gateway", "7")], "too short"),
        (&[("--algorithm", "HS256")], "it must be RS256 or ES256"),
        (&[("--keep-alive", "1200")], "1..=1199"),
        (&[("--window", "0")], "1..=32000"),
        (&[("--attach-window", "0")], "1..=1000"),
        (&[("--attach-window", "1001")], "1..=1000"),
        (&[("--drain-timeout", "0")], "1..=86400"),
        (&[("--drain-timeout", "1.5")], "invalid digit"),
        (&[("--token-lifetime", "86401")], "1..=86400"),
        (&[("--max-queued", "0")], "--max-queued"),
        (
            &[("--acknowledge", "never")],
            "possible values: taken, manual",
        ),
        (
            &[("--backoff-min", "500"), ("--backoff-max", "100")],
            "--backoff-max is 100 ms: it must not be below --backoff-min, 500 ms",
        ),
        (&[("--colour", "red")], "unexpected argument '--colour'"),
    ] {
        let (code, stderr) = refusal(&changed(&options, changes));
        assert!(stderr.contains(part), "{changes:?}: {stderr}");
        assert_eq!(code, Some(2), "{changes:?}: {stderr}");
    }
    for missing in [
        "--host",
        "--project",
        "--location",
        "--registry",
        "--gateway",
        "--key",
        "--algorithm",
    ] {
        let at = options.iter().position(|option| option == missing).unwrap();
        let mut options = options.clone();
        options.drain(at..at + 2);
        let (code, stderr) = refusal(&options);
        assert!(stderr.contains(missing), "{stderr}");
        assert_eq!(code, Some(2));
    }
}

#[test]
fn unusable_files_end_with_exit_code_1_and_say_what_to_do() {
    let cloud = Cloud::tls();
    let options = cloud.options(&[]);
    let path = |name: &str| cloud.folder.join(name).to_str().unwrap().to_owned();
    fs::write(path("empty.pem"), "").unwrap();
    fs::write(path("damaged.pem"), DAMAGED).unwrap();
    for (option, file, part) in [
        ("--key", "none.pem", "none.pem: No such file"),
        ("--key", "empty.pem", "the key is empty"),
        ("--key", "ca.pem", "use the private key that belongs to it"),
        ("--ca", "none.pem", "none.pem: No such file"),
        (
            "--ca",
            "damaged.pem",
            "the only certificate in the CA file cannot be used: certificate 1",
        ),
        (
            "--ca",
            "gateway.pem",
            "gateway.pem: no certificate in the CA file: it must hold a PEM section `BEGIN CERTIFICATE`",
        ),
    ] {
        let (code, stderr) = refusal(&changed(&options, &[(option, &path(file))]));
        assert!(stderr.contains(part), "{stderr}");
        assert_eq!(code, Some(1));
    }
    let (code, stderr) = refusal(&changed(&options, &[("--algorithm", "RS256")]));
    assert!(stderr.contains("choose ES256"), "{stderr}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_key_in_the_place_of_its_file_is_not_repeated() {
    let cloud = Cloud::tls();
    let pem = &cloud.device_key.private_pem;
    let certificate = cloud.folder.join("ca.pem");
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    for option in ["--key", "--client-key"] {
        for key in [pem, &body] {
            let mut changes = vec![(option, key.as_str())];
            if option == "--client-key" {
                changes.push(("--client-cert", certificate.to_str().unwrap()));
            }
            let (code, stderr) = refusal(&changed(&cloud.options(&[]), &changes));
            assert!(stderr.contains(option), "{stderr}");
            assert!(!stderr.contains(&body[..16]), "{stderr}");
            assert!(code == Some(1) || code == Some(2), "{code:?}");
        }
    }
}

const DAMAGED: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

#[test]
fn a_damaged_certificate_is_named_and_the_others_are_trusted() {
    let cloud = Cloud::tls();
    let ca = cloud.folder.join("ca.pem");
    let good = fs::read_to_string(&ca).unwrap();
    fs::write(&ca, format!("{DAMAGED}{good}")).unwrap();
    let mut relay = Relay::start(&cloud.options(&[]));
    relay.expect("connected");
    let end = relay.close();
    end.assert_closed(0);
    let expected = format!(
        "iotcore-relay: --ca {}: certificate 1 cannot be used: it is damaged",
        ca.display()
    );
    assert!(end.stderr.starts_with(&expected), "{}", end.stderr);
    assert_eq!(end.stderr.lines().count(), 1, "{}", end.stderr);
}

#[test]
fn a_wrong_peer_is_reported_with_advice() {
    let (plain, secure) = (Cloud::plain(), Cloud::tls());
    let port = |cloud: &Cloud| cloud.server.local_addr().port().to_string();
    let secured = secure.options(&["--no-reconnect"]);
    let unsecured = plain.options(&["--no-reconnect"]);
    let ca = plain.folder.join("ca.pem");
    let other = Cloud::tls();
    fs::copy(other.folder.join("ca.pem"), &ca).unwrap();
    for (options, reason, part) in [
        (
            changed(&secured, &[("--port", &port(&plain))]),
            "tls_failed",
            "check that this is a port for TLS",
        ),
        (
            changed(&secured, &[("--ca", ca.to_str().unwrap())]),
            "tls_failed",
            "given with --ca",
        ),
        (
            changed(&secured, &[("--host", "nowhere.invalid")]),
            "dial_failed",
            "this machine's DNS); the host is given with --host",
        ),
        (
            changed(&unsecured, &[("--port", &port(&secure))]),
            "protocol_violation",
            "what answers there is no MQTT bridge; check --host and --port, and that both sides use TLS or, with --plain, \
             neither does: ",
        ),
        (
            changed(&unsecured, &[("--port", &CLOSED_PORT.to_string())]),
            "dial_failed",
            "something listens there",
        ),
        (
            changed(&unsecured, &[("--gateway", "gateway-9")]),
            "refused",
            "check the ids",
        ),
        (
            changed(&unsecured, &[("--registry", "censors")]),
            "refused",
            "registries/censors/",
        ),
        (
            changed(&unsecured, &[("--key", &stranger(&plain))]),
            "refused",
            "that the key is registered",
        ),
    ] {
        let end = Relay::start(&options).wait();
        assert_eq!(end.code, Some(1), "{options:?}");
        let ended = &end.events[0];
        assert_eq!(ended["reason"], reason, "{ended}");
        let detail = ended["detail"].as_str().unwrap();
        assert!(detail.contains(part), "{detail}");
        assert_eq!(detail.contains("--ca"), part.contains("--ca"), "{detail}");
        assert_eq!(end.events[1], json!({"event": "closed", "unsent": 0}));
    }
}

/// Creates a file with a key that is in no registry.
fn stranger(cloud: &Cloud) -> String {
    let file = cloud.folder.join("stranger.pem");
    fs::write(&file, &cloud.device_key.private_pem).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_device_configured_as_the_gateway_is_reported_with_advice() {
    let cloud = Cloud::plain();
    let options = changed(&cloud.options(&[]), &[("--gateway", "stranger-1")]);
    let mut relay = Relay::start(&options);
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    let ended = relay.expect("disconnected");
    let detail = ended["detail"].as_str().unwrap();
    assert!(
        detail.contains("registered as a gateway, not as a device"),
        "{detail}"
    );
}
