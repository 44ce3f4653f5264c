//! The end of a device's life: its publications first, then the detach.

use iotcore_gateway::{
    CommandError, DetachCause, Event, Failure, OpId, Options, Outcome, Publication, PublishError,
    PublishErrorKind, QoS, Subscription,
};

use super::peer::{EVENTS, Session, UNIX_NOW, seconds};

#[test]
fn a_detach_goes_out_behind_the_publications_and_ends_with_its_puback() {
    let (mut session, device) = Session::attached(Options::default());
    let published = session.publish(device, "last words");
    let op = session.gateway.detach(device, session.now).unwrap();
    let id = session.expect_publish(EVENTS);
    assert_eq!(session.sent(), [], "the detach waits");
    session.puback(id);
    let id = session.expect_publish("/devices/device-1/detach");
    session.puback(id);
    assert_eq!(
        session.events(),
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
    assert_eq!(session.gateway.device_state(device), None);
}

#[test]
fn what_a_detach_cannot_send_in_time_fails_and_it_goes_out_then() {
    let (mut session, device) = Session::attached(Options::default());
    let published = session.publish(device, "last words");
    let op = session.gateway.detach(device, session.now).unwrap();
    session.expect_publish(EVENTS);
    session.wait(seconds(10));
    assert_eq!(session.ended(published), Some(Err(Failure::Detached)));
    let id = session.expect_publish("/devices/device-1/detach");
    assert_eq!(session.sent(), [], "once");
    session.puback(id);
    assert_eq!(session.ended(op), Some(Ok(Outcome::Detached)));
}

#[test]
fn a_detach_without_an_answer_ends_in_time() {
    let (mut session, device) = Session::attached(Options::default());
    let op = session.gateway.detach(device, session.now).unwrap();
    session.expect_publish("/devices/device-1/detach");
    session.wait(seconds(30));
    assert_eq!(session.ended(op), Some(Err(Failure::TimedOut(seconds(30)))));
}

#[test]
fn a_lost_connection_completes_a_detach() {
    let (mut session, device) = Session::attached(Options::default());
    let op = session.gateway.detach(device, session.now).unwrap();
    session.expect_publish("/devices/device-1/detach");
    session.lose_connection();
    assert_eq!(session.ended(op), Some(Ok(Outcome::Detached)));
    session.redial();
    assert_eq!(session.sent(), [], "it is not attached again");
}

#[test]
fn a_detach_during_a_loss_first_delivers_what_is_queued() {
    let (mut session, device) = Session::attached(Options::default());
    session.lose_connection();
    let published = session.publish(device, "last words");
    let op = session.gateway.detach(device, session.now).unwrap();
    session.redial();
    session.acknowledge_attach("device-1");
    let id = session.expect_publish(EVENTS);
    session.puback(id);
    let id = session.expect_publish("/devices/device-1/detach");
    session.puback(id);
    let events = session.events();
    assert!(events.contains(&Event::Done {
        op: published,
        outcome: Outcome::Acknowledged
    }));
    assert!(events.contains(&Event::Done {
        op,
        outcome: Outcome::Detached
    }));
}

/// Delivers this publication of a device that is to be detached, and then its detach.
fn deliver_and_detach(session: &mut Session, published: OpId, detach: OpId) {
    let id = session.expect_publish(EVENTS);
    assert_eq!(session.sent(), [], "the detach waits");
    session.puback(id);
    assert_eq!(session.ended(published), Some(Ok(Outcome::Acknowledged)));
    let id = session.expect_publish("/devices/device-1/detach");
    session.puback(id);
    assert_eq!(session.ended(detach), Some(Ok(Outcome::Detached)));
}

#[test]
fn a_loss_during_a_detach_leaves_what_was_in_flight_to_be_delivered_first() {
    let (mut session, device) = Session::attached(Options::default());
    let published = session.publish(device, "last words");
    let op = session.gateway.detach(device, session.now).unwrap();
    session.expect_publish(EVENTS);
    session.lose_connection();
    session.wait(seconds(15));
    assert_eq!(
        session.events().len(),
        1,
        "its time runs while it is attached"
    );
    session.redial();
    session.acknowledge_attach("device-1");
    deliver_and_detach(&mut session, published, op);
}

#[test]
fn a_detach_during_an_attach_waits_for_it_and_delivers_what_is_queued() {
    let mut session = Session::open(Options::default());
    let (device, attach) = session.begin_attach("device-1");
    let published = session.publish(device, "last words");
    let op = session.gateway.detach(device, session.now).unwrap();
    let id = session.expect_publish("/devices/device-1/attach");
    assert_eq!(session.events(), []);
    session.puback(id);
    assert_eq!(session.ended(attach), Some(Ok(Outcome::Attached)));
    deliver_and_detach(&mut session, published, op);
}

#[test]
fn no_command_takes_the_key_of_a_device_that_is_gone() {
    let (mut session, gone) = Session::attached(Options::default());
    session.gateway.detach(gone, session.now).unwrap();
    let id = session.expect_publish("/devices/device-1/detach");
    session.puback(id);
    session.attach("device-2");
    let (now, config, qos) = (session.now, Subscription::Config, QoS::AtLeastOnce);
    let token = session.token();
    let gateway = &mut session.gateway;
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
fn a_key_of_another_gateway_names_no_device() {
    let (mut session, ours) = Session::attached(Options::default());
    let theirs = Session::named("gw-2", Options::default())
        .begin_attach("device-1")
        .0;
    assert_ne!(ours, theirs);
    let publication = Publication::telemetry(theirs, "21.5");
    let refused = session.gateway.publish(publication, session.now);
    assert!(matches!(
        refused,
        Err(PublishError {
            kind: PublishErrorKind::UnknownDevice,
            ..
        })
    ));
    let refused = session.gateway.detach(theirs, session.now);
    assert_eq!(refused, Err(CommandError::UnknownDevice));
}

#[test]
fn a_detached_key_is_refused_and_a_new_attach_gives_another() {
    let (mut session, device) = Session::attached(Options::default());
    session.gateway.detach(device, session.now).unwrap();
    let refused = session
        .gateway
        .publish(Publication::state(device, "{}"), session.now);
    assert!(matches!(
        refused,
        Err(PublishError {
            kind: PublishErrorKind::Detaching,
            ..
        })
    ));
    let again = session
        .gateway
        .attach("device-1".try_into().unwrap(), None, UNIX_NOW, session.now);
    assert_eq!(again, Err(CommandError::Detaching));
    let id = session.expect_publish("/devices/device-1/detach");
    session.puback(id);
    let refused = session
        .gateway
        .publish(Publication::state(device, "{}"), session.now);
    assert!(matches!(
        refused,
        Err(PublishError {
            kind: PublishErrorKind::UnknownDevice,
            ..
        })
    ));
    assert_ne!(session.attach("device-1"), device);
}
