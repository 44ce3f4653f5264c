//! An attach and its subscriptions end separately.

use serde_json::{Value, json};

use crate::{child::Relay, cloud::Cloud, eventually};

/// Returns the events about the subscriptions of a device.
fn of<'a>(events: &'a [Value], kind: &str, device: &str) -> Vec<&'a Value> {
    let is_it = |event: &&Value| event["event"] == kind && event["device"] == device;
    events.iter().filter(is_it).collect()
}

#[test]
fn an_attach_is_done_although_its_subscriptions_are_not_answered_which_are_told_once_they_are() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&[]));
    for _ in 0..2 {
        assert_eq!(relay.expect("subscribed")["device"], "gateway-1");
    }
    cloud.inject("suback hold");
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7", "config": 0}));
    assert_eq!(relay.expect_end(1), json!({"event": "done", "id": 1}));
    relay.send(json!({"op": "telemetry", "id": 2, "device": "boiler-7", "payload": "x"}));
    assert_eq!(relay.expect_end(2)["event"], "done");
    assert_eq!(of(&relay.seen, "subscribed", "boiler-7"), [] as [&Value; 0]);
    eventually("both are asked for", || {
        cloud
            .server
            .with(|bridge, _| bridge.subscriptions("gateway-1").count() == 5)
    });
    cloud.inject("suback release");
    for _ in 0..2 {
        assert_eq!(relay.expect("subscribed")["device"], "boiler-7");
    }
    let end = relay.close();
    end.assert_closed(0);
    for device in ["gateway-1", "boiler-7"] {
        let mut told = of(&end.events, "subscribed", device);
        told.sort_by_key(|event| event["subscription"].to_string());
        let expected = ["commands", "config"].map(
            |subscription| json!({"event": "subscribed", "device": device, "subscription": subscription}),
        );
        assert!(told.into_iter().eq(&expected), "{device}");
    }
}

#[test]
fn a_refused_subscription_is_told_and_spoils_no_attach() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--backoff-min", "100"]));
    for _ in 0..2 {
        relay.expect("subscribed");
    }
    cloud.inject("grant failure 1");
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7", "commands": null}));
    assert_eq!(relay.expect_end(1), json!({"event": "done", "id": 1}));
    let failed = relay.expect("subscription_failed");
    assert_eq!(
        failed,
        json!({"event": "subscription_failed", "device": "boiler-7", "subscription": "config",
               "error": "subscription_refused", "detail": failed["detail"], "certainty": "confirmed",
               "retry": failed["retry"]})
    );
    assert!(
        failed["detail"]
            .as_str()
            .unwrap()
            .ends_with("; it is asked for again"),
        "{failed}"
    );
    cloud.config("boiler-7", b"at last");
    assert_eq!(relay.expect("config")["payload"], "at last");
    relay.close().assert_closed(0);
}
