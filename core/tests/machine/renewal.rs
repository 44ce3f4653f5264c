//! Device tokens that the bridge refuses: which attach a report is about, and whether another token is asked for.

use iotcore_gateway::{DeviceAuth, Event, Failure, OpId, Options, device::DeviceState};

use super::{
    peer::{ATTACH, EVENTS, Harness, failed, seconds},
    wall_time::{authorize, date, needs_token, sent_token, token},
};

const REFUSED: &str = "GATEWAY_ATTACHMENT_ERROR";

fn done(events: &[Event], op: OpId) -> bool {
    let is_end = |event: &Event| matches!(event, Event::Done { op: ended, .. } if *ended == op);
    events.iter().any(is_end)
}

#[test]
fn a_refusal_of_an_older_token_is_none_of_the_newer_one() {
    for is_named in [true, false] {
        let mut harness = Harness::open(Options::default());
        let auth = DeviceAuth::Token(token(&harness, "a.a.a", date(0)));
        let (device, attach) = harness.begin_attach_as("device-1", auth);
        let published = harness.publish(device, "1");
        let first = harness.expect_publish(ATTACH);
        authorize(&mut harness, device, "b.b.b", date(0));
        harness.events();
        harness.report(REFUSED, "device-1", is_named.then_some(first));
        let (payload, second) = sent_token(&mut harness);
        assert_eq!(payload, r#"{"authorization":"b.b.b"}"#);
        harness.puback(second);
        let id = harness.expect_publish(EVENTS);
        harness.puback(id);
        let events = harness.events();
        for op in [attach, published] {
            assert!(done(&events, op), "{op} in {events:?}");
        }
    }
}

#[test]
fn a_report_without_an_identifier_is_about_the_oldest_attach_without_an_answer() {
    let mut harness = Harness::open(Options::default());
    let auth = DeviceAuth::Renewable(Some(token(&harness, "a.a.a", date(0))));
    let (device, _) = harness.begin_attach_as("device-1", auth);
    harness.expect_publish(ATTACH);
    harness.time_out(seconds(30));
    authorize(&mut harness, device, "b.b.b", date(31));
    while harness.gateway.poll_transmit().is_empty() {
        harness.step();
    }
    let (payload, second) = sent_token(&mut harness);
    assert_eq!(payload, r#"{"authorization":"b.b.b"}"#);
    harness.events();

    harness.report(REFUSED, "device-1", None);
    assert!(!needs_token(&mut harness, device), "it is about the first");
    assert_eq!(
        harness.gateway.device_state(device),
        Some(DeviceState::Attaching)
    );
    harness.report(REFUSED, "device-1", Some(second));
    assert!(needs_token(&mut harness, device));
}

#[test]
fn a_superseded_attach_that_was_acknowledged_takes_no_report() {
    let mut harness = Harness::open(Options::default());
    let auth = DeviceAuth::Token(token(&harness, "a.a.a", date(0)));
    let (device, _) = harness.begin_attach_as("device-1", auth);
    let first = harness.expect_publish(ATTACH);
    harness.time_out(seconds(30));
    authorize(&mut harness, device, "b.b.b", date(31));
    while harness.gateway.poll_transmit().is_empty() {
        harness.step();
    }
    harness.sent();
    harness.puback(first);
    harness.report(REFUSED, "device-1", None);
    assert_eq!(
        harness.gateway.device_state(device),
        Some(DeviceState::Refused)
    );
}

#[test]
fn a_refused_renewable_token_is_asked_for_once_and_a_second_refusal_is_final() {
    let mut harness = Harness::open(Options::default());
    let auth = DeviceAuth::Renewable(Some(token(&harness, "a.a.a", date(0))));
    let (device, attach) = harness.begin_attach_as("device-1", auth);
    let published = harness.publish(device, "1");
    let id = harness.expect_publish(ATTACH);
    harness.report(REFUSED, "device-1", Some(id));
    let events = harness.events();
    assert!(
        events.contains(&Event::TokenNeeded { device }),
        "{events:?}"
    );
    for op in [attach, published] {
        assert_eq!(failed(&events, op), None, "{op}");
    }

    authorize(&mut harness, device, "b.b.b", date(0));
    let id = harness.expect_publish(ATTACH);
    harness.report(REFUSED, "device-1", Some(id));
    let events = harness.events();
    assert!(!events.contains(&Event::TokenNeeded { device }));
    assert!(matches!(
        failed(&events, attach),
        Some(Failure::Reported(_))
    ));
    assert_eq!(failed(&events, published), Some(&Failure::DeviceRefused));
}

#[test]
fn a_renewable_device_is_asked_for_a_token_once_for_each_attachment_that_lasted_or_call_of_attach()
{
    let mut harness = Harness::open(Options::default());
    let auth = DeviceAuth::Renewable(Some(token(&harness, "a.a.a", date(0))));
    let (device, _) = harness.begin_attach_as("device-1", auth);
    for jwt in ["b.b.b", "c.c.c"] {
        let id = harness.expect_publish(ATTACH);
        harness.report(REFUSED, "device-1", Some(id));
        assert!(needs_token(&mut harness, device), "before {jwt}");
        authorize(&mut harness, device, jwt, date(0));
        harness.acknowledge_attach("device-1");
        harness.wait(seconds(60));
        harness.reconnect();
    }
    harness.sent();
    harness.begin_attach_as("device-1", DeviceAuth::Renewable(None));
    harness.report(REFUSED, "device-1", None);
    assert!(needs_token(&mut harness, device));
}

#[test]
fn a_refusal_of_a_device_that_proves_itself_otherwise_is_final() {
    let mut harness = Harness::open(Options::default());
    for auth in [
        DeviceAuth::ByAssociation,
        DeviceAuth::Token(token(&harness, "a.a.a", date(0))),
    ] {
        let (device, attach) = harness.begin_attach_as("device-1", auth);
        let id = harness.expect_publish(ATTACH);
        harness.report(REFUSED, "device-1", Some(id));
        let events = harness.events();
        assert!(matches!(
            failed(&events, attach),
            Some(Failure::Reported(_))
        ));
        assert_eq!(
            harness.gateway.device_state(device),
            Some(DeviceState::Refused)
        );
    }
}
