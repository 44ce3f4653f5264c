//! Device tokens: provided, refused, expired and requested.

use iotcore_gateway::{
    DeviceAuth, Event, Failure, Options, Outcome, auth::Token, command_error::CommandError,
    device::DeviceState,
};

use super::peer::{ATTACH, Harness, UNIX_NOW, failed, seconds};

#[test]
fn a_new_token_retries_a_refused_device() {
    let mut harness = Harness::open(Options::default());
    let (device, _) = harness.begin_attach("device-1");
    let id = harness.expect_publish(ATTACH);
    harness.report("GATEWAY_ATTACHMENT_ERROR", "device-1", Some(id));
    let token = Token::new("fresh.to.ken", harness.now + seconds(60)).unwrap();
    let op = harness
        .gateway
        .authorize(device, token, UNIX_NOW, harness.now)
        .unwrap();
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Attached)));
}

#[test]
fn a_refused_token_is_never_used_again() {
    let mut harness = Harness::open(Options::default());
    let token = Token::new("refused.to.ken", harness.now + seconds(3_600)).unwrap();
    let (device, _) = harness.begin_attach_as("device-1", DeviceAuth::Token(token));
    let packet_id = harness.expect_publish(ATTACH);
    harness.report("GATEWAY_ATTACHMENT_ERROR", "device-1", Some(packet_id));
    harness.begin_attach_as("device-1", DeviceAuth::Renewable(None));
    assert_eq!(harness.sent_payloads(), []);
    assert!(harness.events().contains(&Event::TokenNeeded { device }));
}

#[test]
fn a_renewable_device_uses_the_token_that_it_has_and_without_one_asks_before_its_attach() {
    let mut harness = Harness::open(Options::default());
    let (device, attach) = harness.begin_attach_as("device-1", DeviceAuth::Renewable(None));
    assert_eq!(harness.sent_payloads(), []);
    assert_eq!(harness.events(), [Event::TokenNeeded { device }]);
    let token = harness.token();
    harness
        .gateway
        .authorize(device, token, UNIX_NOW, harness.now)
        .unwrap();
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.ended(attach), Some(Ok(Outcome::Attached)));

    harness.begin_attach_as("device-1", DeviceAuth::Renewable(None));
    harness.reconnect();
    let [(payload, _)] = &harness.sent_payloads()[..] else {
        panic!("expected one attach");
    };
    assert!(payload.contains("authorization"), "{payload}");
}

#[test]
fn an_attach_by_association_drops_the_token_that_the_device_had() {
    let mut harness = Harness::open(Options::default());
    let auth = DeviceAuth::Token(harness.token());
    harness.begin_attach_as("device-1", auth);
    harness.expect_publish(ATTACH);
    let (_, attach) = harness.begin_attach("device-1");
    harness.reconnect();
    let [(payload, without)] = &harness.sent_payloads()[..] else {
        panic!("expected one attach");
    };
    assert_eq!(payload, "{}");
    harness.puback(*without);
    assert_eq!(harness.ended(attach), Some(Ok(Outcome::Attached)));
}

#[test]
fn an_expired_device_token_is_requested_again_and_never_sent() {
    let mut harness = Harness::open(Options::default());
    let token = Token::new("old.to.ken", harness.now + seconds(60)).unwrap();
    let (device, _) = harness.begin_attach_as("device-1", DeviceAuth::Token(token));
    harness.acknowledge_attach("device-1");
    harness.wait(seconds(61));
    harness.lose_connection();
    harness.events();
    harness.redial();
    assert_eq!(harness.sent(), []);
    assert!(harness.events().contains(&Event::TokenNeeded { device }));
    let token = Token::new("new.to.ken", harness.now + seconds(60)).unwrap();
    let op = harness
        .gateway
        .authorize(device, token, UNIX_NOW, harness.now)
        .unwrap();
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Authorized)));
    let [(payload, id)] = &harness.sent_payloads()[..] else {
        panic!("expected one attach")
    };
    assert_eq!(payload, r#"{"authorization":"new.to.ken"}"#);
    harness.puback(*id);
    assert_eq!(
        harness.gateway.device_state(device),
        Some(DeviceState::Attached)
    );
}

