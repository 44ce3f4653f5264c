//! Devices that the bridge has refused or detached for good: what becomes of their queues and subscriptions.

use std::time::Duration;

use iotcore_gateway::{
    DeviceKey, Event, Failure, OpId, Options, Outcome, Publication,
    cause::DetachCause,
    command_error::{CommandError, PublishErrorKind},
    device::DeviceState,
    message::{QoS, Subscription},
    options::OnRefusal,
};

use super::peer::{ATTACH, CONFIG, EVENTS, Harness, Sent, failed, seconds};

const REFUSED: &str = "GATEWAY_ATTACHMENT_ERROR";

fn keeping() -> Options {
    let mut options = Options::default();
    options.on_refusal = OnRefusal::KeepQueue;
    options
}

fn without_reattach() -> Options {
    let mut options = Options::default();
    options.reattach = false;
    options
}

fn subscribe(harness: &mut Harness, device: DeviceKey) -> Result<OpId, CommandError> {
    let config = Subscription::Config;
    let now = harness.now;
    harness
        .gateway
        .subscribe(device, config, QoS::AtLeastOnce, now)
}

/// Returns a device that the bridge has refused, with two publications that were accepted before.
fn refused(options: Options) -> (Harness, DeviceKey, [OpId; 2]) {
    let mut harness = Harness::open(options);
    let (device, _) = harness.begin_attach("device-1");
    let ops = ["1", "2"].map(|payload| harness.publish(device, payload));
    let id = harness.expect_publish(ATTACH);
    harness.report(REFUSED, "device-1", Some(id));
    (harness, device, ops)
}

#[test]
fn each_publication_of_a_refused_device_fails_with_its_payload() {
    let (mut harness, _, ops) = refused(Options::default());
    let events = harness.events();
    for (op, payload) in ops.into_iter().zip(["1", "2"]) {
        let handed_back = events.iter().find_map(|event| match event {
            Event::Failed {
                op: failed,
                failure: Failure::DeviceRefused,
                unsent,
                ..
            } if *failed == op => unsent.clone(),
            _ => None,
        });
        assert_eq!(handed_back.unwrap().payload, payload);
    }
    assert_eq!(harness.gateway.stats().queued, 0);
}

#[test]
fn the_queue_of_a_refused_device_can_be_kept_until_it_is_attached_again() {
    let (mut harness, device, ops) = refused(keeping());
    let events = harness.events();
    for op in ops {
        assert_eq!(failed(&events, op), None);
    }
    let publication = Publication::telemetry(device, "3");
    let refused = harness.gateway.publish(publication, harness.now);
    assert_eq!(refused.unwrap_err().kind, PublishErrorKind::DeviceRefused);
    harness.reconnect();
    harness.wait(seconds(40));
    assert_eq!(harness.sent(), [], "nothing is sent for it");
    assert_eq!(harness.gateway.stats().queued, 2);

    harness.begin_attach("device-1");
    harness.acknowledge_attach("device-1");
    harness.events();
    for op in ops {
        let id = harness.expect_publish(EVENTS);
        harness.puback(id);
        assert_eq!(harness.ended(op), Some(Ok(Outcome::Acknowledged)));
    }
}

#[test]
fn detaching_a_refused_device_fails_the_queue_that_was_kept() {
    let (mut harness, device, ops) = refused(keeping());
    let detach = harness.gateway.detach(device, harness.now).unwrap();
    let events = harness.events();
    for op in ops {
        assert_eq!(failed(&events, op), Some(&Failure::Detached));
    }
    let outcome = Outcome::Detached;
    assert!(events.contains(&Event::Done {
        op: detach,
        outcome
    }));
}

#[test]
fn a_refused_device_is_not_subscribed_and_its_pending_subscriptions_fail() {
    let mut harness = Harness::open(Options::default());
    let (device, _) = harness.begin_attach("device-1");
    let op = subscribe(&mut harness, device).unwrap();
    let id = harness.expect_publish(ATTACH);
    harness.report(REFUSED, "device-1", Some(id));
    assert_eq!(harness.ended(op), Some(Err(Failure::DeviceRefused)));
    assert_eq!(
        subscribe(&mut harness, device),
        Err(CommandError::DeviceRefused)
    );

    harness.begin_attach("device-1");
    harness.acknowledge_attach("device-1");
    harness.expect_subscribe(CONFIG);
}

