//! Tokens of devices.

#[cfg(unix)]
use std::{
    fs,
    io::{self, Write},
    process::Command,
};

use iotcore_gateway_tokio::auth::UnixTime;
use serde_json::json;

use crate::{
    child::Relay,
    cloud::{Cloud, write_key},
    telemetry,
};

#[test]
fn a_new_token_is_requested_when_a_devices_own_has_expired() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options_of_gateway_2(&["--backoff-min", "2100"]));
    let first = cloud.device_token(3_600);
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7", "token": first}));
    assert_eq!(relay.expect_end(1)["event"], "done");
    let expiring = authorize_for_two_seconds(&cloud, &mut relay);
    cloud.cut("gateway-2");
    relay.expect("connected");
    assert_eq!(
        relay.expect("token_needed"),
        json!({"event": "token_needed", "device": "boiler-7"})
    );
    relay.send(telemetry(2, "x"));
    relay.send(json!({"op": "authorize", "id": 3, "device": "boiler-7", "token": expiring}));
    assert_eq!(relay.expect_end(3)["error"], "token_expired");
    let fresh = cloud.device_token(3_600);
    relay.send(json!({"op": "authorize", "id": 4, "device": "boiler-7", "token": fresh}));
    relay.expect("attached");
    let end = relay.close();
    end.assert_closed(0);
    for id in [2, 4] {
        assert_eq!(end.ends(id), [&json!({"event": "done", "id": id})]);
    }
    for secret in [first, expiring, fresh] {
        let told = format!("{:?}{}", end.events, end.stderr);
        assert!(!told.contains(&secret));
    }
}

/// Provides a token for the next attach that expires within two seconds. If a slow machine reads it only after it has
/// expired, it is refused, and this provides another one.
pub(crate) fn authorize_for_two_seconds(cloud: &Cloud, relay: &mut Relay) -> String {
    loop {
        let token = cloud.device_token(2);
        relay.send(json!({"op": "authorize", "id": "t", "device": "boiler-7", "token": token}));
        let end = relay.expect_end("t");
        if end["event"] == "done" {
            return token;
        }
        assert_eq!(end["error"], "token_expired");
    }
}

#[test]
fn a_device_refused_because_it_has_no_token_is_attached_with_one() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options_of_gateway_2(&[]));
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    assert_eq!(relay.expect_end(1)["error"], "gateway_attachment_error");
    let token = cloud.device_token(3_600);
    relay.send(json!({"op": "authorize", "id": 2, "device": "boiler-7", "token": token}));
    relay.send(telemetry(3, "x"));
    let end = relay.close();
    end.assert_closed(0);
    for id in [2, 3] {
        assert_eq!(end.ends(id), [&json!({"event": "done", "id": id})]);
    }
}

#[test]
fn a_token_that_was_minted_in_1970_is_refused_as_expired_and_harms_nothing() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options_of_gateway_2(&[]));
    let old = cloud.token_minted_at(UnixTime::from_secs(100), 3_600);
    let fresh = cloud.device_token(3_600);
    let attach =
        |id, token: &str| json!({"op": "attach", "id": id, "device": "boiler-7", "token": token});
    relay.send(attach(1, &old));
    let refused = relay.expect_end(1);
    let detail = "the device's token has expired: mint a new one, and check the clock";
    let expected = json!({"event": "failed", "id": 1, "error": "token_expired", "detail": detail,
                          "certainty": "confirmed", "retry": "never"});
    assert_eq!(refused, expected);
    relay.send(attach(2, &fresh));
    assert_eq!(relay.expect_end(2)["event"], "done");
    relay.send(json!({"op": "authorize", "id": 3, "device": "boiler-7", "token": old}));
    assert_eq!(relay.expect_end(3)["error"], "token_expired");
    cloud.cut("gateway-2");
    relay.expect("attached");
    relay.send(telemetry(4, "x"));
    let end = relay.close();
    end.assert_closed(0);
    assert_eq!(end.ends(4), [&json!({"event": "done", "id": 4})]);
    assert!(!format!("{:?}{}", end.events, end.stderr).contains(&old));
}

