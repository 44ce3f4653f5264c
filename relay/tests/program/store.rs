//! What is in the store survives the program.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    child::{End, Relay},
    cloud::{Cloud, offline},
    telemetry,
};

/// Returns the folder of a store beside the other files of a test.
pub(crate) fn folder(cloud: &Cloud) -> PathBuf {
    cloud.folder.join("store")
}

/// Returns options with a store.
pub(crate) fn stored(cloud: &Cloud, mut options: Vec<String>, more: &[&str]) -> Vec<String> {
    options.push("--store".to_owned());
    options.push(folder(cloud).to_str().unwrap().to_owned());
    options.extend(more.iter().map(|&option| option.to_owned()));
    options
}

/// Kills a relay, and returns all that it has written.
pub(crate) fn kill(relay: Relay) -> End {
    relay.signal("KILL");
    relay.wait()
}

/// Returns the events of this kind.
pub(crate) fn events<'a>(seen: &'a [Value], kind: &str) -> Vec<&'a Value> {
    seen.iter().filter(|event| event["event"] == kind).collect()
}

/// Skips events until these messages are stored, in any order.
fn expect_stored(relay: &mut Relay, ids: Range<u64>) {
    let mut left: BTreeSet<_> = ids.collect();
    while !left.is_empty() {
        let stored = relay.expect("stored");
        assert!(left.remove(&stored["id"].as_u64().unwrap()), "{stored}");
    }
}

/// Sends messages of the gateway itself, and returns once they are stored.
pub(crate) fn store(relay: &mut Relay, ids: Range<u64>) {
    for id in ids.clone() {
        relay.send(
            json!({"op": "telemetry", "id": id, "payload": id.to_string(), "tag": id.to_string()}),
        );
    }
    expect_stored(relay, ids);
}

#[test]
fn what_was_stored_arrives_after_a_kill_in_the_order_of_each_device() {
    const MESSAGES: u64 = 40;
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&stored(&cloud, offline(&cloud, &[]), &[]));
    let device = |id: u64| ["boiler-7", "pump-1"][id as usize % 2];
    for (id, device) in [(100, "boiler-7"), (101, "pump-1")] {
        relay.send(json!({"op": "attach", "id": id, "device": device}));
    }
    for id in 0..MESSAGES {
        relay.send(
            json!({"op": "telemetry", "id": id, "device": device(id), "subfolder": "a", "payload": id.to_string(),
                   "tag": format!("t{id}")}),
        );
    }
    expect_stored(&mut relay, 0..MESSAGES);
    kill(relay);

    let mut relay = Relay::start(&stored(&cloud, cloud.options(&[]), &[]));
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for n in 1..=MESSAGES {
        let restored = relay.expect("restored");
        let tag = restored["tag"].as_str().unwrap().to_owned();
        let id: u64 = tag[1..].parse().unwrap();
        assert_eq!(
            restored,
            json!({"event": "restored", "id": format!("restored-{n}"), "device": device(id), "kind": "telemetry",
                   "subfolder": "a", "bytes": id.to_string().len(), "tag": tag})
        );
        found.entry(device(id)).or_default().push(id);
    }
    for (first, device) in [(0, "boiler-7"), (1, "pump-1")] {
        assert!(
            found[device]
                .iter()
                .copied()
                .eq((first..MESSAGES).step_by(2))
        );
    }
    for device in ["boiler-7", "pump-1"] {
        let unclaimed = json!({"event": "unclaimed", "device": device, "messages": MESSAGES / 2});
        assert_eq!(relay.expect("unclaimed"), unclaimed);
    }
    for (id, device) in [(100, "boiler-7"), (101, "pump-1")] {
        relay.send(json!({"op": "attach", "id": id, "device": device}));
    }
    relay.send(telemetry(0, "new"));
    let end = relay.close();
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let closed = json!({"event": "closed", "unsent": 0, "stored": 0});
    assert_eq!(end.events.last(), Some(&closed));
    for id in 1..=MESSAGES {
        let id = format!("restored-{id}");
        assert_eq!(end.ends(id.clone()), [&json!({"event": "done", "id": id})]);
    }
    for (device, first) in [("boiler-7", 0), ("pump-1", 1)] {
        let of_device = (first..MESSAGES).step_by(2);
        let mut expected: Vec<_> = of_device.map(|id| id.to_string().into_bytes()).collect();
        if first == 0 {
            expected.push(b"new".to_vec());
        }
        assert_eq!(cloud.telemetry(device), expected);
    }
    let mut relay = Relay::start(&stored(&cloud, cloud.options(&[]), &[]));
    relay.expect("connected");
    let end = relay.close();
    assert_eq!(events(&end.events, "restored").len(), 0);
}