#[test]
fn a_device_that_waits_for_a_token_is_asked_for_one_on_each_connection() {
    let mut harness = Harness::open(Options::default());
    let (device, attach) = harness.begin_attach_as("device-1", DeviceAuth::Renewable(None));
    harness.events();
    let needed = Event::TokenNeeded { device };
    for _ in 0..3 {
        harness.reconnect();
        let events = harness.events();
        let asked = events.iter().filter(|event| **event == needed);
        assert_eq!(asked.count(), 1, "{events:?}");
        assert_eq!(harness.sent(), []);
    }
    let token = harness.token();
    harness
        .gateway
        .authorize(device, token, UNIX_NOW, harness.now)
        .unwrap();
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.ended(attach), Some(Ok(Outcome::Attached)));
    harness.reconnect();
    assert!(!harness.events().contains(&needed));
}

#[test]
fn a_token_is_requested_when_its_attach_is_next_in_the_queue() {
    let mut options = Options::default();
    options.attach_window = 1;
    let mut harness = Harness::open(options);
    harness.begin_attach("device-1");
    let token = Token::new("old.to.ken", harness.now + seconds(1)).unwrap();
    let (device, _) = harness.begin_attach_as("device-2", DeviceAuth::Token(token));
    harness.wait(seconds(5));
    assert_eq!(harness.events(), [], "with or without a timeout");
    harness.acknowledge_attach("device-1");
    assert!(harness.events().contains(&Event::TokenNeeded { device }));
}

#[test]
fn a_spurious_timeout_does_not_take_back_a_probe_that_waits_for_a_token() {
    let sent = [false, true].map(|is_spurious| {
        let mut options = Options::default();
        options.attach_window = 1;
        let mut harness = Harness::open(options);
        harness.begin_attach("device-1");
        harness.expect_publish(ATTACH);
        let id = "device-2".try_into().unwrap();
        let token = Token::new("old.to.ken", harness.now + seconds(1)).unwrap();
        let attached = harness
            .gateway
            .attach(id, DeviceAuth::Token(token), UNIX_NOW, harness.now);
        let (device, _) = attached.unwrap();
        harness.step();
        assert_eq!(harness.events(), [Event::TokenNeeded { device }]);
        harness.now += seconds(1);
        if is_spurious {
            assert!(harness.gateway.poll_timeout() > Some(harness.now));
            harness.gateway.handle_timeout(harness.now);
        }
        let token = Token::new("new.to.ken", harness.now + seconds(60)).unwrap();
        harness
            .gateway
            .authorize(device, token, UNIX_NOW, harness.now)
            .unwrap();
        harness.sent_payloads()
    });
    assert_eq!(sent[0], sent[1]);
    assert_eq!(sent[0][0].0, r#"{"authorization":"new.to.ken"}"#);
}

#[test]
fn a_detach_does_not_wait_for_a_missing_token() {
    let mut harness = Harness::dialing(Options::default());
    let token = Token::new("old.to.ken", harness.now + seconds(5)).unwrap();
    let (device, attach) = harness.begin_attach_as("device-1", DeviceAuth::Token(token));
    let published = harness.publish(device, "1");
    let detach = harness.gateway.detach(device, harness.now).unwrap();
    harness.wait(seconds(6));
    harness.connect();
    assert_eq!(harness.sent(), []);
    let events = harness.events();
    for op in [published, attach] {
        assert_eq!(failed(&events, op), Some(&Failure::Detached), "{op}");
    }
    assert_eq!(
        events.last(),
        Some(&Event::Done {
            op: detach,
            outcome: Outcome::Detached
        })
    );
}

#[test]
fn a_token_that_has_expired_is_refused_at_once() {
    let mut harness = Harness::open(Options::default());
    let token = Token::new("old.to.ken", harness.now).unwrap();
    let refused = harness.gateway.attach(
        "device-1".try_into().unwrap(),
        DeviceAuth::Token(token),
        UNIX_NOW,
        harness.now,
    );
    assert_eq!(refused, Err(CommandError::TokenExpired));
}
