//! States: a newer state replaces a waiting one, and states are paced as the bridge requires.

use std::time::Duration;

use iotcore_gateway::{DeviceKey, Failure, OpId, Options, Outcome, Publication, message::QoS};

use super::peer::{Harness, seconds};

fn publish_state(harness: &mut Harness, device: DeviceKey, payload: &str) -> OpId {
    harness
        .gateway
        .publish(Publication::state(device, payload.to_owned()), harness.now)
        .unwrap()
}

#[test]
fn states_are_paced_and_a_newer_state_replaces_a_waiting_one() {
    let (mut harness, device) = Harness::attached(Options::default());
    publish_state(&mut harness, device, "1");
    let second = publish_state(&mut harness, device, "2");
    let third = publish_state(&mut harness, device, "3");
    harness.publish(device, "telemetry goes on");
    assert_eq!(harness.sent_texts(), ["1", "telemetry goes on"]);
    assert_eq!(harness.ended(second), Some(Err(Failure::Superseded)));
    harness.wait(Duration::from_millis(1_249));
    assert_eq!(harness.sent_texts(), [""; 0]);
    harness.wait(Duration::from_millis(1));
    let sent = harness.sent_payloads();
    assert_eq!(sent[0].0, "3");
    harness.puback(sent[0].1);
    assert_eq!(harness.ended(third), Some(Ok(Outcome::Acknowledged)));
}

#[test]
fn the_pace_of_states_continues_across_connections() {
    let mut options = Options::default();
    options.quota.state_interval = seconds(10);
    let (mut harness, device) = Harness::attached(options);
    publish_state(&mut harness, device, "1");
    assert_eq!(harness.sent_texts(), ["1"]);
    harness.reconnect();
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.sent_texts(), [""; 0]);
    harness.wait(seconds(10));
    assert_eq!(harness.sent_texts(), ["1"]);
}

#[test]
fn a_state_lost_in_flight_is_superseded_by_a_newer_one() {
    let (mut harness, device) = Harness::attached(Options::default());
    let lost = publish_state(&mut harness, device, "old");
    harness.sent();
    let newer = publish_state(&mut harness, device, "new");
    harness.lose_connection();
    assert_eq!(harness.ended(lost), Some(Err(Failure::Superseded)));
    harness.redial();
    harness.acknowledge_attach("device-1");
    harness.wait(seconds(2));
    let sent = harness.sent_payloads();
    assert_eq!(
        sent.iter()
            .map(|(payload, _)| &payload[..])
            .collect::<Vec<_>>(),
        ["new"]
    );
    harness.puback(sent[0].1);
    assert_eq!(harness.ended(newer), Some(Ok(Outcome::Acknowledged)));
}

#[test]
fn an_older_state_is_never_sent_after_a_newer_one() {
    let (mut harness, device) = Harness::attached(Options::default());
    let older = publish_state(&mut harness, device, "older");
    harness.sent();
    harness.wait(seconds(2));
    let newer = publish_state(&mut harness, device, "newer");
    let sent = harness.sent_payloads();
    harness.puback(sent[0].1);
    assert_eq!(harness.ended(newer), Some(Ok(Outcome::Acknowledged)));
    harness.wait(seconds(40));
    assert_eq!(harness.sent_texts(), [""; 0]);
    assert_eq!(harness.ended(older), Some(Err(Failure::Superseded)));
}

#[test]
fn an_older_state_is_not_put_back_behind_a_newer_one_that_has_arrived() {
    let (mut harness, device) = Harness::attached(Options::default());
    let older = publish_state(&mut harness, device, "older");
    harness.sent();
    harness.wait(seconds(2));
    publish_state(&mut harness, device, "newer");
    let sent = harness.sent_payloads();
    harness.puback(sent[0].1);
    harness.events();
    harness.reconnect();
    assert_eq!(harness.ended(older), Some(Err(Failure::Superseded)));
    harness.acknowledge_attach("device-1");
    harness.wait(seconds(2));
    assert_eq!(harness.sent_texts(), [""; 0]);
}

#[test]
fn a_resent_state_is_paced_too() {
    let mut options = Options::default();
    options.ack_timeout = seconds(1);
    let (mut harness, device) = Harness::attached(options);
    publish_state(&mut harness, device, "1");
    assert_eq!(harness.sent_texts(), ["1"]);
    harness.wait(Duration::from_millis(1_249));
    assert_eq!(harness.sent_texts(), [""; 0]);
    harness.wait(seconds(1));
    assert_eq!(harness.sent_texts(), ["1"]);
}

#[test]
fn the_pace_of_states_continues_across_a_detach() {
    let (mut harness, device) = Harness::attached(Options::default());
    publish_state(&mut harness, device, "1");
    let sent = harness.sent_payloads();
    harness.puback(sent[0].1);
    harness.gateway.detach(device, harness.now).unwrap();
    let id = harness.expect_publish("/devices/device-1/detach");
    harness.puback(id);
    let device = harness.attach("device-1");
    publish_state(&mut harness, device, "2");
    harness.wait(Duration::from_millis(1_249));
    assert_eq!(harness.sent_texts(), [""; 0]);
    harness.wait(Duration::from_millis(1));
    assert_eq!(harness.sent_texts(), ["2"]);
}

#[test]
fn a_detach_is_sent_as_soon_as_the_last_state_is_superseded() {
    let mut options = Options::default();
    options.drain_timeout = seconds(60);
    let (mut harness, device) = Harness::attached(options);
    publish_state(&mut harness, device, "older");
    harness.sent();
    harness.wait(seconds(2));
    let newer = Publication::state(device, "newer").qos(QoS::AtMostOnce);
    harness.gateway.publish(newer, harness.now).unwrap();
    harness.sent();
    harness.gateway.detach(device, harness.now).unwrap();
    harness.wait(seconds(27));
    assert_eq!(harness.sent(), []);
    harness.step();
    harness.expect_publish("/devices/device-1/detach");
}
