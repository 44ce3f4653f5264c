//! Queue limits and rate limits: publications beyond a queue's limit are refused or dropped, depending on the options;
//! those above a rate are delayed.

use std::{num::NonZeroU32, time::Duration};

use iotcore_gateway::{
    DeviceAuth, DeviceKey, Failure, Options, Outcome, Publication,
    command_error::{PublishError, PublishErrorKind},
    message::QoS,
    options::{Overflow, QueueLimit},
    quota::{self, Quota},
};

use super::peer::{Harness, UNIX_NOW, seconds};

fn small_queue(overflow: Overflow) -> Options {
    let mut options = Options::default();
    options.device_queue = QueueLimit {
        messages: 3,
        bytes: 1 << 20,
    };
    options.window = 1;
    options.overflow = overflow;
    options
}

#[test]
fn with_drop_oldest_a_full_queue_drops_the_oldest_waiting_publication() {
    let (mut harness, device) = Harness::attached(small_queue(Overflow::DropOldest));
    let in_flight = harness.publish(device, "0");
    let [oldest, kept, newest] = ["1", "2", "3"].map(|payload| harness.publish(device, payload));
    assert_eq!(harness.ended(oldest), Some(Err(Failure::Dropped)));
    assert_eq!(harness.gateway.stats().dropped, 1);
    for op in [in_flight, kept, newest] {
        let [(_, id)] = harness.sent_payloads()[..] else {
            panic!("expected one publication")
        };
        harness.puback(id);
        assert_eq!(harness.ended(op), Some(Ok(Outcome::Acknowledged)));
    }
}

#[test]
fn a_publication_in_flight_is_never_dropped_for_a_newer_one() {
    let mut options = small_queue(Overflow::DropOldest);
    options.window = 100;
    let (mut harness, device) = Harness::attached(options);
    for payload in ["0", "1", "2"] {
        harness.publish(device, payload);
    }
    harness.sent();
    let publication = Publication::telemetry(device, "3");
    let blocked = harness.gateway.publish(publication.clone(), harness.now);
    assert_eq!(
        blocked,
        Err(PublishError {
            kind: PublishErrorKind::Blocked,
            publication
        })
    );
}

#[test]
fn a_state_that_replaces_another_needs_no_room() {
    let (mut harness, device) = Harness::attached(small_queue(Overflow::Reject));
    for payload in ["0", "1"] {
        harness.publish(device, payload);
    }
    let state = |payload: &'static str| Publication::state(device, payload);
    let old = harness.gateway.publish(state("old"), harness.now).unwrap();
    let new = harness.gateway.publish(state("new"), harness.now).unwrap();
    assert_eq!(harness.ended(old), Some(Err(Failure::Superseded)));
    assert_eq!(harness.gateway.stats().queued, 3);
    assert!(harness.gateway.unsent().any(|unsent| unsent.op == new));
}

#[test]
fn the_limits_on_payloads_and_devices_are_options() {
    let mut options = Options::default();
    options.quota.max_telemetry_bytes = 10;
    options.quota.max_devices = 1;
    let (mut harness, device) = Harness::attached(options);
    let large = Publication::telemetry(device, "12345678901");
    let error = harness.gateway.publish(large, harness.now).unwrap_err();
    assert!(
        matches!(
            error,
            PublishError {
                kind: PublishErrorKind::TooLarge { limit: 10 },
                ..
            }
        ),
        "{error}"
    );
    assert!(
        harness
            .gateway
            .attach(
                "device-2".try_into().unwrap(),
                DeviceAuth::ByAssociation,
                UNIX_NOW,
                harness.now
            )
            .is_err()
    );
}

