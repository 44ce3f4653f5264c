//! Error reports: any bytes, parsed separately and as a message to a gateway with many operations in flight.

use std::collections::BTreeSet;

use iotcore_gateway::{
    Event,
    error_report::{ErrorReport, ErrorReportError},
};
use serde_json::{Map, Value};

use super::machine::{GATEWAY, Machine, Setup, Stage};
use crate::packets;

/// The maximum size of a report's unknown fields and text per byte of its payload: a control character may become an
/// escape of ten bytes, the shortest number one of 18, and each nested field is named with a prefix.
const GROWTH: usize = 32;

/// Runs the target. The bytes are the payload of a message on the errors topic.
///
/// # Panics
///
/// If a report is parsed differently from its JSON, has an unbounded or multi-line text, or breaks a gateway that
/// receives it.
pub fn run(data: &[u8]) {
    let read = ErrorReport::parse(data);
    assert_eq!(read, ErrorReport::parse(data));
    match (&read, serde_json::from_slice(data)) {
        (Ok(report), Ok(Value::Object(fields))) => {
            check_fields(report, &fields);
            check_unknown(report, &fields);
            check_size(report, data.len());
        }
        (Err(ErrorReportError::TooLarge { .. }), _) => assert!(data.len() > ErrorReport::MAX_BYTES),
        (Err(ErrorReportError::NotJson(_)), Err(_)) => {}
        (Err(ErrorReportError::NotAnObject), Ok(value)) => assert!(!value.is_object()),
        (Err(ErrorReportError::NoErrorType), Ok(Value::Object(fields))) => {
            assert!(text(&fields, "error_type").is_none());
        }
        (read, json) => panic!("{read:?} of {json:?}"),
    }
    if let Err(error) = &read {
        assert_one_line(&error.to_string());
    }
    deliver(data, &read);
}

/// Checks that the report corresponds to its JSON; fields of the nested object take precedence over those beside it.
fn check_fields(report: &ErrorReport, fields: &Map<String, Value>) {
    let own = |name| text(fields, name);
    assert_eq!(Some(report.error_type().as_str()), own("error_type"));
    assert_eq!(report.device_id(), own("device_id"));
    assert_eq!(report.description(), own("description").unwrap_or_default());

    let nested = fields.get("mqtt_message_info").and_then(Value::as_object);
    let either = |name| {
        let nested = nested.and_then(|nested| text(nested, name));
        nested.or_else(|| own(name))
    };
    let packet_id = nested.and_then(packet_id).or_else(|| packet_id(fields));
    let expected = (either("message_type"), either("topic"), packet_id);
    let read = report.message().map(|message| {
        let packet_id = message.packet_id().map(u16::from);
        (message.message_type(), message.topic(), packet_id)
    });
    assert_eq!(read.unwrap_or_default(), expected);
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let text = fields.get(name)?.as_str()?;
    (!text.is_empty()).then_some(text)
}

fn packet_id(fields: &Map<String, Value>) -> Option<u16> {
    let number = match fields.get("packet_id")? {
        Value::String(text) => text.parse().ok()?,
        value => u16::try_from(value.as_u64()?).ok()?,
    };
    (number > 0).then_some(number)
}

/// Checks that nothing is lost: unknown fields are kept unchanged.
fn check_unknown(report: &ErrorReport, fields: &Map<String, Value>) {
    const KNOWN: [&str; 7] = [
        "message_type",
        "topic",
        "packet_id",
        "error_type",
        "device_id",
        "description",
        "mqtt_message_info",
    ];
    let nested = fields.get("mqtt_message_info").and_then(Value::as_object);
    let nested = nested.into_iter().flatten();
    let nested = nested.filter(|(name, _)| !KNOWN[..3].contains(&name.as_str()));
    let nested = nested.map(|(name, value)| (format!("mqtt_message_info.{name}"), value));
    let flat = fields.iter().map(|(name, value)| (name.clone(), value));
    let flat = flat.filter(|(name, _)| !KNOWN.contains(&name.as_str()));
    let kept: BTreeSet<_> = report.unknown_fields().collect();
    for (name, value) in flat.chain(nested) {
        let json = value.to_string();
        assert!(kept.contains(&(&name[..], &json[..])), "{name} is lost");
    }
}

fn check_size(report: &ErrorReport, payload: usize) {
    let unknown = report.unknown_fields();
    let unknown: usize = unknown.map(|(name, json)| name.len() + json.len()).sum();
    assert!(unknown <= GROWTH * payload, "{unknown} bytes of {payload}");
    let line = report.to_string();
    assert!(line.len() <= GROWTH * payload, "{}", line.len());
    assert_one_line(&line);
}

fn assert_one_line(line: &str) {
    let breaks = |character: char| character.is_control() || "\u{2028}\u{2029}".contains(character);
    assert!(!line.contains(breaks), "{line:?}");
}

/// Sends it to a gateway that has operations of all kinds in flight: the report becomes an event, and regardless of its
/// content, each operation ends once.
fn deliver(payload: &[u8], read: &Result<ErrorReport, ErrorReportError>) {
    let mut machine = Machine::new(Setup::default());
    machine.reach(Stage::Busy);
    let before = machine.events().len();
    let topic = format!("/devices/{GATEWAY}/errors");
    machine.input(&packets::publish(&topic, payload, None, false), usize::MAX);
    machine.take_events(usize::MAX);
    let expected = match read {
        Ok(report) => Event::ErrorReport(report.clone()),
        Err(error) => Event::UnreadableErrorReport {
            payload: payload.to_vec().into(),
            error: error.clone(),
        },
    };
    let told = &machine.events()[before..];
    let times = told.iter().filter(|event| **event == expected).count();
    assert_eq!(times, 1, "{told:?}");
    machine.finish();
}
