//! Urgent messages beside ordinary ones that wait for room.

use std::sync::{
    Mutex,
    mpsc::{self, Receiver, Sender},
};

use iotcore_gateway_testkit::packets::Sent;
use serde_json::{Value, json};

use crate::{
    child::Relay,
    cloud::{Cloud, options, serve},
};

/// A peer that acknowledges a message only when it is told to.
struct Peer {
    published: Receiver<String>,
    allow: Sender<()>,
    relay: Relay,
}

impl Peer {
    fn start(cloud: &Cloud, more: &[&str]) -> Self {
        let (publishing, published) = mpsc::channel();
        let (allow, allowed) = mpsc::channel::<()>();
        let allowed = Mutex::new(allowed);
        let port = serve(move |sent| {
            if let Sent::Publish { payload, .. } = sent {
                let _ = publishing.send(String::from_utf8(payload.to_vec()).unwrap());
            }
            let _ = allowed.lock().unwrap().recv();
        });
        let mut options = options(&cloud.folder, "127.0.0.1", port);
        options.extend(["--plain", "--window", "1"].map(str::to_owned));
        options.extend(more.iter().map(|&option| option.to_owned()));
        let mut relay = Relay::start(&options);
        relay.expect("connected");
        Self {
            published,
            allow,
            relay,
        }
    }

    /// Waits until the relay has done what it can do.
    fn settle(&mut self) -> Value {
        self.relay.send(json!({"op": "stats"}));
        self.relay.expect("stats")
    }

    /// Acknowledges all messages, each once the relay has done what it can do; returns their payloads in order.
    fn take_all(mut self, count: usize) -> Vec<String> {
        let mut taken = Vec::new();
        for _ in 0..count {
            taken.push(self.published.recv().unwrap());
            self.settle();
            self.allow.send(()).unwrap();
            self.relay.expect("done");
            self.settle();
        }
        drop(self.allow);
        let end = self.relay.close();
        assert_eq!(end.code, Some(0), "{}", end.stderr);
        taken
    }
}

fn message(id: u64, priority: &str) -> Value {
    json!({"op": "telemetry", "id": id, "payload": id.to_string(), "priority": priority})
}

#[test]
fn urgent_messages_pass_the_ordinary_ones_that_wait_and_keep_their_order() {
    let cloud = Cloud::plain();
    let mut peer = Peer::start(&cloud, &["--max-queued", "2"]);
    for id in 1..6 {
        peer.relay.send(message(id, "ordinary"));
    }
    for id in 10..14 {
        peer.relay.send(message(id, "urgent"));
    }
    let stats = peer.settle();
    assert_eq!(
        stats["queued"], 3,
        "one urgent message has room beside two: {stats}"
    );
    peer.relay.send(json!({"op": "unsent"}));
    let unsent = peer.relay.expect("unsent");
    let listed = unsent["operations"].as_array().unwrap().iter();
    let listed: Vec<_> = listed
        .map(|line| (line["id"].as_u64().unwrap(), line["priority"].as_str()))
        .collect();
    let ordinary = (1..6).map(|id| (id, None));
    let expected: Vec<_> = ordinary
        .chain((10..14).map(|id| (id, Some("urgent"))))
        .collect();
    assert_eq!(listed, expected, "in input order");
    let expected = ["1", "10", "11", "12", "13", "2", "3", "4", "5"];
    assert_eq!(peer.take_all(expected.len()), expected);
}

#[test]
fn an_urgent_state_replaces_the_older_ones_that_wait_for_room() {
    let cloud = Cloud::plain();
    let mut peer = Peer::start(&cloud, &["--max-queued", "1", "--state-interval", "0"]);
    let state = |id: u64, priority: &str| json!({"op": "state", "id": id, "payload": id.to_string(), "priority": priority});
    peer.relay.send(message(1, "ordinary"));
    peer.relay.send(state(2, "ordinary"));
    peer.relay.send(message(3, "ordinary"));
    peer.relay.send(state(4, "ordinary"));
    peer.relay.send(state(5, "urgent"));
    for id in [2, 4] {
        let failed = peer.relay.expect_end(id);
        assert_eq!(failed["error"], "superseded");
        assert_eq!(failed["operation"]["payload"], id.to_string());
    }
    // A newer one that is ordinary waits, and is sent.
    peer.relay.send(state(6, "ordinary"));
    let expected = ["1", "5", "3", "6"];
    assert_eq!(peer.take_all(expected.len()), expected);
}
