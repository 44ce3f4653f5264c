//! Detaching a device whose attach has not ended, and whose messages cannot be sent.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    child::Relay,
    cloud::{CLOSED_PORT, Cloud, options},
    telemetry,
};

/// How long a detach waits for the messages before it.
const DRAIN: Duration = Duration::from_secs(5);

/// Starts a relay that cannot connect.
fn offline(cloud: &Cloud, more: &[&str]) -> Relay {
    let mut options = options(&cloud.folder, "127.0.0.1", CLOSED_PORT);
    options.push("--plain".to_owned());
    options.extend(more.iter().map(|&option| option.to_owned()));
    Relay::start(&options)
}

#[test]
fn a_detach_without_a_connection_ends_within_the_drain_timeout() {
    let cloud = Cloud::plain();
    let mut relay = offline(&cloud, &[]);
    let begun = Instant::now();
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    relay.send(telemetry(2, "x"));
    relay.send(json!({"op": "detach", "id": 3, "device": "boiler-7"}));
    let [attached, sent, detached] = relay.expect_ends([1, 2, 3]);
    assert!(begun.elapsed() < 2 * DRAIN, "{:?}", begun.elapsed());
    assert_eq!(
        (&attached["error"], &sent["error"]),
        (&"detached".into(), &"detached".into())
    );
    assert_eq!(detached["event"], "done");
}

#[test]
fn messages_that_wait_for_room_do_not_hold_up_a_detach_for_longer_than_the_drain_timeout() {
    let cloud = Cloud::plain();
    let mut relay = offline(&cloud, &["--max-queued", "2"]);
    let begun = Instant::now();
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    for id in 2..6 {
        relay.send(telemetry(id, "x"));
    }
    relay.send(json!({"op": "detach", "id": 6, "device": "boiler-7"}));
    relay.send(telemetry(7, "after the detach"));
    let [attached, detached, late] = relay.expect_ends([1, 6, 7]);
    // Once for those in the relay, once for those in the gateway.
    assert!(begun.elapsed() < 3 * DRAIN, "{:?}", begun.elapsed());
    assert_eq!(attached["error"], "detached");
    assert_eq!(detached["event"], "done");
    assert_eq!(late["error"], "unknown_device");
    for id in 2..6 {
        let mut ends = relay.seen.iter().filter(|event| event["id"] == id);
        let end = ends.next().unwrap();
        assert_eq!(end["error"], "detached", "{id}");
        assert_eq!(end["operation"]["payload"], "x", "it is handed back: {end}");
        assert_eq!(ends.next(), None, "{id}");
    }
}

#[test]
fn a_device_whose_attach_waits_for_a_token_can_be_detached() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options_of_gateway_2(&["--backoff-min", "2500"]));
    relay.expect("connected");
    // The token is good when the attach is accepted, and has expired when there is a connection again.
    cloud.cut("gateway-2");
    relay.expect("disconnected");
    let token = cloud.device_token(2);
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7", "token": token}));
    relay.expect("token_needed");
    relay.send(telemetry(2, "never sent"));
    relay.send(json!({"op": "detach", "id": 3, "device": "boiler-7"}));
    let token = cloud.device_token(600);
    relay.send(json!({"op": "authorize", "id": 4, "device": "boiler-7", "token": token}));
    let [attached, sent, detached, authorized] = relay.expect_ends([1, 2, 3, 4]);
    for failed in [attached, sent] {
        assert_eq!(failed["error"], "detached");
    }
    assert_eq!(detached["event"], "done");
    assert_eq!(authorized["error"], "unknown_device");
    relay.close().assert_closed(0);
}

#[test]
fn a_token_reaches_a_first_attach_that_waits_for_it_and_a_detach_behind_it_spoils_nothing() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options_of_gateway_2(&["--backoff-min", "2500"]));
    relay.expect("connected");
    cloud.cut("gateway-2");
    relay.expect("disconnected");
    let token = cloud.device_token(2);
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7", "token": token}));
    relay.expect("token_needed");
    relay.send(telemetry(2, "x"));
    let token = cloud.device_token(600);
    relay.send(json!({"op": "authorize", "id": 3, "device": "boiler-7", "token": token}));
    relay.send(json!({"op": "detach", "id": 4, "device": "boiler-7"}));
    for end in relay.expect_ends([1, 2, 3, 4]) {
        assert_eq!(end["event"], "done", "{end}");
    }
    relay.close().assert_closed(0);
    assert_eq!(cloud.telemetry("boiler-7"), [b"x"]);
}

#[test]
fn a_detach_of_a_device_that_is_not_attached_is_done_and_the_gateway_itself_is_not_detached() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&[]));
    let detach = |id, device| json!({"op": "detach", "id": id, "device": device});
    relay.send(detach(1, "pump-1"));
    relay.send(detach(2, "pump-1"));
    for end in relay.expect_ends([1, 2]) {
        assert_eq!(end["event"], "done", "{end}");
    }
    relay.send(json!({"op": "attach", "id": 3, "device": "boiler-7"}));
    assert_eq!(relay.expect_end(3)["event"], "done");
    relay.send(detach(4, "boiler-7"));
    relay.send(detach(5, "boiler-7"));
    for end in relay.expect_ends([4, 5]) {
        assert_eq!(end["event"], "done", "{end}");
    }
    relay.send(detach(6, "gateway-1"));
    assert_eq!(relay.expect_end(6)["error"], "own_device");
    relay.close().assert_closed(0);
}
