//! One sample of every event, compared with the schema.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use iotcore_gateway_tokio::{Failure, Stats, error_report::ErrorType};
use serde_json::Value;

use super::*;
use crate::{
    codes::{
        CancelCode, CertaintyCode, DisconnectCode, ErrorCode, InvalidCode, RetryCode, StateCode,
        StoreCode,
    },
    failure, schema,
};

/// Returns what must be among the samples. A new event does not compile here until it is counted, and has a sample below.
fn number(event: &Event) -> usize {
    match event {
        Event::Metrics { .. } => 32,
        Event::Connected => 0,
        Event::Disconnected { .. } => 1,
        Event::Done { .. } => 2,
        Event::Failed { .. } => 3,
        Event::Attached { .. } => 4,
        Event::Detached { .. } => 5,
        Event::Config(_) => 6,
        Event::Command(_) => 7,
        Event::ErrorReport(_) => 8,
        Event::TokenNeeded { .. } => 9,
        Event::TokenUnchanged => 10,
        Event::UnreadableErrorReport { .. } => 11,
        Event::Subscribed { .. } => 12,
        Event::SubscriptionFailed { .. } => 13,
        Event::SubscriptionLost { .. } => 14,
        Event::SubscriptionDowngraded { .. } => 15,
        Event::ErrorsTopicUnavailable { .. } => 16,
        Event::ReadingPaused { .. } => 17,
        Event::AcknowledgementsOverdue { .. } => 18,
        Event::Dropped { .. } => 19,
        Event::Stats { .. } => 20,
        Event::Devices { .. } => 21,
        Event::Unsent { .. } => 22,
        Event::Invalid { .. } => 23,
        Event::NotCancelled { .. } => 24,
        Event::Closed { .. } => 25,
        Event::Restored(_) => 26,
        Event::StoreDamaged { .. } => 27,
        Event::Unclaimed { .. } => 28,
        Event::Stored { .. } => 29,
        Event::StoreFailed { .. } => 30,
        Event::StoreRecovered => 31,
        Event::StoreFull { .. } => 32,
    }
}

const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9_464);

fn reason() -> Reason {
    Failure::Expired.into()
}

fn message(op: &'static str) -> Message {
    Message {
        op,
        id: Id::Number(1),
        device: Some("boiler-7".to_owned()),
        subfolder: (op == "telemetry").then(|| "a/b".to_owned()),
        qos: 1,
        payload: Payload::Text("71".to_owned()),
        priority: Some("urgent"),
        expires_after: Some(0.5),
        tag: Some("t".to_owned()),
    }
}

fn from_cloud(subfolder: Option<&str>, payload: &'static [u8]) -> CloudMessage {
    CloudMessage {
        device: None,
        subfolder: subfolder.map(str::to_owned),
        payload: (&Bytes::from_static(payload)).into(),
        delivery: 1,
    }
}

fn samples() -> Vec<Event> {
    let device = || "boiler-7".to_owned();
    let subscription = || "config".to_owned();
    let id = || Some(Id::Number(1));
    vec![
        Event::Metrics { address: ADDRESS },
        Event::Connected,
        Event::Disconnected {
            reason: DisconnectCode::Broken,
            detail: String::new(),
            certainty: CertaintyCode::Confirmed,
            suspects: vec![Id::Number(-1), Id::Text("a".to_owned())],
            takeover_suspected: true,
            retry_in_ms: None,
        },
        Event::Done { id: Id::Number(1) },
        Event::failed(Id::Number(1), reason(), Some(message("telemetry"))),
        Event::failed(Id::Number(2), reason(), Some(message("state"))),
        Event::Attached { device: device() },
        Event::Detached {
            device: device(),
            cause: "requested".to_owned(),
        },
        Event::Config(from_cloud(None, b"on")),
        Event::Config(from_cloud(None, b"\xff")),
        Event::Command(from_cloud(Some("valve"), b"on")),
        Event::Command(from_cloud(None, b"\xff")),
        Event::ErrorReport(Report {
            error_type: "UNKNOWN".to_owned(),
            device_id: None,
            description: String::new(),
            mqtt_message_info: Some(ReportedPacket {
                message_type: None,
                topic: Some("t".to_owned()),
                packet_id: Some(1),
            }),
            unknown_fields: Map::new(),
        }),
        Event::TokenNeeded { device: device() },
        Event::TokenUnchanged,
        Event::UnreadableErrorReport {
            detail: String::new(),
            payload: Payload::Text(String::new()),
        },
        Event::UnreadableErrorReport {
            detail: String::new(),
            payload: Payload::Bytes("/w==".to_owned()),
        },
        Event::Subscribed {
            device: device(),
            subscription: subscription(),
        },
        Event::SubscriptionFailed {
            device: device(),
            subscription: subscription(),
            reason: reason(),
        },
        Event::SubscriptionLost {
            device: device(),
            subscription: subscription(),
            reason: reason(),
        },
        Event::SubscriptionDowngraded {
            device: device(),
            subscription: "commands".to_owned(),
        },
        Event::ErrorsTopicUnavailable { reason: reason() },
        Event::ReadingPaused { device: None },
        Event::AcknowledgementsOverdue {
            device: device(),
            messages: 1,
        },
        Event::Dropped {
            device: device(),
            messages: 1,
        },
        Event::Stats {
            id: id(),
            connected: true,
            last_disconnect: Some(PastDisconnect::new(
                DisconnectCode::Broken,
                String::new(),
                CertaintyCode::Confirmed,
                Duration::from_millis(500),
            )),
            counters: Counters::new(&Stats::default(), std::time::Instant::now()),
        },
        Event::Devices {
            id: id(),
            devices: vec![DeviceLine::sample(reason())],
        },
        Event::Unsent {
            id: id(),
            operations: vec![message("telemetry"), message("state")],
            stored: Some(vec![Id::Number(1)]),
        },
        Event::Invalid {
            line: 1,
            id: Some(Id::Number(1)),
            error: InvalidCode::NotJson,
            detail: String::new(),
        },
        Event::NotCancelled {
            id: Some(Id::Number(1)),
            error: CancelCode::TooLate,
            detail: String::new(),
        },
        Event::Closed {
            unsent: 1,
            stored: Some(1),
        },
        Event::Restored(Restored {
            id: Id::of_restored(1),
            device: device(),
            kind: "telemetry",
            subfolder: Some("a/b".to_owned()),
            bytes: 2,
            tag: Some("t".to_owned()),
        }),
        Event::StoreDamaged {
            places: 1,
            bytes: 2,
            detail: String::new(),
        },
        Event::Unclaimed {
            device: device(),
            messages: 1,
        },
        Event::Stored { id: Id::Number(1) },
        Event::StoreFailed {
            error: StoreCode::Full,
            detail: String::new(),
        },
        Event::StoreRecovered,
        Event::StoreFull {
            stored_bytes: 2,
            unclaimed_bytes: 1,
            detail: String::new(),
        },
    ]
}

