//! Publications that the user takes back.

use std::time::{Duration, Instant};

use iotcore_gateway::{
    Event, Failure, OpId, Options, Outcome, Publication,
    command_error::CommandError,
    device::DeviceState,
    message::{QoS, Unsent},
};

use super::peer::{Harness, seconds};

fn cancel(harness: &mut Harness, op: OpId) -> Result<(), CommandError> {
    harness.gateway.cancel(op, harness.now)
}

#[test]
fn one_that_waits_is_handed_back_and_not_sent() {
    let (mut harness, device) = Harness::attached(Options::default());
    harness.lose_connection();
    harness.events();
    let tagged = Publication::telemetry(device, "1").tag("mine".try_into().unwrap());
    let op = harness.gateway.publish(tagged, harness.now).unwrap();
    let other = harness.publish(device, "2");
    cancel(&mut harness, op).unwrap();
    let events = harness.events();
    let [
        Event::Failed {
            op: ended,
            failure: Failure::Cancelled,
            unsent: Some(unsent),
            ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    let Unsent { tag, payload, .. } = &**unsent;
    assert_eq!((*ended, &payload[..]), (op, &b"1"[..]));
    assert_eq!(tag.as_ref().unwrap().as_str(), "mine");
    harness.redial();
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.sent_texts(), ["2"]);
    assert_eq!(
        harness
            .gateway
            .unsent()
            .map(|unsent| unsent.op)
            .collect::<Vec<_>>(),
        [other]
    );
}

#[test]
fn the_identifier_of_one_in_flight_is_not_used_before_it_is_acknowledged() {
    let mut options = Options::default();
    options.window = 2;
    options.device_window = 2;
    let (mut harness, device) = Harness::attached(options);
    harness.widen(device, 1);
    let op = harness.publish(device, "1");
    let id = harness.sent_ids()[0];
    cancel(&mut harness, op).unwrap();
    assert_eq!(harness.ended(op), Some(Err(Failure::Cancelled)));
    for _ in 0..70_000 {
        harness.publish(device, "");
        let [other] = harness.sent_ids()[..] else {
            panic!("one has room")
        };
        assert_ne!(other, id);
        harness.puback(other);
        harness.events();
    }
    harness.wait(seconds(100));
    assert_eq!(harness.sent_texts(), [""; 0], "it is not sent again");
    harness.puback(id);
    assert_eq!(harness.events(), []);
}

#[test]
fn the_room_of_one_in_flight_is_for_the_next_when_it_is_acknowledged() {
    let mut options = Options::default();
    options.window = 1;
    options.device_window = 1;
    let (mut harness, device) = Harness::attached(options);
    let op = harness.publish(device, "1");
    let id = harness.sent_ids()[0];
    harness.publish(device, "2");
    cancel(&mut harness, op).unwrap();
    harness.puback(id);
    assert_eq!(harness.sent_texts(), ["2"]);
}

#[test]
fn one_at_qos_0_that_was_not_handed_over_is_cancelled_and_may_arrive() {
    let (mut harness, device) = Harness::attached(Options::default());
    let publication = Publication::telemetry(device, "1").qos(QoS::AtMostOnce);
    let op = harness.gateway.publish(publication, harness.now).unwrap();
    cancel(&mut harness, op).unwrap();
    assert_eq!(harness.ended(op), Some(Err(Failure::Cancelled)));
    assert_eq!(harness.sent_texts(), ["1"]);
    assert_eq!(harness.events(), []);
}

#[test]
fn what_has_ended_and_what_is_no_publication_cannot_be_cancelled() {
    let mut harness = Harness::open(Options::default());
    let (device, attach) = harness.begin_attach("device-1");
    assert_eq!(
        cancel(&mut harness, attach),
        Err(CommandError::NotCancellable(attach))
    );
    harness.acknowledge_attach("device-1");
    assert!(matches!(harness.ended(attach), Some(Ok(Outcome::Attached))));
    let op = harness.publish(device, "1");
    let id = harness.sent_ids()[0];
    harness.puback(id);
    assert_eq!(
        cancel(&mut harness, op),
        Err(CommandError::NotCancellable(op))
    );
    let again = harness.publish(device, "2");
    cancel(&mut harness, again).unwrap();
    let error = cancel(&mut harness, again).unwrap_err();
    assert!(error.to_string().contains(&again.to_string()));
}

#[test]
fn a_detach_that_waits_for_its_device_ends_when_the_last_one_is_cancelled() {
    let (mut harness, device) = Harness::attached(Options::default());
    let op = harness.publish(device, "1");
    harness.sent();
    let detach = harness.gateway.detach(device, harness.now).unwrap();
    assert_eq!(harness.sent(), [], "it waits for the publication");
    cancel(&mut harness, op).unwrap();
    let id = harness.expect_publish("/devices/device-1/detach");
    harness.puback(id);
    assert!(matches!(harness.ended(detach), Some(Ok(Outcome::Detached))));
    assert_eq!(harness.gateway.device_state(device), None::<DeviceState>);
}

#[test]
fn a_suspect_that_is_cancelled_lets_its_device_go_on() {
    let (mut harness, device) = Harness::attached(Options::default());
    let suspect = harness.publish(device, "suspect");
    harness.sent();
    // The bridge hangs up at it twice.
    for _ in 0..2 {
        harness.reconnect();
        harness.acknowledge_attach("device-1");
        harness.wait(seconds(3));
        if harness.sent_texts() != ["suspect"] {
            harness.wait(seconds(3));
            harness.sent_texts();
        }
    }
    harness.publish(device, "next");
    cancel(&mut harness, suspect).unwrap();
    harness.wait(seconds(1));
    assert_eq!(harness.sent_texts(), ["next"]);
}

#[test]
fn a_device_whose_messages_are_cancelled_in_flight_holds_no_more_than_its_tenth_of_the_window() {
    let mut harness = Harness::open(Options::default());
    let [deaf, healthy] = ["deaf-1", "healthy-1"].map(|id| harness.attach(id));
    harness.events();
    for _ in 0..10 {
        let ops: Vec<_> = (0..10).map(|_| harness.publish(deaf, "deaf")).collect();
        harness.sent();
        for op in ops {
            harness.gateway.cancel(op, harness.now).unwrap();
        }
    }
    harness.publish(healthy, "healthy");
    assert_eq!(harness.sent_texts(), ["healthy"]);
}

/// Drives a bridge that ignores everything of device-1 and answers the rest after 100 ms; returns how many of the healthy
/// device are done in a minute.
fn rate_beside(cancels: bool) -> usize {
    let mut options = Options::default();
    options.quota.messages_per_second = None;
    let mut harness = Harness::open(options);
    let [deaf, healthy] = ["deaf-1", "healthy-1"].map(|id| harness.attach(id));
    harness.events();
    let mut done = 0;
    let mut due: Vec<(Instant, u16)> = Vec::new();
    let mut of_deaf: Vec<OpId> = Vec::new();
    for round in 0..600 {
        if round % 10 == 0 {
            // A second has passed: the user of the deaf one gives up what he has, and tries again.
            for _ in 0..10 {
                if cancels {
                    for op in of_deaf.drain(..) {
                        _ = harness.gateway.cancel(op, harness.now);
                    }
                }
                while of_deaf.len() < 10 {
                    of_deaf.push(harness.publish(deaf, "deaf"));
                }
            }
        }
        while harness.gateway.stats().queued < 200 {
            harness.publish(healthy, "healthy");
        }
        for (payload, id) in harness.sent_payloads() {
            if payload == "healthy" {
                due.push((harness.now + Duration::from_millis(100), id));
            }
        }
        harness.wait(Duration::from_millis(100));
        let now = harness.now;
        let (ready, rest): (Vec<_>, Vec<_>) = due.drain(..).partition(|(at, _)| *at <= now);
        due = rest;
        for (_, id) in ready {
            harness.puback(id);
            done += 1;
        }
        harness.events();
    }
    done
}

#[test]
fn a_device_whose_messages_are_cancelled_and_given_again_costs_the_others_a_tenth_at_most() {
    let (without, with) = (rate_beside(false), rate_beside(true));
    assert!(with * 11 >= without * 10, "{with} of {without}");
}

#[test]
fn a_report_that_names_a_cancelled_publication_still_shows_that_its_device_is_detached() {
    for cancels in [false, true] {
        let (mut harness, device) = Harness::attached(Options::default());
        let op = harness.publish(device, "1");
        let id = harness.sent_ids()[0];
        if cancels {
            harness.gateway.cancel(op, harness.now).unwrap();
        }
        harness.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", Some(id));
        let events = harness.events();
        assert!(
            events
                .iter()
                .any(|event| matches!(event, Event::Detached { .. })),
            "cancelled {cancels}: {events:?}"
        );
    }
}
