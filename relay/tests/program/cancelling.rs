//! Cancelling messages: in flight, accepted, or still waiting for room; and what cannot be cancelled.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    child::Relay,
    cloud::{Cloud, offline},
    eventually, telemetry,
};

fn cancel(id: impl Into<Value>) -> Value {
    json!({"op": "cancel", "id": id.into()})
}

/// Returns the `failed` of a cancelled message, but for its detail.
fn cancelled(failed: &Value, operation: Value) -> Value {
    json!({"event": "failed", "id": operation["id"], "error": "cancelled", "detail": failed["detail"],
           "certainty": "confirmed", "retry": "never", "operation": operation})
}

#[test]
fn a_cancelled_message_ends_by_its_own_line_and_is_not_sent_unless_it_was_in_flight() {
    let cloud = Cloud::plain();
    cloud.inject("puback hold 1");
    let mut relay = Relay::start(&cloud.options(&["--window", "1"]));
    relay.expect("connected");
    let own = |id: u64| json!({"op": "telemetry", "id": id, "qos": 1, "payload": id.to_string(), "tag": format!("reading {id}")});
    for id in 1..4 {
        relay.send(own(id));
    }
    eventually("the first is in flight", || {
        cloud.telemetry("gateway-1").len() == 1
    });
    for id in [2, 1] {
        relay.send(cancel(id));
        let failed = relay.expect_end(id);
        assert_eq!(failed, cancelled(&failed, own(id)));
    }
    let done = relay.expect_end(3);
    assert_eq!(done["event"], "done", "the window is free again: {done}");
    let end = relay.close();
    end.assert_closed(0);
    for id in 1..4 {
        assert_eq!(end.ends(id).len(), 1);
    }
    assert_eq!(cloud.telemetry("gateway-1"), [b"1", b"3"]);
}

#[test]
fn a_message_that_waits_for_room_is_cancelled_before_it_is_accepted() {
    let cloud = Cloud::plain();
    cloud.inject("puback hold 1");
    let mut relay = Relay::start(&cloud.options(&["--max-queued", "1"]));
    relay.expect("connected");
    let own = |id: u64| json!({"op": "telemetry", "id": id, "qos": 1, "payload": id.to_string(), "tag": "t"});
    for id in 1..5 {
        relay.send(own(id));
    }
    eventually("the first is in flight", || {
        cloud.telemetry("gateway-1").len() == 1
    });
    relay.send(cancel(3));
    let failed = relay.expect_end(3);
    assert_eq!(failed, cancelled(&failed, own(3)));
    relay.send(json!({"op": "unsent"}));
    let unsent = relay.expect("unsent");
    assert_eq!(unsent["operations"], json!([own(1), own(2), own(4)]));
    relay.send(json!({"op": "stats"}));
    assert_eq!(relay.expect("stats")["accepted"], 1);
    // The id may be used again.
    relay.send(own(3));
    relay.send(cancel(3));
    assert_eq!(relay.expect_end(3)["error"], "cancelled");
    cloud.inject("puback release");
    let end = relay.close();
    end.assert_closed(0);
    for id in [1, 2, 4] {
        assert_eq!(end.ends(id), [&json!({"event": "done", "id": id})]);
    }
    assert_eq!(end.ends(3).len(), 2);
    assert_eq!(cloud.telemetry("gateway-1"), [b"1", b"2", b"4"]);
}

#[test]
fn what_cannot_be_cancelled_is_named_with_its_id_and_what_to_do() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&offline(&cloud, &[]));
    relay.send(json!({"op": "attach", "id": "first", "device": "boiler-7"}));
    relay.send(telemetry(1, "x"));
    relay.send(cancel(1));
    assert_eq!(relay.expect_end(1)["error"], "cancelled");
    let lines = [
        (
            json!(1),
            "not_open",
            "no operation with the id 1 is open: it has ended",
            "cancel a message by the `id`",
        ),
        (
            json!("never"),
            "not_open",
            "no operation with the id \"never\" is open",
            "or there was none",
        ),
        (
            json!("first"),
            "not_cancellable",
            "the operation with the id \"first\" is `attach`, and only `telemetry` and `state`",
            "`detach` the device instead",
        ),
    ];
    for (id, error, what, advice) in lines {
        relay.send(cancel(id.clone()));
        let not_cancelled = relay.expect("not_cancelled");
        assert_eq!(
            (&not_cancelled["id"], &not_cancelled["error"]),
            (&id, &error.into())
        );
        let told = not_cancelled["detail"].as_str().unwrap();
        assert!(told.contains(what) && told.contains(advice), "{told}");
    }
}

#[test]
fn a_detach_and_what_waits_behind_it_cannot_be_cancelled_unless_it_is_a_message() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&offline(&cloud, &["--max-queued", "1"]));
    let token = cloud.device_token(600);
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    relay.send(telemetry(2, "takes all room"));
    relay.send(telemetry(3, "waits"));
    relay.send(json!({"op": "detach", "id": 4, "device": "boiler-7"}));
    relay.send(json!({"op": "authorize", "id": 5, "device": "boiler-7", "token": token}));
    relay.send(telemetry(6, "behind the detach"));
    for (id, name, advice) in [
        (4, "detach", "`attach` the device again instead"),
        (
            5,
            "authorize",
            "`authorize` the device with another token instead",
        ),
    ] {
        relay.send(cancel(id));
        let not_cancelled = relay.expect("not_cancelled");
        let told = not_cancelled["detail"].as_str().unwrap();
        let what = format!("the operation with the id {id} is `{name}`, and only");
        assert!(told.contains(&what) && told.contains(advice), "{told}");
    }
    for id in [6, 3] {
        relay.send(cancel(id));
        assert_eq!(relay.expect_end(id)["error"], "cancelled");
    }
}

#[test]
fn each_cancel_is_answered_once_also_when_the_message_ends_at_the_same_time() {
    const COUNT: u64 = 500;
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--max-queued", "20"]));
    relay.expect("connected");
    for id in 0..COUNT {
        relay.send(json!({"op": "telemetry", "id": id, "payload": "x"}));
        // Some are still in the relay, some in flight, and some have ended.
        relay.send(cancel(id.saturating_sub(id % 8)));
    }
    let end = relay.close();
    end.assert_closed(0);
    let mut answers = BTreeMap::new();
    let mut ended = BTreeSet::new();
    for event in &end.events {
        let is_known = ended.contains(&event["id"].to_string());
        match event["event"].as_str() {
            Some("done" | "failed") => assert!(ended.insert(event["id"].to_string()), "{event}"),
            // What has just ended is told after it, and what has ended before it.
            Some("not_cancelled") => assert_eq!(event["error"] == "not_open", is_known, "{event}"),
            _ => {}
        }
        let kind = match event["error"].as_str() {
            Some("cancelled") => "cancelled",
            _ => event["event"].as_str().unwrap(),
        };
        *answers.entry(kind).or_insert(0) += 1;
    }
    let count = |kind| answers.get(kind).copied().unwrap_or(0);
    assert_eq!(
        count("cancelled") + count("not_cancelled"),
        COUNT,
        "{answers:?}"
    );
    assert_eq!(count("cancelled") + count("done"), COUNT, "{answers:?}");
    assert_eq!(count("failed"), 0, "{answers:?}");
    for id in 0..COUNT {
        assert_eq!(end.ends(id).len(), 1, "{id}");
    }
}