#[test]
fn unsubscribing_a_refused_device_is_done_at_once() {
    let mut harness = Harness::open(Options::default());
    let (device, _) = harness.begin_attach("device-1");
    subscribe(&mut harness, device).unwrap();
    let id = harness.expect_publish(ATTACH);
    harness.report(REFUSED, "device-1", Some(id));
    let unsubscribing = harness
        .gateway
        .unsubscribe(device, Subscription::Config, harness.now);
    let ended = harness.ended(unsubscribing.unwrap());
    assert_eq!(ended, Some(Ok(Outcome::Unsubscribed)));
    harness.begin_attach("device-1");
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.sent(), []);
}

#[test]
fn a_subscription_of_a_device_that_stays_detached_fails_at_once_and_is_made_with_its_next_attach() {
    for is_pending in [true, false] {
        let (mut harness, device) = Harness::attached(without_reattach());
        let op = if is_pending {
            let op = subscribe(&mut harness, device).unwrap();
            harness.expect_subscribe(CONFIG);
            harness.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", None);
            op
        } else {
            harness.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", None);
            subscribe(&mut harness, device).unwrap()
        };
        let state = harness.gateway.device_state(device);
        assert_eq!(state, Some(DeviceState::Dormant));
        assert_eq!(harness.ended(op), Some(Err(Failure::NotAttached)));
        harness.begin_attach("device-1");
        harness.acknowledge_attach("device-1");
        let id = harness.expect_subscribe(CONFIG);
        harness.suback(id, 1);
        assert_eq!(harness.sent(), [], "once");
    }
}

/// Attaches a device by this identifier, with one publication in flight and another subscription pending.
fn attached_and_busy(options: Options) -> (Harness, DeviceKey, u16, [OpId; 2]) {
    let mut harness = Harness::open(options);
    let (device, _) = harness.begin_attach("device-1");
    let id = harness.expect_publish(ATTACH);
    harness.puback(id);
    let published = harness.publish(device, "1");
    let subscribed = subscribe(&mut harness, device).unwrap();
    harness.sent();
    harness.events();
    (harness, device, id, [published, subscribed])
}

#[test]
fn a_refusal_that_follows_the_puback_of_its_attach_counts_as_if_it_had_come_before() {
    let (mut harness, device, id, ops) = attached_and_busy(Options::default());
    harness.report(REFUSED, "device-1", Some(id));
    let events = harness.events();
    let is_detached = matches!(
        &events[0],
        Event::Detached { device: gone, cause: DetachCause::Reported(_) } if *gone == device
    );
    assert!(is_detached, "{events:?}");
    for op in ops {
        assert_eq!(failed(&events, op), Some(&Failure::DeviceRefused));
    }
    let state = harness.gateway.device_state(device);
    assert_eq!(state, Some(DeviceState::Refused));
    harness.wait(seconds(40));
    harness.reconnect();
    assert_eq!(harness.sent(), [], "it is not attached again");
    assert_eq!(harness.gateway.stats().in_flight, 0);
}

#[test]
fn a_refusal_names_an_attach_that_was_sent_twice_and_acknowledged_once() {
    let mut harness = Harness::open(Options::default());
    let (device, _) = harness.begin_attach("device-1");
    let id = harness.expect_publish(ATTACH);
    harness.time_out(seconds(30));
    harness.step();
    harness.expect_publish_again(ATTACH, id);
    harness.puback(id);
    harness.report(REFUSED, "device-1", Some(id));
    let state = harness.gateway.device_state(device);
    assert_eq!(state, Some(DeviceState::Refused));
}

#[test]
fn a_refusal_that_follows_the_puback_keeps_what_was_in_flight_if_the_options_say_so() {
    let (mut harness, _, id, [published, _]) = attached_and_busy(keeping());
    harness.report(REFUSED, "device-1", Some(id));
    assert_eq!(failed(&harness.events(), published), None);
    harness.begin_attach("device-1");
    harness.acknowledge_attach("device-1");
    harness.expect_subscribe(CONFIG);
    let again = harness.expect_publish(EVENTS);
    harness.puback(again);
    assert_eq!(harness.ended(published), Some(Ok(Outcome::Acknowledged)));
}

