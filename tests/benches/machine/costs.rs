//! Costs that must not grow with what they have nothing to do with: that of a message, a report or a getter beside a lot,
//! as a multiple of the same beside nothing. Both are measured in turn, so that the ratio depends on no processor.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use iotcore_gateway::{
    DeviceKey, Options, Publication, cause::TransportEnd, command_error::PublishErrorKind,
    options::QueueLimit,
};
use iotcore_gateway_testkit::packets;

use crate::{
    allocator,
    gateway::Single,
    ours::{self, Ours},
    peer,
    subject::{self, Work},
};

/// The number of rounds, of which the best counts.
const ROUNDS: usize = 25;

/// How much more something may cost beside a lot.
const LIMIT: f64 = 1.5;

/// The number of messages, reports or calls that are measured at once: no more messages than are reserved for a device.
const TIMES: usize = 30;

/// How often it is done.
const TURNS: usize = 5;

/// The most publications at once.
const PEAK: usize = 100_000;

pub(crate) fn all() -> Vec<Single> {
    let many = 999;
    vec![
        ratio(
            "a message beside 999 devices blocked by their own limits",
            [many, 0].map(|blocked| move || beside_blocked(limits(64, PEAK), blocked)),
        ),
        ratio(
            "a message beside 999 devices blocked by the shared limit",
            [many, 0].map(|blocked| move || beside_blocked(limits(PEAK, PEAK), blocked)),
        ),
        ratio(
            "a message beside 999 devices blocked by suspects",
            [many, 0].map(|blocked| move || beside_suspects(blocked)),
        ),
        ratio(
            "refusing an idle device beside 99,000 queued",
            [99, 0].map(|busy| move || refusal(busy)),
        ),
        ratio(
            "a report that detaches an idle device beside 30,000 in flight",
            [30_000, 1].map(|in_flight| move || detachment(in_flight)),
        ),
        ratio(
            "unsent() of one message after a peak of 100,000",
            [PEAK, 0].map(|peak| move || unsent(peak)),
        ),
        memory(),
    ]
}

/// Measures both in turn, and compares the best.
fn ratio(name: &'static str, [beside, alone]: [impl Fn() -> Duration; 2]) -> Single {
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        best = [best[0].min(beside()), best[1].min(alone())];
    }
    let [beside, alone] = best.map(|best| best.as_secs_f64());
    Single::at_most(name, beside / alone, LIMIT, "× alone")
}

/// Does this in turns, because the first one brings its memory into the caches; returns what the fastest took.
fn warmed(turn: impl FnMut(usize) -> Duration) -> Duration {
    (0..TURNS).map(turn).min().expect("there are turns")
}

fn timed(run: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    run();
    begun.elapsed()
}

fn work(devices: usize, window: u16) -> Work {
    Work {
        payload: 64,
        devices,
        window,
    }
}

/// Returns limits of one device and of all, in messages.
fn limits(device: usize, total: usize) -> Options {
    let limit = |messages| QueueLimit {
        messages,
        bytes: 1 << 30,
    };
    let mut options = ours::options(&work(1, 100));
    options.device_queue = limit(device);
    options.total_queue = limit(total);
    options
}

/// What the gateway writes from here on is not answered, so that devices which are attached now stay unattached.
fn ignore(ours: &mut Ours) {
    ours.write(&mut |bytes| {
        black_box(bytes);
    });
}

fn publish(ours: &mut Ours, device: DeviceKey) -> Result<(), PublishErrorKind> {
    let publication = Publication::telemetry(device, vec![7; 64]);
    let published = ours.gateway.publish(publication, ours.now);
    published.map(drop).map_err(|error| error.kind)
}

/// Lets the first device have so many more in flight: one with each acknowledgement.
fn grow(ours: &mut Ours, count: usize) {
    for _ in 0..count {
        let device = ours.devices[0];
        publish(ours, device).expect("room");
        ours.converse(&mut Vec::new());
    }
}

/// Measures the messages of a device beside others that have no more room, and are not attached.
fn beside_blocked(options: Options, blocked: usize) -> Duration {
    let mut ours = Ours::connected(options, &work(1, 100));
    grow(&mut ours, TIMES);
    ours.attach(blocked);
    ignore(&mut ours);
    for &device in &ours.devices.clone()[1..] {
        while publish(&mut ours, device).is_ok() {}
    }
    warmed(|_| {
        let mut answers = Vec::new();
        let sent = timed(|| {
            for _ in 0..TIMES {
                let device = ours.devices[0];
                publish(&mut ours, device).expect("it has its reserve");
            }
            ours.write(&mut |bytes| peer::answer(bytes, &mut answers));
        });
        assert_eq!(answers.len(), 4 * TIMES);
        sent + timed(|| ours.read(&answers, &mut drop))
    })
}

