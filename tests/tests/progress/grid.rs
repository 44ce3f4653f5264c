//! At a bridge that answers everything at a constant rate, and on a slow link, everything is done within 1.2 times the
//! least time that rate, link and windows allow and one round trip, with at most 1.05 times the fewest packets, and no
//! operation fails.

use core::time::Duration;

use iotcore_gateway::Options;
use iotcore_gateway_testkit::bridge::service::{Queues, Service};
use iotcore_gateway_testkit::link::{GATEWAY, Rate, device_id};
use iotcore_gateway_testkit::progress::{Progress, Workload, run};

use super::{MILLI, ROUND_TRIP, SECOND, is_clean, least, packets, served};

const QUEUES: [Queues; 2] = [Queues::One, Queues::PerKind];
const KIB: usize = 1024;

/// The cells of a grid that were not right.
#[derive(Debug, Default)]
struct Grid {
    wrong: Vec<String>,
}

impl Grid {
    /// Judges one cell by the least time and the fewest packets.
    fn judge(&mut self, cell: &str, progress: &Progress, (least, fewest): (Duration, u64)) {
        let sent = packets(progress);
        assert!(
            progress.elapsed >= least && sent >= fewest,
            "{cell}: {least:?} with {fewest} packets is not the least: {progress:?}"
        );
        let is_right = is_clean(progress)
            && progress.elapsed <= least * 6 / 5 + ROUND_TRIP
            && sent * 20 <= fewest * 21;
        if !is_right {
            self.wrong.push(format!(
                "{cell}: the least is {least:?} with {fewest} packets, and it was {progress:?}"
            ));
        }
    }
}

fn service(queues: Queues) -> Service {
    match queues {
        Queues::One => Service::one_queue(),
        Queues::PerKind => Service::per_kind(),
    }
}

#[test]
fn attaches_are_answered_in_about_the_least_time() {
    let mut grid = Grid::default();
    for queues in QUEUES {
        for devices in [1, 10, 200, 1_000] {
            for each in [MILLI, 20 * MILLI, 300 * MILLI, 2 * SECOND] {
                let workload = Workload::attach(devices as usize);
                let progress = served(&workload, service(queues).attach(each));
                let least = least::attaching(devices, each, None, queues == Queues::One);
                let cell = format!("{queues:?}, {devices} attaches × {each:?}");
                grid.judge(&cell, &progress, (least, u64::from(devices)));
            }
        }
    }
    assert!(grid.wrong.is_empty(), "{:#?}", grid.wrong);
}

#[test]
fn attaches_and_subscriptions_are_answered_in_about_the_least_time() {
    let mut grid = Grid::default();
    for queues in QUEUES {
        for attach in [MILLI, 20 * MILLI, 2 * SECOND] {
            for subscribe in [MILLI, 200 * MILLI] {
                let bridge = service(queues).attach(attach).subscribe(subscribe);
                let progress = served(&Workload::attach(1_000).and_subscribe(), bridge);
                let is_one_queue = queues == Queues::One;
                let least = least::attaching(1_000, attach, Some(subscribe), is_one_queue);
                let cell = format!("{queues:?}, attaches × {attach:?}, then × {subscribe:?}");
                grid.judge(&cell, &progress, (least, 3_000));
            }
        }
    }
    assert!(grid.wrong.is_empty(), "{:#?}", grid.wrong);
}

#[test]
fn publications_are_answered_in_about_the_least_time() {
    let mut grid = Grid::default();
    for queues in QUEUES {
        // At once: the window of 100 in each round trip is the limit.
        for each in [Duration::ZERO, MILLI, 50 * MILLI, 500 * MILLI] {
            let bridge = service(queues).publish(each);
            let progress = served(&Workload::publish(1_000, 64), bridge);
            let least = least::publishing(1_000, each);
            let cell = format!("{queues:?}, 1,000 publications × {each:?}");
            grid.judge(&cell, &progress, (least, 1_000));
        }
    }
    assert!(grid.wrong.is_empty(), "{:#?}", grid.wrong);
}

#[test]
fn a_slow_link_carries_everything_in_about_the_least_time_whatever_its_buffer_hides() {
    const BYTES_PER_SECOND: u32 = 1_500;
    const PUBACK_LENGTH: usize = 4;
    let publish = |topic: &str, payload| least::publish_length(topic, payload);
    let (id, telemetry) = (device_id(1), format!("/devices/{GATEWAY}/events"));
    let attach = publish(&format!("/devices/{id}/attach"), 2);
    let subscribe = least::subscribe_length(&format!("/devices/{id}/config"))
        + least::subscribe_length(&format!("/devices/{id}/commands/#"));
    let mut grid = Grid::default();
    for capacity in [16 * KIB, 256 * KIB, 4 * KIB * KIB] {
        for (what, workload, bytes, fewest) in [
            (
                "attaches and subscriptions",
                Workload::attach(1_000).and_subscribe(),
                // A subscription brings the device's config, for which the gateway owes a PUBACK.
                1_000 * (attach + subscribe + PUBACK_LENGTH),
                3_000,
            ),
            (
                "publications of 200 bytes",
                Workload::publish(1_000, 200),
                1_000 * publish(&telemetry, 200),
                1_000,
            ),
            (
                "publications of 8 kB",
                Workload::publish(100, 8_000),
                100 * publish(&telemetry, 8_000),
                100,
            ),
        ] {
            let progress = run(&workload, Options::default(), |link| {
                link.network.rate = Rate::both(BYTES_PER_SECOND);
                link.network.capacity = capacity;
            });
            let least = least::carrying(bytes, BYTES_PER_SECOND);
            let cell = format!("{what}, a buffer of {capacity} bytes");
            grid.judge(&cell, &progress, (least, fewest));
        }
    }
    assert!(grid.wrong.is_empty(), "{:#?}", grid.wrong);
}
