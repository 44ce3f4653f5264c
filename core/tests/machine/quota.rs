//! Limits of number and rate: what is too much is refused or dropped as the options say, what is too fast waits.

use std::{num::NonZeroU32, time::Duration};

use iotcore_gateway::{
    DeviceKey, Failure, Options, Outcome, Overflow, Publication, PublishError, PublishErrorKind,
    QoS, QueueLimit, Quota, quota,
};

use super::peer::{Session, UNIX_NOW, seconds};

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
fn the_oldest_that_waits_gives_way_if_the_options_say_so() {
    let (mut session, device) = Session::attached(small_queue(Overflow::DropOldest));
    let in_flight = session.publish(device, "0");
    let [oldest, kept, newest] = ["1", "2", "3"].map(|payload| session.publish(device, payload));
    assert_eq!(session.ended(oldest), Some(Err(Failure::Dropped)));
    assert_eq!(session.gateway.stats().dropped, 1);
    for op in [in_flight, kept, newest] {
        let [(_, id)] = session.sent_payloads()[..] else {
            panic!("one at a time")
        };
        session.puback(id);
        assert_eq!(session.ended(op), Some(Ok(Outcome::Acknowledged)));
    }
}

#[test]
fn what_is_in_flight_is_never_dropped_for_a_newer_one() {
    let mut options = small_queue(Overflow::DropOldest);
    options.window = 100;
    let (mut session, device) = Session::attached(options);
    for payload in ["0", "1", "2"] {
        session.publish(device, payload);
    }
    session.sent();
    let publication = Publication::telemetry(device, "3");
    let blocked = session.gateway.publish(publication.clone(), session.now);
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
    let (mut session, device) = Session::attached(small_queue(Overflow::Reject));
    for payload in ["0", "1"] {
        session.publish(device, payload);
    }
    let state = |payload: &'static str| Publication::state(device, payload);
    let old = session.gateway.publish(state("old"), session.now).unwrap();
    let new = session.gateway.publish(state("new"), session.now).unwrap();
    assert_eq!(session.ended(old), Some(Err(Failure::Superseded)));
    assert_eq!(session.gateway.stats().queued, 3);
    assert!(session.gateway.unsent().any(|unsent| unsent.op == new));
}

#[test]
fn the_limits_on_payloads_and_devices_are_settings() {
    let mut options = Options::default();
    options.quota.max_telemetry_bytes = 10;
    options.quota.max_devices = 1;
    let (mut session, device) = Session::attached(options);
    let large = Publication::telemetry(device, "12345678901");
    let error = session.gateway.publish(large, session.now).unwrap_err();
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
        session
            .gateway
            .attach("device-2".try_into().unwrap(), None, UNIX_NOW, session.now)
            .is_err()
    );
}

/// Publishes so many of this size and gives when each was written, counted from now.
fn times(session: &mut Session, device: DeviceKey, count: usize, size: usize) -> Vec<Duration> {
    let start = session.now;
    for _ in 0..count {
        let publication = Publication::telemetry(device, vec![b'x'; size]).qos(QoS::AtMostOnce);
        session.gateway.publish(publication, start).unwrap();
    }
    let mut times = Vec::new();
    while times.len() < count {
        let written = session.sent_texts().len();
        times.extend((0..written).map(|_| session.now - start));
        if times.len() < count {
            session.step();
        }
    }
    times
}

#[test]
fn a_device_keeps_its_byte_rate_and_delays_no_other() {
    let mut options = Options::default();
    options.quota.device_bytes_per_second = NonZeroU32::new(10_000);
    let (mut session, device) = Session::attached(options);
    let other = session.attach("device-2");
    let times = times(&mut session, device, 21, 1_000);
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
    assert!(session.gateway.stats().delays > 10);
    assert!(session.gateway.stats().delayed > seconds(1));
    session.publish(other, "at once");
    assert_eq!(session.sent_texts(), ["at once"]);
}

