//! Devices: attaching, refusals, detaching and tokens.

use serde_json::json;

use crate::{child::Relay, cloud::Cloud, telemetry};

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
fn a_new_token_is_requested_when_a_devices_own_has_expired() {
    let cloud = Cloud::plain();
    let options = cloud.options(&["--gateway", "gateway-2", "--backoff-min", "2100"]);
    let mut options = options;
    let given = options
        .iter()
        .position(|option| option == "gateway-1")
        .unwrap();
    options.drain(given - 1..=given);
    let mut relay = Relay::start(&options);
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
fn authorize_for_two_seconds(cloud: &Cloud, relay: &mut Relay) -> String {
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
    let mut options = cloud.options(&[]);
    for option in &mut options {
        if option == "gateway-1" {
            *option = "gateway-2".to_owned();
        }
    }
    let mut relay = Relay::start(&options);
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
fn a_subscription_that_is_granted_at_qos_0_is_a_note() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&[]));
    cloud.inject("suback hold");
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7", "commands": null}));
    relay.expect("attached");
    // After the gateway's errors, config and commands, and the attach: the config of the device.
    cloud.inject("raw 9003000500");
    assert_eq!(relay.expect_end(1)["event"], "done");
    let end = relay.close();
    end.assert_closed(0);
    let note =
        "iotcore-relay: the bridge granted boiler-7 its subscription to config at QoS 0 only";
    assert!(end.stderr.contains(note), "{}", end.stderr);
}