/// Publishes `count` messages of this size; returns when each was written, relative to now.
fn times(harness: &mut Harness, device: DeviceKey, count: usize, size: usize) -> Vec<Duration> {
    let start = harness.now;
    for _ in 0..count {
        let publication = Publication::telemetry(device, vec![b'x'; size]).qos(QoS::AtMostOnce);
        harness.gateway.publish(publication, start).unwrap();
    }
    let mut times = Vec::new();
    while times.len() < count {
        let written = harness.sent_texts().len();
        times.extend((0..written).map(|_| harness.now - start));
        if times.len() < count {
            harness.step();
        }
    }
    times
}

#[test]
fn a_device_is_limited_to_its_byte_rate_and_does_not_delay_others() {
    let mut options = Options::default();
    options.quota.device_bytes_per_second = NonZeroU32::new(10_000);
    let (mut harness, device) = Harness::attached(options);
    let other = harness.attach("device-2");
    let times = times(&mut harness, device, 21, 1_000);
    assert_eq!(times[0], Duration::ZERO);
    for (n, at) in times.iter().enumerate() {
        let allowed = 10_000.0 * at.as_secs_f64() + 2_500.0 + 1_000.0;
        assert!(
            (n as f64 + 1.0) * 1_000.0 <= allowed + 1e-6,
            "message {n} at {at:?}"
        );
    }
    assert!(
        times[20] > seconds(1) && times[20] < seconds(3),
        "{:?}",
        times[20]
    );
    assert!(harness.gateway.stats().delays > 10);
    assert!(harness.gateway.stats().delayed > seconds(1));
    harness.publish(other, "at once");
    assert_eq!(harness.sent_texts(), ["at once"]);
}

#[test]
fn the_connection_is_limited_to_its_message_rate() {
    let mut options = Options::default();
    options.quota.messages_per_second = NonZeroU32::new(100);
    let (mut harness, device) = Harness::attached(options);
    let times = times(&mut harness, device, 300, 1);
    assert!(
        times[299] > Duration::from_millis(2_700) && times[299] < seconds(3),
        "{:?}",
        times[299]
    );
    assert!(harness.gateway.stats().delays > 200);
}

#[test]
fn a_rate_limit_delay_is_counted_once_with_its_duration() {
    let delays = |harness: &Harness| {
        let stats = harness.gateway.stats();
        (stats.delays, stats.delayed)
    };
    let mut options = Options::default();
    options.quota.messages_per_second = NonZeroU32::new(100);
    let (mut harness, device) = Harness::attached(options);
    // A fifth of a second's worth and one go at once; the SUBSCRIBE of the errors topic and the attach were two of them.
    let at = times(&mut harness, device, 23, 1)[18..].to_vec();
    assert_eq!(at, [0, 10, 20, 30, 40].map(Duration::from_millis));
    assert_eq!(delays(&harness), (4, Duration::from_millis(40)));

    let mut options = Options::default();
    options.quota.device_bytes_per_second = NonZeroU32::new(10_000);
    let (mut harness, device) = Harness::attached(options);
    let at = times(&mut harness, device, 5, 1_000)[2..].to_vec();
    assert_eq!(at, [0, 50, 150].map(Duration::from_millis));
    assert_eq!(delays(&harness), (2, Duration::from_millis(150)));

    let (mut harness, device) = Harness::attached(Options::default());
    for payload in ["1", "2", "3"] {
        let state = Publication::state(device, payload);
        harness.gateway.publish(state, harness.now).unwrap();
    }
    harness.wait(seconds(2));
    assert_eq!(harness.sent_texts(), ["1", "3"]);
    assert_eq!(delays(&harness), (1, Duration::from_millis(1_250)));
}

#[test]
fn the_byte_rate_of_a_device_outlives_its_detach() {
    let mut options = Options::default();
    options.quota.device_bytes_per_second = NonZeroU32::new(10_000);
    let (mut harness, device) = Harness::attached(options);
    harness.publish(device, &"x".repeat(4_000));
    let id = harness.expect_publish("/devices/device-1/events");
    harness.puback(id);
    harness.gateway.detach(device, harness.now).unwrap();
    let id = harness.expect_publish("/devices/device-1/detach");
    harness.puback(id);
    let device = harness.attach("device-1");
    harness.publish(device, "x");
    harness.wait(Duration::from_millis(149));
    assert_eq!(harness.sent_texts(), [""; 0]);
    harness.wait(Duration::from_millis(1));
    assert_eq!(harness.sent_texts(), ["x"]);
}

