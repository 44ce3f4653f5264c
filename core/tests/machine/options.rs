//! Invalid options are refused with name, value and limit.

use std::time::Duration;

use iotcore_gateway::{ClientId, Gateway, Options};

fn refusal(change: impl FnOnce(&mut Options)) -> Option<String> {
    let id = ClientId::new(
        "p".try_into().unwrap(),
        "l".try_into().unwrap(),
        "reg".try_into().unwrap(),
        "gw-1".try_into().unwrap(),
    );
    let mut options = Options::default();
    change(&mut options);
    Gateway::new(id, options, 1)
        .err()
        .map(|error| error.to_string())
}

#[test]
fn the_defaults_are_valid() {
    assert_eq!(refusal(|_| {}), None);
}

#[test]
fn a_keep_alive_is_a_whole_number_of_seconds_below_the_idle_limit() {
    for legal in [1, 60, 1_199] {
        assert_eq!(
            refusal(|options| options.keep_alive = Duration::from_secs(legal)),
            None
        );
    }
    for illegal in [0, 1_500, 1_200_000, 86_400_000] {
        let refusal = refusal(|options| options.keep_alive = Duration::from_millis(illegal));
        let refusal = refusal.expect("refused");
        assert!(
            refusal.contains(&format!("{:?}", Duration::from_millis(illegal))),
            "{refusal}"
        );
        assert!(refusal.contains("1199"), "{refusal}");
    }
}

#[test]
fn every_invalid_option_is_reported_with_its_name_value_and_limit() {
    type Change = fn(&mut Options);
    let mistakes: [(Change, &[&str]); 16] = [
        (|o| o.window = 0, &["window", "0", "at least 1"]),
        (|o| o.window = 32_001, &["window", "32001", "at most 32000"]),
        (|o| o.device_window = 0, &["device_window"]),
        (|o| o.attach_window = 0, &["attach_window"]),
        (|o| o.quota.max_devices = 0, &["quota.max_devices"]),
        (
            |o| o.quota.max_devices = 1_001,
            &["quota.max_devices", "1001", "at most 1000"],
        ),
        (|o| o.max_events = 0, &["max_events"]),
        (|o| o.max_unacknowledged = 0, &["max_unacknowledged"]),
        (|o| o.device_queue.messages = 0, &["device_queue.messages"]),
        (
            |o| o.total_queue.bytes = 1_000,
            &["total_queue.bytes", "1000", "at least 262144"],
        ),
        (|o| o.frame_limit = 100, &["frame_limit", "100", "4096"]),
        (
            |o| o.attach_timeout = Duration::ZERO,
            &["attach_timeout", "zero"],
        ),
        (
            |o| o.drain_timeout = Duration::MAX,
            &["drain_timeout", "7 days"],
        ),
        (
            |o| o.max_ack_timeout = Duration::from_secs(1),
            &["max_ack_timeout", "1s", "30s"],
        ),
        (
            |o| o.backoff.max = Duration::from_millis(1),
            &["backoff.max", "1ms", "1s"],
        ),
        (|o| o.backoff.min = Duration::ZERO, &["backoff.min", "zero"]),
    ];
    for (change, parts) in mistakes {
        let refusal = refusal(change).expect("refused");
        for part in parts {
            assert!(refusal.contains(part), "{part:?} is not in {refusal:?}");
        }
    }
}

#[test]
fn a_backoff_that_does_not_grow_is_legal() {
    let constant = |options: &mut Options| options.backoff.max = options.backoff.min;
    assert_eq!(refusal(constant), None);
    let constant = |options: &mut Options| options.max_ack_timeout = options.ack_timeout;
    assert_eq!(refusal(constant), None);
}

#[test]
fn a_payload_limit_is_at_most_64_mebibytes_and_a_frame_limit_the_largest_remaining_length() {
    let payload = |bytes| {
        refusal(|options| {
            options.quota.max_telemetry_bytes = bytes;
            options.device_queue.bytes = bytes;
            options.total_queue.bytes = bytes;
        })
    };
    assert_eq!(payload(67_108_864), None);
    let larger = payload(67_108_865).expect("refused");
    assert!(larger.contains("at most 67108864"), "{larger}");

    let frame = |limit| refusal(|options| options.frame_limit = limit);
    assert_eq!(frame(268_435_460), None);
    let larger = frame(268_435_461).expect("refused");
    assert!(larger.contains("at most 268435460"), "{larger}");
}

#[test]
fn a_duration_is_at_most_seven_days() {
    let week = Duration::from_secs(604_800);
    assert_eq!(refusal(|options| options.attach_timeout = week), None);
    let longer = week + Duration::from_nanos(1);
    let refusal = refusal(|options| options.attach_timeout = longer).expect("refused");
    assert!(refusal.contains("attach_timeout") && refusal.contains("7 days"));
}
