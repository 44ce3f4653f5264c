//! Devices: attaching, refusals and detaching.

use std::time::{Duration, Instant};

use iotcore_gateway_testkit::packets;
use serde_json::{Value, json};

use crate::{
    child::Relay,
    cloud::{CLOSED_PORT, Cloud, options},
    telemetry,
};

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
fn a_refused_device_fails_with_the_bridges_report_and_the_connection_stays_open() {
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
    // The relay awaits each in its own task, so that either may end first.
    let [refused, published] = relay.expect_ends([1, 2]);
    assert_eq!(refused["event"], "failed");
    assert_eq!(refused["error"], "gateway_attachment_error");
    assert_eq!(refused["certainty"], "confirmed");
    assert_eq!(refused["retry"], "never");
    assert_eq!(
        (&published["error"], &published["retry"]),
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
fn no_more_devices_are_being_attached_at_once_than_the_attach_window_has() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--attach-window", "1"]));
    relay.expect("connected");
    cloud.inject("puback delay 500");
    for (id, device) in [(1, "boiler-7"), (2, "pump-1")] {
        relay.send(json!({"op": "attach", "id": id, "device": device}));
    }
    relay.send(json!({"op": "devices"}));
    let told = relay.expect("devices");
    let mut states: Vec<_> = told["devices"].as_array().unwrap().iter().collect();
    states.sort_by_key(|device| device["device"].to_string());
    let states = states.into_iter().map(|device| &device["state"]);
    assert!(states.eq(["attaching", "attached", "waiting"]), "{told}");
    for attached in relay.expect_ends([1, 2]) {
        assert_eq!(attached["event"], "done");
    }
    relay.close().assert_closed(0);
}

#[test]
fn an_unreadable_error_report_is_an_event() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&[]));
    relay.expect("subscribed");
    for (payload, name, told) in [
        (&b"no JSON"[..], "payload", "no JSON"),
        (&[0xff][..], "payload_base64", "/w=="),
    ] {
        let packet = packets::publish("/devices/gateway-1/errors", payload, None, false);
        let hex: String = packet.iter().map(|byte| format!("{byte:02x}")).collect();
        cloud.inject(&format!("raw gateway-1 {hex}"));
        let event = relay.expect("unreadable_error_report");
        let detail = event["detail"].as_str().unwrap();
        assert!(!detail.is_empty());
        assert_eq!(
            event,
            json!({"event": "unreadable_error_report", "detail": detail, name: told})
        );
    }
    let end = relay.close();
    end.assert_closed(0);
    assert_eq!(end.stderr, "");
}

#[test]
fn a_subscription_that_is_granted_at_qos_0_is_an_event() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&[]));
    cloud.inject("suback hold");
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7", "commands": null}));
    relay.expect("attached");
    // After the gateway's errors, config and commands, and the attach: the config of the device.
    cloud.inject("raw 9003000500");
    relay.expect_where("its subscription", |event| {
        event["event"] == "subscribed" && event["device"] == "boiler-7"
    });
    let end = relay.close();
    end.assert_closed(0);
    let downgraded =
        json!({"event": "subscription_downgraded", "device": "boiler-7", "subscription": "config"});
    assert!(end.events.contains(&downgraded), "{:#?}", end.events);
}

