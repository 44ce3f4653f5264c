//! Error reports that can be read, and contradict what the gateway knows or come when none should: each is told, and what
//! it says of a device or packet counts only if that is so.

use super::reports::told;
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

/// Well-formed reports that contradict what the gateway knows.
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
    let only_told = "report GATEWAY_INVALID_MQTT_TOPIC";
    vec![
        told(
            "an identifier that is free",
            Stage::InFlight,
            &about(topic, "device-1", 6),
            only_told,
        ),
        told(
            "an identifier that is acknowledged",
            Stage::Acknowledged,
            &about(topic, "device-1", 5),
            only_told,
        ),
        told(
            "an identifier of another device's packet",
            Stage::InFlight,
            &about(topic, "device-2", 5),
            only_told,
        ),
        told(
            "an identifier of the gateway's packet",
            Stage::InFlight,
            &about(topic, "gw-1", 5),
            only_told,
        ),
        told(
            "the identifier of the errors topic",
            Stage::Accepted,
            &about(topic, "gw-1", 1),
            only_told,
        ),
        told(
            "a refusal of an attach that timed out",
            Stage::Quarantined,
            &about(refused, "device-1", 2),
            "report GATEWAY_ATTACHMENT_ERROR",
        ),
        told(
            "a refusal of a device that is not ours",
            Stage::Open,
            &of(refused, "device-9"),
            "report GATEWAY_ATTACHMENT_ERROR",
        ),
        told(
            "a refusal of the gateway itself",
            Stage::Open,
            &of(refused, "gw-1"),
            "report GATEWAY_ATTACHMENT_ERROR",
        ),
        told(
            "the gateway itself not found",
            Stage::InFlight,
            &of(gone, "gw-1"),
            "report GATEWAY_DEVICE_NOT_FOUND",
        ),
        told(
            "the gateway itself detached",
            Stage::InFlight,
            &of(detached, "gw-1"),
            "report GATEWAY_DETACHMENT_DEVICE_ERROR",
        ),
        told(
            "a device detached that is being attached",
            Stage::Attaching,
            &of(detached, "device-1"),
            "report GATEWAY_DETACHMENT_DEVICE_ERROR",
        ),
        told(
            "a device detached that was not attached",
            Stage::Quarantined,
            &of(detached, "device-1"),
            "report GATEWAY_DETACHMENT_DEVICE_ERROR",
        ),
        told(
            "a device detached that is being detached",
            Stage::Detaching,
            &of(detached, "device-1"),
            "report GATEWAY_DETACHMENT_DEVICE_ERROR",
        ),
        told(
            "a refusal of an attached device",
            Stage::Subscribed,
            &of(refused, "device-1"),
            "Detached, report GATEWAY_ATTACHMENT_ERROR",
        ),
        told(
            "an attached device not found",
            Stage::InFlight,
            &about(gone, "device-1", 5),
            "Detached, report GATEWAY_DEVICE_NOT_FOUND",
        ),
        told(
            "a refusal of a telemetry event",
            Stage::InFlight,
            &about(refused, "device-1", 5),
            "report GATEWAY_ATTACHMENT_ERROR",
        ),
        told(
            "a topic that is invalid in a SUBSCRIBE",
            Stage::Subscribing,
            &about(topic, "device-1", 3),
            "failed Reported, report GATEWAY_INVALID_MQTT_TOPIC",
        ),
        told(
            "a detach that is refused",
            Stage::Detaching,
            &about(refused, "device-1", 3),
            "Detached, failed Reported, report GATEWAY_ATTACHMENT_ERROR",
        ),
    ]
}

/// Where a report does not come of itself.
fn at_other_stages() -> Vec<Row> {
    let unknown = r#"{"error_type":"UNKNOWN","device_id":"device-1"}"#;
    vec![
        told(
            "a report before the SUBACK",
            Stage::Accepted,
            unknown,
            "report UNKNOWN",
        ),
        told(
            "a report in a refresh",
            Stage::Refreshing,
            unknown,
            "report UNKNOWN",
        ),
        told(
            "a report in a close",
            Stage::Closing,
            unknown,
            "report UNKNOWN",
        ),
        told(
            "a report after DISCONNECT was queued",
            Stage::Leaving,
            unknown,
            "report UNKNOWN",
        ),
        Row::new(
            "bridge",
            "a report after the end",
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
