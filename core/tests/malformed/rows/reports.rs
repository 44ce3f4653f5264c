//! The payloads of the errors topic. An unreadable one is an event with the reason, and a field that cannot be used is
//! ignored.

use crate::{
    Expect::Tolerates,
    Row,
    stage::{ERRORS, Stage, message, report},
};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = unreadable();
    rows.extend(odd_fields());
    rows
}

pub(super) fn report_row(name: &str, stage: Stage, payload: &str, expected: &'static str) -> Row {
    Row::new("bridge", name, stage, report(payload), Tolerates(expected))
}

fn unreadable() -> Vec<Row> {
    let payloads: [(&str, &[u8], &str); 24] = [
        ("no payload", b"", "unreadable NotJson"),
        ("whitespace", b" \r\n\t", "unreadable NotJson"),
        ("plain text", b"device not found", "unreadable NotJson"),
        (
            "a truncated report",
            br#"{"error_type":"UNKNOWN""#,
            "unreadable NotJson",
        ),
        (
            "a truncated literal",
            br#"{"error_type":"UNKN"#,
            "unreadable NotJson",
        ),
        (
            "a trailing comma",
            br#"{"error_type":"UNKNOWN",}"#,
            "unreadable NotJson",
        ),
        (
            "single quotes",
            br"{'error_type':'UNKNOWN'}",
            "unreadable NotJson",
        ),
        ("no quotes", br"{error_type:UNKNOWN}", "unreadable NotJson"),
        (
            "two reports",
            br#"{"error_type":"UNKNOWN"}{"error_type":"UNKNOWN"}"#,
            "unreadable NotJson",
        ),
        (
            "a UTF-8 byte order mark",
            b"\xef\xbb\xbf{\"error_type\":\"UNKNOWN\"}",
            "unreadable NotJson",
        ),
        ("UTF-16", b"{\0\"\0e\0\"\0:\x001\0}\0", "unreadable NotJson"),
        (
            "ill-formed UTF-8 in a string",
            b"{\"error_type\":\"UNKNOWN\",\"description\":\"\xff\"}",
            "unreadable NotJson",
        ),
        (
            "half a surrogate pair",
            br#"{"error_type":"UNKNOWN","description":"\ud83d"}"#,
            "unreadable NotJson",
        ),
        (
            "an unescaped U+0000 in a string",
            b"{\"error_type\":\"UNKNOWN\0\"}",
            "unreadable NotJson",
        ),
        (
            "a number out of range",
            br#"{"error_type":"UNKNOWN","packet_id":1e999}"#,
            "unreadable NotJson",
        ),
        (
            "an array",
            br#"[{"error_type":"UNKNOWN"}]"#,
            "unreadable NotAnObject",
        ),
        (
            "a string",
            br#""GATEWAY_ATTACHMENT_ERROR""#,
            "unreadable NotAnObject",
        ),
        ("null", b"null", "unreadable NotAnObject"),
        ("a number", b"5", "unreadable NotAnObject"),
        ("an empty object", b"{}", "unreadable NoErrorType"),
        (
            "no error type",
            br#"{"device_id":"device-1","description":"x"}"#,
            "unreadable NoErrorType",
        ),
        (
            "an empty error type",
            br#"{"error_type":""}"#,
            "unreadable NoErrorType",
        ),
        (
            "null for an error type",
            br#"{"error_type":null}"#,
            "unreadable NoErrorType",
        ),
        (
            "a number for an error type",
            br#"{"error_type":7}"#,
            "unreadable NoErrorType",
        ),
    ];
    let mut rows: Vec<_> = payloads
        .into_iter()
        .map(|(name, payload, expected)| {
            let bytes = message(ERRORS, payload, None);
            Row::new("bridge", name, Stage::Open, bytes, Tolerates(expected))
        })
        .collect();
    let deep = format!(
        r#"{{"error_type":"UNKNOWN","x":{}1{}}}"#,
        "[".repeat(128),
        "]".repeat(128)
    );
    let large = format!(
        r#"{{"error_type":"UNKNOWN","description":"{}"}}"#,
        "x".repeat(65_536)
    );
    rows.push(report_row(
        "a report nested 129 levels deep",
        Stage::Open,
        &deep,
        "unreadable NotJson",
    ));
    rows.push(report_row(
        "a report of more than 64 KiB",
        Stage::Open,
        &large,
        "unreadable TooLarge",
    ));
    rows
}