#[test]
fn a_refusal_that_names_no_device_is_about_the_attachment_of_its_identifier() {
    let (mut harness, device, id, _) = attached_and_busy(Options::default());
    let other = harness.attach("device-2");
    let report = format!(r#"{{"error_type":"{REFUSED}","packet_id":{id}}}"#);
    harness.deliver("/devices/gw-1/errors", &report, None);
    let state = |device| harness.gateway.device_state(device);
    assert_eq!(state(device), Some(DeviceState::Refused));
    assert_eq!(state(other), Some(DeviceState::Attached));
}

#[test]
fn a_refusal_that_names_another_identifier_is_only_an_event() {
    // That of a publication in flight, that of an earlier attach, and one that was never used.
    let (mut harness, device) = Harness::attached(Options::default());
    let earlier = {
        harness.report("GATEWAY_DEVICE_NOT_FOUND", "device-1", None);
        harness.step();
        let id = harness.expect_publish(ATTACH);
        harness.puback(id);
        id - 1
    };
    harness.publish(device, "1");
    let in_flight = harness.expect_publish(EVENTS);
    harness.events();
    for id in [in_flight, earlier, 9_999] {
        harness.report(REFUSED, "device-1", Some(id));
        assert!(matches!(harness.events()[..], [Event::ErrorReport(_)]));
    }
    let state = harness.gateway.device_state(device);
    assert_eq!(state, Some(DeviceState::Attached));
    assert_eq!(harness.gateway.stats().in_flight, 1);
}

#[test]
fn a_late_refusal_of_an_earlier_attach_does_not_end_the_one_under_way() {
    let mut harness = Harness::open(Options::default());
    let (device, op) = harness.begin_attach("device-1");
    let earlier = harness.expect_publish(ATTACH);
    harness.report("UNKNOWN", "device-1", Some(earlier));
    harness.step();
    let id = harness.expect_publish(ATTACH);
    harness.report(REFUSED, "device-1", Some(earlier));
    assert_eq!(harness.ended(op), None);
    harness.puback(earlier);
    let state = harness.gateway.device_state(device);
    assert_eq!(state, Some(DeviceState::Attaching));
    harness.puback(id);
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Attached)));
}

/// Answers what was sent except publications; returns the identifier of the attach that was among it.
fn answer(harness: &mut Harness) -> Option<u16> {
    let mut attach = None;
    for sent in harness.sent() {
        match sent {
            Sent::Publish { id: Some(id), .. } => {
                attach = Some(id);
                harness.puback(id);
            }
            other => harness.receive(&other.answer().unwrap()),
        }
    }
    harness.events();
    attach
}

/// Attaches a device for an hour at a bridge that acknowledges each attach and reports this at once; returns the number of
/// attaches.
fn attaches_in_an_hour(error_type: &str) -> usize {
    let mut harness = Harness::open(Options::default());
    harness.begin_attach("device-1");
    let end = harness.now + seconds(3_600);
    let mut attaches = 0;
    while harness.now < end {
        if answer(&mut harness).is_some() {
            attaches += 1;
            harness.report(error_type, "device-1", None);
        }
        harness.step();
    }
    attaches
}

#[test]
fn a_device_that_is_detached_soon_after_each_attach_is_attached_about_20_times_an_hour() {
    for error_type in [
        REFUSED,
        "GATEWAY_DEVICE_NOT_FOUND",
        "GATEWAY_DETACHMENT_DEVICE_ERROR",
    ] {
        let attaches = attaches_in_an_hour(error_type);
        assert!((15..=22).contains(&attaches), "{attaches} attaches");
    }
}

/// Reports that the bridge has detached the device, and attaches it again; returns after how long.
fn reattached_after(harness: &mut Harness) -> Duration {
    harness.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", None);
    let since = harness.now;
    while answer(harness).is_none() {
        harness.step();
    }
    harness.now - since
}

#[test]
fn an_attachment_that_lasted_resets_the_backoff_whatever_ended_it() {
    for is_lost in [false, true] {
        let (mut harness, device) = Harness::attached(Options::default());
        let waits: Vec<_> = (0..6)
            .map(|_| reattached_after(&mut harness).as_secs())
            .collect();
        assert!(waits.is_sorted() && waits[5] >= 32, "{waits:?}");
        let stable = harness.now + seconds(60);
        while harness.now < stable {
            harness.step();
            answer(&mut harness);
        }
        if is_lost {
            harness.reconnect();
            harness.acknowledge_attach("device-1");
        }
        let wait = reattached_after(&mut harness);
        assert!(wait <= seconds(2), "{wait:?}");
        let state = harness.gateway.device_state(device);
        assert_eq!(state, Some(DeviceState::Attached));
    }
}
