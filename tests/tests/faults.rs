//! Any fault at any position: everything accepted arrives, in order, and every operation ends once.
#![forbid(unsafe_code)]

use core::time::Duration;
use std::collections::BTreeMap;

use iotcore_gateway::{
    DeviceAuth, Event, Failure, OpId, Options, Outcome, Publication,
    message::{QoS, Subscription},
};
use iotcore_gateway_testkit::Fault;
use iotcore_gateway_testkit::bridge::event::EventKind;
use iotcore_gateway_testkit::bridge::faults::{CutMoment, PacketKind};
use iotcore_gateway_testkit::link::{BOUND, GATEWAY, Link, Side};

const SECOND: Duration = Duration::from_secs(1);
const DEVICE: &str = BOUND[0];
const MESSAGES: u32 = 8;

/// One gateway, one device, and all their operations, which must succeed.
struct Script {
    link: Link,
    ops: Vec<OpId>,
    ends: BTreeMap<OpId, Vec<Result<Outcome, Failure>>>,
    configs: Vec<Vec<u8>>,
    commands: usize,
}

impl Script {
    /// Issues all commands before the first byte is sent.
    fn new() -> Self {
        let mut link = Link::new(Options::default());
        let now = link.now();
        let unix_now = link.unix_now();
        let gateway = &mut link.gateway;
        let mut ops = vec![gateway.open(now).unwrap()];
        let (device, attach) = gateway
            .attach(
                DEVICE.try_into().unwrap(),
                DeviceAuth::ByAssociation,
                unix_now,
                now,
            )
            .unwrap();
        ops.push(attach);
        for key in [device, gateway.own_key()] {
            for subscription in [Subscription::Config, Subscription::Commands] {
                ops.push(
                    gateway
                        .subscribe(key, subscription, QoS::AtLeastOnce, now)
                        .unwrap(),
                );
            }
        }
        for n in 0..MESSAGES {
            let publication = Publication::telemetry(device, n.to_string());
            ops.push(gateway.publish(publication, now).unwrap());
        }
        ops.push(
            gateway
                .publish(Publication::state(device, "on"), now)
                .unwrap(),
        );
        Self {
            link,
            ops,
            ends: BTreeMap::new(),
            configs: Vec::new(),
            commands: 0,
        }
    }

    fn run(&mut self, duration: Duration) {
        self.link.run(duration);
        for event in self.link.events() {
            match event {
                Event::Done { op, outcome } => self.ends.entry(op).or_default().push(Ok(outcome)),
                Event::Failed { op, failure, .. } => {
                    self.ends.entry(op).or_default().push(Err(failure))
                }
                Event::Config { payload, .. } => self.configs.push(payload.to_vec()),
                Event::Command { .. } => self.commands += 1,
                _ => {}
            }
        }
    }

    /// Sends config and commands from the cloud, ends the run, and checks everything.
    fn finish(mut self, what: &str) {
        let now = self.link.now();
        assert!(self.link.gateway.is_open(), "{what}: not connected");
        self.link.bridge.send_config(DEVICE, "rate=5", now).unwrap();
        self.link
            .bridge
            .send_command(DEVICE, None, "go", now)
            .unwrap();
        self.run(30 * SECOND);
        assert_eq!(
            self.configs.last().map(Vec::as_slice),
            Some(&b"rate=5"[..]),
            "{what}"
        );
        assert!(self.commands > 0, "{what}: no command");
        let device = self
            .link
            .gateway
            .device_key(&DEVICE.try_into().unwrap())
            .unwrap();
        self.ops
            .push(self.link.gateway.detach(device, self.link.now()).unwrap());
        self.run(60 * SECOND);
        self.ops.push(self.link.gateway.close(self.link.now()));
        self.run(60 * SECOND);
        for op in &self.ops {
            assert!(
                matches!(self.ends.get(op).map(Vec::as_slice), Some([Ok(_)])),
                "{what}: {op} ended {:?}",
                self.ends.get(op)
            );
        }
        assert_eq!(
            self.ends.len(),
            self.ops.len(),
            "{what}: unknown operations"
        );
        let record = self.link.bridge.device(DEVICE).unwrap();
        let mut arrived: Vec<_> = record
            .telemetry()
            .map(|event| event.payload.clone())
            .collect();
        let copies = arrived.len();
        arrived.dedup();
        for n in 0..MESSAGES {
            assert!(
                arrived.iter().any(|payload| *payload == n.to_string()),
                "{what}: {n} of {copies} is missing"
            );
        }
        assert_eq!(
            record.states().last().map(|state| &state[..]),
            Some(&b"on"[..]),
            "{what}"
        );
        assert!(self.link.gateway.is_closed(), "{what}");
    }
}