#[test]
fn the_schema_has_exactly_the_events_and_members_that_are_written() {
    let samples = samples();
    let numbers: BTreeSet<_> = samples.iter().map(number).collect();
    assert!(
        numbers
            .into_iter()
            .eq(0..=number(&Event::Metrics { address: ADDRESS }))
    );
    let mut written: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in &samples {
        let event = serde_json::to_value(event).unwrap();
        schema::assert_is_event(&event);
        let members = event.as_object().unwrap().keys().cloned();
        let name = event["event"].as_str().unwrap().to_owned();
        written.entry(name).or_default().extend(members);
    }
    let schema = schema::events();
    let described = schema::listed(&schema).into_iter().map(|(name, event)| {
        let members = event["properties"].as_object().unwrap().keys();
        (name, members.cloned().collect())
    });
    assert_eq!(written, described.collect());
}

#[test]
fn the_schema_has_exactly_the_codes_that_are_written_each_with_a_sentence() {
    let texts = |all: &[&'static str]| all.to_vec();
    let reported = [
        ErrorType::AttachmentError,
        ErrorType::DeviceNotFound,
        ErrorType::InvalidMqttTopic,
        ErrorType::UnexpectedPacketId,
        ErrorType::UnexpectedMessageType,
        ErrorType::DetachmentDeviceError,
        ErrorType::Unknown,
    ];
    let reported: Vec<_> = reported.iter().map(failure::reported_code).collect();
    let known = [
        (
            "error_code",
            ErrorCode::ALL.iter().map(|code| code.as_str()).collect(),
        ),
        (
            "invalid_code",
            InvalidCode::ALL.iter().map(|code| code.as_str()).collect(),
        ),
        (
            "cancel_code",
            CancelCode::ALL.iter().map(|code| code.as_str()).collect(),
        ),
        (
            "store_code",
            StoreCode::ALL.iter().map(|code| code.as_str()).collect(),
        ),
        (
            "disconnect_reason",
            DisconnectCode::ALL
                .iter()
                .map(|code| code.as_str())
                .collect(),
        ),
        (
            "certainty",
            CertaintyCode::ALL
                .iter()
                .map(|code| code.as_str())
                .collect(),
        ),
        (
            "retry",
            RetryCode::ALL.iter().map(|code| code.as_str()).collect(),
        ),
        (
            "state",
            StateCode::ALL.iter().map(|code| code.as_str()).collect(),
        ),
        ("subscription", texts(&["config", "commands"])),
        (
            "reported_code",
            reported.iter().map(String::as_str).collect::<Vec<_>>(),
        ),
    ];
    let schema = schema::events();
    for (name, codes) in known {
        let described = schema::codes(&schema["$defs"][name]);
        let names: BTreeSet<_> = described.iter().map(|(code, _)| *code).collect();
        assert_eq!(names, codes.into_iter().collect(), "{name}");
        for (code, sentence) in described {
            assert!(sentence.ends_with('.'), "{code}: {sentence}");
        }
    }
}

#[test]
fn every_definition_and_member_has_a_sentence() {
    for schema in [schema::operations(), schema::events()] {
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            let sentence = |value: &Value| {
                value["description"]
                    .as_str()
                    .is_some_and(|text| text.ends_with('.'))
            };
            assert!(sentence(definition), "{name}");
            for (member, value) in definition["properties"].as_object().into_iter().flatten() {
                let is_described =
                    sentence(value) || value.get("$ref").is_some() || value.get("const").is_some();
                assert!(is_described, "{name}.{member}");
            }
        }
    }
}
