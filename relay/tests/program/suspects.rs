//! Packets at which the bridge always closes the connection, and gateway ids that are used twice.

use serde_json::{Value, json};

use crate::{child::Relay, cloud::Cloud, telemetry};

/// Five connections are lost, so that the default backoff would take most of the time. The rest are two pauses of 10 s
/// before what is suspected is sent alone.
const IMPATIENT: [&str; 4] = ["--backoff-min", "20", "--backoff-max", "100"];

fn attach(relay: &mut Relay, id: &str, device: &str) {
    relay.send(json!({"op": "attach", "id": id, "device": device}));
    assert_eq!(relay.expect_end(id)["event"], "done");
}

fn hang_ups(events: &[Value]) -> impl Iterator<Item = &Value> {
    let ended = |event: &&Value| event["event"] == "disconnected" && event["reason"] != "closed";
    events.iter().filter(ended)
}

/// Asserts that what fails is the suspect of five hang-ups, which are no sign of another client.
fn assert_suspected(failed: &Value, events: &[Value]) {
    assert_eq!(failed["event"], "failed", "{failed}");
    assert_eq!(failed["error"], "suspected", "{failed}");
    assert_eq!(failed["certainty"], "suspected", "{failed}");
    assert_eq!(failed["retry"], "never", "{failed}");
    let detail = failed["detail"].as_str().unwrap();
    assert!(detail.contains("closed 5 connections in a row"), "{detail}");
    assert_eq!(hang_ups(events).count(), 5, "{events:#?}");
    for (n, ended) in hang_ups(events).enumerate() {
        assert_eq!(ended["takeover_suspected"], false, "{ended}");
        // The last two, while it was alone.
        let is_alone = ended["suspects"] == json!([failed["id"]]);
        assert!(n < 3 || is_alone, "{ended}");
    }
}

#[test]
fn a_message_at_which_the_bridge_always_closes_is_handed_back_as_suspected_and_the_others_arrive() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&IMPATIENT));
    attach(&mut relay, "a", "boiler-7");
    attach(&mut relay, "b", "pump-1");
    cloud.inject("poison telemetry boiler-7 626164");
    relay.send(telemetry(0, "bad"));
    for id in 1..21 {
        relay.send(
            json!({"op": "telemetry", "id": id, "device": "pump-1", "payload": id.to_string()}),
        );
    }
    let failed = relay.expect_end(0);
    assert_suspected(&failed, &relay.seen);
    let operation =
        json!({"op": "telemetry", "id": 0, "device": "boiler-7", "qos": 1, "payload": "bad"});
    assert_eq!(failed["operation"], operation);
    // Whatever it was, it is over: the message can be sent again as it was handed back. The new attach ends the probation.
    cloud.inject("clear");
    relay.send(json!({"op": "detach", "id": "c", "device": "boiler-7"}));
    assert_eq!(relay.expect_end("c")["event"], "done");
    attach(&mut relay, "d", "boiler-7");
    relay.send(&failed["operation"]);
    assert_eq!(relay.expect_end(0)["event"], "done");
    let end = relay.close();
    end.assert_closed(0);
    for id in 1..21 {
        assert_eq!(end.ends(id), [&json!({"event": "done", "id": id})]);
    }
    let arrived = cloud.telemetry("pump-1");
    for id in 1..21 {
        assert!(arrived.contains(&id.to_string().into_bytes()), "{id}");
    }
}

#[test]
fn a_device_at_whose_attach_the_bridge_always_closes_fails_as_suspected_until_it_is_attached_again()
{
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&IMPATIENT));
    attach(&mut relay, "b", "pump-1");
    cloud.inject("poison attach boiler-7");
    relay.send(json!({"op": "attach", "id": "a", "device": "boiler-7"}));
    relay.send(telemetry(1, "waits for the attach"));
    relay.send(json!({"op": "telemetry", "id": 2, "device": "pump-1", "payload": "goes on"}));
    let failed = relay.expect_end("a");
    let suspected = relay.seen.clone();
    assert_suspected(&failed, &suspected);
    relay.send(telemetry(3, "too late"));
    assert_eq!(relay.expect_end(3)["error"], "device_refused");
    cloud.inject("clear");
    attach(&mut relay, "again", "boiler-7");
    relay.send(telemetry(4, "at last"));
    let end = relay.close();
    end.assert_closed(0);
    let [waited] = end.ends(1)[..] else {
        panic!("{:#?}", end.events)
    };
    assert_eq!(waited["error"], "suspected");
    assert_eq!(waited["operation"]["payload"], "waits for the attach");
    for id in [2, 4] {
        assert_eq!(end.ends(id), [&json!({"event": "done", "id": id})]);
    }
}

#[test]
fn an_attached_device_at_whose_attach_the_bridge_begins_to_close_is_detached_as_suspected() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&IMPATIENT));
    attach(&mut relay, "a", "boiler-7");
    cloud.inject("poison attach boiler-7");
    cloud.cut("gateway-1");
    let detached = relay.expect("detached");
    assert_eq!(
        detached,
        json!({"event": "detached", "device": "boiler-7", "cause": "suspected"})
    );
    relay.send(telemetry(1, "x"));
    assert_eq!(relay.expect_end(1)["error"], "device_refused");
    relay.close().assert_closed(0);
}

#[test]
fn a_subscription_at_which_the_bridge_always_closes_fails_and_the_device_publishes_on() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&IMPATIENT));
    cloud.inject("poison subscribe boiler-7");
    relay.send(json!({"op": "attach", "id": "a", "device": "boiler-7", "commands": null}));
    relay.send(telemetry(1, "not subscribed"));
    assert_eq!(relay.expect_end("a")["event"], "done");
    let failed = relay.expect("subscription_failed");
    assert_eq!(failed["device"], "boiler-7", "{failed}");
    assert_eq!(failed["error"], "suspected", "{failed}");
    assert_eq!(hang_ups(&relay.seen).count(), 5);
    let detail = failed["detail"].as_str().unwrap();
    assert!(
        detail.ends_with("given up until the next `attach` of the device"),
        "{detail}"
    );
    relay.send(telemetry(2, "attached nevertheless"));
    assert_eq!(relay.expect_end(2)["event"], "done");
    cloud.inject("clear");
    attach(&mut relay, "again", "boiler-7");
    cloud.config("boiler-7", b"subscribed");
    relay.expect_where("the config", |event| event["payload"] == "subscribed");
    let end = relay.close();
    end.assert_closed(0);
    assert_eq!(end.ends(1), [&json!({"event": "done", "id": 1})]);
}

#[test]
fn a_gateway_id_that_two_relays_use_is_told_as_what_may_be_after_six_quick_ends() {
    let cloud = Cloud::plain();
    let options = cloud.options(&IMPATIENT);
    let mut relay = Relay::start(&options);
    relay.expect("connected");
    let _rival = Relay::start(&options);
    let told = relay.expect_where("a takeover", |event| event["takeover_suspected"] == true);
    let detail = told["detail"].as_str().unwrap();
    assert!(
        detail.ends_with("another client may be using the same gateway id"),
        "{detail}"
    );
    let quick = hang_ups(&relay.seen).filter(|ended| ended["suspects"] == json!([]));
    assert!(quick.count() >= 6, "{:#?}", relay.seen);
}
