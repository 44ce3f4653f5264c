//! Tokens and the date: machines that slept, that booted in 1970, and whose clock was set.

use std::time::Duration;

use iotcore_gateway::{
    DeviceAuth, DeviceKey, Event, OpId, Options, Outcome,
    auth::{Token, UnixTime},
    cause::DisconnectReason,
    command_error::CommandError,
};

use super::peer::{EVENTS, Harness, UNIX_NOW, seconds};

/// The date so many seconds after the start of the test.
pub(super) fn date(after: u64) -> UnixTime {
    UNIX_NOW.saturating_add(seconds(after))
}

/// Returns a token that lives for an hour from now on by both clocks, if the date is right.
pub(super) fn token(harness: &Harness, jwt: &str, issued_at: UnixTime) -> Token {
    let token = Token::new(jwt, harness.now + HOUR).unwrap();
    token.with_lifetime(issued_at, issued_at.saturating_add(HOUR))
}

pub(super) fn authorize(
    harness: &mut Harness,
    device: DeviceKey,
    jwt: &str,
    unix_now: UnixTime,
) -> OpId {
    let token = token(harness, jwt, unix_now);
    let (gateway, now) = (&mut harness.gateway, harness.now);
    gateway.authorize(device, token, unix_now, now).unwrap()
}

/// Loses the connection, and connects again when the wall clock shows this date.
fn reconnect_at(harness: &mut Harness, unix_now: UnixTime) {
    harness.lose_connection();
    while !harness.gateway.wants_transport() {
        harness.step();
    }
    let own = harness.token();
    let now = harness.now;
    harness.gateway.handle_connected(own, unix_now, now);
    harness.sent();
    harness.connack(0);
    let id = harness.expect_subscribe("/devices/gw-1/errors");
    harness.suback(id, 0);
}

pub(super) fn needs_token(harness: &mut Harness, device: DeviceKey) -> bool {
    harness.events().contains(&Event::TokenNeeded { device })
}

pub(super) fn sent_token(harness: &mut Harness) -> (String, u16) {
    let mut sent = harness.sent_payloads();
    assert_eq!(sent.len(), 1, "expected one attach: {sent:?}");
    sent.remove(0)
}

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_token_that_expired_while_the_monotonic_clock_stood_still_is_asked_for_before_the_attach() {
    let mut harness = Harness::open(Options::default());
    let auth = DeviceAuth::Renewable(Some(token(&harness, "old.to.ken", date(0))));
    let (device, attach) = harness.begin_attach_as("device-1", auth);
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.ended(attach), Some(Ok(Outcome::Attached)));
    let published = harness.publish(device, "1");
    harness.expect_publish(EVENTS);

    reconnect_at(&mut harness, date(2 * 3_600));
    assert_eq!(harness.sent_payloads(), []);
    assert!(needs_token(&mut harness, device));
    authorize(&mut harness, device, "new.to.ken", date(2 * 3_600));
    let (payload, id) = sent_token(&mut harness);
    assert_eq!(payload, r#"{"authorization":"new.to.ken"}"#);
    harness.puback(id);
    let id = harness.expect_publish(EVENTS);
    harness.puback(id);
    assert_eq!(harness.ended(published), Some(Ok(Outcome::Acknowledged)));
}

#[test]
fn the_date_goes_on_between_the_inputs_that_bring_one() {
    let mut harness = Harness::open(Options::default());
    let lives = Token::new("a.a.a", harness.now + 24 * HOUR).unwrap();
    let lives = lives.with_lifetime(date(0), date(3_600));
    let (device, _) = harness.begin_attach_as("device-1", DeviceAuth::Token(lives));
    harness.acknowledge_attach("device-1");
    harness.lose_connection();
    harness.now += HOUR;
    harness.gateway.handle_timeout(harness.now);
    let late = harness.gateway.attach(
        "device-2".try_into().unwrap(),
        DeviceAuth::Token(token(&harness, "b.b.b", date(0))),
        date(3_600),
        harness.now,
    );
    assert_eq!(late, Err(CommandError::TokenExpired));
    reconnect_at(&mut harness, date(3_600));
    assert!(needs_token(&mut harness, device));
}

