//! States: the newest wins, and they keep the pace that the bridge asks for.

use std::time::Duration;

use iotcore_gateway::{DeviceKey, Failure, OpId, Options, Outcome, Publication, QoS};

use super::peer::{Session, seconds};

fn publish_state(session: &mut Session, device: DeviceKey, payload: &str) -> OpId {
    session
        .gateway
        .publish(Publication::state(device, payload.to_owned()), session.now)
        .unwrap()
}

#[test]
fn states_keep_their_pace_and_the_newest_wins() {
    let (mut session, device) = Session::attached(Options::default());
    publish_state(&mut session, device, "1");
    let second = publish_state(&mut session, device, "2");
    let third = publish_state(&mut session, device, "3");
    session.publish(device, "telemetry goes on");
    assert_eq!(session.sent_texts(), ["1", "telemetry goes on"]);
    assert_eq!(session.ended(second), Some(Err(Failure::Superseded)));
    session.wait(Duration::from_millis(1_249));
    assert_eq!(session.sent_texts(), [""; 0]);
    session.wait(Duration::from_millis(1));
    let sent = session.sent_payloads();
    assert_eq!(sent[0].0, "3");
    session.puback(sent[0].1);
    assert_eq!(session.ended(third), Some(Ok(Outcome::Acknowledged)));
}

#[test]
fn the_pace_of_states_outlives_a_connection() {
    let mut options = Options::default();
    options.quota.state_interval = seconds(10);
    let (mut session, device) = Session::attached(options);
    publish_state(&mut session, device, "1");
    assert_eq!(session.sent_texts(), ["1"]);
    session.reconnect();
    session.acknowledge_attach("device-1");
    assert_eq!(session.sent_texts(), [""; 0]);
    session.wait(seconds(10));
    assert_eq!(session.sent_texts(), ["1"]);
}

#[test]
fn a_state_that_was_lost_in_flight_gives_way_to_a_newer_one() {
    let (mut session, device) = Session::attached(Options::default());
    let lost = publish_state(&mut session, device, "old");
    session.sent();
    let newer = publish_state(&mut session, device, "new");
    session.lose_connection();
    assert_eq!(session.ended(lost), Some(Err(Failure::Superseded)));
    session.redial();
    session.acknowledge_attach("device-1");
    session.wait(seconds(2));
    let sent = session.sent_payloads();
    assert_eq!(
        sent.iter()
            .map(|(payload, _)| &payload[..])
            .collect::<Vec<_>>(),
        ["new"]
    );
    session.puback(sent[0].1);
    assert_eq!(session.ended(newer), Some(Ok(Outcome::Acknowledged)));
}

#[test]
fn an_older_state_is_never_sent_after_a_newer_one() {
    let (mut session, device) = Session::attached(Options::default());
    let older = publish_state(&mut session, device, "older");
    session.sent();
    session.wait(seconds(2));
    let newer = publish_state(&mut session, device, "newer");
    let sent = session.sent_payloads();
    session.puback(sent[0].1);
    assert_eq!(session.ended(newer), Some(Ok(Outcome::Acknowledged)));
    session.wait(seconds(40));
    assert_eq!(session.sent_texts(), [""; 0]);
    assert_eq!(session.ended(older), Some(Err(Failure::Superseded)));
}

#[test]
fn an_older_state_is_not_put_back_behind_a_newer_one_that_has_arrived() {
    let (mut session, device) = Session::attached(Options::default());
    let older = publish_state(&mut session, device, "older");
    session.sent();
    session.wait(seconds(2));
    publish_state(&mut session, device, "newer");
    let sent = session.sent_payloads();
    session.puback(sent[0].1);
    session.events();
    session.reconnect();
    assert_eq!(session.ended(older), Some(Err(Failure::Superseded)));
    session.acknowledge_attach("device-1");
    session.wait(seconds(2));
    assert_eq!(session.sent_texts(), [""; 0]);
}

#[test]
fn a_state_that_is_sent_again_keeps_the_pace_too() {
    let mut options = Options::default();
    options.ack_timeout = seconds(1);
    let (mut session, device) = Session::attached(options);
    publish_state(&mut session, device, "1");
    assert_eq!(session.sent_texts(), ["1"]);
    session.wait(Duration::from_millis(1_249));
    assert_eq!(session.sent_texts(), [""; 0]);
    session.wait(seconds(1));
    assert_eq!(session.sent_texts(), ["1"]);
}

#[test]
fn the_pace_of_states_outlives_a_detach() {
    let (mut session, device) = Session::attached(Options::default());
    publish_state(&mut session, device, "1");
    let sent = session.sent_payloads();
    session.puback(sent[0].1);
    session.gateway.detach(device, session.now).unwrap();
    let id = session.expect_publish("/devices/device-1/detach");
    session.puback(id);
    let device = session.attach("device-1");
    publish_state(&mut session, device, "2");
    session.wait(Duration::from_millis(1_249));
    assert_eq!(session.sent_texts(), [""; 0]);
    session.wait(Duration::from_millis(1));
    assert_eq!(session.sent_texts(), ["2"]);
}

#[test]
fn a_detach_goes_out_as_soon_as_the_last_state_is_superseded() {
    let mut options = Options::default();
    options.drain_timeout = seconds(60);
    let (mut session, device) = Session::attached(options);
    publish_state(&mut session, device, "older");
    session.sent();
    session.wait(seconds(2));
    let newer = Publication::state(device, "newer").qos(QoS::AtMostOnce);
    session.gateway.publish(newer, session.now).unwrap();
    session.sent();
    session.gateway.detach(device, session.now).unwrap();
    session.wait(seconds(27));
    assert_eq!(session.sent(), []);
    session.step();
    session.expect_publish("/devices/device-1/detach");
}
