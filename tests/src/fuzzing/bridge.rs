//! Arbitrary clients of the bridge: bytes on several connections, operator commands, faults, and time.
//!
//! | byte | picks |
//! |---|---|
//! | 1 | how the gateways authenticate devices |
//! | 2, 3 | two answers to open questions that are not the likeliest |
//! | 4 | the fragments of the second run |
//!
//! Then come steps: a byte below 0x80 is followed by one byte more than its value from the current client. The other
//! bytes select nearly well-formed packets, operator commands, waits, and transport events.

mod client;
mod harness;

use core::time::Duration;

use self::harness::{Harness, Output};
use super::source::Source;
use crate::Settings;

/// Runs the same steps twice, with each client's bytes whole and in fragments.
///
/// # Panics
///
/// If the runs differ; if the bridge violates the standard, sends before CONNACK or after its end; if it exceeds its
/// memory limits; if a deadline that has passed remains, or time makes no progress.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let registry = usize::from(source.byte());
    let settings = settings(&mut source);
    let fragment = 1 + usize::from(source.byte() % 16);

    let whole = play(registry, settings, usize::MAX, source);
    let split = play(registry, settings, fragment, source);
    assert_eq!(whole, split);
}

fn settings(source: &mut Source<'_>) -> Settings {
    let mut settings = Settings::default();
    for _ in 0..2 {
        let answer = source.byte();
        if let Some((name, value)) = ANSWERS.get(usize::from(answer)) {
            settings.set(name, value).expect("an answer that exists");
        }
    }
    settings
}

/// The non-default answers; MQTT 5 is left out, because its packets are not parsed here.
const ANSWERS: [(&str, &str); 26] = [
    ("failed_puback", "before_report"),
    ("failed_puback", "after_report"),
    ("error_shape", "flat"),
    ("error_packet_id", "text"),
    ("duplicate_client", "refuse_new"),
    ("auth_failure", "connack_5"),
    ("auth_failure", "connack_13"),
    ("auth_failure", "connack_0x13"),
    ("auth_failure", "close"),
    ("attach_limit", "silence"),
    ("forbidden_subscribe", "refuse_and_close"),
    ("forbidden_subscribe", "close"),
    ("oversize_payload", "drop"),
    ("persistent_session", "refuse"),
    ("persistent_session", "close"),
    ("will", "refuse"),
    ("will", "close"),
    ("retain", "close"),
    ("subscriptions_after_detach", "kept"),
    ("device_token_expiry", "ignore"),
    ("second_gateway", "share"),
    ("second_gateway", "refuse_new"),
    ("attach_self", "close"),
    ("nested_gateway", "close"),
    ("config_redelivery", "on_resubscribe"),
    ("state_rate", "ignore_for_five_seconds"),
];

fn play(
    registry: usize,
    settings: Settings,
    fragment: usize,
    mut source: Source<'_>,
) -> Vec<Output> {
    let mut harness = Harness::new(registry, settings);
    while !source.is_empty() {
        step(&mut harness, &mut source, fragment);
    }
    harness.finish()
}

fn step(harness: &mut Harness, source: &mut Source<'_>, fragment: usize) {
    let kind = source.byte();
    match kind {
        0x00..0x80 => harness.input(source.take(usize::from(kind) + 1), fragment),
        0x80..0xa0 => harness.input(&client::packet(kind, source), fragment),
        0xa0..0xa8 => harness.accept(),
        0xa8..0xb0 => harness.select(kind.into()),
        0xb0..0xb8 => harness.close(),
        0xb8..0xc0 => harness.inject(source.pick(&FAULTS)),
        0xc0..0xd0 => harness.wait(WAITS[usize::from(kind & 0x07)]),
        0xd0..0xd8 => harness.timeout(WAITS[usize::from(kind & 0x07)]),
        0xd8..0xe8 => harness.operate(kind, source.byte()),
        0xe8..0xf0 => harness.transmit(source.byte().into()),
        _ => harness.transmit(usize::MAX),
    }
}

const WAITS: [Duration; 8] = [
    Duration::ZERO,
    Duration::from_millis(1),
    Duration::from_millis(700),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(3_600),
];

const FAULTS: [&str; 22] = [
    "refuse 1 close",
    "refuse 1 reset",
    "refuse 1 silence",
    "refuse 1 connack 3",
    "puback hold 2",
    "puback release",
    "suback hold",
    "suback release",
    "unsuback delay 1500",
    "pingresp delay 20 2",
    "puback double",
    "puback reorder 3",
    "segment 1",
    "segment 7",
    "raw d000",
    "reports lose 1",
    "cut before attach",
    "cut instead publish",
    "cut after subscribe",
    "poison publish sensor-1 00",
    "grant qos0 1",
    "clear",
];
