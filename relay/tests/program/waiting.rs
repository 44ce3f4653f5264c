//! Operations that wait in the relay: each only for its own device.

use std::{io::Write, thread};

use serde_json::{Value, json};

use crate::{
    child::Relay,
    cloud::{CLOSED_PORT, Cloud, options},
    telemetry,
    tokens::authorize_for_two_seconds,
};

/// Starts a relay whose device `boiler-7` waits for a token.
fn with_a_device_that_needs_a_token(cloud: &Cloud, more: &[&str]) -> Relay {
    let mut options = vec!["--backoff-min", "2100"];
    options.extend(more);
    let mut relay = Relay::start(&cloud.options_of_gateway_2(&options));
    let token = cloud.device_token(600);
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7", "token": token}));
    assert_eq!(relay.expect_end(1)["event"], "done");
    authorize_for_two_seconds(cloud, &mut relay);
    cloud.cut("gateway-2");
    relay.expect("token_needed");
    relay
}

#[test]
fn a_device_without_a_token_stops_no_other_device_and_its_token_is_read() {
    const LAST: u64 = 2_000;
    // Its own limit is 1,000.
    const FIRST_BEYOND: u64 = 1_010;
    let cloud = Cloud::plain();
    let mut relay = with_a_device_that_needs_a_token(&cloud, &[]);
    let mut input = relay.take_input();
    let token = cloud.device_token(600);
    let writing = thread::spawn(move || {
        let pad = "x".repeat(200);
        for id in 10..LAST {
            writeln!(input, "{}", telemetry(id, &format!("{id} {pad}"))).unwrap();
        }
        let own = json!({"op": "telemetry", "id": 2, "payload": "own"});
        writeln!(input, "{own}").unwrap();
        (input, token)
    });
    assert_eq!(relay.expect_end(2)["event"], "done");
    assert!(relay.seen.iter().all(|event| event["id"] != 10));
    let (mut input, token) = writing.join().unwrap();
    let authorize = json!({"op": "authorize", "id": 3, "device": "boiler-7", "token": token});
    writeln!(input, "{authorize}").unwrap();
    assert_eq!(relay.expect_end(3)["event"], "done");
    let failed = relay.seen.iter().filter(|event| event["event"] == "failed");
    let failed: Vec<_> = failed.cloned().collect();
    assert!(
        failed
            .iter()
            .map(|failed| &failed["id"])
            .eq((FIRST_BEYOND..LAST)
                .map(Value::from)
                .collect::<Vec<_>>()
                .iter())
    );
    for failed in &failed {
        assert_eq!(
            (&failed["error"], &failed["retry"]),
            (&"queue_full".into(), &"backoff".into())
        );
        assert!(
            failed["detail"]
                .as_str()
                .unwrap()
                .contains("`token_needed`"),
            "{failed}"
        );
        writeln!(input, "{}", failed["operation"]).unwrap();
    }
    drop(input);
    let end = relay.wait();
    end.assert_closed(0);
    for id in 10..LAST {
        assert_eq!(
            end.ends(id).last(),
            Some(&&json!({"event": "done", "id": id}))
        );
    }
    let arrived = cloud.telemetry("boiler-7").into_iter();
    let arrived: Vec<u64> = arrived
        .map(|payload| {
            let text = String::from_utf8(payload).unwrap();
            text.split(' ').next().unwrap().parse().unwrap()
        })
        .collect();
    assert!(arrived.into_iter().eq(10..LAST), "in input order");
}

#[test]
fn without_a_connection_messages_wait_although_their_device_needs_a_token() {
    let cloud = Cloud::plain();
    let mut relay = with_a_device_that_needs_a_token(&cloud, &["--max-queued", "10"]);
    cloud.inject("refuse 1000 close");
    cloud.cut("gateway-2");
    relay.expect("disconnected");
    for id in 10..100 {
        relay.send(telemetry(id, "x"));
    }
    relay.send(json!({"op": "unsent"}));
    let unsent = relay.expect("unsent");
    assert_eq!(unsent["operations"].as_array().unwrap().len(), 90);
    assert!(relay.seen.iter().all(|event| event["event"] != "failed"));
}

