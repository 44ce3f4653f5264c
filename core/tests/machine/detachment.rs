//! Detaching devices: publications first, then the detach.

use iotcore_gateway::{
    DeviceAuth, Event, Failure, OpId, Options, Outcome, Publication,
    cause::DetachCause,
    command_error::{CommandError, PublishError, PublishErrorKind},
    message::{QoS, Subscription},
};

use super::peer::{EVENTS, Harness, UNIX_NOW, seconds};

#[test]
fn a_detach_is_sent_after_the_publications_and_completes_with_its_puback() {
    let (mut harness, device) = Harness::attached(Options::default());
    let published = harness.publish(device, "last message");
    let op = harness.gateway.detach(device, harness.now).unwrap();
    let id = harness.expect_publish(EVENTS);
    assert_eq!(harness.sent(), [], "the detach is not sent yet");
    harness.puback(id);
    let id = harness.expect_publish("/devices/device-1/detach");
    harness.puback(id);
    assert_eq!(
        harness.events(),
        [
            Event::Done {
                op: published,
                outcome: Outcome::Acknowledged
            },
            Event::Detached {
                device,
                cause: DetachCause::Requested
            },
            Event::Done {
                op,
                outcome: Outcome::Detached
            },
        ]
    );
    assert_eq!(harness.gateway.device_state(device), None);
}

#[test]
fn publications_that_a_detach_cannot_send_in_time_fail_and_the_detach_is_sent() {
    let (mut harness, device) = Harness::attached(Options::default());
    let published = harness.publish(device, "last message");
    let op = harness.gateway.detach(device, harness.now).unwrap();
    harness.expect_publish(EVENTS);
    harness.wait(seconds(10));
    assert_eq!(harness.ended(published), Some(Err(Failure::Detached)));
    let id = harness.expect_publish("/devices/device-1/detach");
    assert_eq!(harness.sent(), [], "once");
    harness.puback(id);
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Detached)));
}

#[test]
fn a_detach_without_an_answer_times_out() {
    let (mut harness, device) = Harness::attached(Options::default());
    let op = harness.gateway.detach(device, harness.now).unwrap();
    harness.expect_publish("/devices/device-1/detach");
    harness.time_out(seconds(30));
    assert_eq!(harness.ended(op), Some(Err(Failure::TimedOut(seconds(30)))));
}

#[test]
fn a_lost_connection_completes_a_detach() {
    let (mut harness, device) = Harness::attached(Options::default());
    let op = harness.gateway.detach(device, harness.now).unwrap();
    harness.expect_publish("/devices/device-1/detach");
    harness.lose_connection();
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Detached)));
    harness.redial();
    assert_eq!(harness.sent(), [], "the device is not attached again");
}

#[test]
fn a_detach_while_disconnected_first_delivers_queued_publications() {
    let (mut harness, device) = Harness::attached(Options::default());
    harness.lose_connection();
    let published = harness.publish(device, "last message");
    let op = harness.gateway.detach(device, harness.now).unwrap();
    harness.redial();
    harness.acknowledge_attach("device-1");
    let id = harness.expect_publish(EVENTS);
    harness.puback(id);
    let id = harness.expect_publish("/devices/device-1/detach");
    harness.puback(id);
    let events = harness.events();
    assert!(events.contains(&Event::Done {
        op: published,
        outcome: Outcome::Acknowledged
    }));
    assert!(events.contains(&Event::Done {
        op,
        outcome: Outcome::Detached
    }));
}

/// Acknowledges this publication of a device that is being detached, and then the detach.
fn deliver_and_detach(harness: &mut Harness, published: OpId, detach: OpId) {
    let id = harness.expect_publish(EVENTS);
    assert_eq!(harness.sent(), [], "the detach is not sent yet");
    harness.puback(id);
    assert_eq!(harness.ended(published), Some(Ok(Outcome::Acknowledged)));
    let id = harness.expect_publish("/devices/device-1/detach");
    harness.puback(id);
    assert_eq!(harness.ended(detach), Some(Ok(Outcome::Detached)));
}

