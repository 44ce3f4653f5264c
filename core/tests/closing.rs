//! Closing: what can be sent has its time, then every operation ends.

mod peer;

use iotcore_gateway::{
    Event, Failure, Options, Outcome, Publication, PublishError, QoS, Reconnect, Subscription,
    TransportEnd,
};
use peer::{Sent, Session, seconds};

#[test]
fn close_sends_what_it_can_then_disconnects() {
    let mut session = Session::open(Options::default());
    let own = session.gateway.own_key();
    let published = session.publish(own, "1");
    let close = session.gateway.close(session.now);
    assert_eq!(session.gateway.close(session.now), close);
    let refused = session
        .gateway
        .publish(Publication::state(own, "{}"), session.now);
    assert!(matches!(refused, Err(PublishError::Closed(_))));
    let id = session.expect_publish("/devices/gw-1/events");
    session.wait(seconds(5));
    session.puback(id);
    assert_eq!(session.sent(), [Sent::Disconnect]);
    assert!(!session.gateway.wants_transport());
    session
        .gateway
        .handle_disconnected(TransportEnd::PeerClosed, session.now);
    let events = session.events();
    assert_eq!(
        events.first(),
        Some(&Event::Done {
            op: published,
            outcome: Outcome::Acknowledged
        })
    );
    assert_eq!(
        events[events.len() - 2..],
        [
            Event::Done {
                op: close,
                outcome: Outcome::Closed
            },
            Event::Closed { unsent: vec![] },
        ]
    );
}

#[test]
fn closing_a_closed_gateway_is_the_same_operation_and_no_event() {
    let mut session = Session::dialing(Options::default());
    let close = session.gateway.close(session.now);
    assert!(session.gateway.is_closed());
    while session.gateway.poll_event().is_some() {
        assert_eq!(session.gateway.close(session.now), close);
    }
}

#[test]
fn nothing_follows_the_end_not_even_room() {
    let mut options = Options::default();
    options.reconnect = Reconnect::Attempts(0);
    options.device_queue.messages = 1;
    let mut session = Session::dialing(options);
    let own = session.gateway.own_key();
    session.publish(own, "1");
    let blocked = session
        .gateway
        .publish(Publication::telemetry(own, "2"), session.now);
    assert!(matches!(blocked, Err(PublishError::Blocked(_))));
    session
        .gateway
        .handle_disconnected(TransportEnd::DialFailed, session.now);
    assert!(session.gateway.is_closed());
    assert!(matches!(
        session.events().last(),
        Some(Event::Closed { .. })
    ));
}

#[test]
fn whatever_ends_the_last_connection_the_gateway_stays_away() {
    let mut session = Session::open(Options::default());
    let own = session.gateway.own_key();
    let published = session.publish(own, "1");
    session.sent();
    session.gateway.close(session.now);
    session.wait(seconds(10));
    assert!(!session.gateway.poll_transmit().is_empty(), "DISCONNECT");
    session.connack(0);
    assert!(!session.gateway.wants_transport());
    session
        .gateway
        .handle_disconnected(TransportEnd::PeerClosed, session.now);
    assert!(session.gateway.is_closed());
    assert_eq!(session.ended(published), Some(Err(Failure::Closed)));
}

#[test]
fn close_gives_up_after_its_deadline_and_names_what_was_left() {
    let mut session = Session::open(Options::default());
    let own = session.gateway.own_key();
    let published = session.publish(own, "1");
    session.sent();
    session.gateway.close(session.now);
    let unsent: Vec<_> = session.gateway.unsent().collect();
    assert_eq!(unsent[0].op, published);
    assert_eq!(unsent[0].payload, "1");
    session.wait(seconds(10));
    assert_eq!(session.sent(), [Sent::Disconnect]);
    session
        .gateway
        .handle_disconnected(TransportEnd::PeerClosed, session.now);
    let events = session.events();
    assert!(events.contains(&Event::Failed {
        op: published,
        failure: Failure::Closed
    }));
    assert_eq!(events.last(), Some(&Event::Closed { unsent }));
    assert_eq!(session.gateway.poll_timeout(), None);
}

#[test]
fn close_while_disconnected_waits_for_a_connection_only_if_something_is_left_to_send() {
    let mut session = Session::dialing(Options::default());
    session.gateway.close(session.now);
    assert_eq!(
        session.events().last(),
        Some(&Event::Closed { unsent: vec![] })
    );

    let mut session = Session::dialing(Options::default());
    let published = session.publish(session.gateway.own_key(), "1");
    session.gateway.close(session.now);
    assert!(session.gateway.wants_transport());
    session.connect();
    let id = session.expect_publish("/devices/gw-1/events");
    session.puback(id);
    assert_eq!(session.ended(published), Some(Ok(Outcome::Acknowledged)));
    assert_eq!(session.sent(), [Sent::Disconnect]);
}

#[test]
fn a_disconnect_that_cannot_be_handed_over_is_not_waited_for() {
    let mut session = Session::open(Options::default());
    session.gateway.close(session.now);
    assert!(session.gateway.wants_transport(), "DISCONNECT waits");
    session.wait(seconds(5));
    assert!(!session.gateway.wants_transport());
    assert!(session.gateway.poll_transmit().is_empty());
}

#[test]
fn every_operation_ends_when_the_gateway_closes() {
    let mut session = Session::open(Options::default());
    let (device, attach) = session.begin_attach("device-1");
    let subscribe = session
        .gateway
        .subscribe(device, Subscription::Config, QoS::AtLeastOnce, session.now)
        .unwrap();
    let published = session.publish(device, "1");
    session.gateway.close(session.now);
    session.sent();
    session.wait(seconds(10));
    session.sent();
    session
        .gateway
        .handle_disconnected(TransportEnd::PeerClosed, session.now);
    let events = session.events();
    for op in [attach, subscribe, published] {
        assert!(
            events.contains(&Event::Failed {
                op,
                failure: Failure::Closed
            }),
            "{op}: {events:?}"
        );
    }
}
