//! A connection that drops repeatedly.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    child::{PATIENCE, Relay},
    cloud::Cloud,
};

const DEVICES: [&str; 2] = ["boiler-7", "pump-1"];
const DROPS: usize = 100;
/// The number of messages between two drops.
const BATCH: usize = 40;
const MESSAGES: usize = DROPS * BATCH;

/// A deterministic pseudorandom generator (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// Drops the connection; returns false if there is none.
fn cut(cloud: &Cloud) -> bool {
    let dropped = cloud
        .server
        .with(|bridge, now| bridge.drop_connection("gateway-1", now));
    dropped.is_ok()
}

#[test]
fn a_hundred_random_drops_lose_nothing() {
    let cloud = Cloud::tls();
    let options = [
        "--backoff-min",
        "5",
        "--backoff-max",
        "40",
        "--max-queued",
        "200",
    ];
    let mut relay = Relay::start(&cloud.options(&options));
    for (id, device) in DEVICES.iter().enumerate() {
        relay.send(json!({"op": "attach", "id": format!("attach {id}"), "device": device}));
        relay.expect_end(format!("attach {id}"));
    }
    let mut random = Random(1);
    let mut arrivals = 0;
    for drop in 0..DROPS {
        for id in drop * BATCH..(drop + 1) * BATCH {
            let (device, payload) = (DEVICES[id % 2], id.to_string());
            relay.send(json!({"op": "telemetry", "id": id, "device": device, "payload": payload}));
        }
        // Drops at a random message of this batch, and only after the relay has reconnected from the last drop.
        let next = drop * BATCH + random.below(BATCH);
        while arrivals < next || !cut(&cloud) {
            cloud
                .arrivals
                .recv_timeout(PATIENCE)
                .expect("messages keep arriving");
            arrivals += 1;
        }
    }
    relay.end_input();
    let end = relay.wait();
    end.assert_closed(0);
    for id in 0..MESSAGES {
        assert_eq!(end.ends(id), [&json!({"event": "done", "id": id})]);
    }
    let drops = end
        .events
        .iter()
        .filter(|event| event["event"] == "disconnected");
    assert!(drops.count() >= DROPS);
    for (n, device) in DEVICES.iter().enumerate() {
        let arrived = cloud.telemetry(device).into_iter();
        let arrived: Vec<usize> = arrived
            .map(|payload| String::from_utf8(payload).unwrap().parse().unwrap())
            .collect();
        let mut seen = BTreeSet::new();
        let firsts: Vec<_> = arrived
            .into_iter()
            .filter(|payload| seen.insert(*payload))
            .collect();
        let sent: Vec<_> = (n..MESSAGES).step_by(2).collect();
        assert_eq!(
            firsts, sent,
            "every payload of {device}, first deliveries in input order"
        );
    }
}
