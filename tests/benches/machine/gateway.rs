//! Measurements specific to a gateway: a thousand devices after a reconnect and in memory, and a hundred in virtual
//! time.

use std::time::{Duration, Instant};

use iotcore_gateway::{DeviceAuth, Options, Publication, cause::TransportEnd};
use iotcore_gateway_testkit::{
    AuthMethod, Settings,
    link::{self, GATEWAY, Link},
};

use crate::{
    allocator,
    ours::Ours,
    rows::Check,
    subject::{self, Subject, Work},
};

/// A figure that no other subject has.
#[derive(Clone)]
pub(crate) struct Single {
    pub(crate) name: &'static str,
    pub(crate) check: Check,
}

impl Single {
    pub(crate) fn at_most(name: &'static str, found: f64, limit: f64, unit: &str) -> Self {
        Self {
            name,
            check: Check {
                target: format!("≤ {limit} {unit}"),
                found,
                is_met: found <= limit,
            },
        }
    }
}

const ROUNDS: usize = 15;
const DEVICES: usize = 1_000;

/// Measures from the end of a connection to the last SUBACK of the next: everything attached and subscribed again.
pub(crate) fn reconnect() -> Single {
    let mut answers = Vec::new();
    reconnected(|ours| {
        let mut turn = Vec::new();
        let goes_on = ours.converse(&mut turn);
        answers.push(turn);
        goes_on
    });
    let said = answers.concat();
    let subacks = said.windows(2).filter(|at| *at == [0x90, 3]);
    assert!(subacks.count() > 2 * DEVICES, "all is subscribed again");
    let round = || {
        let mut turns = answers.iter();
        let took = reconnected(|ours| match turns.next() {
            Some(turn) => {
                ours.write(&mut |bytes| {
                    std::hint::black_box(bytes);
                });
                ours.read(turn, &mut drop);
                true
            }
            None => false,
        });
        took.as_secs_f64() * 1e3
    };
    let found = (0..ROUNDS).map(|_| round()).fold(f64::MAX, f64::min);
    let name = "1,000 devices attached and subscribed again after a reconnect";
    Single::at_most(name, found, 5.0, "ms")
}

/// Cuts the connection of a gateway with a thousand devices, and exchanges packets until it has nothing more to send.
fn reconnected(mut converse: impl FnMut(&mut Ours) -> bool) -> Duration {
    let mut ours = Ours::new(&Work {
        payload: 64,
        devices: DEVICES,
        window: 100,
    });
    let begun = Instant::now();
    ours.gateway
        .handle_disconnected(TransportEnd::Broken, ours.now);
    ours.now = ours.gateway.poll_timeout().expect("it will dial again");
    ours.gateway.handle_timeout(ours.now);
    ours.connect();
    while converse(&mut ours) {}
    begun.elapsed()
}

/// Measures the memory of an idle device that is attached and subscribed to both its topics.
pub(crate) fn device_memory() -> Single {
    let bytes = |devices| {
        let before = allocator::live_bytes();
        let ours = Ours::idle(&Work {
            payload: 64,
            devices,
            window: 100,
        });
        let held = allocator::live_bytes() - before;
        drop(ours);
        held as f64
    };
    Single::at_most(
        "memory of an idle device, attached and subscribed",
        (bytes(DEVICES) - bytes(0)) / DEVICES as f64,
        1024.0,
        "bytes",
    )
}

/// Measures the memory of a queued message, without its payload.
pub(crate) fn message_memory() -> Single {
    const MESSAGES: usize = 100_000;
    let mut ours = Ours::new(&Work {
        payload: 64,
        devices: 100,
        window: 100,
    });
    ours.send(100, &mut |_| {});
    let before = allocator::live_bytes();
    ours.send(MESSAGES, &mut |_| {});
    let held = allocator::live_bytes() - before;
    Single::at_most(
        "memory of a queued message beside its payload",
        held as f64 / MESSAGES as f64,
        100.0,
        "bytes",
    )
}

/// Simulates a gateway and the bridge emulator on a virtual network, and measures virtual seconds per real second.
pub(crate) fn simulation() -> Single {
    let found = (0..3).map(|_| simulated()).fold(0.0, f64::max);
    Single {
        name: "simulation of 100 devices at one message a second each",
        check: Check {
            target: "≥ 1000 × real time".to_owned(),
            found,
            is_met: found >= 1_000.0,
        },
    }
}

fn simulated() -> f64 {
    const DEVICES: usize = 100;
    const SECONDS: u32 = 300;
    let mut registry = link::registry(AuthMethod::AssociationOnly);
    for n in 0..DEVICES {
        let device = subject::device(n);
        registry.add_device(&device, &[]).expect("a legal id");
        registry.bind(GATEWAY, &device).expect("both exist");
    }
    let mut link = Link::with_registry(Options::default(), registry, Settings::default());
    let now = link.now();
    link.gateway.open(now).expect("not closed");
    let devices: Vec<_> = (0..DEVICES)
        .map(|n| {
            let id = subject::device(n).try_into().expect("legal");
            link.gateway
                .attach(id, DeviceAuth::ByAssociation, link.unix_now(), now)
                .expect("room")
                .0
        })
        .collect();
    link.run(Duration::from_secs(1));

    let begun = Instant::now();
    for _ in 0..SECONDS {
        for device in &devices {
            let publication = Publication::telemetry(*device, vec![7; 64]);
            link.gateway.publish(publication, link.now()).expect("room");
            link.run(Duration::from_secs(1) / DEVICES as u32);
        }
        link.events();
        link.bridge_events();
    }
    let took = begun.elapsed();
    let arrived: u64 = (0..DEVICES)
        .filter_map(|n| link.bridge.device(&subject::device(n)))
        .map(|record| record.telemetry_total())
        .sum();
    assert!(
        arrived >= u64::from(SECONDS) * DEVICES as u64 - 10,
        "{arrived} arrived"
    );
    f64::from(SECONDS) / took.as_secs_f64()
}
