//! The example `relay`, run as a program against the emulator and against peers that do less.

mod child;
mod cloud;
mod drops;
mod insight;
mod mistakes;
mod pace;
mod pressure;

use std::{
    net::TcpListener,
    thread,
    time::{Duration, Instant, SystemTime},
};

use iotcore_gateway_tokio::{Algorithm, SigningKey, UnixTime};
use serde_json::{Value, json};

use self::{
    child::{PATIENCE, Relay},
    cloud::{CLOSED_PORT, Cloud, folder, options},
};

/// Waits for what the bridge has to see, which no line of output tells.
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::yield_now();
    }
}

fn telemetry(id: u64, payload: &str) -> Value {
    json!({"op": "telemetry", "id": id, "device": "boiler-7", "payload": payload})
}

#[test]
fn operations_in_one_go_are_done_in_order_before_the_end_of_the_input_closes() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&[]));
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    for id in 2..52 {
        relay.send(telemetry(id, &id.to_string()));
    }
    relay.send(json!({"op": "telemetry", "id": 52, "device": "boiler-7", "payload_base64": "/w==", "subfolder": "a/b"}));
    relay.send(json!({"op": "telemetry", "id": 53, "qos": 0, "payload": "own"}));
    relay.send(json!({"op": "state", "id": 54, "device": "boiler-7", "payload": "warm"}));
    relay.send(json!({"op": "state", "id": "own state", "payload": "up"}));
    relay.send(json!({"op": "detach", "id": 55, "device": "boiler-7"}));
    relay.send(json!({"op": "telemetry", "id": 56, "device": "boiler-7", "payload": "late"}));
    let end = relay.close();
    end.assert_closed(0);
    let ids = (1..56).map(Value::from).chain(["own state".into()]);
    for id in ids {
        assert_eq!(end.ends(id.clone()), [&json!({"event": "done", "id": id})]);
    }
    assert_eq!(end.ends(56)[0]["error"], "unknown_device");
    let mut expected: Vec<_> = (2..52).map(|id| id.to_string().into_bytes()).collect();
    expected.push(vec![0xff]);
    assert_eq!(cloud.telemetry("boiler-7"), expected);
    assert_eq!(cloud.telemetry("gateway-1"), [b"own"]);
    cloud.act(|bridge, _| {
        let states = |id| bridge.device(id).unwrap().states_total();
        assert_eq!((states("boiler-7"), states("gateway-1")), (1, 1));
        Ok(())
    });
    let detached = json!({"event": "detached", "device": "boiler-7", "cause": "requested"});
    for event in [
        json!({"event": "connected"}),
        json!({"event": "attached", "device": "boiler-7"}),
        detached,
    ] {
        assert!(end.events.contains(&event), "{event}: {:#?}", end.events);
    }
    assert_eq!(end.stderr, "");
}

#[test]
fn it_runs_over_tls_with_a_given_authority() {
    let cloud = Cloud::tls();
    let mut relay = Relay::start(&cloud.options(&[]));
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    relay.send(telemetry(2, "71"));
    assert_eq!(relay.expect_end(2)["event"], "done");
    relay.send(json!({"op": "close"}));
    relay.wait().assert_closed(0);
}

#[test]
fn options_may_stand_in_the_environment() {
    let cloud = Cloud::plain();
    let options = cloud.options(&[]);
    let mut environment = vec![("IOTCORE_PLAIN", "1"), ("IOTCORE_WINDOW", "5")];
    let names = options
        .iter()
        .step_by(2)
        .map(|name| name.trim_start_matches('-').to_uppercase())
        .map(|name| format!("IOTCORE_{name}"))
        .collect::<Vec<_>>();
    let values = options.iter().skip(1).step_by(2);
    environment.extend(
        names
            .iter()
            .map(String::as_str)
            .zip(values.map(String::as_str)),
    );
    let mut relay = Relay::start_unread(&[] as &[&str], &environment);
    relay.send(json!({"op": "telemetry", "id": 1, "payload": "x"}));
    relay.end_input();
    let end = relay.wait();
    end.assert_closed(0);
    assert_eq!(end.ends(1)[0]["event"], "done");
}

