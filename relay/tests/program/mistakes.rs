//! Refused lines and operations.

use serde_json::json;

use crate::{
    child::Relay,
    cloud::{CLOSED_PORT, Cloud, options},
};

#[test]
fn an_invalid_line_is_reported_with_its_number_and_changes_nothing() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&[]));
    let lines = [
        (
            "nonsense",
            "the line is not JSON: expected ident at column 2",
        ),
        (
            "{'op':'stats'}",
            "the line is not JSON: key must be a string at column 2",
        ),
        (
            r#"{"op":"stats""#,
            "the line is not JSON: it ends too early; an operation is one JSON object on one line",
        ),
        (
            r#"{"op":"stats"} {"op":"stats"}"#,
            "the line is not JSON: trailing characters at column 16",
        ),
        ("[1]", "the line is JSON, but not an object"),
        (r#"["close"]"#, "the line is JSON, but not an object"),
        ("7", "the line is JSON, but not an object"),
        ("{}", "missing field `op`"),
        (
            r#"{"op":"dance","id":1}"#,
            "unknown variant `dance`, expected one of `attach`",
        ),
        (
            r#"{"op":"attach","device":"boiler-7"}"#,
            "missing field `id`",
        ),
        (r#"{"op":"attach","id":1}"#, "missing field `device`"),
        (
            r#"{"op":"attach","id":1,"device":"boiler-7","colour":1}"#,
            "unknown field `colour`",
        ),
        (
            r#"{"op":"attach","id":1,"device":"boiler-7","config":2}"#,
            "must be 0 or 1",
        ),
        (
            r#"{"op":"attach","id":[],"device":"boiler-7"}"#,
            "`id` must be a whole number or a text",
        ),
        (
            r#"{"op":"attach","id":1.5,"device":"boiler-7"}"#,
            "`id` must be a whole number or a text",
        ),
        (
            r#"{"op":"telemetry","id":1}"#,
            "either `payload`, a text, or `payload_base64`",
        ),
        (
            r#"{"op":"telemetry","id":1,"payload":"","payload_base64":""}"#,
            "not both",
        ),
        (
            r#"{"op":"telemetry","id":1,"payload":{"a":1}}"#,
            "must be a text",
        ),
        (
            r#"{"op":"telemetry","id":1,"payload_base64":"!"}"#,
            "is not base64",
        ),
        (
            r#"{"op":"telemetry","id":1,"payload":"","qos":2}"#,
            "must be 0 or 1",
        ),
        (
            r#"{"op":"telemetry","id":1,"payload":"","qos":"secret"}"#,
            "must be 0 or 1",
        ),
        (
            r#"{"op":"telemetry","id":1,"payload":"","qos":null}"#,
            "must be 0 or 1",
        ),
        (
            r#"{"op":"state","id":1,"payload":"","subfolder":"a"}"#,
            "unknown field `subfolder`",
        ),
        (
            r#"{"op":"acknowledge","delivery":"secret"}"#,
            "`delivery` must be the number",
        ),
        (r#"{"op":"close","now":true}"#, "unknown field `now`"),
        (r#"{"op":"cancel"}"#, "missing field `id`"),
        (
            r#"{"op":"telemetry","id":1,"payload":"","priority":"secret"}"#,
            "`priority` must be \"ordinary\" or \"urgent\"",
        ),
        (
            r#"{"op":"state","id":1,"payload":"","priority":1}"#,
            "`priority` must be",
        ),
        (
            r#"{"op":"telemetry","id":1,"payload":"","expires_after":"secret"}"#,
            "`expires_after` must be a number of seconds",
        ),
        (
            r#"{"op":"telemetry","id":1,"expires_after":NaN,"payload":""}"#,
            "the line is not JSON: expected value at column 42",
        ),
        (
            r#"{"op":"state","id":1,"payload":"","expires_after":1e999}"#,
            "the line is not JSON: number out of range at column",
        ),
        (
            r#"{"op":"telemetry","id":1,"payload":"","tag":7}"#,
            "must be a text",
        ),
        (
            r#"{"op":"attach","id":1,"device":"boiler-7","priority":"urgent"}"#,
            "unknown field `priority`",
        ),
    ];
    relay.send("");
    for (line, _) in lines {
        relay.send(line);
    }
    for (number, (line, part)) in (2..).zip(lines) {
        let invalid = relay.expect("invalid");
        let told = invalid["detail"].as_str().unwrap();
        assert!(told.contains(part), "{line}: {told}");
        let code = match told.contains("not JSON") {
            true => "not_json",
            false => "illegal_operation",
        };
        assert_eq!(invalid["error"], code, "{line}: {told}");
        assert!(!told.contains("secret"), "{told}");
        assert_eq!(invalid["line"], number, "{line}");
        let has_id = line.contains(r#""id":1,"#) || line.contains(r#""id":1}"#);
        let id = has_id.then_some(1);
        assert_eq!(invalid["id"].as_u64(), id, "{line}: {invalid}");
    }
    let last = lines.len() + 2;
    relay.send(format!(
        r#"{{"op":"telemetry","id":1,"payload":"{}"}}"#,
        "x".repeat(3 << 20)
    ));
    let invalid = relay.expect("invalid");
    assert_eq!(
        (&invalid["line"], &invalid["id"]),
        (&last.into(), &1.into())
    );
    assert_eq!(invalid["error"], "line_too_long");
    let told = invalid["detail"].as_str().unwrap();
    assert!(
        told.starts_with("the line has 3145767 bytes, and may have"),
        "{told}"
    );
    relay.send(json!({"op": "telemetry", "id": 1, "payload": "after the errors"}));
    assert_eq!(relay.expect_end(1)["event"], "done");
    let end = relay.close();
    end.assert_closed(0);
    assert_eq!(cloud.telemetry("gateway-1"), [b"after the errors"]);
}

#[test]
fn an_id_in_use_is_refused_and_can_be_reused_later() {
    let cloud = Cloud::plain();
    let mut options = options(&cloud.folder, "127.0.0.1", CLOSED_PORT);
    options.push("--plain".to_owned());
    let mut relay = Relay::start(&options);
    for _ in 0..2 {
        relay.send(json!({"op": "telemetry", "id": "a", "payload": "x"}));
    }
    let invalid = relay.expect("invalid");
    assert_eq!(
        (&invalid["line"], &invalid["error"]),
        (&2.into(), &"id_in_use".into())
    );
    // Neither is its end written, whatever else is wrong.
    relay.send(json!({"op": "telemetry", "id": "a", "payload": "x", "expires_after": -1}));
    relay.send(json!({"op": "telemetry", "id": "a", "device": "a+b", "payload": "x"}));
    for line in 3..5 {
        assert_eq!(relay.expect("invalid")["line"], line);
    }
    let mut relay = Relay::start(&cloud.options(&[]));
    for _ in 0..2 {
        relay.send(json!({"op": "telemetry", "id": "a", "payload": "x"}));
        assert_eq!(relay.expect_end("a")["event"], "done");
    }
    relay.close().assert_closed(0);
}

#[test]
fn refusals_before_sending_name_the_value_and_the_limit() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&[]));
    let large = |len| "x".repeat(len);
    let operations = [
        (
            json!({"op": "telemetry", "payload": large(262_145)}),
            "payload_too_large",
            "262145 bytes: the bridge takes at most 262144",
        ),
        (
            json!({"op": "state", "payload": large(65_537)}),
            "payload_too_large",
            "65537 bytes: the bridge takes at most 65536",
        ),
        (
            json!({"op": "telemetry", "device": "a+b", "payload": ""}),
            "illegal_id",
            "'+' at position 1",
        ),
        (
            json!({"op": "attach", "device": "d1"}),
            "illegal_id",
            "2 of at least 3 characters",
        ),
        (
            json!({"op": "telemetry", "subfolder": large(257), "payload": ""}),
            "illegal_subfolder",
            "257 of at most 256 characters",
        ),
        (
            json!({"op": "telemetry", "payload": "", "expires_after": -0.5}),
            "illegal_expires_after",
            "`expires_after` is -0.5: it must be from 0 to 31536000 seconds",
        ),
        (
            json!({"op": "state", "payload": "", "expires_after": 31_536_000.5}),
            "illegal_expires_after",
            "is 31536000.5: it must",
        ),
        (
            json!({"op": "telemetry", "payload": "", "expires_after": 1e300}),
            "illegal_expires_after",
            "is 1e+300: it must",
        ),
        (
            json!({"op": "telemetry", "payload": "", "tag": "é".repeat(33)}),
            "illegal_tag",
            "the tag has 66 bytes: it may have at most 64",
        ),
        (
            json!({"op": "state", "device": "pump-1", "payload": ""}),
            "unknown_device",
            "attach it first",
        ),
        (
            json!({"op": "attach", "device": "gateway-1"}),
            "own_device",
            "the gateway itself",
        ),
        (
            json!({"op": "detach", "device": "gateway-1"}),
            "own_device",
            "the gateway itself",
        ),
        (
            json!({"op": "attach", "device": "boiler-7", "token": "secret"}),
            "illegal_token",
            "three parts",
        ),
        (
            json!({"op": "attach", "device": "boiler-7", "token": "secret.e30.secret"}),
            "illegal_token",
            "no number `exp`",
        ),
        (
            json!({"op": "attach", "device": "boiler-7", "token": "secret.eyJleHAiOjF9.secret"}),
            "token_expired",
            "check the clock",
        ),
    ];
    let count = operations.len();
    for (id, (mut operation, error, part)) in operations.into_iter().enumerate() {
        operation["id"] = id.into();
        relay.send(&operation);
        let failed = relay.expect_end(id);
        let expected = json!({"event": "failed", "id": id, "error": error, "detail": failed["detail"],
                              "certainty": "confirmed", "retry": "never"});
        assert_eq!(failed, expected);
        let detail = failed["detail"].as_str().unwrap();
        assert!(detail.contains(part), "{detail}");
        assert!(!detail.contains("secret"), "{detail}");
    }
    relay.send(
        json!({"op": "telemetry", "id": count, "payload": large(262_144), "priority": null, "tag": large(64),
               "expires_after": 31_536_000}),
    );
    assert_eq!(relay.expect_end(count)["event"], "done");
    let end = relay.close();
    end.assert_closed(0);
    for id in 0..=count {
        assert_eq!(end.ends(id).len(), 1);
    }
}
