//! Deliveries that nobody acknowledges: whom they hold up, for how long, and what happens then.

use iotcore_gateway::{
    DeliveryId, DeviceKey, Event, Options,
    message::{QoS, Subscription},
};

use super::{
    messages::{deliveries, manual, subscribe, subscribed},
    peer::{CONFIG, EVENTS, Harness, Sent, seconds},
};

pub(super) const COMMANDS: &str = "/devices/device-1/commands";
pub(super) const OTHERS: &str = "/devices/device-2/commands";

/// Returns two devices that are subscribed to configs and commands.
pub(super) fn two(options: Options) -> (Harness, [DeviceKey; 2]) {
    let (mut harness, first) = subscribed(options);
    let second = harness.attach("device-2");
    subscribe(&mut harness, second);
    harness.events();
    (harness, [first, second])
}

/// Delivers one message, and returns its number.
pub(super) fn deliver(harness: &mut Harness, topic: &str, payload: &str, id: u16) -> DeliveryId {
    harness.deliver(topic, payload, Some(id));
    deliveries(harness)[0]
}

/// Acknowledges a delivery.
pub(super) fn acknowledge(harness: &mut Harness, delivery: DeliveryId) {
    harness.gateway.acknowledge(delivery, harness.now);
}

/// Makes `device-1` hold up `device-2` until its deliveries are released.
pub(super) fn hold_up(harness: &mut Harness, id: u16) {
    let other = deliver(harness, OTHERS, "x", id);
    acknowledge(harness, other);
    assert_eq!(harness.sent(), []);
    harness.wait(seconds(5));
    harness.events();
    assert_eq!(harness.sent(), [Sent::PubAck(id)]);
}

#[test]
fn an_acknowledgement_waits_5_seconds_at_most_for_those_of_another_device() {
    let (mut harness, [first, _]) = two(manual());
    deliver(&mut harness, COMMANDS, "x", 11);
    let other = deliver(&mut harness, OTHERS, "x", 12);
    deliver(&mut harness, COMMANDS, "x", 13);
    harness.wait(seconds(20));
    assert_eq!(harness.events(), [], "nobody is held up yet");
    acknowledge(&mut harness, other);
    harness.time_out(seconds(5));
    assert_eq!(
        harness.events(),
        [Event::AcknowledgementsOverdue {
            device: first,
            messages: 2
        }]
    );
    assert_eq!(
        harness.sent(),
        [Sent::PubAck(11), Sent::PubAck(12), Sent::PubAck(13)]
    );
}

#[test]
fn a_device_holds_up_its_own_acknowledgements_for_as_long_as_it_likes() {
    let (mut harness, _) = two(manual());
    let first = deliver(&mut harness, COMMANDS, "x", 11);
    let second = deliver(&mut harness, COMMANDS, "x", 12);
    deliver(&mut harness, OTHERS, "x", 13);
    acknowledge(&mut harness, second);
    harness.wait(seconds(50));
    assert_eq!(harness.events(), []);
    assert_eq!(harness.sent(), []);
    acknowledge(&mut harness, first);
    assert_eq!(harness.sent(), [Sent::PubAck(11), Sent::PubAck(12)]);
}

#[test]
fn only_devices_that_hold_up_others_are_released() {
    let (mut harness, [first, second]) = two(manual());
    let third = harness.attach("device-3");
    subscribe(&mut harness, third);
    harness.events();
    deliver(&mut harness, COMMANDS, "x", 11);
    deliver(&mut harness, OTHERS, "x", 12);
    let given = deliver(&mut harness, "/devices/device-3/commands", "x", 13);
    let waiting = deliver(&mut harness, "/devices/device-3/commands", "x", 14);
    acknowledge(&mut harness, given);
    harness.time_out(seconds(5));
    let released = [first, second].map(|device| Event::AcknowledgementsOverdue {
        device,
        messages: 1,
    });
    assert_eq!(harness.events(), released);
    assert_eq!(
        harness.sent(),
        [Sent::PubAck(11), Sent::PubAck(12), Sent::PubAck(13)]
    );
    assert!(!harness.gateway.awaits_acknowledgement(given));
    assert!(harness.gateway.awaits_acknowledgement(waiting));
}