#[test]
fn the_queue_of_a_device_waits_for_its_new_token_and_is_delivered() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options_of_gateway_2(&["--backoff-min", "3100"]));
    loop {
        let token = cloud.device_token(3);
        relay.send(json!({"op": "attach", "id": "a", "device": "boiler-7", "token": token}));
        let end = relay.expect_end("a");
        if end["event"] == "done" {
            break;
        }
        // On a slow machine it may have expired when it is read.
        assert_eq!(end["error"], "token_expired");
    }
    cloud.cut("gateway-2");
    relay.expect("disconnected");
    for id in 0..20 {
        relay.send(telemetry(id, &id.to_string()));
    }
    relay.send(json!({"op": "telemetry", "id": 20, "payload": "of the gateway itself"}));
    relay.expect("token_needed");
    assert_eq!(relay.expect_end(20)["event"], "done");
    assert!((0..20).all(|id| relay.seen.iter().all(|event| event["id"] != id)));
    let fresh = cloud.device_token(3_600);
    relay.send(json!({"op": "authorize", "id": 21, "device": "boiler-7", "token": fresh}));
    let end = relay.close();
    end.assert_closed(0);
    for id in 0..22 {
        assert_eq!(end.ends(id), [&json!({"event": "done", "id": id})]);
    }
    let expected: Vec<_> = (0..20).map(|id| id.to_string().into_bytes()).collect();
    assert_eq!(cloud.telemetry("boiler-7"), expected);
}

#[test]
fn a_device_whose_token_expires_before_its_first_attach_can_be_detached() {
    let cloud = Cloud::plain();
    cloud.inject("refuse connack 3");
    let mut relay = Relay::start(&cloud.options_of_gateway_2(&["--backoff-max", "1000"]));
    let token = cloud.device_token(4);
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7", "token": token}));
    // At least 750 ms each.
    for _ in 0..6 {
        relay.expect("disconnected");
    }
    cloud.inject("clear");
    relay.expect("token_needed");
    relay.send(json!({"op": "detach", "id": 2, "device": "boiler-7"}));
    let [attached, detached] = relay.expect_ends([1, 2]);
    assert_eq!(attached["error"], "detached", "{attached}");
    assert_eq!(detached["event"], "done");
    relay.close().assert_closed(0);
}

#[test]
fn two_connections_in_a_second_with_one_rsa_token_are_an_event_and_a_note() {
    let cloud = Cloud::plain();
    let public = include_str!("../../../core/tests/keys/rsa-2048.pub.pem");
    cloud.act(|bridge, _| bridge.set_public_keys("gateway-1", &[public]));
    let private = include_str!("../../../core/tests/keys/rsa-2048.pkcs8.pem");
    write_key(&cloud.folder, private);
    let mut options = cloud.options(&["--backoff-min", "1", "--backoff-max", "1"]);
    for option in &mut options {
        if option == "ES256" {
            *option = "RS256".to_owned();
        }
    }
    let mut relay = Relay::start(&options);
    relay.expect("connected");
    for _ in 0..20 {
        cloud.cut("gateway-1");
        relay.expect("connected");
    }
    let end = relay.close();
    end.assert_closed(0);
    let unchanged = json!({"event": "token_unchanged"});
    assert!(end.events.contains(&unchanged), "{:#?}", end.events);
    let note = "iotcore-relay: two connections in one second have the same token";
    assert!(end.stderr.contains(note), "{}", end.stderr);
}

/// Returns the script of the book's chapter that mints a token.
#[cfg(unix)]
fn minting_script() -> &'static str {
    let chapter = include_str!("../../../docs/book/relay.md");
    let mut blocks = chapter.split("```sh\n").skip(1);
    let script = blocks.find(|block| block.starts_with("b64()"));
    script
        .and_then(|script| script.split("```").next())
        .unwrap()
}

#[cfg(unix)]
#[test]
fn the_script_in_the_book_mints_a_token_that_the_bridge_accepts() {
    let cloud = Cloud::plain();
    let public = include_str!("../../../core/tests/keys/rsa-2048.pub.pem");
    cloud.act(|bridge, _| bridge.set_public_keys("boiler-7", &[public]));
    let private = include_str!("../../../core/tests/keys/rsa-2048.pkcs8.pem");
    fs::write(cloud.folder.join("device.pem"), private).unwrap();
    let minted = Command::new("sh")
        .args(["-ec", minting_script()])
        .current_dir(&cloud.folder)
        .env("IOTCORE_PROJECT", "plant")
        .output()
        .unwrap();
    let stderr = String::from_utf8(minted.stderr).unwrap();
    if stderr.contains("not found") {
        let _ = writeln!(io::stderr(), "skipped: there is no openssl");
        return;
    }
    let token = String::from_utf8(minted.stdout).unwrap();
    let mut relay = Relay::start(&cloud.options_of_gateway_2(&[]));
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7", "token": token.trim()}));
    assert_eq!(
        relay.expect_end(1),
        json!({"event": "done", "id": 1}),
        "{stderr}"
    );
    relay.close().assert_closed(0);
}
