//! A relay with a store that is killed at random moments, while the bridge is cut as well. `RELAY_KILLS` says how often;
//! `.ci/relay-kills` runs this with a number of kills and prints what it has counted.

use std::{
    collections::BTreeSet,
    env,
    io::{self, Write},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use iotcore_gateway_testkit::serve::Server;
use serde_json::{Value, json};

use crate::{
    child::{End, PATIENCE, Relay},
    cloud::Cloud,
    store::stored,
};

const MESSAGES: usize = 10_000;
const KILLS: usize = 10;

/// `None` is the gateway itself.
const DEVICES: [Option<&str>; 3] = [Some("boiler-7"), Some("pump-1"), None];

/// What the program that writes the operations knows of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    /// It has to send it.
    Nothing,
    /// It never has to send it again.
    Stored,
    Done,
}

/// A sequence of numbers that looks random (`SplitMix64`).
struct Random(u64);

impl Random {
    /// Returns a number below this one.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// Ends the cuts when it is dropped, also by a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Blocks the gateway, which ends its connection, and lets it in again, at random moments.
fn cut(server: &Server, is_over: &AtomicBool, cuts: &AtomicU64, mut random: Random) {
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(20 + random.below(200)));
        let block = |is_blocked| {
            server.with(|bridge, now| bridge.set_blocked("gateway-1", is_blocked, now).unwrap());
        };
        block(true);
        cuts.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(random.below(150)));
        block(false);
    }
}

/// Starts a relay and sends it all messages of which nothing is known.
fn start(cloud: &Cloud, known: &[Known], linger: &str) -> Relay {
    let options = [
        "--backoff-min",
        "10",
        "--backoff-max",
        "50",
        "--store-linger",
        linger,
    ];
    let mut relay = Relay::start(&stored(cloud, cloud.options(&[]), &options));
    for device in DEVICES.iter().flatten() {
        relay.send(json!({"op": "attach", "id": device, "device": device}));
    }
    let left = known.iter().enumerate();
    let left: Vec<_> = left
        .filter(|(_, known)| **known == Known::Nothing)
        .map(|(id, _)| {
            let device = DEVICES[id % DEVICES.len()];
            let text = id.to_string();
            json!({"op": "telemetry", "id": id, "device": device, "payload": text, "tag": text})
                .to_string()
        })
        .collect();
    let mut input = relay.take_input();
    thread::spawn(move || {
        for line in left {
            // It may have been killed.
            if writeln!(input, "{line}").is_err() {
                break;
            }
        }
    });
    relay
}

/// Learns from an event; returns whether something new is known.
fn learn(known: &mut [Known], event: &Value) -> bool {
    let now = match event["event"].as_str() {
        Some("stored") => Known::Stored,
        Some("done") => Known::Done,
        _ => return false,
    };
    // The messages that were found in the store, and the attaches, have other ids.
    let Some(id) = event["id"].as_u64() else {
        return false;
    };
    let before = known[id as usize];
    assert!(before < now, "{event}: it was {before:?}");
    known[id as usize] = now;
    before == Known::Nothing
}

/// Kills a relay once it has reported so many messages, and returns all that it has written.
fn kill_after(mut relay: Relay, mut news: u64, known: &mut [Known]) -> End {
    while news > 0 {
        let event = relay.next().expect("it runs until it is killed");
        news -= u64::from(learn(known, &event));
    }
    let read = relay.seen.len();
    relay.signal("KILL");
    let end = relay.wait();
    for event in &end.events[read..] {
        learn(known, event);
    }
    end
}

/// What has arrived of a device, of which the emulator keeps only the last.
#[derive(Default)]
struct Arrivals {
    /// In the order of their first arrivals.
    ids: Vec<usize>,
    seen: BTreeSet<usize>,
    total: u64,
}

