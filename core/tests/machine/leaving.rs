//! Devices that leave before the bridge has attached them, or while they cannot send: everything ends.

use iotcore_gateway::{
    DeviceAuth, DeviceKey, Event, Failure, OpId, Options, Outcome, auth::Token,
    device::DeviceState, options::OnRefusal,
};

use super::peer::{ATTACH, EVENTS, Harness, Sent, failed, seconds};

const DETACH: &str = "/devices/device-1/detach";

fn detach(harness: &mut Harness, device: DeviceKey) -> OpId {
    harness.gateway.detach(device, harness.now).unwrap()
}

/// Expects the detach of the device, and its end with the PUBACK.
fn finish_detach(harness: &mut Harness, op: OpId) {
    let id = harness.expect_publish(DETACH);
    assert_eq!(harness.sent(), []);
    assert_eq!(harness.ended(op), None);
    harness.puback(id);
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Detached)));
    harness.wait(seconds(40));
    assert_eq!(harness.sent(), [], "it is not attached again");
}

#[test]
fn a_detach_behind_an_attach_is_sent_once_that_is_answered() {
    let mut harness = Harness::open(Options::default());
    let (device, attach) = harness.begin_attach("device-1");
    let op = detach(&mut harness, device);
    let id = harness.expect_publish(ATTACH);
    assert_eq!(harness.sent(), []);
    harness.puback(id);
    assert_eq!(harness.ended(attach), Some(Ok(Outcome::Attached)));
    finish_detach(&mut harness, op);
}

#[test]
fn a_detach_behind_an_attach_without_an_answer_is_sent_once_that_is_overdue() {
    let mut harness = Harness::open(Options::default());
    let (device, attach) = harness.begin_attach("device-1");
    let late = harness.expect_publish(ATTACH);
    let op = detach(&mut harness, device);
    harness.time_out(seconds(30));
    let timed_out = Failure::TimedOut(seconds(30));
    assert_eq!(harness.ended(attach), Some(Err(timed_out)));
    let state = harness.gateway.device_state(device);
    assert_eq!(state, Some(DeviceState::Detaching));
    harness.puback(late);
    assert_eq!(harness.events(), [], "a late answer changes nothing");
    finish_detach(&mut harness, op);
}

#[test]
fn a_device_whose_attach_has_timed_out_is_detached_because_it_may_be_attached() {
    let mut harness = Harness::open(Options::default());
    let (device, _) = harness.begin_attach("device-1");
    let late = harness.expect_publish(ATTACH);
    harness.time_out(seconds(30));
    let state = harness.gateway.device_state(device);
    assert_eq!(state, Some(DeviceState::Retrying));
    let published = harness.publish(device, "1");
    let op = detach(&mut harness, device);
    assert_eq!(harness.ended(published), Some(Err(Failure::Detached)));
    harness.puback(late);
    assert_eq!(harness.events(), [], "a late answer changes nothing");
    finish_detach(&mut harness, op);
}

#[test]
fn a_device_that_needs_a_token_is_detached_if_its_attach_has_no_answer() {
    let mut harness = Harness::open(Options::default());
    let token = Token::new("device.to.ken", harness.now + seconds(31)).unwrap();
    let (device, _) = harness.begin_attach_as("device-1", DeviceAuth::Token(token));
    harness.expect_publish(ATTACH);
    harness.wait(seconds(35));
    let state = harness.gateway.device_state(device);
    assert_eq!(state, Some(DeviceState::TokenNeeded));
    let op = detach(&mut harness, device);
    finish_detach(&mut harness, op);
}

#[test]
fn a_detach_that_cannot_be_needed_is_not_sent() {
    let reports = [
        ("GATEWAY_ATTACHMENT_ERROR", DeviceState::Refused),
        ("UNKNOWN", DeviceState::Retrying),
    ];
    for (report, expected) in reports {
        let mut harness = Harness::open(Options::default());
        let (device, _) = harness.begin_attach("device-1");
        let id = harness.expect_publish(ATTACH);
        harness.report(report, "device-1", Some(id));
        let state = harness.gateway.device_state(device);
        assert_eq!(state, Some(expected));
        let op = detach(&mut harness, device);
        assert_eq!(harness.ended(op), Some(Ok(Outcome::Detached)));
        assert_eq!(harness.sent(), []);
    }
}

#[test]
fn a_lost_connection_ends_a_detach_that_waits_for_its_turn() {
    let mut harness = Harness::open(Options::default());
    let (device, _) = harness.begin_attach("device-1");
    harness.expect_publish(ATTACH);
    harness.time_out(seconds(30));
    let own = harness.gateway.own_key();
    harness.publish(own, &"x".repeat(64 * 1024));
    let op = detach(&mut harness, device);
    assert_eq!(harness.ended(op), None, "its packet has no room yet");
    harness.lose_connection();
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Detached)));
    harness.redial();
    harness.expect_publish("/devices/gw-1/events");
    assert_eq!(harness.sent(), [], "it is not attached again");
    assert_eq!(harness.gateway.device_state(device), None);
}

/// Asserts that a publication fails, handed back, before the detach of its device is done.
fn assert_drained(events: &[Event], published: OpId, detach: OpId) {
    let place = |is: &dyn Fn(&Event) -> bool| events.iter().position(is);
    let failed = place(&|event| {
        matches!(event, Event::Failed { op, failure: Failure::Detached, unsent: Some(unsent), .. }
            if *op == published && unsent.payload == "1")
    });
    let outcome = Outcome::Detached;
    let done = place(&|event| {
        *event
            == Event::Done {
                op: detach,
                outcome,
            }
    });
    assert!(failed.is_some() && failed < done, "{events:?}");
}