#[test]
fn a_message_is_stored_once_and_never_if_it_is_acknowledged_first_or_has_no_quality() {
    let cloud = Cloud::plain();
    let lingering = ["--backoff-min", "10", "--store-linger", "60000"];
    let mut relay = Relay::start(&stored(&cloud, cloud.options(&[]), &lingering));
    // Without a connection it would be stored at once.
    relay.expect("connected");
    relay.send(json!({"op": "telemetry", "id": 1, "payload": "x"}));
    relay.send(json!({"op": "telemetry", "id": 2, "payload": "x", "qos": 0}));
    relay.expect_ends([1, 2]);
    let end = relay.close();
    assert_eq!(events(&end.events, "stored").len(), 0);
    assert!(
        fs::read_dir(folder(&cloud)).unwrap().count() <= 1,
        "nothing but the lock"
    );

    let at_once = ["--backoff-min", "10", "--store-linger", "0"];
    let mut relay = Relay::start(&stored(&cloud, cloud.options(&[]), &at_once));
    relay.expect("connected");
    cloud.inject("puback hold 1");
    relay.send(json!({"op": "telemetry", "id": 3, "payload": "x"}));
    assert_eq!(relay.expect("stored"), json!({"event": "stored", "id": 3}));
    relay.send(json!({"op": "stats"}));
    let stats = relay.expect("stats");
    assert_eq!(
        (&stats["stored"], &stats["stored_bytes"]),
        (&1.into(), &321.into())
    );
    // The third cut in a row would make it a suspect, which is tried alone later.
    cloud.inject("puback hold 1");
    cloud.cut("gateway-1");
    relay.expect("disconnected");
    relay.expect("connected");
    cloud.cut("gateway-1");
    assert_eq!(relay.expect_end(3)["event"], "done");
    let end = relay.close();
    assert_eq!(events(&end.events, "stored").len(), 1);
}

#[test]
fn a_close_without_a_connection_keeps_what_was_accepted_and_its_exit_code_says_so() {
    let cloud = Cloud::plain();
    let options = stored(&cloud, offline(&cloud, &["--drain-timeout", "1"]), &[]);
    let mut sent = 0;
    for by_signal in [false, true] {
        let mut relay = Relay::start(&options);
        store(&mut relay, sent..sent + 3);
        // Not stored before the close begins.
        relay.send(json!({"op": "telemetry", "id": 99, "payload": "late"}));
        relay.send(json!({"op": "stats"}));
        relay.expect("stats");
        let end = match by_signal {
            true => {
                relay.signal("TERM");
                relay.wait()
            }
            false => relay.close(),
        };
        sent += 4;
        let closed = json!({"event": "closed", "unsent": sent, "stored": sent});
        assert_eq!(end.events.last(), Some(&closed));
        assert_eq!(end.code, Some(4), "{}", end.stderr);
        for id in [sent - 4, 99] {
            let of_id = end.events.iter().filter(|event| event["id"] == id);
            let of_id: Vec<_> = of_id.map(|event| &event["event"]).collect();
            assert_eq!(of_id, ["stored", "failed"]);
            let failed = end.ends(id)[0];
            assert_eq!(
                (&failed["error"], &failed["retry"]),
                (&"closed".into(), &"kept".into())
            );
            assert_eq!(failed.get("operation"), None, "it would be sent twice");
            let detail = failed["detail"].as_str().unwrap();
            assert!(detail.ends_with("do not send it again"), "{detail}");
        }
    }
    let mut relay = Relay::start(&stored(&cloud, cloud.options(&[]), &[]));
    relay.end_input();
    let end = relay.wait();
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let arrived =
        ["0", "1", "2", "late", "4", "5", "6", "late"].map(|text| text.as_bytes().to_vec());
    assert_eq!(cloud.telemetry("gateway-1"), arrived);
}