#[test]
fn a_device_that_is_refused_on_a_later_connection_has_its_queue_handed_back_and_others_go_on() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--backoff-min", "500"]));
    for device in ["boiler-7", "pump-1"] {
        relay.send(json!({"op": "attach", "id": device, "device": device}));
        assert_eq!(relay.expect_end(device)["event"], "done");
    }
    cloud.cut("gateway-1");
    relay.expect("disconnected");
    cloud.act(|bridge, now| bridge.unbind("gateway-1", "boiler-7", now));
    let message = |id: usize| {
        let device = ["boiler-7", "pump-1"][id % 2];
        json!({"op": "telemetry", "id": id, "device": device, "payload": id.to_string()})
    };
    for id in 0..20 {
        relay.send(message(id));
    }
    relay.send(json!({"op": "state", "id": 20, "device": "boiler-7", "payload": "20"}));
    let report = relay.expect("error_report");
    assert_eq!(report["error_type"], "GATEWAY_ATTACHMENT_ERROR");
    assert_eq!(report["device_id"], "boiler-7");
    relay.send(message(22));
    assert_eq!(relay.expect_end(22)["error"], "device_refused");
    // The device is attached again as soon as it may be, and its messages are sent again as they were handed back.
    cloud.act(|bridge, _| bridge.bind("gateway-1", "boiler-7"));
    relay.send(json!({"op": "attach", "id": "again", "device": "boiler-7"}));
    assert_eq!(relay.expect_end("again")["event"], "done");
    let is_of_queue = |event: &&Value| event["event"] == "failed" && event["id"] != 22;
    let failed: Vec<_> = relay.seen.iter().filter(is_of_queue).cloned().collect();
    assert_eq!(failed.len(), 11, "{failed:#?}");
    for failed in &failed {
        assert_eq!(failed["error"], "device_refused", "{failed}");
        assert_eq!(failed["operation"]["payload"], failed["id"].to_string());
        relay.send(&failed["operation"]);
    }
    let end = relay.close();
    end.assert_closed(0);
    for id in 0..21 {
        let last = end.ends(id).last().copied();
        assert_eq!(last, Some(&json!({"event": "done", "id": id})));
    }
    assert_eq!(cloud.telemetry("boiler-7").len(), 10);
    assert_eq!(cloud.telemetry("pump-1").len(), 10);
}

/// Asserts that a detach without a connection ends, and what waited with it.
fn assert_detached(mut relay: Relay) {
    let begun = Instant::now();
    relay.send(telemetry(1, "cannot be sent"));
    relay.send(json!({"op": "detach", "id": 2, "device": "boiler-7"}));
    relay.send(telemetry(3, "after the detach"));
    let [unsent, detached, late] = relay.expect_ends([1, 2, 3]);
    assert_eq!(unsent["error"], "detached", "{unsent}");
    assert_eq!(unsent["operation"]["payload"], "cannot be sent");
    assert_eq!(detached["event"], "done", "{detached}");
    assert_eq!(late["error"], "unknown_device", "{late}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{begun:?}");
}

#[test]
fn a_detach_ends_in_time_after_the_connection_is_lost() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&[]));
    relay.send(json!({"op": "attach", "id": 0, "device": "boiler-7"}));
    relay.expect_end(0);
    cloud.inject("refuse close");
    cloud.cut("gateway-1");
    relay.expect("disconnected");
    assert_detached(relay);
}

#[test]
fn a_detach_ends_in_time_when_the_device_was_never_attached_for_want_of_a_connection() {
    let cloud = Cloud::plain();
    let mut options = options(&cloud.folder, "127.0.0.1", CLOSED_PORT);
    options.push("--plain".to_owned());
    let mut relay = Relay::start(&options);
    relay.send(json!({"op": "attach", "id": 0, "device": "boiler-7"}));
    assert_detached(relay);
}

#[test]
fn a_subscription_of_the_gateway_itself_that_is_refused_is_an_event_and_asked_for_again() {
    let cloud = Cloud::plain();
    // Error reports, config and commands.
    cloud.inject("grant failure 3");
    let mut relay = Relay::start(&cloud.options(&["--backoff-min", "100"]));
    cloud.config("gateway-1", b"at last");
    relay.expect_where("the config", |event| event["payload"] == "at last");
    let end = relay.close();
    end.assert_closed(0);
    assert_eq!(end.stderr, "");
    let of = |kind: &str| {
        let events = end.events.iter().filter(|event| event["event"] == kind);
        events.collect::<Vec<_>>()
    };
    let unavailable = of("errors_topic_unavailable");
    assert_eq!(unavailable[0]["error"], "errors_topic_refused");
    let lost = of("subscription_failed");
    for subscription in ["config", "commands"] {
        let is_it = |lost: &&&Value| lost["subscription"] == subscription;
        let lost = lost.iter().find(is_it).expect("it failed");
        assert_eq!(lost["device"], "gateway-1");
        assert_eq!(lost["error"], "subscription_refused");
        for name in ["detail", "certainty", "retry"] {
            assert!(lost[name].is_string(), "{lost}");
        }
    }
}