#[test]
fn a_device_that_fills_the_whole_room_leaves_the_others_their_reserves() {
    const LARGE: u64 = 256 * 1024;
    const COUNT: u64 = 40 * 1024 * 1024 / LARGE;
    let cloud = Cloud::plain();
    // One device may hold 64 MiB, of which half is reserved for others.
    let more = ["--max-queued", "65536", "--device-bytes-per-second", "0"];
    let mut relay = with_a_device_that_needs_a_token(&cloud, &more);
    let mut input = relay.take_input();
    let token = cloud.device_token(600);
    let large = "x".repeat(LARGE as usize);
    let own = |id, payload: &str| json!({"op": "telemetry", "id": id, "payload": payload});
    for id in 10..10 + COUNT {
        writeln!(input, "{}", telemetry(id, &large)).unwrap();
    }
    writeln!(input, "{}", own(2, "small")).unwrap();
    assert_eq!(relay.expect_end(2)["event"], "done");
    // This one has to wait until those of the device are sent.
    writeln!(input, "{}", own(4, &large)).unwrap();
    writeln!(input, "{}", json!({"op": "stats"})).unwrap();
    let held = relay.expect("stats")["queued"].as_u64().unwrap();
    assert!(held < COUNT, "{held}: all have found room");
    let authorize = json!({"op": "authorize", "id": 3, "device": "boiler-7", "token": token});
    writeln!(input, "{authorize}").unwrap();
    drop(input);
    let end = relay.wait();
    end.assert_closed(0);
    for id in (2..5).chain(10..10 + COUNT) {
        assert_eq!(end.ends(id), [&json!({"event": "done", "id": id})]);
    }
}

#[test]
fn the_operations_of_a_device_do_not_wait_for_the_messages_of_another() {
    let cloud = Cloud::plain();
    let mut options = options(&cloud.folder, "127.0.0.1", CLOSED_PORT);
    options.extend(["--plain", "--max-queued", "1"].map(str::to_owned));
    let mut relay = Relay::start(&options);
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    for id in 10..20 {
        relay.send(telemetry(id, "x"));
    }
    relay.send(json!({"op": "attach", "id": 2, "device": "pump-1"}));
    let token = cloud.device_token(600);
    relay.send(json!({"op": "authorize", "id": 3, "device": "pump-1", "token": token}));
    relay.send(json!({"op": "detach", "id": 4, "device": "pump-1"}));
    let [attached, authorized, detached] = relay.expect_ends([2, 3, 4]);
    assert_eq!(attached["error"], "detached");
    for done in [authorized, detached] {
        assert_eq!(done["event"], "done", "{done}");
    }
    assert!(
        relay
            .seen
            .iter()
            .all(|event| event["id"].as_u64() < Some(10))
    );
}

#[test]
fn the_input_is_read_until_a_hundred_times_the_messages_of_one_device_are_open() {
    let cloud = Cloud::plain();
    let mut options = options(&cloud.folder, "127.0.0.1", CLOSED_PORT);
    options.extend(["--plain", "--max-queued", "2"].map(str::to_owned));
    let mut relay = Relay::start(&options);
    relay.send(json!({"op": "attach", "id": 0, "device": "boiler-7"}));
    for id in 1..200 {
        relay.send(telemetry(id, "x"));
    }
    relay.send(json!({"op": "unsent"}));
    let unsent = relay.expect("unsent");
    let ids = unsent["operations"].as_array().unwrap().iter();
    assert!(
        ids.map(|message| &message["id"])
            .eq((1..200).map(Value::from).collect::<Vec<_>>().iter())
    );
    relay.send(json!({"op": "stats"}));
    assert_eq!(relay.expect("stats")["queued"], 2);
}
