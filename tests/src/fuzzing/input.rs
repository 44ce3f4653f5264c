//! Bytes and instants as input of a connected gateway, at each stage of a connection.
//!
//! | first byte | picks |
//! |---|---|
//! | 1 | the stage |
//! | 2 | how gateway and user behave: bounds, acknowledgement, who is slow |
//! | 3 | the fragments of the second run |
//!
//! Then come steps: a byte below 0x80 is followed by one byte more than its value from the peer. The other bytes select
//! nearly well-formed packets, waits, and transport events.

use core::time::Duration;

use iotcore_gateway::{
    Options,
    cause::TransportEnd,
    options::{Acknowledge, OnRefusal, Overflow, Reconnect},
};

use super::machine::{DEVICES, GATEWAY, LIFETIME, Machine, Output, Setup, Stage};
use super::source::Source;
use crate::packets;

/// Runs the same steps twice, whole and in fragments with polls and spurious timeouts between them.
///
/// # Panics
///
/// If the runs differ; if an operation ends twice or never; if anything is written after the end of a connection, or a
/// violation does not end it; if a packet identifier is used twice at once; if the options' limits are exceeded; if a
/// deadline that has passed remains, or time makes no progress.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let stage = source.pick(&Stage::ALL);
    let setup = setup(source.byte());
    let fragment = 1 + usize::from(source.byte() % 16);

    let whole = play(stage, setup.clone(), usize::MAX, source);
    let redundant = Setup {
        makes_redundant_calls: true,
        ..setup
    };
    let split = play(stage, redundant, fragment, source);
    assert_eq!(whole, split);
}

fn setup(bits: u8) -> Setup {
    let mut options = Options::default();
    options.frame_limit = 4_096;
    options.drain_timeout = Duration::from_secs(60);
    if bits & 1 != 0 {
        options.acknowledge = Acknowledge::Manual;
    }
    if bits & 2 != 0 {
        options.max_events = 4;
        options.max_unacknowledged = 2;
    }
    if bits & 4 != 0 {
        (options.window, options.device_window, options.attach_window) = (3, 1, 1);
    }
    if bits & 8 != 0 {
        options.reattach = false;
        options.on_refusal = OnRefusal::KeepQueue;
    }
    if bits & 16 != 0 {
        options.reconnect = Reconnect::Attempts(2);
    }
    if bits & 32 != 0 {
        options.overflow = Overflow::DropOldest;
        options.device_queue.messages = 3;
    }
    if bits & 64 != 0 {
        options.quota.messages_per_second = core::num::NonZeroU32::new(4);
    }
    Setup {
        options,
        has_large: bits & 8 != 0,
        is_slow: bits & 128 != 0,
        makes_redundant_calls: false,
    }
}

fn play(
    stage: Stage,
    setup: Setup,
    fragment: usize,
    mut source: Source<'_>,
) -> Vec<(Duration, Output)> {
    let mut machine = Machine::new(setup);
    machine.reach(stage);
    while !source.is_empty() {
        step(&mut machine, &mut source, fragment);
    }
    machine.finish().into_history()
}

fn step(machine: &mut Machine, source: &mut Source<'_>, fragment: usize) {
    let kind = source.byte();
    match kind {
        0x00..0xc0 => {
            let bytes = said(kind, source);
            machine.input(&bytes, fragment);
        }
        0xc0..0xd0 => machine.wait(WAITS[usize::from(kind & 0x0f)]),
        // The next deadline, or shortly after it; and times in the past.
        0xd0..0xd8 => machine.timeout(machine.deadline() + WAITS[usize::from(kind & 0x07)]),
        0xd8..0xe0 => machine.turn_back(WAITS[usize::from(source.byte() & 0x0f)]),
        0xe0..0xe8 => machine.transmit(usize::from(source.byte())),
        0xe8..0xf0 => machine.transmit_all(),
        0xf0..0xf4 => machine.take_events(1 + usize::from(kind & 3)),
        0xf4..0xf8 => machine.take_events(usize::MAX),
        0xf8 => machine.disconnect(source.pick(&ENDS)),
        0xf9..0xfc => machine.connect(source.pick(&[
            LIFETIME,
            LIFETIME,
            Duration::from_secs(20),
            Duration::ZERO,
        ])),
        0xfc..0xfe => machine.acknowledge(source.byte().into()),
        0xfe => machine.cancel(source.byte().into()),
        0xff => machine.postpone(source.byte().into()),
    }
}