#[test]
fn unacknowledged_deliveries_pause_reading_for_5_seconds_at_most() {
    let (mut harness, [device, other]) = two(manual());
    deliver(&mut harness, OTHERS, "x", 2_000);
    for id in 1..=1_023 {
        assert!(harness.gateway.wants_input());
        deliver(&mut harness, COMMANDS, "x", id);
    }
    assert!(!harness.gateway.wants_input());
    let paused_at = harness.now;
    harness.wait(seconds(2));
    assert_eq!(
        harness.gateway.stats().reading_paused_since,
        Some(paused_at)
    );
    harness.time_out(seconds(3));
    let released = |device, messages| Event::AcknowledgementsOverdue { device, messages };
    assert_eq!(
        harness.events(),
        [
            Event::ReadingPaused {
                device: Some(device)
            },
            released(device, 1_023),
            released(other, 1)
        ]
    );
    assert!(harness.gateway.wants_input());
    assert_eq!(harness.gateway.stats().reading_paused_since, None);
    let acknowledged = [2_000].into_iter().chain(1..=1_023).map(Sent::PubAck);
    assert_eq!(harness.sent(), Vec::from_iter(acknowledged));
}

#[test]
fn a_delivery_during_a_pause_is_not_released_at_once() {
    let mut options = manual();
    options.max_unacknowledged = 2;
    let (mut harness, [first, _]) = two(options);
    deliver(&mut harness, COMMANDS, "x", 11);
    deliver(&mut harness, COMMANDS, "x", 12);
    harness.wait(seconds(4));
    let late = deliver(&mut harness, OTHERS, "x", 13);
    harness.time_out(seconds(1));
    let released = Event::AcknowledgementsOverdue {
        device: first,
        messages: 2,
    };
    assert_eq!(harness.events().last(), Some(&released));
    assert!(harness.gateway.awaits_acknowledgement(late));
}

#[test]
fn a_pause_that_ends_after_an_answer_was_due_leaves_no_deadline_in_the_past() {
    let mut options = manual();
    options.max_unacknowledged = 1;
    let (mut harness, [device, _]) = two(options);
    harness.publish(device, "1");
    harness.expect_publish(EVENTS);
    harness.now += seconds(31); // its PUBACK is overdue, and the input comes before the timer
    deliver(&mut harness, COMMANDS, "x", 11);
    for elapsed in [0, 5] {
        harness.now += seconds(elapsed);
        harness.gateway.handle_timeout(harness.now);
        let next = harness.gateway.poll_timeout();
        assert!(next.is_none_or(|next| next > harness.now), "{next:?}");
    }
    assert!(harness.gateway.wants_input());
}

#[test]
fn a_pause_is_reported_once_and_names_nobody_when_events_are_not_taken() {
    let mut options = manual();
    options.max_events = 1;
    let (mut harness, _) = subscribed(options);
    harness.deliver(CONFIG, "x", Some(11));
    harness.wait(seconds(30));
    let events = harness.events();
    assert!(matches!(
        &events[..],
        [Event::Config { .. }, Event::ReadingPaused { device: None }]
    ));
    harness.deliver(CONFIG, "x", None);
    harness.wait(seconds(4));
    assert_eq!(harness.events().len(), 1, "not yet");
    harness.wait(seconds(1));
    harness.deliver(CONFIG, "x", None);
    harness.wait(seconds(5));
    assert_eq!(harness.events().len(), 2, "each pause is reported");
}