impl Arrivals {
    /// Takes what has arrived since the last time.
    fn take(&mut self, cloud: &Cloud, device: &str) {
        let (total, kept) = cloud.server.with(|bridge, _| {
            let record = bridge.device(device).unwrap();
            let kept = record
                .telemetry()
                .map(|telemetry| telemetry.payload.clone());
            (record.telemetry_total(), kept.collect::<Vec<_>>())
        });
        let new = usize::try_from(total - self.total).unwrap();
        assert!(new <= kept.len(), "{new} since the last time are too many");
        for payload in &kept[kept.len() - new..] {
            let id = std::str::from_utf8(payload).unwrap().parse().unwrap();
            if self.seen.insert(id) {
                self.ids.push(id);
            }
        }
        self.total = total;
    }
}

/// Takes what has arrived of each device.
fn take_all(arrivals: &mut [Arrivals], cloud: &Cloud) {
    for (arrivals, device) in arrivals.iter_mut().zip(DEVICES) {
        arrivals.take(cloud, device.unwrap_or("gateway-1"));
    }
}

#[test]
fn every_message_that_was_stored_arrives_in_order_however_often_the_relay_is_killed() {
    let kills = env::var("RELAY_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let seed = env::var("RELAY_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut random = Random(seed);
    let begun = Instant::now();
    let cloud = Cloud::plain();
    let (is_over, cuts) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut known = vec![Known::Nothing; MESSAGES];
    let mut arrivals = DEVICES.map(|_| Arrivals::default());
    let (mut told, mut restored) = (0, 0);
    thread::scope(|scope| {
        let cutting = Random(random.below(u64::MAX));
        let server = &cloud.server;
        let over = Over(&is_over);
        scope.spawn(|| cut(server, &is_over, &cuts, cutting));
        for kill in 0..kills {
            let left = known
                .iter()
                .filter(|known| **known == Known::Nothing)
                .count();
            let share = 2 * left / (kills - kill + 1);
            let news = random.below(share.max(1) as u64).min(left as u64);
            let linger = ["0", "10", "100"][random.below(3) as usize];
            let relay = start(&cloud, &known, linger);
            let end = kill_after(relay, news, &mut known);
            take_all(&mut arrivals, &cloud);
            let of_kind = |kind| {
                end.events
                    .iter()
                    .filter(|event| event["event"] == kind)
                    .count()
            };
            told += of_kind("stored");
            restored += of_kind("restored");
        }
        let mut relay = start(&cloud, &known, "0");
        let last = Instant::now();
        let mut open = 0;
        while open > 0 || known.contains(&Known::Nothing) || relay.seen.is_empty() {
            let event = relay.next().expect("it runs until it is closed");
            learn(&mut known, &event);
            let is_restored = event["id"]
                .as_str()
                .is_some_and(|id| id.starts_with("restored"));
            match event["event"].as_str() {
                Some("restored") => open += 1,
                Some("done") if is_restored => open -= 1,
                Some("failed") => panic!("{event}"),
                _ => {}
            }
            assert!(last.elapsed() < 6 * PATIENCE, "{open} are still open");
        }
        drop(over);
        let end = relay.close();
        assert_eq!(end.code, Some(0), "{}", end.stderr);
    });
    take_all(&mut arrivals, &cloud);
    let mut again = 0;
    for (first, arrivals) in arrivals.iter().enumerate() {
        let expected: Vec<_> = (first..MESSAGES).step_by(DEVICES.len()).collect();
        assert!(
            arrivals.ids == expected,
            "seed {seed}: some are missing, or out of order: {:?}",
            arrivals.ids
        );
        again += arrivals.total - expected.len() as u64;
    }
    let _ = writeln!(
        io::stderr(),
        "{kills} kills and {} cuts, seed {seed}: {MESSAGES} messages arrived in the order of each device, {again} copies with \
         them; {told} were reported as stored before a kill, {restored} restored; {:.1} s",
        cuts.load(Ordering::Relaxed),
        begun.elapsed().as_secs_f64()
    );
}