#[test]
fn configs_and_commands_come_as_text_or_base64_and_are_acknowledged_once_they_are_out() {
    let cloud = Cloud::plain();
    cloud.config("gateway-1", b"on");
    cloud.config("boiler-7", &[0xff, 0x00]);
    let mut relay = Relay::start(&cloud.options(&[]));
    let config = relay.expect("config");
    assert_eq!(
        config,
        json!({"event": "config", "device": null, "subfolder": null, "payload": "on", "delivery": config["delivery"]})
    );
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7", "config": 0, "commands": 1}));
    let config = relay.expect("config");
    assert_eq!(config["device"], "boiler-7");
    assert_eq!(config["payload_base64"], "/wA=");
    assert_eq!(config.get("payload"), None);
    cloud.command("boiler-7", Some("valve/1"), "close");
    let command = relay.expect("command");
    assert_eq!(
        command,
        json!({"event": "command", "device": "boiler-7", "subfolder": "valve/1", "payload": "close",
               "delivery": command["delivery"]})
    );
    assert!(command["delivery"].as_u64() > config["delivery"].as_u64());
    cloud.command("gateway-1", None, "reboot");
    let command = relay.expect("command");
    assert_eq!(
        (&command["device"], &command["subfolder"]),
        (&Value::Null, &Value::Null)
    );
    eventually("the config is acknowledged", || {
        cloud.acknowledged("gateway-1").is_some()
    });
    relay.close().assert_closed(0);
}

#[test]
fn a_device_may_be_attached_without_subscriptions() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&[]));
    relay.send(
        json!({"op": "attach", "id": 1, "device": "boiler-7", "config": null, "commands": null}),
    );
    assert_eq!(relay.expect_end(1)["event"], "done");
    cloud.act(|bridge, _| {
        let mut filters = bridge.subscriptions("gateway-1");
        assert!(filters.all(|(filter, _)| !filter.contains("boiler-7")));
        Ok(())
    });
    relay.close().assert_closed(0);
}

#[test]
fn with_manual_acknowledgement_the_cloud_learns_only_what_the_input_says() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--acknowledge", "manual"]));
    let delivery = relay.expect("config")["delivery"].clone();
    // What is acknowledged after it would have come after it.
    relay.send(json!({"op": "telemetry", "id": 1, "payload": "x"}));
    relay.expect_end(1);
    assert_eq!(cloud.acknowledged("gateway-1"), None);
    relay.send(json!({"op": "acknowledge", "delivery": 999}));
    let invalid = relay.expect("invalid");
    assert_eq!(invalid["line"], 2);
    assert_eq!(
        invalid["error"],
        "no config or command had the delivery number 999"
    );
    relay.send(json!({"op": "acknowledge", "delivery": delivery}));
    eventually("the config is acknowledged", || {
        cloud.acknowledged("gateway-1").is_some()
    });
    relay.send(json!({"op": "acknowledge", "delivery": delivery}));
    let end = relay.close();
    end.assert_closed(0);
    let invalid = end
        .events
        .iter()
        .filter(|event| event["event"] == "invalid");
    assert_eq!(invalid.count(), 1);
}

#[test]
fn a_refused_device_fails_with_the_bridges_report_and_the_connection_lives_on() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&[]));
    relay.send(json!({"op": "attach", "id": 1, "device": "stranger-1"}));
    relay.send(json!({"op": "telemetry", "id": 2, "device": "stranger-1", "payload": "x"}));
    let report = relay.expect("error_report");
    assert_eq!(report["error_type"], "GATEWAY_ATTACHMENT_ERROR");
    assert_eq!(report["device_id"], "stranger-1");
    assert!(
        report["description"]
            .as_str()
            .unwrap()
            .contains("not bound")
    );
    let info = &report["mqtt_message_info"];
    assert_eq!(info["message_type"], "PUBLISH");
    assert_eq!(info["topic"], "/devices/stranger-1/attach");
    assert!(info["packet_id"].is_u64());
    assert_eq!(report["unknown_fields"], json!({}));
    let failed = relay.expect_end(1);
    assert_eq!(failed["event"], "failed");
    assert_eq!(failed["error"], "gateway_attachment_error");
    assert_eq!(failed["certainty"], "confirmed");
    assert_eq!(failed["retry"], "never");
    let failed = relay.expect_end(2);
    assert_eq!(
        (&failed["error"], &failed["retry"]),
        (&"device_refused".into(), &"never".into())
    );
    cloud.act(|bridge, _| bridge.bind("gateway-1", "stranger-1"));
    relay.send(json!({"op": "attach", "id": 3, "device": "stranger-1"}));
    assert_eq!(relay.expect_end(3)["event"], "done");
    relay.close().assert_closed(0);
}

