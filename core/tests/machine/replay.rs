//! Replaying: fragments, polls and spurious timeouts make no difference, and the same inputs give the same outputs.

use std::time::Duration;

use iotcore_gateway::{Acknowledge, Event, Options, Publication, QoS, Subscription};
use proptest::{collection::vec, prelude::*};

use super::peer::{GATEWAY, Session, UNIX_NOW, seconds};

/// How one run differs from another that must come out the same.
#[derive(Clone, Debug, Default)]
struct Manner {
    /// The lengths of the fragments, over and over; whole if there are none.
    fragments: Vec<usize>,
    /// Timeouts reported before anything is due.
    spurious_timeouts: bool,
    /// The outputs are polled after every input.
    polls: bool,
}

/// A gateway with much to do: attaching, subscribing, publishing within a small window.
fn busy() -> Session {
    let mut options = Options::default();
    options.window = 3;
    options.attach_window = 2;
    options.acknowledge = Acknowledge::Automatic;
    let mut session = Session::open(options);
    let now = session.now;
    let gateway = &mut session.gateway;
    for n in 1..=4 {
        let id = format!("device-{n}").try_into().unwrap();
        let (device, _) = gateway.attach(id, None, UNIX_NOW, now).unwrap();
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
    session
}

/// What the bridge may send to it, in any order and with identifiers that may be wrong.
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

/// Feeds the inputs, one a second, and gives every byte and event that came out.
fn run(inputs: &[Vec<u8>], manner: &Manner) -> (Vec<u8>, Vec<Event>) {
    let mut session = busy();
    let (mut bytes, mut events) = (Vec::new(), session.events());
    for input in inputs {
        let mut rest = &input[..];
        let mut fragments = manner.fragments.iter().cycle();
        while !rest.is_empty() {
            let len = fragments
                .next()
                .map_or(rest.len(), |len| *len.min(&rest.len()));
            let (fragment, others) = rest.split_at(len);
            session.receive(fragment);
            rest = others;
            if manner.polls {
                let _ = (
                    session.gateway.poll_timeout(),
                    session.gateway.poll_transmit(),
                );
                events.extend(session.gateway.poll_event());
            }
        }
        bytes.extend(take(&mut session));
        if manner.spurious_timeouts {
            spurious_timeout(&mut session);
        }
        session.wait(seconds(1));
        bytes.extend(take(&mut session));
    }
    events.extend(session.events());
    (bytes, events)
}

fn take(session: &mut Session) -> Vec<u8> {
    let mut taken = Vec::new();
    while !session.gateway.poll_transmit().is_empty() {
        let bytes = session.gateway.poll_transmit().to_vec();
        session.gateway.handle_transmitted(bytes.len(), session.now);
        taken.extend(bytes);
    }
    taken
}

fn spurious_timeout(session: &mut Session) {
    let early = session.now + Duration::from_millis(1);
    if session
        .gateway
        .poll_timeout()
        .is_none_or(|deadline| deadline > early)
    {
        session.gateway.handle_timeout(session.now);
        session.gateway.handle_timeout(early);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_events_and_bytes(
        inputs in vec(vec(packet(), 0..6).prop_map(|packets| packets.concat()), 1..12),
        fragments in vec(1..9usize, 1..6),
    ) {
        let whole = run(&inputs, &Manner::default());
        prop_assert_eq!(&whole, &run(&inputs, &Manner { fragments, ..Manner::default() }));
        prop_assert_eq!(&whole, &run(&inputs, &Manner { fragments: vec![1], ..Manner::default() }));
    }

    #[test]
    fn polls_and_spurious_timeouts_change_nothing(
        inputs in vec(vec(packet(), 0..6).prop_map(|packets| packets.concat()), 1..12),
    ) {
        let plain = run(&inputs, &Manner::default());
        prop_assert_eq!(&plain, &run(&inputs, &Manner { polls: true, ..Manner::default() }));
        prop_assert_eq!(&plain, &run(&inputs, &Manner { spurious_timeouts: true, ..Manner::default() }));
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(
        inputs in vec(vec(packet(), 0..6).prop_map(|packets| packets.concat()), 1..12),
    ) {
        prop_assert_eq!(run(&inputs, &Manner::default()), run(&inputs, &Manner::default()));
    }
}