#[test]
fn tokens_that_were_minted_in_1970_are_asked_for_again_once_the_clock_is_set() {
    let mut harness = Harness::dialing(Options::default());
    let in_1970 = UnixTime::from_secs(60);
    let own = token(&harness, "own.to.ken", in_1970);
    harness.gateway.handle_connected(own, in_1970, harness.now);
    harness.sent();
    harness.connack(0);
    let minted = token(&harness, "old.to.ken", in_1970);
    let id = "device-1".try_into().unwrap();
    let auth = DeviceAuth::Renewable(Some(minted));
    let attached = harness.gateway.attach(id, auth, in_1970, harness.now);
    let (device, _) = attached.unwrap();
    harness.sent();
    harness.events();

    reconnect_at(&mut harness, date(0));
    assert!(needs_token(&mut harness, device));
    assert_eq!(harness.sent_payloads(), []);
}

#[test]
fn a_renewable_token_from_the_future_is_asked_for_again_and_a_fixed_one_is_tried() {
    let mut harness = Harness::open(Options::default());
    let ahead = || token(&harness, "old.to.ken", date(24 * 3_600));
    let auths = [
        DeviceAuth::Renewable(Some(ahead())),
        DeviceAuth::Token(ahead()),
    ];
    let [renewable, fixed] =
        [("device-1", &auths[0]), ("device-2", &auths[1])].map(|(id, auth)| {
            let id = id.try_into().unwrap();
            let (gateway, now) = (&mut harness.gateway, harness.now);
            gateway
                .attach(id, auth.clone(), date(24 * 3_600), now)
                .unwrap()
                .0
        });
    reconnect_at(&mut harness, date(0));
    let asked = harness.events();
    assert!(asked.contains(&Event::TokenNeeded { device: renewable }));
    assert!(!asked.contains(&Event::TokenNeeded { device: fixed }));
    harness.expect_publish("/devices/device-2/attach");
}

#[test]
fn a_device_that_was_asked_for_a_token_is_attached_if_the_next_date_finds_the_old_one_good() {
    let mut harness = Harness::open(Options::default());
    let ahead = token(&harness, "a.a.a", date(24 * 3_600));
    let (gateway, now) = (&mut harness.gateway, harness.now);
    let auth = DeviceAuth::Renewable(Some(ahead));
    let id = "device-1".try_into().unwrap();
    let attached = gateway.attach(id, auth, date(24 * 3_600), now);
    let (device, attach) = attached.unwrap();
    reconnect_at(&mut harness, date(0));
    assert!(needs_token(&mut harness, device));
    reconnect_at(&mut harness, date(24 * 3_600));
    assert!(!needs_token(&mut harness, device));
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.ended(attach), Some(Ok(Outcome::Attached)));
}

#[test]
fn a_token_whose_source_has_another_date_is_used_all_the_same() {
    let mut harness = Harness::open(Options::default());
    let ahead = token(&harness, "a.a.a", date(24 * 3_600));
    harness.begin_attach_as("device-1", DeviceAuth::Renewable(Some(ahead)));
    let (payload, _) = sent_token(&mut harness);
    assert_eq!(payload, r#"{"authorization":"a.a.a"}"#);
}

#[test]
fn a_token_without_its_claims_is_judged_by_the_monotonic_clock_alone() {
    let mut harness = Harness::open(Options::default());
    let opaque = Token::new("a.a.a", harness.now + HOUR).unwrap();
    harness.begin_attach_as("device-1", DeviceAuth::Renewable(Some(opaque)));
    harness.sent();
    reconnect_at(&mut harness, date(24 * 3_600));
    let (payload, _) = sent_token(&mut harness);
    assert_eq!(payload, r#"{"authorization":"a.a.a"}"#);
}

#[test]
fn renewable_tokens_are_asked_for_right_after_connack_also_behind_a_full_window() {
    let mut options = Options::default();
    options.attach_window = 1;
    let mut harness = Harness::open(options);
    harness.begin_attach("device-0");
    let auth = DeviceAuth::Renewable(Some(token(&harness, "a.a.a", date(0))));
    let (device, _) = harness.begin_attach_as("device-1", auth);
    reconnect_at(&mut harness, date(2 * 3_600));
    assert!(needs_token(&mut harness, device));
    harness.expect_publish("/devices/device-0/attach");
}

#[test]
fn a_gateways_own_token_that_has_expired_by_either_clock_is_a_failed_attempt() {
    for (life, after) in [(0, 0), (3_600, 3_600)] {
        let mut harness = Harness::dialing(Options::default());
        let own = Token::new("own.to.ken", harness.now + seconds(life)).unwrap();
        let own = own.with_lifetime(date(0), date(3_600));
        harness
            .gateway
            .handle_connected(own, date(after), harness.now);
        assert_eq!(harness.disconnect_reason(), DisconnectReason::TokenExpired);
        assert_eq!(harness.sent(), []);
    }
}