const WAITS: [Duration; 16] = {
    let millis = [
        0, 1, 10, 100, 500, 1_000, 1_250, 5_000, 10_000, 20_000, 30_000, 45_000, 60_000, 300_000,
        600_000, 3_600_000,
    ];
    let mut waits = [Duration::ZERO; 16];
    let mut index = 0;
    while index < 16 {
        waits[index] = Duration::from_millis(millis[index]);
        index += 1;
    }
    waits
};

const ENDS: [TransportEnd; 5] = [
    TransportEnd::PeerClosed,
    TransportEnd::Broken,
    TransportEnd::DialFailed,
    TransportEnd::TlsFailed,
    TransportEnd::TokenFailed,
];

const ERRORS: [&str; 8] = [
    "GATEWAY_ATTACHMENT_ERROR",
    "GATEWAY_DEVICE_NOT_FOUND",
    "GATEWAY_INVALID_MQTT_TOPIC",
    "GATEWAY_UNEXPECTED_PACKET_ID",
    "GATEWAY_UNEXPECTED_MESSAGE_TYPE",
    "GATEWAY_DETACHMENT_DEVICE_ERROR",
    "UNKNOWN",
    "SOMETHING_NEW",
];

/// Returns what the peer sends: raw bytes, or a packet about an identifier or a device.
fn said(kind: u8, source: &mut Source<'_>) -> Vec<u8> {
    match kind {
        0x00..0x80 => source.take(usize::from(kind) + 1).to_vec(),
        0x80..0x90 => packets::puback(1 + u16::from(kind & 0x0f)),
        0x90..0x98 => {
            let packet_id = source.byte().into();
            let code = [0, 1, 2, 0x80, 1, 1, 1, 3][usize::from(kind & 7)];
            packets::suback(packet_id, code)
        }
        0x98 => packets::puback(source.byte().into()),
        0x99 => packets::unsuback(source.byte().into()),
        0x9a => packets::PINGRESP.to_vec(),
        0x9b => packets::connack(source.byte()),
        // Many bytes of a packet that has started.
        0x9c..0xa0 => vec![b'x'; 64 * usize::from(source.byte())],
        0xa0..0xb0 => delivery(kind, source.byte(), source.byte()),
        _ => report(kind, source.byte(), source.byte()),
    }
}

/// Returns a config or command for one of the devices, or for an unknown one.
fn delivery(kind: u8, packet_id: u8, more: u8) -> Vec<u8> {
    let device = [DEVICES[0], DEVICES[1], DEVICES[2], GATEWAY][usize::from(kind & 3)];
    let channel = ["config", "commands", "commands/a/b", "state"][usize::from(kind >> 2 & 3)];
    let topic = format!("/devices/{device}/{channel}");
    let packet_id = (packet_id > 0).then_some(packet_id.into());
    let dup = packet_id.is_some() && more & 1 != 0;
    packets::publish(&topic, &vec![b'y'; more.into()], packet_id, dup)
}

/// Returns an error report about a device and a packet identifier, or without one.
fn report(kind: u8, device: u8, packet_id: u8) -> Vec<u8> {
    let error = ERRORS[usize::from(kind & 7)];
    let device = match device & 7 {
        0 => String::new(),
        1 => format!(r#","device_id":"{GATEWAY}""#),
        2 => r#","device_id":"nobody""#.to_owned(),
        index => format!(r#","device_id":"{}""#, DEVICES[usize::from(index) % 3]),
    };
    let packet = match (packet_id, kind & 8) {
        (0, _) => String::new(),
        (id, 0) => format!(r#","packet_id":"{id}""#),
        (id, _) => format!(r#","mqtt_message_info":{{"packet_id":{id}}}"#),
    };
    let payload = format!(r#"{{"error_type":"{error}"{device}{packet}}}"#);
    let topic = format!("/devices/{GATEWAY}/errors");
    packets::publish(&topic, payload.as_bytes(), None, false)
}
