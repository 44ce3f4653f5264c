//! A device whose deliveries nobody acknowledges, and those that the user keeps for later: they hold up nobody.

use iotcore_gateway::{
    DeliveryId, Options,
    message::{QoS, Subscription},
};

use super::{
    messages::{deliveries, manual, subscribed},
    peer::{CONFIG, Harness, Sent, seconds},
    unacknowledged::{COMMANDS, OTHERS, acknowledge, deliver, hold_up, two},
};

/// Delivers a command to the other device, acknowledges it, and returns what is sent.
fn other(harness: &mut Harness, id: u16) -> Vec<Sent> {
    let other = deliver(harness, OTHERS, "x", id);
    acknowledge(harness, other);
    harness.sent()
}

/// Acknowledges the attaches of a new connection.
fn attach_again(harness: &mut Harness) {
    for sent in harness.sent() {
        if let Sent::Publish { id: Some(id), .. } = sent {
            harness.puback(id);
        }
    }
    harness.sent();
    harness.events();
}

fn postpone(harness: &mut Harness, delivery: DeliveryId) {
    harness.gateway.postpone(delivery, harness.now);
}

#[test]
fn a_device_that_was_overdue_holds_up_nobody_until_it_acknowledges_a_delivery() {
    let (mut harness, _) = two(manual());
    deliver(&mut harness, CONFIG, "1", 11);
    hold_up(&mut harness, 12);
    for id in [20, 30, 40] {
        let config = deliver(&mut harness, CONFIG, &id.to_string(), id);
        assert_eq!(other(&mut harness, id + 1), [Sent::PubAck(id + 1)]);
        assert!(harness.gateway.awaits_acknowledgement(config));
        let command = deliver(&mut harness, COMMANDS, "x", id + 2);
        assert_eq!(harness.sent(), [Sent::PubAck(id + 2)]);
        assert!(!harness.gateway.awaits_acknowledgement(command));
        harness.wait(seconds(10));
        assert_eq!(harness.events(), [], "it was reported once");
    }
    assert_eq!(harness.gateway.stats().unacknowledged, 0);
    let command = deliver(&mut harness, COMMANDS, "x", 50);
    assert_eq!(harness.sent(), [Sent::PubAck(50)]);
    acknowledge(&mut harness, command);
    let awaited = deliver(&mut harness, COMMANDS, "x", 51);
    assert!(harness.gateway.awaits_acknowledgement(awaited));
    assert_eq!(other(&mut harness, 52), []);
}

#[test]
fn a_device_that_was_overdue_holds_up_nobody_on_the_next_connection() {
    for is_heard in [false, true] {
        let (mut harness, _) = two(manual());
        let command = deliver(&mut harness, COMMANDS, "x", 11);
        let other = deliver(&mut harness, OTHERS, "x", 12);
        acknowledge(&mut harness, other);
        harness.wait(seconds(5));
        harness.lose_connection();
        if is_heard {
            acknowledge(&mut harness, command);
        }
        harness.redial();
        attach_again(&mut harness);
        deliver(&mut harness, COMMANDS, "x", 11);
        let sent = [Sent::PubAck(11)];
        assert_eq!(harness.sent(), sent[usize::from(is_heard)..]);
    }
}

#[test]
fn a_config_that_is_acknowledged_too_late_is_acknowledged_when_it_comes_again() {
    let (mut harness, _) = two(manual());
    let config = deliver(&mut harness, CONFIG, "1", 11);
    hold_up(&mut harness, 12);
    acknowledge(&mut harness, config);
    let id = harness.expect_subscribe(CONFIG);
    harness.suback(id, 1);
    harness.deliver(CONFIG, "1", Some(13));
    assert_eq!(harness.events(), []);
    assert_eq!(harness.sent(), [Sent::PubAck(13)]);
    assert_eq!(harness.gateway.stats().duplicates, 1);
    harness.deliver(CONFIG, "1", Some(14));
    assert_eq!(deliveries(&mut harness).len(), 1, "it was set again");
    assert_eq!(harness.sent(), []);
}

