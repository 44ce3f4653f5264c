//! What hangs up the bridge, and ends before it is blamed.

use std::time::Duration;

use iotcore_gateway::{OpId, Options, Publication, cause::TransportEnd};

use super::{
    expiring::live,
    peer::{Harness, Sent, seconds},
};

/// What ends a poisonous message before its trial.
#[derive(Clone, Copy, Debug)]
enum Ends {
    Never,
    Expires(u64),
    Cancelled(u64),
    /// A newer state replaces it.
    Superseded,
}

/// How many connections a bridge closes in two hours that closes at each message of one device, which has one each 30 s,
/// while another device has one each second; and how many of the latter were done.
fn hang_ups(ends: Ends) -> (usize, usize) {
    let mut options = Options::default();
    options.device_queue.messages = 100_000;
    let mut harness = Harness::open(options);
    let poisonous = harness.attach("device-1");
    let healthy = harness.attach("device-2");
    let (mut ended, mut done, mut is_up) = (0, 0, true);
    let mut to_cancel: Vec<(u64, OpId)> = Vec::new();
    for step in 0..72_000_u64 {
        let second = step / 10;
        if step % 300 == 0 {
            let mut publication = Publication::telemetry(poisonous, "poison");
            if let Ends::Expires(after) = ends {
                publication = publication.expires_after(seconds(after));
            }
            if let Ends::Superseded = ends {
                publication = Publication::state(poisonous, "poison");
            }
            let op = harness.gateway.publish(publication, harness.now).unwrap();
            if let Ends::Cancelled(after) = ends {
                to_cancel.push((second + after, op));
            }
        }
        if step % 10 == 0 {
            _ = harness
                .gateway
                .publish(Publication::telemetry(healthy, "healthy"), harness.now);
            to_cancel.retain(|(at, op)| {
                let is_due = *at <= second;
                if is_due {
                    _ = harness.gateway.cancel(*op, harness.now);
                }
                !is_due
            });
        }
        if is_up && !harness.gateway.wants_transport() {
            is_up = false;
            harness
                .gateway
                .handle_disconnected(TransportEnd::HungUp, harness.now);
        }
        if !is_up && harness.gateway.wants_transport() {
            is_up = true;
            harness.transport_up();
        }
        if is_up {
            'answers: loop {
                let sent = harness.sent();
                if sent.is_empty() {
                    break;
                }
                for packet in sent {
                    if matches!(&packet, Sent::Publish { payload, .. } if payload == b"poison") {
                        harness.lose_connection();
                        is_up = false;
                        ended += 1;
                        break 'answers;
                    }
                    done += usize::from(
                        matches!(&packet, Sent::Publish { payload, .. } if payload == b"healthy"),
                    );
                    if let Some(answer) = packet.answer() {
                        harness.receive(&answer);
                    }
                }
            }
        }
        harness.wait(Duration::from_millis(100));
        harness.events();
    }
    (ended, done)
}

#[test]
fn a_device_at_whose_messages_the_bridge_closes_ends_few_connections_although_they_end_before() {
    let (without, done) = hang_ups(Ends::Never);
    assert_eq!((without, done), (19, 7_200));
    for ends in [
        Ends::Superseded,
        Ends::Expires(5),
        Ends::Expires(20),
        Ends::Expires(60),
        Ends::Cancelled(0),
        Ends::Cancelled(1),
        Ends::Cancelled(20),
        Ends::Cancelled(60),
    ] {
        let (with, done) = hang_ups(ends);
        assert!(with <= 2 * without, "{ends:?}: {with} instead of {without}");
        assert!(done > 7_100, "{ends:?}: {done} of the other device");
    }
}

#[test]
fn a_hang_up_at_a_cancelled_message_is_no_sign_of_a_takeover() {
    let mut harness = Harness::open(Options::default());
    let own = harness.gateway.own_key();
    for round in 1..=9 {
        let op = harness.publish(own, "1");
        harness.sent();
        harness.gateway.cancel(op, harness.now).unwrap();
        harness.lose_connection();
        assert!(!harness.disconnected().takeover_suspected, "round {round}");
        harness.redial();
    }
}

/// A trial that a detach has interrupted, and a device that the bridge detaches then.
#[test]
fn a_suspect_whose_trial_was_interrupted_by_a_drain_and_whose_device_is_detached_is_sent_on_this_connection()
 {
    let mut harness = Harness::open(Options::default());
    let [first, second] = ["device-1", "device-2"].map(|id| harness.attach(id));
    harness.events();
    harness.publish(first, "suspect");
    for _ in 0..3 {
        harness.sent();
        harness.lose_connection();
        harness.wait_for_dial();
        harness.connect();
        let ids = harness.sent_ids();
        ids.into_iter().take(2).for_each(|id| harness.puback(id));
    }
    harness.events();
    assert_eq!(harness.sent_texts(), [""; 0]);
    harness.wait(seconds(11));
    assert_eq!(harness.sent_texts(), ["suspect"], "on trial");
    // Meanwhile a device is to be detached that has something to send.
    harness.publish(second, "last");
    harness.gateway.detach(second, harness.now).unwrap();
    let sent = harness.sent_payloads();
    assert_eq!(
        sent.iter()
            .map(|(text, _)| text.as_str())
            .collect::<Vec<_>>(),
        ["last"]
    );
    harness.puback(sent[0].1);
    let detach = harness.sent_payloads();
    harness.puback(detach[0].1);
    live(&mut harness, seconds(12));
    harness.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", None);
    harness.publish(first, "behind");
    let mut seen = Vec::new();
    for _ in 0..120 {
        for (text, id) in live(&mut harness, seconds(1)) {
            harness.puback(id);
            seen.push(text);
        }
    }
    assert!(seen.iter().any(|text| text == "suspect"), "{seen:?}");
}
