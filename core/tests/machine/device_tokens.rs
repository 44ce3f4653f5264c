//! Tokens of devices: given, refused, expired, and asked for.

use iotcore_gateway::{CommandError, DeviceState, Event, Failure, Options, Outcome, Token};

use super::peer::{ATTACH, Session, UNIX_NOW, failed, seconds};

#[test]
fn a_new_token_tries_a_refused_device_again() {
    let mut session = Session::open(Options::default());
    let (device, _) = session.begin_attach("device-1");
    let id = session.expect_publish(ATTACH);
    session.report("GATEWAY_ATTACHMENT_ERROR", "device-1", Some(id));
    let token = Token::new("fresh.to.ken", session.now + seconds(60)).unwrap();
    let op = session
        .gateway
        .authorize(device, token, UNIX_NOW, session.now)
        .unwrap();
    session.acknowledge_attach("device-1");
    assert_eq!(session.ended(op), Some(Ok(Outcome::Attached)));
}

#[test]
fn a_refused_token_is_never_used_again() {
    let mut session = Session::open(Options::default());
    let token = Token::new("refused.to.ken", session.now + seconds(3_600)).unwrap();
    let id = || "device-1".try_into().unwrap();
    session
        .gateway
        .attach(id(), Some(token), UNIX_NOW, session.now)
        .unwrap();
    let packet_id = session.expect_publish(ATTACH);
    session.report("GATEWAY_ATTACHMENT_ERROR", "device-1", Some(packet_id));
    session
        .gateway
        .attach(id(), None, UNIX_NOW, session.now)
        .unwrap();
    let [(payload, _)] = &session.sent_payloads()[..] else {
        panic!("one attach");
    };
    assert_eq!(payload, "{}");
}

#[test]
fn an_expired_device_token_is_asked_for_and_never_sent() {
    let mut session = Session::open(Options::default());
    let token = Token::new("old.to.ken", session.now + seconds(60)).unwrap();
    let (device, _) = session
        .gateway
        .attach(
            "device-1".try_into().unwrap(),
            Some(token),
            UNIX_NOW,
            session.now,
        )
        .unwrap();
    session.acknowledge_attach("device-1");
    session.wait(seconds(61));
    session.lose_connection();
    session.events();
    session.redial();
    assert_eq!(session.sent(), []);
    assert!(session.events().contains(&Event::TokenNeeded { device }));
    let token = Token::new("new.to.ken", session.now + seconds(60)).unwrap();
    let op = session
        .gateway
        .authorize(device, token, UNIX_NOW, session.now)
        .unwrap();
    assert_eq!(session.ended(op), Some(Ok(Outcome::Authorized)));
    let [(payload, id)] = &session.sent_payloads()[..] else {
        panic!("one attach")
    };
    assert_eq!(payload, r#"{"authorization":"new.to.ken"}"#);
    session.puback(*id);
    assert_eq!(
        session.gateway.device_state(device),
        Some(DeviceState::Attached)
    );
}

#[test]
fn a_token_is_asked_for_when_the_turn_of_its_attach_has_come() {
    let mut options = Options::default();
    options.attach_window = 1;
    let mut session = Session::open(options);
    session.begin_attach("device-1");
    let token = Token::new("old.to.ken", session.now + seconds(1)).unwrap();
    let (device, _) = session
        .gateway
        .attach(
            "device-2".try_into().unwrap(),
            Some(token),
            UNIX_NOW,
            session.now,
        )
        .unwrap();
    session.wait(seconds(5));
    assert_eq!(session.events(), [], "whoever reports the time, or not");
    session.acknowledge_attach("device-1");
    assert!(session.events().contains(&Event::TokenNeeded { device }));
}

#[test]
fn a_detach_does_not_wait_for_a_token_that_nobody_will_give() {
    let mut session = Session::dialing(Options::default());
    let token = Token::new("old.to.ken", session.now + seconds(60)).unwrap();
    let (device, attach) = session
        .gateway
        .attach(
            "device-1".try_into().unwrap(),
            Some(token),
            UNIX_NOW,
            session.now,
        )
        .unwrap();
    let published = session.publish(device, "1");
    let detach = session.gateway.detach(device, session.now).unwrap();
    session.wait(seconds(61));
    session.connect();
    assert_eq!(session.sent(), []);
    let events = session.events();
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
    let mut session = Session::open(Options::default());
    let token = Token::new("old.to.ken", session.now).unwrap();
    let refused = session.gateway.attach(
        "device-1".try_into().unwrap(),
        Some(token),
        UNIX_NOW,
        session.now,
    );
    assert_eq!(refused, Err(CommandError::TokenExpired));
}