#[test]
fn a_config_that_is_acknowledged_too_late_is_acknowledged_on_the_next_connection() {
    let (mut harness, _) = two(manual());
    let config = deliver(&mut harness, CONFIG, "1", 11);
    hold_up(&mut harness, 12);
    acknowledge(&mut harness, config);
    harness.reconnect();
    attach_again(&mut harness);
    harness.deliver(CONFIG, "1", Some(11));
    assert_eq!(harness.events(), []);
    assert_eq!(harness.sent(), [Sent::PubAck(11)]);
}

#[test]
fn a_config_that_was_acknowledged_too_late_is_delivered_after_another_or_a_new_subscription() {
    for is_replaced in [true, false] {
        let (mut harness, [device, _]) = two(manual());
        let config = deliver(&mut harness, CONFIG, "1", 11);
        hold_up(&mut harness, 12);
        acknowledge(&mut harness, config);
        if is_replaced {
            deliver(&mut harness, CONFIG, "2", 13);
        } else {
            let (gateway, now) = (&mut harness.gateway, harness.now);
            let config = Subscription::Config;
            gateway.unsubscribe(device, config, now).unwrap();
            gateway
                .subscribe(device, config, QoS::AtLeastOnce, now)
                .unwrap();
        }
        harness.events();
        deliver(&mut harness, CONFIG, "1", 14);
    }
}

#[test]
fn a_command_that_is_postponed_is_acknowledged_and_a_config_is_not() {
    let (mut harness, _) = two(manual());
    let command = deliver(&mut harness, COMMANDS, "x", 11);
    let config = deliver(&mut harness, CONFIG, "1", 12);
    assert_eq!(other(&mut harness, 13), []);
    postpone(&mut harness, config);
    assert_eq!(harness.sent(), []);
    postpone(&mut harness, command);
    assert_eq!(harness.sent(), [Sent::PubAck(11), Sent::PubAck(13)]);
    postpone(&mut harness, config);
    assert!(!harness.gateway.awaits_acknowledgement(command));
    assert!(harness.gateway.awaits_acknowledgement(config));
    harness.wait(seconds(20));
    assert_eq!(harness.events(), []);
    acknowledge(&mut harness, config);
    harness.expect_subscribe(CONFIG);
}

#[test]
fn only_the_newest_of_the_configs_that_are_postponed_can_be_acknowledged() {
    for order in [[0, 1], [1, 0]] {
        let (mut harness, _) = two(manual());
        let old = deliver(&mut harness, CONFIG, "1", 11);
        let new = deliver(&mut harness, CONFIG, "2", 12);
        for which in order {
            postpone(&mut harness, [old, new][which]);
        }
        assert_eq!(harness.gateway.stats().unacknowledged, 0);
        assert!(!harness.gateway.awaits_acknowledgement(old));
        assert!(harness.gateway.awaits_acknowledgement(new));
    }
}

#[test]
fn a_config_that_is_postponed_after_the_newer_one_is_acknowledged_is_given_up_for_good() {
    let (mut harness, _) = two(manual());
    let old = deliver(&mut harness, CONFIG, "1", 11);
    let new = deliver(&mut harness, CONFIG, "2", 12);
    acknowledge(&mut harness, new);
    postpone(&mut harness, old);
    assert_eq!(harness.sent(), [Sent::PubAck(12)]);
    assert!(!harness.gateway.awaits_acknowledgement(old));
}

#[test]
fn to_postpone_changes_nothing_for_what_is_acknowledged_already_or_of_an_earlier_connection() {
    let (mut harness, _) = two(manual());
    let config = deliver(&mut harness, CONFIG, "1", 11);
    let old = deliver(&mut harness, COMMANDS, "x", 12);
    acknowledge(&mut harness, old);
    postpone(&mut harness, old);
    assert_eq!(harness.sent(), []);
    acknowledge(&mut harness, config);
    postpone(&mut harness, config);
    assert_eq!(harness.sent(), [Sent::PubAck(11), Sent::PubAck(12)]);
    harness.reconnect();
    attach_again(&mut harness);
    deliver(&mut harness, COMMANDS, "x", 11);
    postpone(&mut harness, old);
    assert_eq!(harness.sent(), []);
}

#[test]
fn to_postpone_has_no_effect_when_everything_is_acknowledged_at_once() {
    let (mut harness, _) = subscribed(Options::default());
    let config = deliver(&mut harness, CONFIG, "1", 11);
    postpone(&mut harness, config);
    assert_eq!(harness.sent(), [Sent::PubAck(11)]);
}
