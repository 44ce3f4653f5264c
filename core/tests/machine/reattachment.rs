//! Attached again: what the bridge had detached, and everything after a lost connection.

use std::time::Duration;

use iotcore_gateway::{
    DetachCause, DeviceState, Event, Failure, Options, Outcome, QoS, Subscription,
};

use super::peer::{ATTACH, EVENTS, Sent, Session, UNIX_NOW, seconds};

#[test]
fn a_refusal_that_follows_the_puback_detaches_and_the_device_is_tried_again() {
    let mut session = Session::open(Options::default());
    let (device, op) = session.begin_attach("device-1");
    let id = session.expect_publish(ATTACH);
    session.puback(id);
    session.report("GATEWAY_ATTACHMENT_ERROR", "device-1", Some(id));
    let events = session.events();
    assert!(events.contains(&Event::Done {
        op,
        outcome: Outcome::Attached
    }));
    assert!(events.iter().any(|event| matches!(event, Event::Detached { device: gone, cause: DetachCause::Reported(_) } if *gone == device)));
    session.step();
    session.acknowledge_attach("device-1");
    assert_eq!(
        session.gateway.device_state(device),
        Some(DeviceState::Attached)
    );
}

#[test]
fn a_device_that_the_bridge_detached_comes_back_with_its_subscriptions_and_its_queue() {
    for error_type in [
        "GATEWAY_DETACHMENT_DEVICE_ERROR",
        "GATEWAY_DEVICE_NOT_FOUND",
    ] {
        let (mut session, device) = Session::attached(Options::default());
        session
            .gateway
            .subscribe(device, Subscription::Config, QoS::AtLeastOnce, session.now)
            .unwrap();
        let id = session.expect_subscribe("/devices/device-1/config");
        session.suback(id, 1);
        let first = session.publish(device, "1");
        session.sent();
        session.report(error_type, "device-1", None);
        let second = session.publish(device, "2");
        assert_eq!(session.sent(), [], "{error_type}");
        let events = session.events();
        assert!(
            events
                .iter()
                .any(|event| matches!(event, Event::Detached { .. })),
            "{events:?}"
        );

        session.step();
        session.acknowledge_attach("device-1");
        session.expect_subscribe("/devices/device-1/config");
        let sent = session.sent_payloads();
        assert_eq!(
            sent.iter()
                .map(|(payload, _)| &payload[..])
                .collect::<Vec<_>>(),
            ["1", "2"]
        );
        for (_, id) in sent {
            session.puback(id);
        }
        let done = session.events();
        for op in [first, second] {
            assert!(done.contains(&Event::Done {
                op,
                outcome: Outcome::Acknowledged
            }));
        }
    }
}

#[test]
fn a_device_that_the_bridge_detached_stays_so_if_the_options_say() {
    let mut options = Options::default();
    options.reattach = false;
    let (mut session, device) = Session::attached(options);
    let op = session.publish(device, "1");
    session.sent();
    session.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", None);
    session.wait(seconds(50));
    assert_eq!(session.sent(), []);
    assert_eq!(
        session.gateway.device_state(device),
        Some(DeviceState::Dormant)
    );
    session.begin_attach("device-1");
    session.acknowledge_attach("device-1");
    let id = session.expect_publish(EVENTS);
    session.puback(id);
    assert_eq!(session.ended(op), Some(Ok(Outcome::Acknowledged)));
}

#[test]
fn a_connection_lost_while_attaching_leaves_it_pending_for_the_next() {
    let mut session = Session::open(Options::default());
    let (_, op) = session.begin_attach("device-1");
    session.expect_publish(ATTACH);
    session.reconnect();
    assert_eq!(session.ended(op), None);
    session.acknowledge_attach("device-1");
    assert_eq!(session.ended(op), Some(Ok(Outcome::Attached)));
}

#[test]
fn an_attach_has_its_whole_time_on_each_connection() {
    let mut session = Session::open(Options::default());
    let (_, op) = session.begin_attach("device-1");
    session.expect_publish(ATTACH);
    session.wait(seconds(20));
    session.reconnect();
    session.expect_publish(ATTACH);
    session.wait(seconds(30) - Duration::from_millis(1));
    assert_eq!(session.ended(op), None);
    session.wait(Duration::from_millis(1));
    assert_eq!(session.ended(op), Some(Err(Failure::TimedOut(seconds(30)))));
}

#[test]
fn a_lost_connection_leaves_the_whole_attach_window_to_the_next() {
    let mut options = Options::default();
    options.attach_window = 1;
    let mut session = Session::open(options);
    session.begin_attach("device-1");
    session.expect_publish(ATTACH);
    session.reconnect();
    session.acknowledge_attach("device-1");
}

#[test]
fn a_thousand_devices_come_back_through_the_attach_window() {
    let mut session = Session::open(Options::default());
    for n in 0..1_000 {
        session
            .gateway
            .attach(
                format!("device-{n}").try_into().unwrap(),
                None,
                UNIX_NOW,
                session.now,
            )
            .unwrap();
    }
    for round in 0..2 {
        let mut attached = 0;
        while attached < 1_000 {
            let attaches = session.sent();
            assert_eq!(attaches.len(), 100, "round {round}");
            for sent in attaches {
                let Sent::Publish { id: Some(id), .. } = sent else {
                    panic!("{sent:?}")
                };
                session.puback(id);
                attached += 1;
            }
        }
        session.events();
        session.reconnect();
    }
}
