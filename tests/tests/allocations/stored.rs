//! What a store costs: no allocation for a message, and no more memory than documented, also after a peak.

use core::time::Duration;

use bytes::Bytes;
use iotcore_gateway::{
    Options, Publication, cause::TransportEnd, options::Durability, store::StoreOp,
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