#[test]
fn what_the_store_does_not_have_at_the_end_is_told_by_another_exit_code() {
    let cloud = Cloud::plain();
    let options = offline(&cloud, &["--drain-timeout", "1", "--max-queued", "2"]);
    let mut relay = Relay::start(&stored(&cloud, options, &[]));
    store(&mut relay, 0..2);
    relay.send(json!({"op": "telemetry", "id": 2, "payload": "waits for room"}));
    relay.send(json!({"op": "unsent"}));
    let unsent = relay.expect("unsent");
    assert_eq!(unsent["operations"].as_array().unwrap().len(), 3);
    assert_eq!(unsent["stored"], json!([0, 1]));
    let end = relay.close();
    assert_eq!(end.ends(0)[0]["retry"], "kept");
    assert_eq!(end.ends(2)[0]["retry"], "backoff");
    assert_eq!(end.ends(2)[0]["operation"]["payload"], "waits for room");
    let closed = json!({"event": "closed", "unsent": 3, "stored": 2});
    assert_eq!(end.events.last(), Some(&closed));
    assert_eq!(end.code, Some(3));
}

#[test]
fn devices_that_nobody_attaches_are_listed_waited_for_by_nobody_and_dropped_by_a_detach() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&stored(&cloud, offline(&cloud, &[]), &[]));
    relay.send(json!({"op": "attach", "id": 100, "device": "boiler-7"}));
    for id in 0..3 {
        relay.send(telemetry(id, "x"));
        relay.expect("stored");
    }
    kill(relay);

    let begun = Instant::now();
    let mut relay = Relay::start(&stored(&cloud, cloud.options(&[]), &[]));
    relay.expect("unclaimed");
    relay.send(json!({"op": "devices"}));
    let devices = relay.expect("devices")["devices"].clone();
    let of_boiler = devices.as_array().unwrap().iter();
    let states: BTreeMap<_, _> = of_boiler
        .map(|device| {
            (
                device["device"].as_str().unwrap(),
                (&device["state"], &device["queued"]),
            )
        })
        .collect();
    assert_eq!(states["boiler-7"], (&"unclaimed".into(), &3.into()));
    // A cut repeats it.
    cloud.cut("gateway-1");
    relay.expect("unclaimed");
    relay.send(json!({"op": "cancel", "id": "restored-2"}));
    let cancelled = relay.expect_end("restored-2");
    assert_eq!(cancelled["error"], "cancelled");
    assert_eq!(
        cancelled["operation"],
        json!({"op": "telemetry", "id": "restored-2", "device": "boiler-7", "qos": 1, "payload": "x"})
    );
    relay.send(json!({"op": "telemetry", "id": "restored-1", "payload": "x"}));
    assert_eq!(relay.expect("invalid")["error"], "id_in_use");
    let end = relay.close();
    let closed = json!({"event": "closed", "unsent": 2, "stored": 2});
    assert_eq!(end.events.last(), Some(&closed));
    assert_eq!(end.code, Some(4), "{}", end.stderr);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );

    let mut relay = Relay::start(&stored(&cloud, cloud.options(&[]), &[]));
    relay.expect("unclaimed");
    relay.send(json!({"op": "detach", "id": 1, "device": "boiler-7"}));
    let end = relay.close();
    assert_eq!(end.code, Some(0), "{:#?}", end.events);
    assert_eq!(end.ends(1)[0]["event"], "done");
    for id in ["restored-1", "restored-2"] {
        assert_eq!(end.ends(id)[0]["error"], "detached");
    }
    let mut relay = Relay::start(&stored(&cloud, cloud.options(&[]), &[]));
    relay.expect("connected");
    let end = relay.close();
    assert_eq!(events(&end.events, "restored").len(), 0);
}