#[test]
fn the_connection_keeps_its_message_rate() {
    let mut options = Options::default();
    options.quota.messages_per_second = NonZeroU32::new(100);
    let (mut session, device) = Session::attached(options);
    let times = times(&mut session, device, 300, 1);
    assert!(
        times[299] > Duration::from_millis(2_700) && times[299] < seconds(3),
        "{:?}",
        times[299]
    );
    assert!(session.gateway.stats().delays > 200);
}

#[test]
fn a_wait_for_a_rate_is_counted_once_and_as_long_as_it_is() {
    let delays = |session: &Session| {
        let stats = session.gateway.stats();
        (stats.delays, stats.delayed)
    };
    let mut options = Options::default();
    options.quota.messages_per_second = NonZeroU32::new(100);
    let (mut session, device) = Session::attached(options);
    let at = times(&mut session, device, 30, 1)[25..].to_vec();
    assert_eq!(at, [0, 10, 20, 30, 40].map(Duration::from_millis));
    assert_eq!(delays(&session), (4, Duration::from_millis(40)));

    let mut options = Options::default();
    options.quota.device_bytes_per_second = NonZeroU32::new(10_000);
    let (mut session, device) = Session::attached(options);
    let at = times(&mut session, device, 5, 1_000)[2..].to_vec();
    assert_eq!(at, [0, 50, 150].map(Duration::from_millis));
    assert_eq!(delays(&session), (2, Duration::from_millis(150)));

    let (mut session, device) = Session::attached(Options::default());
    for payload in ["1", "2", "3"] {
        let state = Publication::state(device, payload);
        session.gateway.publish(state, session.now).unwrap();
    }
    session.wait(seconds(2));
    assert_eq!(session.sent_texts(), ["1", "3"]);
    assert_eq!(delays(&session), (1, Duration::from_millis(1_250)));
}

#[test]
fn the_byte_rate_of_a_device_outlives_its_detach() {
    let mut options = Options::default();
    options.quota.device_bytes_per_second = NonZeroU32::new(10_000);
    let (mut session, device) = Session::attached(options);
    session.publish(device, &"x".repeat(4_000));
    let id = session.expect_publish("/devices/device-1/events");
    session.puback(id);
    session.gateway.detach(device, session.now).unwrap();
    let id = session.expect_publish("/devices/device-1/detach");
    session.puback(id);
    let device = session.attach("device-1");
    session.publish(device, "x");
    session.wait(Duration::from_millis(149));
    assert_eq!(session.sent_texts(), [""; 0]);
    session.wait(Duration::from_millis(1));
    assert_eq!(session.sent_texts(), ["x"]);
}

#[test]
fn without_rates_nothing_waits() {
    let mut options = Options::default();
    options.quota = Quota::unpaced();
    options.device_queue.bytes = 64 << 20;
    let (mut session, device) = Session::attached(options);
    let times = times(&mut session, device, 50, 200_000);
    assert_eq!(times[49], Duration::ZERO);
    assert_eq!(session.gateway.stats().delays, 0);
}

#[test]
fn an_unpaced_quota_keeps_no_rate_and_all_other_limits() {
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
fn the_limits_are_the_numbers_that_the_service_documents() {
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
fn a_device_that_comes_back_takes_its_turn_behind_those_that_stayed() {
    let mut options = Options::default();
    options.quota.messages_per_second = NonZeroU32::new(1);
    options.backoff.min = Duration::from_millis(10);
    let (mut session, comes_back) = Session::attached(options);
    let stays = session.attach("device-2");
    session.publish(comes_back, "at once");
    assert_eq!(session.sent_payloads().len(), 1);
    session.publish(comes_back, "first in line");
    session.publish(stays, "second in line");
    assert_eq!(session.sent(), [], "the pace holds both");

    session.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", None);
    session.step();
    session.acknowledge_attach("device-1");
    let mut payloads = Vec::new();
    while payloads.len() < 2 {
        session.step();
        let sent = session.sent_payloads();
        payloads.extend(sent.into_iter().map(|(payload, _)| payload));
    }
    // What was in flight when the device was detached comes first among its own.
    assert_eq!(payloads, ["second in line", "at once"]);
}
