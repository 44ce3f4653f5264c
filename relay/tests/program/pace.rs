//! The rate of states that the bridge requires.

use serde_json::json;

use crate::{child::Relay, cloud::Cloud};

#[test]
fn states_sent_at_once_are_paced_by_default_and_the_device_stays_attached() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&[]));
    relay.send(json!({"op": "attach", "id": 0, "device": "boiler-7"}));
    relay.expect_end(0);
    for id in 1..4 {
        relay.send(
            json!({"op": "state", "id": id, "device": "boiler-7", "payload": id.to_string()}),
        );
    }
    assert_eq!(relay.expect_end(2)["error"], "superseded");
    assert_eq!(relay.expect_end(3)["event"], "done");
    let end = relay.close();
    end.assert_closed(0);
    assert!(end.events.iter().all(|event| event["event"] != "detached"));
}

#[test]
fn without_pacing_the_bridge_detaches_a_device_that_sends_states_at_once() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--state-interval", "0"]));
    relay.send(json!({"op": "attach", "id": 0, "device": "boiler-7"}));
    relay.expect_end(0);
    for id in 1..3 {
        relay.send(
            json!({"op": "state", "id": id, "device": "boiler-7", "payload": id.to_string()}),
        );
    }
    let detached = relay.expect("detached");
    assert_eq!(detached["device"], "boiler-7");
    relay.expect_end(2);
    relay.close();
}
