//! The command line and the environment.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::{
    child::{PROGRAM, Relay},
    cloud::Cloud,
};

/// Returns the program's output for one option.
fn answer(option: &str) -> Output {
    let output = Command::new(PROGRAM).arg(option).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    output
}

#[test]
fn options_can_be_set_in_the_environment() {
    let cloud = Cloud::plain();
    let options = cloud.options(&[]);
    let mut environment = vec![("IOTCORE_PLAIN", "1"), ("IOTCORE_WINDOW", "5")];
    let names = options
        .iter()
        .step_by(2)
        .map(|name| name.trim_start_matches('-').to_uppercase())
        .map(|name| format!("IOTCORE_{name}"))
        .collect::<Vec<_>>();
    let values = options.iter().skip(1).step_by(2);
    environment.extend(
        names
            .iter()
            .map(String::as_str)
            .zip(values.map(String::as_str)),
    );
    let mut relay = Relay::start_unread(&[] as &[&str], &environment);
    relay.send(json!({"op": "telemetry", "id": 1, "payload": "x"}));
    relay.end_input();
    let end = relay.wait();
    end.assert_closed(0);
    assert_eq!(end.ends(1)[0]["event"], "done");
}

#[test]
fn a_switch_in_the_environment_is_on_or_off_and_nothing_else() {
    let answered = |value: &str| {
        let mut command = Command::new(PROGRAM);
        command.env("IOTCORE_NO_RECONNECT", value).output().unwrap()
    };
    for value in ["1", "true", "on", "0", "false", "off"] {
        let stderr = String::from_utf8(answered(value).stderr).unwrap();
        assert!(stderr.contains("--host"), "others are missing: {stderr}");
    }
    for value in ["maybe", "flase"] {
        let output = answered(value);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(
            stderr.contains(&format!("invalid value '{value}'")),
            "{stderr}"
        );
    }
}

#[test]
fn help_lists_every_option_and_its_variable() {
    let help = String::from_utf8(answer("--help").stdout).unwrap();
    for name in [
        "host",
        "port",
        "project",
        "location",
        "registry",
        "gateway",
        "key",
        "algorithm",
        "device-keys",
        "ca",
        "client-cert",
        "client-key",
        "plain",
        "proxy",
        "token-lifetime",
        "keep-alive",
        "attach-timeout",
        "ack-timeout",
        "drain-timeout",
        "attach-window",
        "window",
        "max-queued",
        "store",
        "store-linger",
        "store-limit",
        "backoff-min",
        "backoff-max",
        "seed",
        "no-reconnect",
        "acknowledge",
        "metrics",
    ] {
        let variable = format!("[env: IOTCORE_{}", name.replace('-', "_").to_uppercase());
        assert!(
            help.contains(&format!("--{name}")) && help.contains(&variable),
            "{name}: {help}"
        );
    }
}

/// Returns the operations that `--help` shows as such.
fn shown_operations() -> Vec<Value> {
    let help = String::from_utf8(answer("--help").stdout).unwrap();
    let (_, operations) = help.split_once("\nOperations:").unwrap();
    let lines = operations.lines().map(str::trim);
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

#[test]
fn help_shows_every_operation() {
    let shown = shown_operations();
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&[]));
    relay.send(json!({"op": "?"}));
    let invalid = relay.expect("invalid");
    let (_, known) = invalid["detail"]
        .as_str()
        .unwrap()
        .split_once("expected")
        .unwrap();
    for operation in known.split('`').skip(1).step_by(2) {
        let is_shown = shown.iter().any(|shown| shown["op"] == operation);
        assert!(is_shown, "{operation}: {shown:?}");
    }
}

#[test]
fn the_relay_understands_each_operation_that_help_shows() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--acknowledge", "manual"]));
    for operation in shown_operations() {
        relay.send(operation);
    }
    let end = relay.wait();
    let invalid = end
        .events
        .iter()
        .filter(|event| event["event"] == "invalid");
    let errors: Vec<_> = invalid.map(|event| &event["detail"]).collect();
    assert_eq!(errors, ["no config or command had the delivery number 7"]);
}

#[test]
fn help_explains_the_errors_that_need_an_answer() {
    let help = String::from_utf8(answer("--help").stdout).unwrap();
    for code in [
        "suspected",
        "device_refused",
        "detached",
        "token_expired",
        "queue_full",
        "token_needed",
    ] {
        assert!(help.contains(code), "{code}: {help}");
    }
}

#[test]
fn help_lists_the_exit_codes() {
    let help = String::from_utf8(answer("--help").stdout).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let codes = "0 closed, 1 failed, 2 usage, 3 closed before all operations had ended";
    assert!(help.contains(codes), "{help}");
}

#[test]
fn version_prints_the_name_and_the_release() {
    let version = concat!("iotcore-relay ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(answer("--version").stdout, version.as_bytes());
}
