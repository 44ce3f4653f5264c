//! Monitoring: counters, unsent messages, suspects; and what a full queue drops.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    child::Relay,
    cloud::{CLOSED_PORT, Cloud, options},
    eventually, telemetry,
};

/// Returns the options of a relay that cannot connect.
fn offline(cloud: &Cloud, more: &[&str]) -> Vec<String> {
    let mut options = options(&cloud.folder, "127.0.0.1", CLOSED_PORT);
    options.push("--plain".to_owned());
    options.extend(more.iter().map(|&option| option.to_owned()));
    options
}

#[test]
fn the_counters_report_rate_limit_delays() {
    const INTERVAL: Duration = Duration::from_secs(60);
    let cloud = Cloud::plain();
    let interval = INTERVAL.as_millis().to_string();
    let mut relay = Relay::start(&cloud.options(&["--state-interval", &interval]));
    relay.send(json!({"op": "attach", "id": 0, "device": "boiler-7"}));
    relay.expect_end(0);
    let state = |id| json!({"op": "state", "id": id, "device": "boiler-7", "payload": "x"});
    let begun = Instant::now();
    relay.send(state(1));
    relay.expect_end(1);
    relay.send(state(2));
    relay.send(json!({"op": "stats"}));
    let stats = relay.expect("stats");
    // Part of the interval has passed, and the second state waits for the rest.
    let least = (INTERVAL.saturating_sub(begun.elapsed())).as_millis();
    assert_eq!(stats["connections"], 1, "{stats}");
    assert_eq!(stats["accepted"], 2, "{stats}");
    assert_eq!(stats["published"], 1, "{stats}");
    assert_eq!(stats["delays"], 1, "{stats}");
    let delayed = u128::from(stats["delayed_ms"].as_u64().unwrap());
    assert!(
        (least..INTERVAL.as_millis()).contains(&delayed),
        "{stats}; expected at least {least} ms"
    );
    assert_eq!(
        (&stats["queued"], &stats["devices"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn unsent_messages_are_listed_as_operations_that_another_relay_accepts() {
    let cloud = Cloud::plain();
    let mut first = Relay::start(&offline(&cloud, &["--max-queued", "2"]));
    let asked = [
        json!({"op": "telemetry", "id": 1, "device": "boiler-7", "subfolder": "a/b", "qos": 1, "payload": "one"}),
        json!({"op": "state", "id": "two", "qos": 1, "payload": "own"}),
        json!({"op": "telemetry", "id": 3, "device": "boiler-7", "qos": 0, "payload_base64": "/w=="}),
        json!({"op": "telemetry", "id": 4, "device": "boiler-7", "qos": 1, "payload": "waits for room"}),
    ];
    let attach = json!({"op": "attach", "id": 0, "device": "boiler-7"});
    first.send(&attach);
    for operation in &asked {
        first.send(operation);
    }
    first.send(json!({"op": "unsent"}));
    let unsent = first.expect("unsent");
    assert_eq!(unsent["operations"], Value::from(asked.to_vec()));

    let mut second = Relay::start(&cloud.options(&[]));
    second.send(&attach);
    for operation in unsent["operations"].as_array().unwrap() {
        second.send(operation);
    }
    second.close().assert_closed(0);
    let expected = [&b"one"[..], &[0xff], b"waits for room"];
    assert_eq!(cloud.telemetry("boiler-7"), expected);
}

#[test]
fn with_drop_oldest_the_newest_messages_of_a_long_outage_are_kept() {
    let cloud = Cloud::plain();
    let more = ["--max-queued", "3", "--overflow", "drop-oldest"];
    let mut relay = Relay::start(&offline(&cloud, &more));
    relay.send(json!({"op": "attach", "id": 0, "device": "boiler-7"}));
    for id in 1..10 {
        relay.send(telemetry(id, &id.to_string()));
    }
    for _ in 1..7 {
        let failed = relay.expect("failed");
        assert!((1..7).contains(&failed["id"].as_u64().unwrap()), "{failed}");
        assert_eq!(failed["error"], "dropped");
    }
    relay.send(json!({"op": "unsent"}));
    let unsent = relay.expect("unsent");
    let ids = unsent["operations"].as_array().unwrap().iter();
    assert!(ids.map(|message| &message["id"]).eq([7, 8, 9]), "{unsent}");
    relay.send(json!({"op": "stats"}));
    assert_eq!(relay.expect("stats")["dropped"], 6);
}

#[test]
fn with_drop_oldest_the_input_waits_while_every_message_is_in_flight() {
    let cloud = Cloud::plain();
    cloud.inject("puback hold 2");
    let more = ["--max-queued", "2", "--overflow", "drop-oldest"];
    let mut relay = Relay::start(&cloud.options(&more));
    relay.expect("connected");
    for id in 1..4 {
        relay.send(json!({"op": "telemetry", "id": id, "payload": id.to_string()}));
    }
    eventually("two are in flight", || {
        cloud.telemetry("gateway-1").len() == 2
    });
    relay.send(json!({"op": "unsent"}));
    let unsent = relay.expect("unsent");
    assert_eq!(
        unsent["operations"].as_array().unwrap().len(),
        3,
        "{unsent}"
    );
    cloud.inject("puback release");
    let end = relay.close();
    end.assert_closed(0);
    for id in 1..4 {
        assert_eq!(end.ends(id), [&json!({"event": "done", "id": id})]);
    }
}

#[test]
fn a_peer_close_lists_the_suspected_operations() {
    let cloud = Cloud::plain();
    cloud.inject("cut instead attach");
    let mut relay = Relay::start(&cloud.options(&["--no-reconnect"]));
    relay.send(json!({"op": "attach", "id": "the attach", "device": "boiler-7"}));
    let ended = relay.expect("disconnected");
    assert_eq!(ended["suspects"], json!(["the attach"]), "{ended}");
    assert_eq!(ended["certainty"], "suspected", "{ended}");
    assert_eq!(ended["takeover_suspected"], false);
}
