//! Messages that expire: in the gateway, in the relay, and while the relay does not read its input.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    child::Relay,
    cloud::{Cloud, offline},
};

fn expiring(id: u64, seconds: f64) -> Value {
    json!({"op": "telemetry", "id": id, "qos": 1, "payload": id.to_string(), "expires_after": seconds, "tag": "t"})
}

/// Asserts that this is the end of a message that has expired.
fn assert_expired(failed: &Value, id: u64) {
    let mut operation = expiring(id, 0.0);
    operation.as_object_mut().unwrap().remove("expires_after");
    let expected = json!({"event": "failed", "id": id, "error": "expired", "detail": failed["detail"],
                          "certainty": "confirmed", "retry": "never", "operation": operation});
    assert_eq!(*failed, expected);
}

fn accepted(relay: &mut Relay) -> Value {
    relay.send(json!({"op": "stats"}));
    relay.expect("stats")["accepted"].clone()
}

#[test]
fn readings_that_expire_in_an_outage_are_not_sent() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--backoff-min", "2000"]));
    relay.expect("connected");
    cloud.cut("gateway-1");
    relay.expect("disconnected");
    relay.send(expiring(1, 0.5));
    relay.send(expiring(2, 3600.0));
    relay.send(json!({"op": "telemetry", "id": 3, "payload": "3"}));
    let expired = relay.expect_end(1);
    assert_expired(&expired, 1);
    assert!(
        relay
            .seen
            .iter()
            .filter(|event| event["event"] == "connected")
            .count()
            == 1
    );
    let end = relay.close();
    end.assert_closed(0);
    for id in [2, 3] {
        assert_eq!(end.ends(id), [&json!({"event": "done", "id": id})]);
    }
    assert_eq!(cloud.telemetry("gateway-1"), [b"2", b"3"]);
}

#[test]
fn what_expires_while_it_waits_for_room_is_never_accepted() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&offline(&cloud, &["--max-queued", "1"]));
    relay.send(json!({"op": "telemetry", "id": 1, "payload": "takes all room"}));
    relay.send(expiring(2, 3600.0));
    relay.send(expiring(3, 0.2));
    relay.send(expiring(4, 0.1));
    for id in [4, 3] {
        assert_expired(
            &relay.expect_where("an end", |event| event["id"].is_u64()),
            id,
        );
    }
    assert_eq!(accepted(&mut relay), 1);
    relay.send(expiring(5, 0.0));
    assert_expired(&relay.expect_end(5), 5);
    assert_eq!(accepted(&mut relay), 1);
    relay.send(json!({"op": "unsent"}));
    let unsent = relay.expect("unsent");
    let left = unsent["operations"][1]["expires_after"].as_f64().unwrap();
    assert!((3580.0..3600.0).contains(&left), "{unsent}");
}

#[test]
fn the_time_that_a_message_has_waited_for_room_counts() {
    const FIRST: f64 = 3.0;
    const SECOND: f64 = 4.0;
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&offline(&cloud, &["--max-queued", "1"]));
    let begun = Instant::now();
    relay.send(expiring(1, FIRST));
    relay.send(expiring(2, SECOND));
    assert_expired(&relay.expect_end(1), 1);
    assert_eq!(accepted(&mut relay), 2);
    assert_expired(&relay.expect_end(2), 2);
    let took = begun.elapsed();
    let limits = [SECOND, SECOND + FIRST - 0.5].map(Duration::from_secs_f64);
    assert!((limits[0]..limits[1]).contains(&took), "{took:?}");
}

#[test]
fn the_time_counts_from_when_the_line_was_read_although_the_relay_takes_no_more() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&offline(&cloud, &["--max-queued", "1"]));
    // A hundred messages stop the input; the next line is read ahead.
    for id in 0..100 {
        relay.send(expiring(id, 2.0));
    }
    relay.send(expiring(100, 1.0));
    relay.send(json!({"op": "stats"}));
    let next = relay.expect_where("an end or the counters", |event| {
        event["id"] == 100 || event["event"] == "stats"
    });
    assert_expired(&next, 100);
    for id in 0..100 {
        let mut ends = relay.seen.iter().filter(|event| event["id"] == id);
        if let Some(end) = ends.next() {
            assert_expired(end, id);
        }
    }
    assert!(
        relay
            .seen
            .iter()
            .any(|event| event["id"] != 100 && event["id"].is_u64())
    );
}