#[test]
fn a_device_that_the_bridge_detaches_is_attached_again() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--backoff-min", "10"]));
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    relay.expect_end(1);
    cloud.act(|bridge, now| bridge.detach_with_error("boiler-7", now));
    let detached = relay.expect("detached");
    assert_eq!(detached["cause"], "gateway_detachment_device_error");
    assert_eq!(relay.expect("attached")["device"], "boiler-7");
    relay.send(telemetry(2, "again"));
    assert_eq!(relay.expect_end(2)["event"], "done");
    relay.close().assert_closed(0);
}

#[test]
fn what_is_open_when_the_connection_is_cut_is_done_on_the_next_one() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--backoff-min", "10", "--window", "1"]));
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    relay.expect_end(1);
    for id in 2..302 {
        relay.send(telemetry(id, "x"));
        if id % 100 == 0 {
            cloud.cut("gateway-1");
            let ended = relay.expect("disconnected");
            assert!(["peer_closed", "broken"].contains(&ended["reason"].as_str().unwrap()));
            let wait = ended["retry_in_ms"].as_u64().unwrap();
            assert!(wait >= 10, "{ended}");
            relay.expect("connected");
            relay.expect("attached");
        }
    }
    let end = relay.close();
    end.assert_closed(0);
    for id in 1..302 {
        assert_eq!(end.ends(id), [&json!({"event": "done", "id": id})]);
    }
}

/// A token of `boiler-7` that expires after so many seconds.
fn device_token(cloud: &Cloud, seconds: u64) -> String {
    let pem = cloud.device_key.private_pem.as_bytes();
    let key = SigningKey::from_pem(pem, Algorithm::Es256).unwrap();
    let now = UnixTime::try_from(SystemTime::now()).unwrap();
    key.mint(&"plant".parse().unwrap(), now, Duration::from_secs(seconds))
        .unwrap()
}

#[test]
fn a_device_with_a_token_of_its_own_is_asked_for_a_new_one_when_that_has_expired() {
    let cloud = Cloud::plain();
    let options = cloud.options(&["--gateway", "gateway-2", "--backoff-min", "2100"]);
    let mut options = options;
    let given = options
        .iter()
        .position(|option| option == "gateway-1")
        .unwrap();
    options.drain(given - 1..=given);
    let mut relay = Relay::start(&options);
    relay.expect("connected");
    let token = device_token(&cloud, 2);
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7", "token": token}));
    assert_eq!(relay.expect_end(1)["event"], "done");
    cloud.cut("gateway-2");
    relay.expect("connected");
    assert_eq!(
        relay.expect("token_needed"),
        json!({"event": "token_needed", "device": "boiler-7"})
    );
    relay.send(telemetry(2, "x"));
    relay.send(json!({"op": "authorize", "id": 3, "device": "boiler-7", "token": token}));
    assert_eq!(relay.expect_end(3)["error"], "token_expired");
    let fresh = device_token(&cloud, 3_600);
    relay.send(json!({"op": "authorize", "id": 4, "device": "boiler-7", "token": fresh}));
    relay.expect("attached");
    let end = relay.close();
    end.assert_closed(0);
    for id in [2, 4] {
        assert_eq!(end.ends(id), [&json!({"event": "done", "id": id})]);
    }
    for secret in [token, fresh] {
        let told = format!("{:?}{}", end.events, end.stderr);
        assert!(!told.contains(&secret));
    }
}

#[test]
fn waits_between_attempts_double_within_their_bounds() {
    let cloud = Cloud::plain();
    let mut options = options(&cloud.folder, "127.0.0.1", CLOSED_PORT);
    for option in [
        "--plain",
        "--backoff-min",
        "40",
        "--backoff-max",
        "200",
        "--seed",
        "7",
    ] {
        options.push(option.to_owned());
    }
    let waits = || {
        let mut relay = Relay::start(&options);
        let waits: Vec<_> = (0..5)
            .map(|_| {
                relay.expect("disconnected")["retry_in_ms"]
                    .as_u64()
                    .unwrap()
            })
            .collect();
        waits
    };
    let first = waits();
    for (n, wait) in first.iter().enumerate() {
        let least = (40 << n).min(200);
        assert!((least..=(least + 40).min(200)).contains(wait), "{first:?}");
    }
    assert_eq!(first, waits());
}