/// Measures the messages of the gateway beside devices that have one message each at which the peer has closed three
/// connections. On this one they are not attached.
fn beside_suspects(blocked: usize) -> Duration {
    let work = work(blocked, 2_000);
    let mut ours = Ours::connected(ours::options(&work), &work);
    for &device in &ours.devices.clone() {
        publish(&mut ours, device).expect("room");
    }
    for is_last in [false, false, true] {
        ignore(&mut ours);
        ours.gateway
            .handle_disconnected(TransportEnd::PeerClosed, ours.now);
        ours.now = ours.gateway.poll_timeout().expect("it will dial again");
        ours.gateway.handle_timeout(ours.now);
        ours.connect();
        ignore(&mut ours);
        ours.read(&[0x20, 2, 0, 0], &mut drop);
        while !is_last && attach_again(&mut ours) {}
    }
    ignore(&mut ours);
    let devices = ours.gateway.devices();
    assert_eq!(
        devices.map(|device| device.suspected).sum::<usize>(),
        blocked
    );
    warmed(|_| {
        timed(|| {
            for _ in 0..TIMES {
                let own = ours.gateway.own_key();
                publish(&mut ours, own).expect("room");
                black_box(ours.gateway.poll_timeout());
                assert!(ours.converse(&mut Vec::new()));
                black_box(ours.gateway.poll_timeout());
            }
        })
    })
}

/// Answers all but telemetry; returns `false` if there was nothing to answer.
fn attach_again(ours: &mut Ours) -> bool {
    let mut answers = Vec::new();
    ours.write(&mut |mut bytes| {
        while !bytes.is_empty() {
            let (_, body, rest) = packets::split(bytes).expect("whole packets");
            if !body.windows(7).any(|text| text == b"/events") {
                peer::answer(&bytes[..bytes.len() - rest.len()], &mut answers);
            }
            bytes = rest;
        }
    });
    ours.read(&answers, &mut drop);
    !answers.is_empty()
}

/// Measures the refusals of idle devices beside busy ones with 1,000 messages each.
fn refusal(busy: usize) -> Duration {
    let mut ours = Ours::connected(limits(1_000, PEAK), &work(0, 100));
    let idle = TURNS * TIMES;
    ours.attach(idle + busy);
    ignore(&mut ours);
    for &device in &ours.devices.clone()[idle..] {
        while publish(&mut ours, device).is_ok() {}
    }
    warmed(|turn| {
        let reports = reports("GATEWAY_ATTACHMENT_ERROR", turn * TIMES);
        timed(|| ours.read(&reports, &mut drop))
    })
}

/// Measures reports about idle devices beside a busy one with so many messages in flight.
fn detachment(in_flight: u16) -> Duration {
    let work = work(1 + TURNS * TIMES, in_flight);
    let mut ours = Ours::connected(ours::options(&work), &work);
    grow(&mut ours, in_flight.into());
    for _ in 0..in_flight {
        let busy = ours.devices[0];
        publish(&mut ours, busy).expect("room");
    }
    ignore(&mut ours);
    assert_eq!(ours.gateway.stats().in_flight, usize::from(in_flight));
    warmed(|turn| {
        let reports = reports("GATEWAY_DETACHMENT_DEVICE_ERROR", 1 + turn * TIMES);
        timed(|| ours.read(&reports, &mut drop))
    })
}

/// Returns one report of this kind about each of some devices, from this one on.
fn reports(kind: &str, first: usize) -> Vec<u8> {
    let report = |n| {
        let device = subject::device(n);
        let report = format!(r#"{{"error_type":"{kind}","device_id":"{device}"}}"#);
        packets::publish("/devices/gateway/errors", report.as_bytes(), None, false)
    };
    (first..first + TIMES).flat_map(report).collect()
}

/// Returns a gateway that has delivered all of its publications but the last one, of a device that is not attached.
fn after_peak(peak: usize) -> Ours {
    let mut ours = Ours::connected(limits(PEAK, 1 << 20), &work(1, 100));
    ours.attach(1);
    ignore(&mut ours);
    for device in [0].repeat(peak).into_iter().chain([1]) {
        let device = ours.devices[device];
        publish(&mut ours, device).expect("room");
    }
    while ours.converse(&mut Vec::new()) {}
    assert_eq!(ours.gateway.stats().queued, 1);
    ours
}

fn unsent(peak: usize) -> Duration {
    let ours = after_peak(peak);
    warmed(|_| {
        timed(|| {
            for _ in 0..TIMES {
                assert_eq!(black_box(&ours).gateway.unsent().count(), 1);
            }
        })
    })
}

/// Measures what a gateway holds that has one message, had many, and has lost its connection.
fn memory() -> Single {
    let before = allocator::live_bytes();
    let mut ours = after_peak(PEAK);
    ours.gateway
        .handle_disconnected(TransportEnd::Broken, ours.now);
    while ours.gateway.poll_event().is_some() {}
    let held = (allocator::live_bytes() - before) as f64;
    Single::at_most(
        "memory with one message after a peak of 100,000",
        held / 1024.0,
        70.0,
        "KiB",
    )
}
