//! What a store costs: no allocation for a message, and no more memory than documented, also after a peak.

use core::time::Duration;

use bytes::Bytes;
use iotcore_gateway::{
    ClientId, Options, Publication,
    cause::TransportEnd,
    options::Durability,
    store::{DiskOp, LogEvent, LogOptions, Recovery, SegmentLog, StoreOp},
};

use super::{Bench, COUNTS, OWN_BYTES, PAYLOAD, allocations, bytes_kept, options};

/// Returns options with a store that has room for everything.
fn stored(linger: Duration) -> Options {
    let mut options = options();
    options.durability = Durability {
        linger: Some(linger),
        max_bytes: 1 << 30,
        ..Durability::default()
    };
    options
}

impl Bench {
    /// Carries out what the store is asked for; returns the number of operations.
    fn store(&mut self) -> usize {
        let mut operations = 0;
        while let Some(op) = self.gateway.poll_store() {
            operations += 1;
            if let StoreOp::Commit { through } = op {
                self.gateway.handle_stored(through, self.now);
            }
        }
        operations
    }
}

/// Sends rounds of a hundred messages, each of which is acknowledged after the store was asked; returns the allocations and
/// operations of the second half.
fn rounds(linger: Duration, rounds: usize) -> (u64, usize) {
    let mut bench = Bench::with(stored(linger));
    bench.connect();
    bench.converse();
    let (own, payload) = (bench.gateway.own_key(), Bytes::from(vec![7; 256]));
    let (mut counted, mut operations) = (0, 0);
    let mut answers = Vec::with_capacity(1_024);
    for round in 0..rounds {
        let (mut asked, mut done) = (0, 0);
        let allocated = allocations(|| {
            for _ in 0..100 {
                bench.publish(Publication::telemetry(own, payload.clone()));
            }
            while done < 100 {
                answers.clear();
                bench.write(&mut answers);
                asked += bench.store();
                done += bench.events().done + bench.read(&answers).done;
            }
            asked += bench.store();
        });
        bench.now += Duration::from_millis(20);
        bench.gateway.handle_timeout(bench.now);
        if round >= rounds / 2 {
            counted += allocated;
            operations += asked;
        }
    }
    (counted, operations)
}

#[test]
fn a_message_that_is_put_made_durable_and_removed_allocates_nothing() {
    let (allocated, operations) = rounds(Duration::ZERO, 1_000);
    assert!(operations > 50_000, "{operations}");
    assert_eq!(allocated, 0);
}

#[test]
fn a_message_that_is_acknowledged_within_the_linger_asks_the_store_for_nothing() {
    assert_eq!(rounds(Duration::from_secs(1), 1_000), (0, 0));
}

#[test]
fn a_message_that_waits_in_a_store_takes_its_payload_and_188_bytes_at_most() {
    for count in COUNTS {
        let (kept, _) = bytes_kept(|| {
            let mut bench = Bench::with(stored(Duration::ZERO));
            let own = bench.gateway.own_key();
            for _ in 0..count {
                bench.publish(Publication::telemetry(own, vec![7; PAYLOAD]));
            }
            bench.store();
            bench.events();
            bench
        });
        let each = (kept - OWN_BYTES) / count - PAYLOAD as i64;
        assert!(each <= 188, "{each} bytes for each of {count}");
    }
}

#[test]
fn the_memory_of_a_peak_in_a_store_is_given_back() {
    const PEAK: usize = 100_000;
    let (kept, bench) = bytes_kept(|| {
        let mut bench = Bench::with(stored(Duration::ZERO));
        let own = bench.gateway.own_key();
        for _ in 0..PEAK {
            bench.publish(Publication::telemetry(own, vec![7; PAYLOAD]));
            bench.store();
            bench.events();
        }
        assert_eq!(bench.gateway.stats().stored, PEAK);
        bench.connect();
        while bench.converse() > 0 {}
        bench.now += Duration::from_secs(2);
        bench.gateway.handle_timeout(bench.now);
        bench.store();
        let now = bench.now;
        bench.gateway.handle_disconnected(TransportEnd::Broken, now);
        bench.events();
        bench
    });
    let stats = bench.gateway.stats();
    assert_eq!((stats.stored, stats.stored_bytes, stats.queued), (0, 0, 0));
    assert!(kept <= OWN_BYTES, "{kept} bytes after the peak");
}

/// The log of a gateway, on a disk that keeps nothing.
struct Logged {
    bench: Bench,
    log: SegmentLog,
}

impl Logged {
    /// Makes durable what the store is asked for.
    fn store(&mut self) {
        while let Some(op) = self.bench.gateway.poll_store() {
            self.log.apply(op).unwrap();
            if let StoreOp::Commit { through } = op {
                while let Some(op) = self.log.poll_disk() {
                    assert!(!matches!(op, DiskOp::Read { .. }), "nothing is copied");
                    self.log.handle_done();
                }
                let committed = LogEvent::Committed { through };
                assert_eq!(self.log.poll_event(), Some(committed));
                self.bench.gateway.handle_stored(through, self.bench.now);
            }
        }
        self.bench.events();
    }
}

/// Publishes so many messages without a connection, each of which is stored; returns what is kept then.
fn outage(messages: usize) -> (i64, Logged) {
    bytes_kept(|| {
        let bench = Bench::with(stored(Duration::ZERO));
        let own = bench.gateway.own_key();
        let part = "part-of-a-name";
        let client = ClientId::new(
            part.try_into().unwrap(),
            part.try_into().unwrap(),
            part.try_into().unwrap(),
            "gateway".try_into().unwrap(),
        );
        let recovery = Recovery::new(&client, LogOptions::default(), []);
        let (log, _) = recovery.finish().unwrap();
        let mut logged = Logged { bench, log };
        for _ in 0..messages {
            let message = Publication::telemetry(own, vec![7; PAYLOAD]);
            logged.bench.publish(message);
            logged.store();
        }
        logged
    })
}

#[test]
fn a_message_of_an_outage_takes_its_payload_and_200_bytes_at_most_with_its_place_in_the_log() {
    /// What is gathered for a write, and the segments.
    const LOG: i64 = 64 * 1_024;
    for messages in [10_000, 100_000, 300_000] {
        let (kept, logged) = outage(messages);
        assert_eq!(logged.bench.gateway.stats().stored, messages);
        let each = (kept - OWN_BYTES - LOG) / messages as i64 - PAYLOAD as i64;
        assert!(each <= 200, "{each} bytes for each of {messages}");
    }
}

#[test]
fn after_an_outage_the_log_keeps_12_bytes_at_most_for_each_of_its_messages() {
    const MESSAGES: usize = 100_000;
    let (before, _) = outage(0);
    let (kept, _) = bytes_kept(|| {
        let (_, mut logged) = outage(MESSAGES);
        logged.bench.connect();
        while logged.bench.converse() > 0 {
            logged.store();
        }
        logged.bench.now += Duration::from_secs(2);
        logged.bench.gateway.handle_timeout(logged.bench.now);
        logged.store();
        let now = logged.bench.now;
        let broken = TransportEnd::Broken;
        logged.bench.gateway.handle_disconnected(broken, now);
        logged.store();
        logged
    });
    let each = (kept - before) / MESSAGES as i64;
    assert!(each <= 12, "{each} bytes for each");
}
