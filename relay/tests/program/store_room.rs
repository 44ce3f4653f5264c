//! What happens without room in the store.

use serde_json::{Value, json};

use crate::{
    child::Relay,
    cloud::{Cloud, offline},
    store::{events, kill, stored},
    telemetry,
};

/// The options of a store that has room for 3,266 messages of one byte.
const LIMITED: [&str; 8] = [
    "--backoff-min",
    "10",
    "--backoff-max",
    "50",
    "--max-queued",
    "5000",
    "--store-limit",
    "1048576",
];
const ROOM: usize = 3_266;
const TAKEN: usize = ROOM * 321;

#[test]
fn a_full_store_is_reported_and_lets_messages_wait_until_there_is_room() {
    const MESSAGES: usize = ROOM + 10;
    let cloud = Cloud::plain();
    cloud.act(|bridge, now| bridge.set_blocked("gateway-1", true, now));
    let mut relay = Relay::start(&stored(&cloud, cloud.options(&[]), &LIMITED));
    for id in 0..MESSAGES {
        relay.send(json!({"op": "telemetry", "id": id, "payload": "x"}));
    }
    let is_of_the_store =
        |event: &Value| ["stored", "store_full"].contains(&event["event"].as_str().unwrap());
    let mut seen = vec![Value::Null; ROOM + 1];
    seen.fill_with(|| relay.expect_where("an event of the store", is_of_the_store));
    assert_eq!(events(&seen, "stored").len(), ROOM);
    let full = events(&seen, "store_full")[0];
    assert_eq!(full["stored_bytes"], TAKEN, "{full}");
    assert_eq!(full["unclaimed_bytes"], 0, "{full}");
    relay.send(json!({"op": "stats"}));
    let stats = relay.expect("stats");
    assert_eq!(
        (&stats["queued"], &stats["stored"], &stats["stored_bytes"]),
        (&ROOM.into(), &ROOM.into(), &TAKEN.into())
    );
    cloud.act(|bridge, now| bridge.set_blocked("gateway-1", false, now));
    let end = relay.close();
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(events(&end.events, "done").len(), MESSAGES);
    assert_eq!(cloud.telemetry("gateway-1").len(), MESSAGES);
}

#[test]
fn messages_of_a_device_that_nobody_attaches_are_reported_once_they_are_in_the_way() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&stored(&cloud, offline(&cloud, &[]), &LIMITED));
    relay.send(json!({"op": "attach", "id": "attach", "device": "boiler-7"}));
    for id in 0..ROOM {
        relay.send(telemetry(id as u64, "x"));
    }
    (0..ROOM).for_each(|_| _ = relay.expect("stored"));
    kill(relay);

    let mut relay = Relay::start(&stored(&cloud, cloud.options(&[]), &LIMITED));
    relay.send(json!({"op": "telemetry", "id": "own", "payload": "y"}));
    let full = relay.expect("store_full");
    assert_eq!(full["unclaimed_bytes"], TAKEN, "{full}");
    relay.send(json!({"op": "detach", "id": "detach", "device": "boiler-7"}));
    assert_eq!(relay.expect_end("own")["event"], "done");
    relay.close();
}