fn inject(link: &mut Link, line: &str) {
    let fault: Fault = line
        .parse()
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    let now = link.now();
    link.bridge
        .inject(fault, now)
        .unwrap_or_else(|error| panic!("{line}: {error}"));
}

fn struck(link: &mut Link) -> usize {
    let events = link.bridge_events();
    events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::FaultStruck { .. }))
        .count()
}

#[test]
fn without_faults_everything_ends_well() {
    let mut script = Script::new();
    script.run(60 * SECOND);
    script.finish("nothing");
}

#[test]
fn a_cut_before_instead_of_or_after_the_answer_to_any_packet_loses_nothing() {
    for packet in PacketKind::ALL {
        for moment in CutMoment::ALL {
            let line = format!("cut {} {}", moment.word(), packet.word());
            let mut script = Script::new();
            inject(&mut script.link, &line);
            script.run(120 * SECOND);
            let happens_later = ["detach", "unsubscribe", "disconnect"].contains(&packet.word());
            assert!(
                happens_later || struck(&mut script.link) == 1,
                "{line} did not strike"
            );
            script.finish(&line);
        }
    }
}

#[test]
fn a_cut_at_any_byte_in_either_direction_loses_nothing() {
    for side in [Side::Bridge, Side::Gateway] {
        for bytes in 0.. {
            let mut script = Script::new();
            script.link.network.fragment = 7;
            script.link.cut_after(side, bytes);
            script.run(40 * SECOND);
            if script.link.awaits_cut() {
                assert!(bytes > 100, "{side:?} {bytes}");
                break;
            }
            script.finish(&format!("a cut after {bytes} bytes at {side:?}"));
        }
    }
}

#[test]
fn answers_that_are_late_doubled_reordered_or_missing_lose_nothing() {
    for lines in [
        &["puback hold 3"][..],
        &["puback hold", "cut after pingreq"],
        &["puback delay 5000"],
        &["puback delay 35000 4"],
        &["puback double"],
        &["puback reorder 4"],
        &["suback hold 2"],
        &["suback delay 2000"],
        &["pingresp hold 1"],
        &["reports lose"],
        &["segment 1"],
        &["segment 3", "puback double", "cut after telemetry"],
    ] {
        let mut script = Script::new();
        for line in lines {
            inject(&mut script.link, line);
        }
        script.run(400 * SECOND);
        inject(&mut script.link, "clear");
        script.run(400 * SECOND);
        let ops = std::mem::take(&mut script.ops);
        // A subscription that was not answered in time has failed, although it was made.
        script.ops = ops
            .into_iter()
            .filter(|op| {
                !matches!(
                    script.ends.get(op).map(Vec::as_slice),
                    Some([Err(Failure::TimedOut(_))])
                )
            })
            .collect();
        script.ends.retain(|op, _| script.ops.contains(op));
        script.finish(&lines.join(", "));
    }
}

#[test]
fn refused_connections_are_tried_again_whatever_the_refusal() {
    for how in [
        "close",
        "reset",
        "silence",
        "connack 1",
        "connack 2",
        "connack 3",
        "connack 4",
        "connack 5",
        "connack 13",
        "connack 255",
    ] {
        let mut script = Script::new();
        inject(&mut script.link, &format!("refuse 3 {how}"));
        script.run(120 * SECOND);
        assert_eq!(struck(&mut script.link), 3, "{how}");
        script.finish(how);
    }
}

#[test]
fn bytes_that_break_the_standard_end_the_connection_and_nothing_else() {
    for hex in [
        "f0",
        "20020000",
        "3000",
        "40020000",
        "90030001ff",
        "3204000a",
        "d001",
        "ffffffffff",
    ] {
        let mut script = Script::new();
        script.run(10 * SECOND);
        inject(&mut script.link, &format!("raw {GATEWAY} {hex}"));
        script.run(60 * SECOND);
        assert_eq!(script.link.gateway.stats().connections, 2, "{hex}");
        script.finish(hex);
    }
}