#[test]
fn a_held_state_that_is_overdue_again_leaves_no_probe_due_in_the_past() {
    let mut options = Options::default();
    options.ack_timeout = seconds(2);
    options.max_ack_timeout = seconds(2);
    options.quota.state_interval = seconds(10);
    let (mut harness, device) = Harness::attached(options);
    let state = Publication::state(device, "on");
    harness.gateway.publish(state, harness.now).unwrap();
    harness.publish(device, "1");
    assert_eq!(harness.sent_texts(), ["on", "1"]);
    harness.wait(seconds(5));
    assert_eq!(harness.sent_texts(), ["1"]);
}

#[test]
fn without_rates_nothing_is_delayed() {
    let mut options = Options::default();
    options.quota = Quota::unpaced();
    options.device_queue.bytes = 64 << 20;
    let (mut harness, device) = Harness::attached(options);
    let times = times(&mut harness, device, 50, 200_000);
    assert_eq!(times[49], Duration::ZERO);
    assert_eq!(harness.gateway.stats().delays, 0);
}

#[test]
fn an_unpaced_quota_has_no_rates_and_all_other_limits() {
    let unpaced = Quota::unpaced();
    assert_eq!(unpaced.state_interval, Duration::ZERO);
    assert_eq!(unpaced.device_bytes_per_second, None);
    assert_eq!(unpaced.messages_per_second, None);
    let paced = Quota::default();
    assert_eq!(unpaced.max_telemetry_bytes, paced.max_telemetry_bytes);
    assert_eq!(unpaced.max_state_bytes, paced.max_state_bytes);
    assert_eq!(unpaced.max_devices, paced.max_devices);
}

#[test]
fn the_default_limits_are_those_that_the_service_documents() {
    let kib = 1_024;
    assert_eq!(quota::MAX_TELEMETRY_BYTES, 256 * kib);
    assert_eq!(quota::MAX_COMMAND_BYTES, 256 * kib);
    assert_eq!(quota::MAX_STATE_BYTES, 64 * kib);
    assert_eq!(quota::MAX_CONFIG_BYTES, 64 * kib);
    assert_eq!(quota::IDLE_LIMIT, seconds(1_200));
    assert_eq!(quota::MAX_TOKEN_LIFETIME, seconds(86_400));
    assert_eq!(quota::CLOCK_SKEW, seconds(600));
}

#[test]
fn a_reattached_device_is_queued_after_the_devices_that_stayed() {
    let mut options = Options::default();
    options.quota.messages_per_second = NonZeroU32::new(1);
    options.backoff.min = Duration::from_millis(10);
    let mut harness = Harness::open(options);
    let [comes_back, stays] = ["device-1", "device-2"].map(|id| {
        let (device, _) = harness.begin_attach(id);
        harness.wait(seconds(1));
        harness.acknowledge_attach(id);
        device
    });
    harness.wait(seconds(1));
    harness.publish(comes_back, "at once");
    assert_eq!(harness.sent_texts(), ["at once"]);
    harness.publish(comes_back, "first in line");
    harness.publish(stays, "second in line");
    assert_eq!(harness.sent(), [], "the rate limit delays both");

    harness.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", None);
    harness.wait(seconds(1));
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.sent(), [], "the attach counts against the rate too");
    // The publication that was in flight when the device was detached is the first of its queue.
    for payload in ["second in line", "at once", "first in line"] {
        harness.wait(seconds(1));
        assert_eq!(harness.sent_texts(), [payload]);
    }
}