/// Fields of other types, out of range, or duplicate. PUBLISH 5 of device-1 is in flight and remains so.
fn odd_fields() -> Vec<Row> {
    let fields = [
        (
            "an unknown code",
            r#""error_type":"GATEWAY_ON_FIRE""#,
            "report GATEWAY_ON_FIRE",
        ),
        (
            "a code in lower case",
            r#""error_type":"unknown""#,
            "report unknown",
        ),
        (
            "a code with a line break",
            r#""error_type":"A\nB""#,
            "report A\nB",
        ),
        (
            "a number for a device",
            r#""error_type":"GATEWAY_DEVICE_NOT_FOUND","device_id":1"#,
            "report GATEWAY_DEVICE_NOT_FOUND",
        ),
        (
            "null for a device",
            r#""error_type":"GATEWAY_DEVICE_NOT_FOUND","device_id":null"#,
            "report GATEWAY_DEVICE_NOT_FOUND",
        ),
        (
            "an empty device",
            r#""error_type":"GATEWAY_DEVICE_NOT_FOUND","device_id":"""#,
            "report GATEWAY_DEVICE_NOT_FOUND",
        ),
        (
            "a device with an invalid id",
            r#""error_type":"GATEWAY_DEVICE_NOT_FOUND","device_id":"a/+/#""#,
            "report GATEWAY_DEVICE_NOT_FOUND",
        ),
        (
            "an object for a description",
            r#""error_type":"UNKNOWN","description":{}"#,
            "report UNKNOWN",
        ),
        (
            "a negative identifier",
            r#""error_type":"GATEWAY_INVALID_MQTT_TOPIC","packet_id":-5"#,
            "report GATEWAY_INVALID_MQTT_TOPIC",
        ),
        (
            "an identifier above 65,535",
            r#""error_type":"GATEWAY_INVALID_MQTT_TOPIC","packet_id":65541"#,
            "report GATEWAY_INVALID_MQTT_TOPIC",
        ),
        (
            "an identifier above 64 bits",
            r#""error_type":"GATEWAY_INVALID_MQTT_TOPIC","packet_id":18446744073709551621"#,
            "report GATEWAY_INVALID_MQTT_TOPIC",
        ),
        (
            "a fraction for an identifier",
            r#""error_type":"GATEWAY_INVALID_MQTT_TOPIC","packet_id":5.0"#,
            "report GATEWAY_INVALID_MQTT_TOPIC",
        ),
        (
            "zero for an identifier",
            r#""error_type":"GATEWAY_INVALID_MQTT_TOPIC","packet_id":0"#,
            "report GATEWAY_INVALID_MQTT_TOPIC",
        ),
        (
            "a non-numeric string for an identifier",
            r#""error_type":"GATEWAY_INVALID_MQTT_TOPIC","packet_id":"five""#,
            "report GATEWAY_INVALID_MQTT_TOPIC",
        ),
        (
            "an array for an identifier",
            r#""error_type":"GATEWAY_INVALID_MQTT_TOPIC","packet_id":[5]"#,
            "report GATEWAY_INVALID_MQTT_TOPIC",
        ),
        (
            "a string for the message object",
            r#""error_type":"GATEWAY_INVALID_MQTT_TOPIC","mqtt_message_info":"5""#,
            "report GATEWAY_INVALID_MQTT_TOPIC",
        ),
        (
            "null for the message object",
            r#""error_type":"GATEWAY_INVALID_MQTT_TOPIC","mqtt_message_info":null"#,
            "report GATEWAY_INVALID_MQTT_TOPIC",
        ),
        (
            "an object for the identifier",
            r#""error_type":"GATEWAY_INVALID_MQTT_TOPIC","mqtt_message_info":{"packet_id":{}}"#,
            "report GATEWAY_INVALID_MQTT_TOPIC",
        ),
        (
            "two codes, of which the last is used",
            r#""error_type":"GATEWAY_DETACHMENT_DEVICE_ERROR","error_type":"UNKNOWN","device_id":"device-1""#,
            "report UNKNOWN",
        ),
        (
            "an identifier in both formats, of which the nested one is used",
            r#""error_type":"GATEWAY_INVALID_MQTT_TOPIC","packet_id":5,"mqtt_message_info":{"packet_id":6}"#,
            "report GATEWAY_INVALID_MQTT_TOPIC",
        ),
        (
            "a numeric string for an identifier",
            r#""error_type":"GATEWAY_INVALID_MQTT_TOPIC","packet_id":"5""#,
            "failed Reported, report GATEWAY_INVALID_MQTT_TOPIC",
        ),
    ];
    let rows = fields.into_iter().map(|(name, fields, expected)| {
        report_row(name, Stage::InFlight, &format!("{{{fields}}}"), expected)
    });
    rows.collect()
}
