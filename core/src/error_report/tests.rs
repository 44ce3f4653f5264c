use super::*;

/// Every code of the service's table, and whether it says to try again.
const CODES: [(&str, ErrorType, Retry); 7] = [
    (
        "GATEWAY_ATTACHMENT_ERROR",
        ErrorType::AttachmentError,
        Retry::Never,
    ),
    (
        "GATEWAY_DEVICE_NOT_FOUND",
        ErrorType::DeviceNotFound,
        Retry::Never,
    ),
    (
        "GATEWAY_INVALID_MQTT_TOPIC",
        ErrorType::InvalidMqttTopic,
        Retry::Never,
    ),
    (
        "GATEWAY_UNEXPECTED_PACKET_ID",
        ErrorType::UnexpectedPacketId,
        Retry::Never,
    ),
    (
        "GATEWAY_UNEXPECTED_MESSAGE_TYPE",
        ErrorType::UnexpectedMessageType,
        Retry::Never,
    ),
    (
        "GATEWAY_DETACHMENT_DEVICE_ERROR",
        ErrorType::DetachmentDeviceError,
        Retry::Never,
    ),
    ("UNKNOWN", ErrorType::Unknown, Retry::Backoff),
];

fn parse(json: &str) -> ErrorReport {
    ErrorReport::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn unknown_fields(report: &ErrorReport) -> Vec<(&str, &str)> {
    report.unknown_fields().collect()
}

#[test]
fn every_code_is_read_in_both_shapes() {
    for (code, error_type, retry) in CODES {
        let nested = format!(
            r#"{{"error_type":"{code}","description":"why","device_id":"d",
            "mqtt_message_info":{{"message_type":"PUBLISH","topic":"/devices/d/state","packet_id":10}}}}"#
        );
        let flat = format!(
            r#"{{"error_type":"{code}","device_id":"d","description":"why",
            "message_type":"PUBLISH","topic":"/devices/d/state","packet_id":10}}"#
        );
        assert_eq!(parse(&nested), parse(&flat));

        let report = parse(&nested);
        assert_eq!(report.error_type(), &error_type);
        assert_eq!((error_type.as_str(), error_type.retry()), (code, retry));
        assert_eq!(report.device_id(), Some("d"));
        assert_eq!(report.description(), "why");
        let message = report.message().unwrap();
        assert_eq!(message.message_type(), Some("PUBLISH"));
        assert_eq!(message.topic(), Some("/devices/d/state"));
        assert_eq!(message.packet_id(), NonZeroU16::new(10));
        assert_eq!(unknown_fields(&report), []);
    }
}

#[test]
fn a_report_without_a_message_has_none() {
    for (code, error_type, _) in CODES {
        for rest in [
            "",
            r#","message_type":"","topic":"","packet_id":0"#,
            r#","message_type":null,"topic":null,"packet_id":null"#,
            r#","mqtt_message_info":null"#,
            r#","mqtt_message_info":{}"#,
            r#","mqtt_message_info":{"message_type":"","topic":"","packet_id":"0"}"#,
            r#","mqtt_message_info":{"message_type":null,"topic":null,"packet_id":null}"#,
        ] {
            let report = parse(&format!(
                r#"{{"error_type":"{code}","device_id":"d"{rest}}}"#
            ));
            assert_eq!(report.error_type(), &error_type);
            assert_eq!(report.message(), None, "{rest}");
            assert_eq!(unknown_fields(&report), [], "{rest}");
        }
    }
}

