//! Readable error reports that contradict the gateway's state or arrive when none should: each is an event, and what it
//! says about a device or packet has an effect only if it matches the state.

use super::reports::report_row;
use crate::{
    Expect::Ignores,
    Row,
    stage::{Stage, report},
};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = contradictions();
    rows.extend(at_other_stages());
    rows
}

/// Well-formed reports that contradict the gateway's state.
fn contradictions() -> Vec<Row> {
    let about = |code: &str, device: &str, id: u16| {
        format!(
            r#"{{"error_type":"{code}","device_id":"{device}","mqtt_message_info":{{"packet_id":{id}}}}}"#
        )
    };
    let of =
        |code: &str, device: &str| format!(r#"{{"error_type":"{code}","device_id":"{device}"}}"#);
    let gone = "GATEWAY_DEVICE_NOT_FOUND";
    let refused = "GATEWAY_ATTACHMENT_ERROR";
    let topic = "GATEWAY_INVALID_MQTT_TOPIC";
    let detached = "GATEWAY_DETACHMENT_DEVICE_ERROR";
    let only_reported = "report GATEWAY_INVALID_MQTT_TOPIC";
    vec![
        report_row(
            "an identifier that is free",
            Stage::InFlight,
            &about(topic, "device-1", 6),
            only_reported,
        ),
        report_row(
            "an identifier that is acknowledged",
            Stage::Acknowledged,
            &about(topic, "device-1", 5),
            only_reported,
        ),
        report_row(
            "an identifier of another device's packet",
            Stage::InFlight,
            &about(topic, "device-2", 5),
            only_reported,
        ),
        report_row(
            "an identifier of the gateway's packet",
            Stage::InFlight,
            &about(topic, "gw-1", 5),
            only_reported,
        ),
        report_row(
            "the identifier of the errors topic",
            Stage::Accepted,
            &about(topic, "gw-1", 1),
            only_reported,
        ),
        report_row(
            "a refusal of an attach that timed out",
            Stage::TimedOut,
            &about(refused, "device-1", 2),
            "report GATEWAY_ATTACHMENT_ERROR",
        ),
        report_row(
            "a refusal of an attach with an earlier token",
            Stage::Quarantined,
            &about(refused, "device-1", 2),
            "report GATEWAY_ATTACHMENT_ERROR",
        ),
        report_row(
            "a refusal of an unknown device",
            Stage::Open,
            &of(refused, "device-9"),
            "report GATEWAY_ATTACHMENT_ERROR",
        ),
        report_row(
            "a refusal of the gateway itself",
            Stage::Open,
            &of(refused, "gw-1"),
            "report GATEWAY_ATTACHMENT_ERROR",
        ),
        report_row(
            "device not found: the gateway itself",
            Stage::InFlight,
            &of(gone, "gw-1"),
            "report GATEWAY_DEVICE_NOT_FOUND",
        ),
        report_row(
            "detachment of the gateway itself",
            Stage::InFlight,
            &of(detached, "gw-1"),
            "report GATEWAY_DETACHMENT_DEVICE_ERROR",
        ),
        report_row(
            "detachment of a device that is being attached",
            Stage::Attaching,
            &of(detached, "device-1"),
            "report GATEWAY_DETACHMENT_DEVICE_ERROR",
        ),
        report_row(
            "detachment of a device that was not attached",
            Stage::TimedOut,
            &of(detached, "device-1"),
            "report GATEWAY_DETACHMENT_DEVICE_ERROR",
        ),
        report_row(
            "detachment of a device that is being detached",
            Stage::Detaching,
            &of(detached, "device-1"),
            "report GATEWAY_DETACHMENT_DEVICE_ERROR",
        ),
        report_row(
            "a refusal of an attached device",
            Stage::Subscribed,
            &of(refused, "device-1"),
            "Detached, report GATEWAY_ATTACHMENT_ERROR",
        ),
        report_row(
            "device not found: an attached device",
            Stage::InFlight,
            &about(gone, "device-1", 5),
            "Detached, report GATEWAY_DEVICE_NOT_FOUND",
        ),
        report_row(
            "a refusal of a telemetry event",
            Stage::InFlight,
            &about(refused, "device-1", 5),
            "report GATEWAY_ATTACHMENT_ERROR",
        ),
        report_row(
            "an invalid topic in a SUBSCRIBE",
            Stage::Subscribing,
            &about(topic, "device-1", 3),
            "failed Reported, report GATEWAY_INVALID_MQTT_TOPIC",
        ),
        report_row(
            "a refused detach",
            Stage::Detaching,
            &about(refused, "device-1", 3),
            "Detached, failed Reported, report GATEWAY_ATTACHMENT_ERROR",
        ),
    ]
}

/// Stages at which no report is expected.
fn at_other_stages() -> Vec<Row> {
    let unknown = r#"{"error_type":"UNKNOWN","device_id":"device-1"}"#;
    vec![
        report_row(
            "a report before the SUBACK",
            Stage::Accepted,
            unknown,
            "report UNKNOWN",
        ),
        report_row(
            "a report during a token refresh",
            Stage::Refreshing,
            unknown,
            "report UNKNOWN",
        ),
        report_row(
            "a report during a close",
            Stage::Closing,
            unknown,
            "report UNKNOWN",
        ),
        report_row(
            "a report after DISCONNECT was queued",
            Stage::Leaving,
            unknown,
            "report UNKNOWN",
        ),
        Row::new(
            "bridge",
            "a report after the end of the connection",
            Stage::Closed,
            report(unknown),
            Ignores(0),
        ),
        Row::new(
            "bridge",
            "a report while hanging up",
            Stage::HangingUp,
            report(unknown),
            Ignores(0),
        ),
    ]
}