#[test]
fn a_detach_without_a_connection_ends_within_the_drain_timeout() {
    let unopened = Harness::new(Options::default());
    let dialing = Harness::dialing(Options::default());
    for mut harness in [unopened, dialing] {
        let (device, _) = harness.begin_attach("device-1");
        let published = harness.publish(device, "1");
        let op = detach(&mut harness, device);
        assert_eq!(harness.events(), []);
        assert_eq!(
            harness.gateway.poll_timeout(),
            Some(harness.now + seconds(10))
        );
        harness.step();
        assert_drained(&harness.events(), published, op);
        assert_eq!(harness.gateway.device_state(device), None);
        assert_eq!(harness.gateway.poll_timeout(), None);
    }
}

#[test]
fn the_drain_timeout_of_a_detach_goes_on_across_connections() {
    let (mut harness, device) = Harness::attached(Options::default());
    let published = harness.publish(device, "1");
    let op = detach(&mut harness, device);
    harness.expect_publish(EVENTS);
    harness.wait(seconds(5));
    harness.reconnect();
    let attach = harness.expect_publish(ATTACH);
    harness.wait(seconds(4));
    assert_eq!(harness.ended(published), Some(Err(Failure::Detached)));
    assert_eq!(harness.sent(), [], "the attach may still be answered");
    harness.puback(attach);
    finish_detach(&mut harness, op);
}

#[test]
fn a_detach_of_a_device_that_is_about_to_be_attached_again_delivers_its_queue() {
    let (mut harness, device) = Harness::attached(Options::default());
    let published = harness.publish(device, "1");
    harness.sent();
    harness.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", None);
    let state = harness.gateway.device_state(device);
    assert_eq!(state, Some(DeviceState::Retrying));
    harness.events();
    let op = detach(&mut harness, device);
    assert_eq!(harness.events(), []);
    harness.wait(seconds(2));
    harness.acknowledge_attach("device-1");
    let id = harness.expect_publish(EVENTS);
    harness.puback(id);
    assert_eq!(harness.ended(published), Some(Ok(Outcome::Acknowledged)));
    finish_detach(&mut harness, op);
}

#[test]
fn a_slot_that_is_taken_anew_has_no_drain_timeout_of_its_predecessor() {
    let (mut harness, device) = Harness::attached(Options::default());
    harness.publish(device, "1");
    detach(&mut harness, device);
    let id = harness.expect_publish(EVENTS);
    harness.puback(id);
    let id = harness.expect_publish(DETACH);
    harness.puback(id);
    let successor = harness.attach("device-2");
    let kept = harness.publish(successor, "2");
    harness.sent();
    harness.wait(seconds(15));
    assert_eq!(harness.ended(kept), None);
}

/// Creates a device that has a publication and cannot send it.
fn stuck(how: DeviceState) -> (Harness, OpId) {
    let mut options = Options::default();
    options.reattach = false;
    options.on_refusal = OnRefusal::KeepQueue;
    let mut harness = Harness::open(options);
    let token = Token::new("device.to.ken", harness.now + seconds(5)).unwrap();
    let auth = match how {
        DeviceState::TokenNeeded => DeviceAuth::Token(token),
        _ => DeviceAuth::ByAssociation,
    };
    let (device, _) = harness.begin_attach_as("device-1", auth);
    let published = harness.publish(device, "1");
    let id = harness.expect_publish(ATTACH);
    match how {
        DeviceState::Refused => {
            harness.report("GATEWAY_ATTACHMENT_ERROR", "device-1", Some(id));
        }
        DeviceState::Dormant => {
            harness.puback(id);
            harness.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", None);
            harness.sent();
        }
        _ => {
            harness.lose_connection();
            harness.wait(seconds(6));
            harness.redial();
        }
    }
    assert_eq!(harness.gateway.device_state(device), Some(how));
    harness.events();
    (harness, published)
}

#[test]
fn a_close_does_not_wait_for_what_cannot_be_sent() {
    for how in [
        DeviceState::Refused,
        DeviceState::Dormant,
        DeviceState::TokenNeeded,
    ] {
        let (mut harness, published) = stuck(how);
        harness.gateway.close(harness.now);
        assert_eq!(harness.sent(), [Sent::Disconnect], "{how:?}");
        harness.lose_connection();
        let events = harness.events();
        assert_eq!(failed(&events, published), Some(&Failure::Closed));
        let Some(Event::Closed { unsent }) = events.last() else {
            panic!("{events:?}");
        };
        assert_eq!(unsent[0].op, published);
    }
}

#[test]
fn a_close_waits_for_others_beside_what_cannot_be_sent() {
    let (mut harness, _) = stuck(DeviceState::Dormant);
    let own = harness.gateway.own_key();
    let published = harness.publish(own, "2");
    harness.gateway.close(harness.now);
    let id = harness.expect_publish("/devices/gw-1/events");
    assert_eq!(harness.sent(), []);
    harness.puback(id);
    assert_eq!(harness.ended(published), Some(Ok(Outcome::Acknowledged)));
    assert_eq!(harness.sent(), [Sent::Disconnect]);
}

#[test]
fn a_closed_gateway_has_no_deadline_of_a_detach() {
    let mut harness = Harness::dialing(Options::default());
    let (device, _) = harness.begin_attach("device-1");
    harness.publish(device, "1");
    let detach = detach(&mut harness, device);
    harness.wait(seconds(1));
    harness.gateway.close(harness.now);
    harness.wait(seconds(20));
    assert!(harness.gateway.is_closed());
    assert_eq!(harness.ended(detach), Some(Ok(Outcome::Detached)));
    assert_eq!(harness.gateway.poll_timeout(), None);
}