#[test]
fn a_packet_identifier_may_be_a_number_or_a_numeric_text() {
    for (json, expected) in [
        ("1", 1),
        ("65535", 65_535),
        (r#""10""#, 10),
        (r#""65535""#, 65_535),
        ("0", 0),
        (r#""0""#, 0),
        (r#""""#, 0),
        ("null", 0),
    ] {
        for (before, after) in [("", ""), (r#""mqtt_message_info":{"#, "}")] {
            let report = parse(&format!(
                r#"{{"error_type":"UNKNOWN",{before}"topic":"t","packet_id":{json}{after}}}"#
            ));
            let message = report.message().unwrap();
            assert_eq!(message.packet_id(), NonZeroU16::new(expected), "{json}");
            assert_eq!(unknown_fields(&report), [], "{json}");
        }
    }
}

#[test]
fn an_unusable_packet_identifier_is_none_but_kept() {
    for json in [
        "-1",
        "65536",
        "70000",
        "1.5",
        "1e3",
        r#""abc""#,
        r#""70000""#,
        r#""-1""#,
        "true",
        "[1]",
        "{}",
    ] {
        let flat = parse(&format!(
            r#"{{"error_type":"UNKNOWN","topic":"t","packet_id":{json}}}"#
        ));
        assert_eq!(flat.message().unwrap().packet_id(), None, "{json}");
        let kept = if json == "1e3" { "1000.0" } else { json };
        assert_eq!(unknown_fields(&flat), [("packet_id", kept)]);

        let nested = parse(&format!(
            r#"{{"error_type":"UNKNOWN","mqtt_message_info":{{"topic":"t","packet_id":{json}}}}}"#
        ));
        assert_eq!(nested.message().unwrap().packet_id(), None, "{json}");
        assert_eq!(
            unknown_fields(&nested),
            [("mqtt_message_info.packet_id", kept)]
        );
    }
}

#[test]
fn an_unknown_code_is_kept_and_not_retried() {
    for code in [
        "GATEWAY_NEW_ERROR",
        "gateway_attachment_error",
        "unknown",
        " UNKNOWN",
    ] {
        let report = parse(&format!(r#"{{"error_type":"{code}"}}"#));
        assert_eq!(report.error_type(), &ErrorType::Other(code.into()));
        assert_eq!(report.error_type().as_str(), code);
        assert_eq!(report.error_type().retry(), Retry::Never);
    }
}

#[test]
fn unknown_fields_are_kept_as_compact_json() {
    let report = parse(
        r#"{ "error_type": "UNKNOWN", "severity": "HIGH", "trace": { "id" : [ 1, null ] },
             "mqtt_message_info": { "topic": "t", "qos": 1 } }"#,
    );
    assert_eq!(
        unknown_fields(&report),
        [
            ("severity", r#""HIGH""#),
            ("trace", r#"{"id":[1,null]}"#),
            ("mqtt_message_info.qos", "1"),
        ]
    );
}

#[test]
fn a_field_of_another_type_is_none_but_kept() {
    let report = parse(
        r#"{"error_type":"UNKNOWN","device_id":7,"description":["a"],"mqtt_message_info":"PUBLISH"}"#,
    );
    assert_eq!(report.device_id(), None);
    assert_eq!(report.description(), "");
    assert_eq!(report.message(), None);
    assert_eq!(
        unknown_fields(&report),
        [
            ("description", r#"["a"]"#),
            ("device_id", "7"),
            ("mqtt_message_info", r#""PUBLISH""#)
        ]
    );
}

#[test]
fn a_null_or_empty_field_is_none() {
    for nothing in ["null", r#""""#] {
        let report = parse(&format!(
            r#"{{"error_type":"UNKNOWN","device_id":{nothing},"description":{nothing}}}"#
        ));
        assert_eq!((report.device_id(), report.description()), (None, ""));
        assert_eq!(unknown_fields(&report), []);
    }
}

#[test]
fn the_nested_object_stands_before_the_flat_fields() {
    let report = parse(
        r#"{"error_type":"UNKNOWN","topic":"flat","packet_id":1,
            "mqtt_message_info":{"topic":"nested","packet_id":"x"}}"#,
    );
    let message = report.message().unwrap();
    assert_eq!(message.topic(), Some("nested"));
    assert_eq!(message.packet_id(), NonZeroU16::new(1));
    assert_eq!(
        unknown_fields(&report),
        [
            ("topic", r#""flat""#),
            ("mqtt_message_info.packet_id", r#""x""#)
        ]
    );
}

#[test]
fn of_a_repeated_field_the_last_stands() {
    let report = parse(r#"{"error_type":"A","error_type":"UNKNOWN","packet_id":1,"packet_id":2}"#);
    assert_eq!(report.error_type(), &ErrorType::Unknown);
    assert_eq!(report.message().unwrap().packet_id(), NonZeroU16::new(2));
}

#[test]
fn what_is_no_report_is_refused() {
    for json in [
        "null",
        "true",
        "7",
        "\"UNKNOWN\"",
        "[]",
        r#"[{"error_type":"UNKNOWN"}]"#,
    ] {
        let refused = ErrorReport::parse(json.as_bytes()).unwrap_err();
        assert_eq!(refused, ErrorReportError::NotAnObject, "{json}");
    }
    for error_type in ["null", "\"\"", "7", "{}"] {
        let json = format!(r#"{{"error_type":{error_type},"device_id":"d"}}"#);
        let refused = ErrorReport::parse(json.as_bytes()).unwrap_err();
        assert_eq!(refused, ErrorReportError::NoErrorType, "{json}");
    }
    assert_eq!(
        ErrorReport::parse(b"{}"),
        Err(ErrorReportError::NoErrorType)
    );
    for payload in [
        &b""[..],
        b"{",
        b"error",
        b"{}x",
        b"{\"error_type\":\"\xff\"}",
        b"\0",
        b"{'error_type':1}",
    ] {
        let refused = ErrorReport::parse(payload).unwrap_err();
        assert!(
            matches!(refused, ErrorReportError::NotJson(_)),
            "{payload:?}: {refused:?}"
        );
        assert!(
            refused
                .to_string()
                .starts_with("the error report is not JSON: "),
            "{refused}"
        );
    }
}

#[test]
fn size_and_depth_are_bounded() {
    let padded = |len: usize| {
        let empty = r#"{"error_type":"UNKNOWN","pad":""}"#.len();
        format!(
            r#"{{"error_type":"UNKNOWN","pad":"{}"}}"#,
            "x".repeat(len - empty)
        )
    };
    assert_eq!(padded(65_536).len(), 65_536);
    assert!(ErrorReport::parse(padded(65_536).as_bytes()).is_ok());
    let refused = ErrorReport::parse(padded(65_537).as_bytes()).unwrap_err();
    assert_eq!(
        refused,
        ErrorReportError::TooLarge {
            len: 65_537,
            max: 65_536
        }
    );
    assert!(refused.to_string().contains("65537 bytes"), "{refused}");

    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = |depth: usize| {
            let (open, close) = (open.repeat(depth), close.repeat(depth));
            format!(r#"{{"error_type":"UNKNOWN","deep":{open}1{close}}}"#)
        };
        assert!(ErrorReport::parse(nested(126).as_bytes()).is_ok());
        for depth in [127, 10_000] {
            let refused = ErrorReport::parse(nested(depth).as_bytes()).unwrap_err();
            assert!(
                matches!(refused, ErrorReportError::NotJson(_)),
                "{refused:?}"
            );
        }
    }
}

#[test]
fn a_report_cut_at_any_byte_is_refused() {
    let json = r#"{"error_type":"UNKNOWN","mqtt_message_info":{"topic":"é","packet_id":"10"}}"#;
    for len in 0..json.len() {
        assert!(
            ErrorReport::parse(&json.as_bytes()[..len]).is_err(),
            "{len} bytes"
        );
    }
}

#[test]
fn a_report_is_shown_on_one_line() {
    for (json, shown) in [
        (r#"{"error_type":"UNKNOWN"}"#, "UNKNOWN"),
        (
            r#"{"error_type":"X\n","device_id":"d\r","description":"a \"b\" \\ 'c' é\n\u001b[2J\u202e"}"#,
            "X\\n for device d\\r: a \"b\" \\ 'c' é\\n\\u{1b}[2J\\u{202e}",
        ),
        (
            r#"{"error_type":"UNKNOWN","packet_id":7}"#,
            "UNKNOWN (packet of unknown type, packet identifier 7)",
        ),
        (
            r#"{"error_type":"UNKNOWN","message_type":"PUBREL\u0000","topic":"t\u2028"}"#,
            "UNKNOWN (PUBREL\\0, topic t\\u{2028})",
        ),
    ] {
        assert_eq!(parse(json).to_string(), shown);
    }
}
