//! Topics that MQTT allows and the bridge does not send. None is taken for a device's: each is reported as
//! unrequested.

use crate::{
    Expect::{Ignores, Tolerates},
    Row,
    stage::{ERRORS, Stage, message},
};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows: Vec<_> = STRANGE
        .iter()
        .map(|(name, topic)| {
            Row::new(
                "bridge",
                format!("{name}: {topic}"),
                Stage::Subscribed,
                message(topic, b"{}", Some(30)),
                Tolerates("Unrequested, PUBACK 30"),
            )
        })
        .collect();
    rows.extend(long());
    rows.extend(commands());
    rows.extend(errors());
    rows
}

/// `device-1` is subscribed to its configs and commands, and nothing else is.
const STRANGE: [(&str, &str); 33] = [
    ("no leading slash", "devices/device-1/config"),
    ("two leading slashes", "//devices/device-1/config"),
    ("a level before", "/x/devices/device-1/config"),
    ("a capital", "/Devices/device-1/config"),
    ("a capital at the end", "/devices/device-1/Config"),
    ("capitals in the id", "/devices/DEVICE-1/config"),
    ("an id with a suffix", "/devices/device-10/config"),
    ("a truncated id", "/devices/device-/config"),
    ("a space after the id", "/devices/device-1 /config"),
    ("an empty id", "/devices//config"),
    ("an empty id of a command", "/devices//commands/x"),
    ("another device", "/devices/device-2/config"),
    ("the gateway, not subscribed", "/devices/gw-1/config"),
    ("the gateway's commands", "/devices/gw-1/commands/x"),
    ("a level after", "/devices/device-1/config/x"),
    ("a trailing slash", "/devices/device-1/config/"),
    ("two slashes within", "/devices/device-1//config"),
    ("a longer word", "/devices/device-1/configs"),
    ("a longer word for commands", "/devices/device-1/commandsx"),
    ("a shorter word", "/devices/device-1/command/x"),
    ("our telemetry topic", "/devices/device-1/events"),
    (
        "a level below our telemetry topic",
        "/devices/device-1/events/a",
    ),
    ("its state", "/devices/device-1/state"),
    ("an attach", "/devices/device-1/attach"),
    ("a detach", "/devices/device-1/detach"),
    ("no channel", "/devices/device-1"),
    ("an empty channel", "/devices/device-1/"),
    ("no device", "/devices"),
    ("an empty device", "/devices/"),
    ("a slash", "/"),
    ("a $SYS topic", "$SYS/broker/uptime"),
    ("a full client id", "projects/p/devices/device-1/config"),
    ("a topic without `devices`", "/my-registry/device-1/config"),
];

fn long() -> Vec<Row> {
    let longest = "x".repeat(65_535);
    let below = format!("/devices/device-1/commands/{}", "y".repeat(65_508));
    vec![
        Row::new(
            "MQTT-4.7.3-3",
            "the longest topic",
            Stage::Subscribed,
            message(&longest, b"{}", Some(31)),
            Tolerates("Unrequested, PUBACK 31"),
        ),
        Row::new(
            "bridge",
            "slashes only",
            Stage::Subscribed,
            message(&"/".repeat(300), b"{}", Some(31)),
            Tolerates("Unrequested, PUBACK 31"),
        ),
        Row::new(
            "bridge",
            "the longest command",
            Stage::Attached,
            message(&below, b"", Some(31)),
            Tolerates("Unrequested, PUBACK 31"),
        ),
    ]
}

/// The bridge may send anything after `commands/`.
fn commands() -> Vec<Row> {
    let topics = [
        ("an empty subfolder", "/commands/", "Command"),
        (
            "a subfolder that begins with a slash",
            "/commands//x",
            "Command /x",
        ),
        (
            "a subfolder that ends with a slash",
            "/commands/x/",
            "Command x/",
        ),
        (
            "a subfolder called config",
            "/commands/config",
            "Command config",
        ),
        ("a subfolder with a dollar", "/commands/$x", "Command $x"),
    ];
    let rows = topics.map(|(name, channel, expected)| {
        let topic = format!("/devices/device-1{channel}");
        Row::new(
            "bridge",
            name,
            Stage::Subscribed,
            message(&topic, b"", None),
            Tolerates(expected),
        )
    });
    rows.into()
}

/// Reports on topics other than the gateway's errors topic.
fn errors() -> Vec<Row> {
    let refusal = br#"{"error_type":"GATEWAY_DETACHMENT_DEVICE_ERROR","device_id":"device-1"}"#;
    let mut rows = Vec::new();
    for (name, topic) in [
        ("a report to another gateway", "/devices/gw-2/errors"),
        ("a report to a device", "/devices/device-1/errors"),
        ("a report a level below", "/devices/gw-1/errors/x"),
        ("a report with a trailing slash", "/devices/gw-1/errors/"),
        ("a report with an empty id", "/devices//errors"),
        ("a report without a leading slash", "devices/gw-1/errors"),
        ("a report with a capital", "/devices/gw-1/Errors"),
    ] {
        rows.push(Row::new(
            "bridge",
            name,
            Stage::Subscribed,
            message(topic, refusal, None),
            Tolerates("Unrequested"),
        ));
    }
    rows.push(Row::new(
        "bridge",
        "a report without a connection",
        Stage::Waiting,
        message(ERRORS, refusal, None),
        Ignores(0),
    ));
    rows
}