#[cfg(unix)]
#[test]
fn signals_close_like_the_end_of_the_input() {
    let cloud = Cloud::plain();
    for name in ["TERM", "INT"] {
        let mut relay = Relay::start(&cloud.options(&[]));
        relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
        relay.send(telemetry(2, name));
        relay.expect_end(2);
        relay.signal(name);
        relay.wait().assert_closed(0);
    }
}

#[cfg(unix)]
#[test]
fn what_cannot_be_sent_before_the_end_fails_once_and_counts_as_unsent() {
    let folder = folder();
    let key = iotcore_gateway_testkit::keys::DeviceKey::generate().unwrap();
    std::fs::write(folder.join("gateway.pem"), key.private_pem).unwrap();
    let mut options = options(&folder, "127.0.0.1", CLOSED_PORT);
    options.extend(["--plain", "--max-queued", "2"].map(str::to_owned));
    let mut relay = Relay::start(&options);
    for id in 1..6 {
        relay.send(json!({"op": "telemetry", "id": id, "payload": "x"}));
    }
    relay.expect("disconnected");
    relay.send("the last line");
    relay.expect("invalid");
    relay.signal("TERM");
    let end = relay.wait();
    end.assert_closed(5);
    for id in 1..6 {
        let ends = end.ends(id);
        assert_eq!(ends.len(), 1);
        assert_eq!(
            (&ends[0]["error"], &ends[0]["retry"]),
            (&"closed".into(), &"backoff".into())
        );
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn without_reconnect_everything_ends_with_the_first_refusal_and_exit_code_1() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--no-reconnect"]));
    relay.expect("connected");
    cloud.act(|bridge, now| bridge.set_blocked("gateway-1", true, now));
    let lost = relay.wait();
    assert_eq!(lost.code, Some(1));
    let refused = Relay::start(&cloud.options(&["--no-reconnect"])).wait();
    assert_eq!(refused.code, Some(1));
    let ended = &refused.events[0];
    assert_eq!(ended["reason"], "refused");
    assert_eq!(ended["retry_in_ms"], Value::Null);
    assert_eq!(refused.events[1], json!({"event": "closed", "unsent": 0}));
}

#[test]
fn without_reconnect_all_that_is_open_fails_once_when_it_gives_up() {
    let cloud = Cloud::plain();
    let peer = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut options = options(
        &cloud.folder,
        "127.0.0.1",
        peer.local_addr().unwrap().port(),
    );
    options.extend(["--plain", "--no-reconnect", "--max-queued", "2"].map(str::to_owned));
    let mut relay = Relay::start(&options);
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    relay.send(telemetry(2, "waits for the attach"));
    relay.send(json!({"op": "telemetry", "id": 3, "payload": "waits for the connection"}));
    relay.send(json!({"op": "telemetry", "id": 4, "payload": "waits for room"}));
    let token = device_token(&cloud, 3_600);
    relay.send(json!({"op": "authorize", "id": 5, "device": "boiler-7", "token": token}));
    relay.send("the last line");
    relay.expect("invalid");
    drop(peer.accept().unwrap());
    let end = relay.wait();
    assert_eq!(end.code, Some(1));
    assert_eq!(
        end.events.last(),
        Some(&json!({"event": "closed", "unsent": 3}))
    );
    // The token was kept for the attach.
    assert_eq!(end.ends(5), [&json!({"event": "done", "id": 5})]);
    for id in 1..5 {
        let ends = end.ends(id);
        assert_eq!(ends.len(), 1, "{id}: {ends:?}");
        let error = ends[0]["error"].as_str().unwrap();
        assert!(["gave_up", "closed"].contains(&error), "{id}: {error}");
    }
}

#[test]
fn a_device_that_was_refused_for_want_of_a_token_is_attached_with_one() {
    let cloud = Cloud::plain();
    let mut options = cloud.options(&[]);
    for option in &mut options {
        if option == "gateway-1" {
            *option = "gateway-2".to_owned();
        }
    }
    let mut relay = Relay::start(&options);
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    assert_eq!(relay.expect_end(1)["error"], "gateway_attachment_error");
    let token = device_token(&cloud, 3_600);
    relay.send(json!({"op": "authorize", "id": 2, "device": "boiler-7", "token": token}));
    relay.send(telemetry(3, "x"));
    let end = relay.close();
    end.assert_closed(0);
    for id in [2, 3] {
        assert_eq!(end.ends(id), [&json!({"event": "done", "id": id})]);
    }
}