#[test]
fn while_the_store_fails_messages_are_refused_and_then_all_that_was_accepted_is_stored() {
    let cloud = Cloud::plain();
    let options = offline(&cloud, &["--backoff-min", "10", "--backoff-max", "50"]);
    let mut relay = Relay::start(&stored(&cloud, options, &[]));
    relay.send(json!({"op": "stats"}));
    relay.expect("stats");
    let (folder, away) = (folder(&cloud), cloud.folder.join("away"));
    fs::rename(&folder, &away).unwrap();
    relay.send(json!({"op": "telemetry", "id": 1, "payload": "x"}));
    let failed = relay.expect("store_failed");
    assert_eq!(failed["error"], "unreachable", "{failed}");
    relay.send(json!({"op": "telemetry", "id": 2, "payload": "x"}));
    let refused = relay.expect_end(2);
    assert_eq!(
        (&refused["error"], &refused["retry"]),
        (&"store_failed".into(), &"backoff".into())
    );
    assert_eq!(refused["operation"]["payload"], "x");
    fs::rename(&away, &folder).unwrap();
    relay.expect("store_recovered");
    expect_stored(&mut relay, 1..2);
    store(&mut relay, 3..4);
    let end = kill(relay);
    assert_eq!(events(&end.events, "stored").len(), 2);
}

#[test]
fn what_was_stored_is_handed_back_if_the_store_is_not_there_in_the_end() {
    let cloud = Cloud::plain();
    let options = offline(&cloud, &["--drain-timeout", "1"]);
    let mut relay = Relay::start(&stored(&cloud, options, &[]));
    store(&mut relay, 1..3);
    fs::remove_dir_all(folder(&cloud)).unwrap();
    relay.send(json!({"op": "telemetry", "id": 3, "payload": "x"}));
    relay.expect("store_failed");
    let end = relay.close();
    assert_eq!(end.code, Some(3), "{:#?}", end.events);
    for id in 1..4 {
        let failed = end.ends(id)[0];
        assert_eq!(failed["operation"]["op"], "telemetry", "{failed}");
    }
    assert_eq!(end.events.last().unwrap()["stored"], 0);
}

#[test]
fn with_memory_messages_are_accepted_while_the_store_fails_and_are_stored_later() {
    let cloud = Cloud::plain();
    let options = offline(&cloud, &["--backoff-min", "10", "--backoff-max", "50"]);
    let memory = ["--store-failure", "memory"];
    let mut relay = Relay::start(&stored(&cloud, options, &memory));
    relay.send(json!({"op": "stats"}));
    relay.expect("stats");
    let (folder, away) = (folder(&cloud), cloud.folder.join("away"));
    fs::rename(&folder, &away).unwrap();
    relay.send(json!({"op": "telemetry", "id": 1, "payload": "x"}));
    relay.expect("store_failed");
    relay.send(json!({"op": "telemetry", "id": 2, "payload": "x"}));
    relay.send(json!({"op": "unsent"}));
    let unsent = relay.expect("unsent");
    assert_eq!(unsent["operations"].as_array().unwrap().len(), 2);
    assert_eq!(unsent["stored"], json!([]));
    fs::rename(&away, &folder).unwrap();
    expect_stored(&mut relay, 1..3);
    kill(relay);
}

#[test]
fn what_has_expired_by_the_start_is_restored_and_fails() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&stored(&cloud, offline(&cloud, &[]), &[]));
    relay.send(json!({"op": "telemetry", "id": 1, "payload": "x", "expires_after": 1, "tag": "t"}));
    expect_stored(&mut relay, 1..2);
    kill(relay);
    // A deadline is kept in whole seconds.
    std::thread::sleep(Duration::from_secs(2));

    let mut relay = Relay::start(&stored(&cloud, cloud.options(&[]), &[]));
    assert_eq!(relay.expect("restored")["tag"], "t");
    let failed = relay.expect_end("restored-1");
    assert_eq!(
        (&failed["error"], &failed["operation"]["tag"]),
        (&"expired".into(), &"t".into())
    );
    let end = relay.close();
    assert_eq!((end.code, &end.stderr[..]), (Some(0), ""));
    assert_eq!(cloud.telemetry("gateway-1"), [] as [Vec<u8>; 0]);
}
