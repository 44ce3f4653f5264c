//! Determinism: fragmentation, polls and spurious timeouts make no difference, and equal inputs have equal outputs.

use std::time::Duration;

use iotcore_gateway::{
    DeviceAuth, Event, Options, Publication,
    message::{QoS, Subscription},
    options::Acknowledge,
};
use proptest::{collection::vec, prelude::*};

use super::{
    cases::config,
    peer::{GATEWAY, Harness, UNIX_NOW, seconds},
};

/// Differences between two runs that must have the same output.
#[derive(Clone, Debug, Default)]
struct Variation {
    /// The lengths of the fragments, repeated cyclically; the input is not fragmented if this is empty.
    fragments: Vec<usize>,
    /// Whether timeouts are reported before any is due.
    spurious_timeouts: bool,
    /// Whether the outputs are polled after every input.
    polls: bool,
}

/// Returns a gateway with many pending operations: attaches, subscriptions and publications in a small window.
fn busy() -> Harness {
    let mut options = Options::default();
    options.window = 3;
    options.attach_window = 2;
    options.acknowledge = Acknowledge::Automatic;
    let mut harness = Harness::open(options);
    let now = harness.now;
    let gateway = &mut harness.gateway;
    for n in 1..=4 {
        let id = format!("device-{n}").try_into().unwrap();
        let (device, _) = gateway
            .attach(id, DeviceAuth::ByAssociation, UNIX_NOW, now)
            .unwrap();
        gateway
            .subscribe(device, Subscription::Config, QoS::AtLeastOnce, now)
            .unwrap();
        for payload in ["a", "b", "c"] {
            gateway
                .publish(Publication::telemetry(device, payload), now)
                .unwrap();
        }
        gateway
            .publish(Publication::state(device, "on"), now)
            .unwrap();
    }
    harness
}

/// Generates packets from the bridge, in any order and with identifiers that may be wrong.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let id = 1..14u8;
    let device = 1..5u8;
    prop_oneof![
        6 => id.clone().prop_map(|id| vec![0x40, 2, 0, id]),
        3 => (id.clone(), prop_oneof![Just(0u8), Just(1), Just(0x80)]).prop_map(|(id, code)| vec![0x90, 3, 0, id, code]),
        1 => Just(vec![0xd0, 0]),
        2 => (id.clone(), device.clone()).prop_map(|(id, device)| {
            super::peer::publish(&format!("/devices/device-{device}/config"), b"x", Some(id.into()), false)
        }),
        2 => (id, device, prop_oneof![
            Just("GATEWAY_ATTACHMENT_ERROR"),
            Just("GATEWAY_DEVICE_NOT_FOUND"),
            Just("GATEWAY_DETACHMENT_DEVICE_ERROR"),
            Just("GATEWAY_INVALID_MQTT_TOPIC"),
            Just("UNKNOWN"),
        ]).prop_map(|(id, device, code)| {
            let report = format!(r#"{{"error_type":"{code}","device_id":"device-{device}","packet_id":{id}}}"#);
            super::peer::publish(&format!("/devices/{GATEWAY}/errors"), report.as_bytes(), None, false)
        }),
        1 => vec(any::<u8>(), 1..3),
    ]
}

/// Feeds the inputs, one per second; returns all bytes and events that were output.
fn run(inputs: &[Vec<u8>], variation: &Variation) -> (Vec<u8>, Vec<Event>) {
    let mut harness = busy();
    let (mut bytes, mut events) = (Vec::new(), harness.events());
    for input in inputs {
        let mut rest = &input[..];
        let mut fragments = variation.fragments.iter().cycle();
        while !rest.is_empty() {
            let len = fragments
                .next()
                .map_or(rest.len(), |len| *len.min(&rest.len()));
            let (fragment, others) = rest.split_at(len);
            harness.receive(fragment);
            rest = others;
            if variation.polls {
                let _ = (
                    harness.gateway.poll_timeout(),
                    harness.gateway.poll_transmit(),
                );
                events.extend(harness.gateway.poll_event());
            }
        }
        bytes.extend(take(&mut harness));
        if variation.spurious_timeouts {
            spurious_timeout(&mut harness);
        }
        harness.wait(seconds(1));
        bytes.extend(take(&mut harness));
    }
    events.extend(harness.events());
    (bytes, events)
}

fn take(harness: &mut Harness) -> Vec<u8> {
    let mut taken = Vec::new();
    while !harness.gateway.poll_transmit().is_empty() {
        let bytes = harness.gateway.poll_transmit().to_vec();
        harness.gateway.handle_transmitted(bytes.len(), harness.now);
        taken.extend(bytes);
    }
    taken
}

fn spurious_timeout(harness: &mut Harness) {
    let early = harness.now + Duration::from_millis(1);
    if harness
        .gateway
        .poll_timeout()
        .is_none_or(|deadline| deadline > early)
    {
        harness.gateway.handle_timeout(harness.now);
        harness.gateway.handle_timeout(early);
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn any_split_gives_the_same_events_and_bytes(
        inputs in vec(vec(packet(), 0..6).prop_map(|packets| packets.concat()), 1..12),
        fragments in vec(1..9usize, 1..6),
    ) {
        let whole = run(&inputs, &Variation::default());
        prop_assert_eq!(&whole, &run(&inputs, &Variation { fragments, ..Variation::default() }));
        prop_assert_eq!(&whole, &run(&inputs, &Variation { fragments: vec![1], ..Variation::default() }));
    }

    #[test]
    fn polls_and_spurious_timeouts_change_nothing(
        inputs in vec(vec(packet(), 0..6).prop_map(|packets| packets.concat()), 1..12),
    ) {
        let plain = run(&inputs, &Variation::default());
        prop_assert_eq!(&plain, &run(&inputs, &Variation { polls: true, ..Variation::default() }));
        prop_assert_eq!(&plain, &run(&inputs, &Variation { spurious_timeouts: true, ..Variation::default() }));
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(
        inputs in vec(vec(packet(), 0..6).prop_map(|packets| packets.concat()), 1..12),
    ) {
        prop_assert_eq!(run(&inputs, &Variation::default()), run(&inputs, &Variation::default()));
    }
}