#[test]
fn a_connection_lost_during_a_detach_delivers_publications_in_flight_first() {
    let (mut harness, device) = Harness::attached(Options::default());
    let published = harness.publish(device, "last message");
    let op = harness.gateway.detach(device, harness.now).unwrap();
    harness.expect_publish(EVENTS);
    harness.lose_connection();
    harness.redial();
    harness.events();
    harness.acknowledge_attach("device-1");
    deliver_and_detach(&mut harness, published, op);
}

#[test]
fn a_detach_during_an_attach_waits_for_it_and_delivers_queued_publications() {
    let mut harness = Harness::open(Options::default());
    let (device, attach) = harness.begin_attach("device-1");
    let published = harness.publish(device, "last message");
    let op = harness.gateway.detach(device, harness.now).unwrap();
    let id = harness.expect_publish("/devices/device-1/attach");
    assert_eq!(harness.events(), []);
    harness.puback(id);
    assert_eq!(harness.ended(attach), Some(Ok(Outcome::Attached)));
    deliver_and_detach(&mut harness, published, op);
}

#[test]
fn every_command_refuses_the_key_of_a_detached_device() {
    let (mut harness, gone) = Harness::attached(Options::default());
    harness.gateway.detach(gone, harness.now).unwrap();
    let id = harness.expect_publish("/devices/device-1/detach");
    harness.puback(id);
    harness.attach("device-2");
    let (now, config, qos) = (harness.now, Subscription::Config, QoS::AtLeastOnce);
    let token = harness.token();
    let gateway = &mut harness.gateway;
    let unknown = CommandError::UnknownDevice;
    assert_eq!(gateway.detach(gone, now), Err(unknown.clone()));
    assert_eq!(
        gateway.authorize(gone, token, UNIX_NOW, now),
        Err(unknown.clone())
    );
    let subscribing = gateway.subscribe(gone, config, qos, now);
    assert_eq!(subscribing, Err(unknown.clone()));
    assert_eq!(gateway.unsubscribe(gone, config, now), Err(unknown));
}

#[test]
fn the_key_of_another_gateway_is_an_unknown_device() {
    let (mut harness, ours) = Harness::attached(Options::default());
    let theirs = Harness::named("gw-2", Options::default())
        .begin_attach("device-1")
        .0;
    assert_ne!(ours, theirs);
    let publication = Publication::telemetry(theirs, "21.5");
    let refused = harness.gateway.publish(publication, harness.now);
    assert!(matches!(
        refused,
        Err(PublishError {
            kind: PublishErrorKind::UnknownDevice,
            ..
        })
    ));
    let refused = harness.gateway.detach(theirs, harness.now);
    assert_eq!(refused, Err(CommandError::UnknownDevice));
}

#[test]
fn a_detached_key_is_refused_and_a_new_attach_returns_a_different_one() {
    let (mut harness, device) = Harness::attached(Options::default());
    harness.gateway.detach(device, harness.now).unwrap();
    let refused = harness
        .gateway
        .publish(Publication::state(device, "{}"), harness.now);
    assert!(matches!(
        refused,
        Err(PublishError {
            kind: PublishErrorKind::Detaching,
            ..
        })
    ));
    let again = harness.gateway.attach(
        "device-1".try_into().unwrap(),
        DeviceAuth::ByAssociation,
        UNIX_NOW,
        harness.now,
    );
    assert_eq!(again, Err(CommandError::Detaching));
    let id = harness.expect_publish("/devices/device-1/detach");
    harness.puback(id);
    let refused = harness
        .gateway
        .publish(Publication::state(device, "{}"), harness.now);
    assert!(matches!(
        refused,
        Err(PublishError {
            kind: PublishErrorKind::UnknownDevice,
            ..
        })
    ));
    assert_ne!(harness.attach("device-1"), device);
}
