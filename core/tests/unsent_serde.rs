//! Unsent publications, serialized and deserialized (feature `serde`).
#![forbid(unsafe_code)]
#![cfg(feature = "serde")]

use std::time::{Duration, Instant};

use iotcore_gateway::{
    ClientId, Gateway, Options, Publication,
    message::{Priority, QoS, Unsent},
};

fn gateway() -> Gateway {
    let id = ClientId::new(
        "my-project".try_into().unwrap(),
        "us-central1".try_into().unwrap(),
        "my-registry".try_into().unwrap(),
        "gw-1".try_into().unwrap(),
    );
    Gateway::new(id, Options::default(), 7).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "an instant has no other source")]
fn unsent() -> Vec<Unsent> {
    let mut gateway = gateway();
    let own = gateway.own_key();
    for publication in [
        Publication::state(own, "on"),
        Publication::telemetry(own, vec![0, 255]).qos(QoS::AtMostOnce),
        Publication::telemetry(own, "").subfolder("alerts/high".try_into().unwrap()),
        Publication::telemetry(own, "fire")
            .priority(Priority::Urgent)
            .tag("alarm 7".try_into().unwrap()),
    ] {
        gateway.publish(publication, Instant::now()).unwrap();
    }
    gateway.unsent().collect()
}

#[test]
fn unsent_publications_survive_a_serde_round_trip() {
    let written = serde_json::to_string(&unsent()).unwrap();
    let read: Vec<Unsent> = serde_json::from_str(&written).unwrap();
    assert_eq!(read, unsent());
}

#[test]
fn a_record_of_an_earlier_version_is_read() {
    let record = serde_json::json!({
        "op": 3,
        "device": "gw-1",
        "topic": { "telemetry": { "subfolder": "alerts/high" } },
        "qos": 1,
        "payload": [],
    });
    let read: Unsent = serde_json::from_value(record).unwrap();
    assert_eq!(read, unsent()[2]);
}

#[test]
fn a_record_has_the_format_of_this_version() {
    let written = serde_json::to_value(&unsent()[3]).unwrap();
    let expected = serde_json::json!({
        "op": 4,
        "device": "gw-1",
        "topic": { "telemetry": { "subfolder": null } },
        "qos": 1,
        "payload": b"fire",
        "is_urgent": true,
        "expires_after": null,
        "tag": "alarm 7",
        "is_stored": false,
    });
    assert_eq!(written, expected);
}

#[test]
fn the_time_that_was_left_survives_a_serde_round_trip() {
    let mut unsent = unsent()[2].clone();
    unsent.expires_after = Some(Duration::from_millis(1_500));
    let written = serde_json::to_string(&unsent).unwrap();
    assert_eq!(serde_json::from_str::<Unsent>(&written).unwrap(), unsent);
}

#[test]
fn a_record_that_cannot_be_published_is_refused_with_the_reason() {
    let record = |device: &str, subfolder: &str, qos: u8| {
        serde_json::json!({
            "op": 1, "device": device, "qos": qos, "payload": [1],
            "topic": { "telemetry": { "subfolder": subfolder } },
        })
    };
    let with_tag = |tag: &str| {
        let mut record = record("sensor-1", "x", 1);
        record["tag"] = tag.into();
        record
    };
    for (record, reason) in [
        (record("a+b", "x", 1), "device id"),
        (record("sensor-1", "#", 1), "subfolder"),
        (record("sensor-1", "x", 2), "quality of service 2"),
        (with_tag(&"x".repeat(65)), "65 bytes"),
    ] {
        let refused = serde_json::from_value::<Unsent>(record).unwrap_err();
        assert!(refused.to_string().contains(reason), "{refused}");
    }
}
