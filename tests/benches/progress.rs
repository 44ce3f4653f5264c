//! The time and the packets that a gateway needs in slow worlds, beside the least possible. Virtual time: the figures
//! are the same on every machine.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use core::time::Duration;

use iotcore_gateway::Options;
use iotcore_gateway_testkit::bridge::service::{Service, ServiceKind};
use iotcore_gateway_testkit::link::{Link, Rate, device_id};
use iotcore_gateway_testkit::progress::{Progress, Workload, run};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const KIB: usize = 1024;

struct World {
    name: &'static str,
    workload: Workload,
    service: Service,
    network: fn(&mut Link),
    /// The least time and the fewest packets.
    least: (Duration, u64),
}

fn any(_: &mut Link) {}

fn numbers(devices: impl Iterator<Item = usize>) -> Vec<String> {
    devices.map(device_id).collect()
}

fn worlds() -> Vec<World> {
    let one = Service::one_queue;
    let each = Service::per_kind;
    let spread: Vec<usize> = (1..=1_000).step_by(2).collect();
    vec![
        World {
            name: "200 attaches × 0.4 s",
            workload: Workload::attach(200),
            service: one().attach(400 * MILLI),
            network: any,
            least: (80 * SECOND, 200),
        },
        World {
            name: "1,000 attaches × 0.1 s, then 2,000 subscriptions × 20 ms, one queue",
            workload: Workload::attach(1_000).and_subscribe(),
            service: one().attach(100 * MILLI).subscribe(20 * MILLI),
            network: any,
            least: (140 * SECOND, 3_000),
        },
        World {
            name: "1,000 attaches × 2 s, then 2,000 subscriptions × 0.2 s, one queue",
            workload: Workload::attach(1_000).and_subscribe(),
            service: one().attach(2 * SECOND).subscribe(200 * MILLI),
            network: any,
            least: (2_400 * SECOND, 3_000),
        },
        World {
            name: "the same, one queue for each kind",
            workload: Workload::attach(1_000).and_subscribe(),
            service: each().attach(2 * SECOND).subscribe(200 * MILLI),
            network: any,
            least: (2_000 * SECOND, 3_000),
        },
        World {
            name: "1,000 publications, 4 workers × 2 s",
            workload: Workload::publish(1_000, 64),
            service: one().workers(4).publish(2 * SECOND),
            network: any,
            least: (500 * SECOND, 1_000),
        },
        World {
            name: "1,000 publications, 4 workers, heavy tail from 0.5 s",
            workload: Workload::publish(1_000, 64),
            service: one().workers(4).publish(500 * MILLI).heavy_tail(1.5, 60),
            network: any,
            least: (312 * SECOND, 1_000),
        },
        World {
            name: "100 attaches and 1,000 publications, 0.5 s each, one queue",
            workload: Workload::attach(100).and_publish(1_000, 64),
            service: one().attach(500 * MILLI).publish(500 * MILLI),
            network: any,
            least: (550 * SECOND, 1_100),
        },
        World {
            name: "1,000 publications at 2 a second",
            workload: Workload::publish(1_000, 64),
            service: one().publish(500 * MILLI),
            network: any,
            least: (500 * SECOND, 1_000),
        },
        World {
            name: "500 attaches, half of the packets lost",
            workload: Workload::attach(500),
            service: one().attach(20 * MILLI).losing(ServiceKind::Attach, 500),
            network: any,
            least: (10 * SECOND, 1_000),
        },
        World {
            name: "1,000 attaches × 0.1 s, the first 100 ignored",
            workload: Workload::attach(1_000).ignored(1..=100),
            service: one().attach(100 * MILLI).ignoring(numbers(1..=100)),
            network: any,
            least: (90 * SECOND, 1_000),
        },
        World {
            name: "1,000 attaches × 0.1 s, the first 500 ignored",
            workload: Workload::attach(1_000).ignored(1..=500),
            service: one().attach(100 * MILLI).ignoring(numbers(1..=500)),
            network: any,
            least: (50 * SECOND, 1_000),
        },
        World {
            name: "1,000 attaches × 0.1 s, every other ignored",
            workload: Workload::attach(1_000).ignored(spread.clone()),
            service: one()
                .attach(100 * MILLI)
                .ignoring(numbers(spread.into_iter())),
            network: any,
            least: (50 * SECOND, 1_000),
        },
        World {
            name: "2,000 publications × 0.1 s, a stall of 5 min, then all is answered late",
            workload: Workload::publish(2_000, 64),
            service: one().publish(100 * MILLI).stall(60 * SECOND, 300 * SECOND),
            network: any,
            least: (490 * SECOND, 2_000),
        },
        World {
            name: "2,000 publications, answers in bursts every 45 s",
            workload: Workload::publish(2_000, 64),
            service: one().publish(MILLI).bursts(45 * SECOND),
            network: any,
            least: (20 * 45 * SECOND, 2_000),
        },
        World {
            name: "250 kB over 2.5 KB/s, a buffer of 4 MiB",
            workload: Workload::publish(1, 250_000),
            service: one(),
            network: |link| {
                link.network.rate = Rate::both(2_500);
                link.network.capacity = 4 * KIB * KIB;
            },
            least: (100 * SECOND, 1),
        },
        World {
            name: "500 publications of 200 B over 1.5 KB/s, a buffer of 64 KiB",
            workload: Workload::publish(500, 200),
            service: one(),
            network: |link| {
                link.network.rate = Rate::both(1_500);
                link.network.capacity = 64 * KIB;
            },
            least: (77 * SECOND, 500),
        },
        World {
            name: "2,000 publications × 50 ms, drops beyond a buffer of 20",
            workload: Workload::publish(2_000, 64),
            service: one().publish(50 * MILLI).buffer(20),
            network: any,
            least: (100 * SECOND, 2_000),
        },
    ]
}

/// A keep alive that outlasts the stall, and the large message on the thin link.
fn options() -> Options {
    let mut options = Options::default();
    options.keep_alive = 900 * SECOND;
    options
}

fn packets(progress: &Progress) -> u64 {
    progress.attaches + progress.subscribes + progress.publishes
}

fn main() {
    println!(
        "{:>9} {:>8} {:>8} {:>8} {:>4}  world",
        "time", "/ least", "packets", "/ least", "fail"
    );
    let only = std::env::args().nth(1).filter(|name| name != "--bench");
    for world in worlds() {
        if only
            .as_ref()
            .is_some_and(|only| !world.name.contains(only.as_str()))
        {
            continue;
        }
        let progress = run(&world.workload, options(), |link| {
            (world.network)(link);
            link.bridge.set_service(world.service, link.now());
        });
        let (time, count) = world.least;
        println!(
            "{:>8.1}s {:>8.2} {:>8} {:>8.2} {:>4}  {}{}",
            progress.elapsed.as_secs_f64(),
            progress.elapsed.as_secs_f64() / time.as_secs_f64(),
            packets(&progress),
            packets(&progress) as f64 / count as f64,
            progress.failures,
            world.name,
            if progress.is_done { "" } else { "  NOT DONE" },
        );
    }
}
