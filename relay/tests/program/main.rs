//! Runs the program against the emulator and against minimal peers.
#![forbid(unsafe_code)]

mod cancelling;
mod child;
mod client_certificates;
mod cloud;
mod command_line;
mod detaching;
mod device_keys;
mod devices;
#[cfg(unix)]
mod drain;
mod drops;
mod ending;
mod expiring;
mod insight;
#[cfg(unix)]
mod key_files;
mod metrics;
mod misconfigured;
mod mistakes;
mod notes;
mod pace;
#[cfg(target_os = "linux")]
mod packaging;
mod pressure;
mod proxies;
mod proxy_settings;
mod reference;
#[cfg(target_os = "linux")]
mod resolver;
#[path = "../../schema/schema.rs"]
mod schema;
mod schema_of_operations;
#[cfg(unix)]
mod service_manager;
mod store;
mod store_folders;
#[cfg(unix)]
mod store_kills;
mod store_room;
mod store_tool;
mod store_tool_damage;
mod streams;
mod subscribing;
mod suspects;
mod tokens;
mod unable;
mod urgent;
mod waiting;

use std::{thread, time::Instant};

use serde_json::{Value, json};

use self::{
    child::{PATIENCE, Relay},
    cloud::{CLOSED_PORT, Cloud, options},
};

/// Waits for a state of the bridge that no event reports.
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
fn operations_sent_at_once_complete_in_order_before_the_end_of_the_input_closes_the_gateway() {
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
fn it_runs_over_tls_with_a_given_ca() {
    let cloud = Cloud::tls();
    let mut relay = Relay::start(&cloud.options(&[]));
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    relay.send(telemetry(2, "71"));
    assert_eq!(relay.expect_end(2)["event"], "done");
    relay.send(json!({"op": "close"}));
    relay.wait().assert_closed(0);
}

#[test]
fn configs_and_commands_are_text_or_base64_and_acknowledged_once_they_are_written() {
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
fn with_manual_acknowledgement_only_the_input_acknowledges() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--acknowledge", "manual"]));
    let delivery = relay.expect("config")["delivery"].clone();
    // An acknowledgement would have reached the cloud before this message.
    relay.send(json!({"op": "telemetry", "id": 1, "payload": "x"}));
    relay.expect_end(1);
    assert_eq!(cloud.acknowledged("gateway-1"), None);
    relay.send(json!({"op": "acknowledge", "delivery": 999}));
    let invalid = relay.expect("invalid");
    assert_eq!(
        (&invalid["line"], &invalid["error"]),
        (&2.into(), &"unknown_delivery".into())
    );
    assert_eq!(
        invalid["detail"],
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
fn operations_open_when_the_connection_is_cut_complete_on_the_next_one() {
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

#[test]
fn delays_between_attempts_double_within_their_limits() {
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
    let bounds = [(40, 80), (80, 120), (160, 200), (150, 200), (150, 200)];
    for (wait, (least, most)) in first.iter().zip(bounds) {
        assert!((least..=most).contains(wait), "{first:?}");
    }
    assert_eq!(first, waits());
}
