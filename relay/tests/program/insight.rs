//! Monitoring: counters, unsent messages, suspects; and what a full queue drops.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    child::Relay,
    cloud::{Cloud, offline, options, serve},
    eventually, telemetry,
};

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
fn the_latency_is_reported_and_the_worst_one_since_the_last_question() {
    const SLOW: Duration = Duration::from_millis(300);
    let cloud = Cloud::plain();
    let slow = AtomicBool::new(true);
    let port = serve(move |_| {
        if slow.swap(false, Ordering::Relaxed) {
            thread::park_timeout(SLOW);
        }
    });
    let mut options = options(&cloud.folder, "127.0.0.1", port);
    options.push("--plain".to_owned());
    let mut relay = Relay::start(&options);
    let ask = |relay: &mut Relay| {
        relay.send(json!({"op": "stats"}));
        let stats = relay.expect("stats");
        ["latency_ms", "worst_latency_ms"].map(|field| stats[field].as_u64())
    };
    assert_eq!(ask(&mut relay), [None, None]);
    for id in 0..20 {
        relay.send(json!({"op": "telemetry", "id": id, "payload": "x"}));
        assert_eq!(relay.expect_end(id)["event"], "done");
    }
    let slow = u64::try_from(SLOW.as_millis()).unwrap();
    let [latency, worst] = ask(&mut relay).map(Option::unwrap);
    assert!(latency < worst && worst >= slow, "{latency} {worst}");
    assert_eq!(ask(&mut relay), [Some(latency), None]);
}

#[test]
fn all_devices_are_listed_the_gateway_itself_among_them() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&[]));
    relay.send(json!({"op": "attach", "id": 0, "device": "stranger-1"}));
    let failed = relay.expect_end(0);
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    assert_eq!(relay.expect_end(1)["event"], "done");
    cloud.inject("puback hold 2");
    for id in 2..4 {
        relay.send(telemetry(id, "four"));
    }
    eventually("both are in flight", || {
        cloud.telemetry("boiler-7").len() == 2
    });
    relay.send(json!({"op": "devices"}));
    let told = relay.expect("devices");
    let mut devices = told["devices"].as_array().unwrap().clone();
    devices.sort_by_key(|device| device["device"].to_string());
    let ago = devices[2]["last_failure"]["seconds_ago"].clone();
    assert!((0.0..20.0).contains(&ago.as_f64().unwrap()), "{ago}");
    assert_eq!(failed["error"], "gateway_attachment_error");
    let expected = json!([
        {"device": "boiler-7", "state": "attached", "queued": 2, "queued_bytes": 8, "in_flight": 2, "suspected": 0,
         "last_failure": null},
        {"device": "gateway-1", "state": "attached", "queued": 0, "queued_bytes": 0, "in_flight": 0, "suspected": 0,
         "last_failure": null},
        {"device": "stranger-1", "state": "refused", "queued": 0, "queued_bytes": 0, "in_flight": 0, "suspected": 0,
         "last_failure": {"error": failed["error"], "detail": failed["detail"], "certainty": failed["certainty"],
                          "retry": failed["retry"], "seconds_ago": ago}},
    ]);
    assert_eq!(Value::from(devices), expected);
    cloud.inject("puback release");
    relay.close().assert_closed(0);
}

#[test]
fn unsent_messages_are_listed_as_operations_that_another_relay_accepts() {
    let cloud = Cloud::plain();
    let mut first = Relay::start(&offline(&cloud, &["--max-queued", "2"]));
    let asked = [
        json!({"op": "telemetry", "id": 1, "device": "boiler-7", "subfolder": "a/b", "qos": 1, "payload": "one",
               "tag": "the first"}),
        json!({"op": "state", "id": "two", "qos": 1, "payload": "own", "priority": "urgent", "tag": ""}),
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

#[test]
fn an_answer_repeats_the_id_of_its_question_and_says_whether_there_is_a_connection_and_why_not() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--backoff-min", "10"]));
    let ask = |relay: &mut Relay, op: &str, id: Value| {
        relay.send(json!({"op": op, "id": id}));
        relay.expect(op)
    };
    relay.expect("connected");
    let stats = ask(&mut relay, "stats", "first".into());
    assert_eq!(
        (&stats["id"], &stats["connected"], &stats["last_disconnect"]),
        (&"first".into(), &true.into(), &Value::Null)
    );
    assert_eq!(ask(&mut relay, "devices", 7.into())["id"], 7);
    assert_eq!(ask(&mut relay, "unsent", (-7).into())["id"], -7);
    for without in [json!({"op": "unsent"}), json!({"op": "unsent", "id": null})] {
        relay.send(without);
        assert_eq!(
            relay.expect("unsent"),
            json!({"event": "unsent", "operations": []})
        );
    }
    cloud.inject("refuse connack 5");
    cloud.cut("gateway-1");
    let ended = relay.expect_where("a refusal", |event| event["reason"] == "refused");
    let stats = ask(&mut relay, "stats", "second".into());
    assert_eq!(stats["connected"], false);
    let last = &stats["last_disconnect"];
    assert!(
        (0.0..60.0).contains(&last["seconds_ago"].as_f64().unwrap()),
        "{last}"
    );
    for member in ["reason", "detail", "certainty"] {
        assert_eq!(last[member], ended[member]);
    }
    cloud.inject("clear");
    relay.expect("connected");
    let stats = ask(&mut relay, "stats", 3.into());
    assert_eq!(
        (&stats["connected"], &stats["last_disconnect"]["reason"]),
        (&true.into(), &"refused".into())
    );
    relay.close().assert_closed(0);
}