#[test]
fn a_pause_names_nobody_when_the_transport_takes_no_acknowledgements() {
    let mut options = Options::default();
    options.max_unacknowledged = 2;
    let (mut harness, device) = subscribed(options);
    harness.publish(device, &"x".repeat(100_000));
    harness.deliver(CONFIG, "x", Some(11));
    harness.deliver(CONFIG, "x", Some(12));
    harness.events();
    assert!(!harness.gateway.wants_input());
    harness.wait(seconds(20));
    assert_eq!(harness.events(), [Event::ReadingPaused { device: None }]);
    assert_eq!(harness.gateway.stats().unacknowledged, 2);
}

#[test]
fn the_commands_of_a_device_that_is_detached_are_acknowledged_and_its_configs_are_not() {
    for is_requested in [true, false] {
        let (mut harness, [device, _]) = two(manual());
        deliver(&mut harness, COMMANDS, "x", 11);
        let config = deliver(&mut harness, CONFIG, "x", 12);
        let other = deliver(&mut harness, OTHERS, "x", 13);
        acknowledge(&mut harness, other);
        if is_requested {
            harness.gateway.detach(device, harness.now).unwrap();
            let detach = harness.expect_publish("/devices/device-1/detach");
            harness.puback(detach);
        } else {
            harness.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", None);
        }
        assert_eq!(harness.sent(), [Sent::PubAck(11), Sent::PubAck(13)]);
        assert_eq!(harness.gateway.stats().unacknowledged, 0);
        harness.events();
        acknowledge(&mut harness, config);
        assert_eq!(harness.sent(), []);
    }
}

#[test]
fn a_detach_sends_the_acknowledgements_that_it_releases() {
    let (mut harness, [device, _]) = two(manual());
    deliver(&mut harness, COMMANDS, "x", 11);
    harness.gateway.detach(device, harness.now).unwrap();
    let bytes = harness.gateway.poll_transmit().to_vec();
    harness.gateway.handle_timeout(harness.now); // spurious
    assert_eq!(harness.gateway.poll_transmit(), bytes);
    assert!(harness.sent().contains(&Sent::PubAck(11)));
}

#[test]
fn what_arrives_between_a_detach_and_its_puback_is_released_by_the_puback() {
    let (mut harness, [device, _]) = two(manual());
    harness.gateway.detach(device, harness.now).unwrap();
    let detach = harness.expect_publish("/devices/device-1/detach");
    deliver(&mut harness, COMMANDS, "x", 11);
    let other = deliver(&mut harness, OTHERS, "x", 12);
    acknowledge(&mut harness, other);
    assert_eq!(harness.sent(), []);
    harness.puback(detach);
    assert_eq!(harness.sent(), [Sent::PubAck(11), Sent::PubAck(12)]);
}

#[test]
fn a_config_that_was_given_up_is_subscribed_again_when_it_is_acknowledged() {
    let (mut harness, _) = two(manual());
    let old = deliver(&mut harness, CONFIG, "1", 11);
    let new = deliver(&mut harness, CONFIG, "2", 12);
    hold_up(&mut harness, 13);
    acknowledge(&mut harness, old);
    assert_eq!(harness.sent(), [], "it is not the newest");
    acknowledge(&mut harness, new);
    let id = harness.expect_subscribe(CONFIG);
    acknowledge(&mut harness, new);
    harness.suback(id, 1);
    assert_eq!(harness.events(), []);
    let newer = deliver(&mut harness, CONFIG, "3", 14);
    acknowledge(&mut harness, newer);
    assert_eq!(harness.sent(), [Sent::PubAck(14)]);
}

#[test]
fn a_renewed_subscription_that_is_not_answered_is_tried_again_and_can_be_ended() {
    let (mut harness, [device, _]) = two(manual());
    let config = deliver(&mut harness, CONFIG, "1", 11);
    hold_up(&mut harness, 12);
    acknowledge(&mut harness, config);
    harness.expect_subscribe(CONFIG);
    harness.wait(seconds(40));
    harness.expect_subscribe(CONFIG);
    harness
        .gateway
        .unsubscribe(device, Subscription::Config, harness.now)
        .unwrap();
    harness.wait(seconds(60));
    assert!(
        harness
            .sent()
            .iter()
            .any(|sent| matches!(sent, Sent::Unsubscribe { .. }))
    );
}

#[test]
fn a_config_that_was_given_up_is_not_subscribed_again_without_its_subscription() {
    let (mut harness, [device, _]) = two(manual());
    let config = deliver(&mut harness, CONFIG, "1", 11);
    hold_up(&mut harness, 12);
    harness
        .gateway
        .unsubscribe(device, Subscription::Config, harness.now)
        .unwrap();
    let Sent::Unsubscribe { id, .. } = harness.next_sent() else {
        panic!("no UNSUBSCRIBE")
    };
    harness.unsuback(id);
    acknowledge(&mut harness, config);
    assert_eq!(harness.sent(), []);
}

#[test]
fn a_duplicate_of_a_config_that_was_given_up_is_delivered_only_with_another_payload() {
    let (mut harness, _) = two(manual());
    deliver(&mut harness, CONFIG, "1", 11);
    hold_up(&mut harness, 12);
    let command = deliver(&mut harness, COMMANDS, "x", 13);
    acknowledge(&mut harness, command);
    assert_eq!(harness.sent(), [Sent::PubAck(13)]);
    harness.deliver_again(CONFIG, "1", 11);
    assert_eq!(deliveries(&mut harness), []);
    assert_eq!(harness.gateway.stats().duplicates, 1);
    harness.deliver_again(CONFIG, "2", 11);
    let given = deliveries(&mut harness);
    acknowledge(&mut harness, given[0]);
    assert_eq!(harness.sent(), [Sent::PubAck(11)]);
}

#[test]
fn a_duplicate_config_with_another_payload_is_delivered_and_both_have_one_puback() {
    for order in [[0, 1], [1, 0]] {
        let (mut harness, _) = subscribed(manual());
        harness.deliver(CONFIG, "1", Some(11));
        harness.deliver_again(CONFIG, "2", 11);
        harness.deliver_again(CONFIG, "2", 11);
        let given = deliveries(&mut harness);
        assert_eq!(given.len(), 2);
        assert_eq!(harness.gateway.stats().duplicates, 1);
        acknowledge(&mut harness, given[order[0]]);
        assert_eq!(harness.sent(), [], "{order:?}");
        acknowledge(&mut harness, given[order[1]]);
        assert_eq!(harness.sent(), [Sent::PubAck(11)], "{order:?}");
    }
}

#[test]
fn a_duplicate_command_is_not_delivered_whatever_its_payload() {
    let (mut harness, _) = subscribed(manual());
    let command = deliver(&mut harness, COMMANDS, "1", 11);
    harness.deliver_again(COMMANDS, "2", 11);
    assert_eq!(harness.events(), []);
    acknowledge(&mut harness, command);
    assert_eq!(harness.sent(), [Sent::PubAck(11)]);
}

#[test]
fn a_delivery_at_qos_0_counts_for_nothing() {
    let mut options = manual();
    options.max_unacknowledged = 1;
    let (mut harness, device) = subscribed(options);
    harness
        .gateway
        .subscribe(device, Subscription::Commands, QoS::AtMostOnce, harness.now)
        .unwrap();
    harness.sent();
    for _ in 0..10 {
        harness.deliver(COMMANDS, "x", None);
    }
    let given = deliveries(&mut harness);
    assert_eq!(given.len(), 10);
    assert!(given.is_sorted_by(|one, next| one < next));
    assert!(harness.gateway.wants_input());
    assert_eq!(harness.gateway.stats().unacknowledged, 0);
    acknowledge(&mut harness, given[9]);
    assert_eq!(harness.sent(), []);
}
