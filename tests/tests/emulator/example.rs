//! The example registry, which is the book's, and the README's commands.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::child::{Emulator, PATIENCE, now, pause};
use crate::executables::executable;
use crate::folder::Folder;

const README: &str = include_str!("../../../README.md");
const CHAPTER: &str = include_str!("../../../docs/book/emulator.md");

/// Returns the registry in the book.
fn registry_of_the_book() -> Value {
    let (_, rest) = CHAPTER.split_once("```json\n").unwrap();
    let (json, _) = rest.split_once("```").unwrap();
    serde_json::from_str(json).unwrap()
}

#[test]
fn the_example_registry_is_the_books_and_is_written_once() {
    let folder = Folder::new("example");
    let arguments = ["--plain", "--example-registry", &folder.path("new/example")];
    for is_new in [true, false] {
        let mut emulator = Emulator::start(&arguments);
        let example = emulator.await_event(&json!({ "event": "example", "new": is_new }));
        assert_eq!(
            example["registry"],
            folder.path("new/example/registry.json")
        );
        assert_eq!(example["key"], folder.path("new/example/gateway.pem"));
        emulator.address();
        if is_new {
            let written = folder.read("new/example/registry.json");
            let written: Value = serde_json::from_str(&written).unwrap();
            assert_eq!(written, registry_of_the_book());
            let key = fs::metadata(folder.path("new/example/gateway.pem")).unwrap();
            assert_eq!(key.permissions().mode() & 0o777, 0o600);
        }
        emulator.send(b"state\n");
        let state = emulator.await_event(&json!({ "event": "answer" }));
        let mut devices = state["devices"].as_array().unwrap().iter();
        assert!(devices.any(|device| device["device"] == "boiler-7"));
    }
}

#[test]
fn a_file_that_exists_is_not_overwritten_by_the_example() {
    let folder = Folder::new("example-exists");
    folder.write("gateway.pem", "mine");
    let (status, stderr) =
        Emulator::start(&["--plain", "--example-registry", &folder.path("")]).end();
    assert_eq!(status.code(), Some(1));
    assert!(
        stderr.contains("gateway.pem exists and is not overwritten"),
        "{stderr}"
    );
    assert_eq!(folder.read("gateway.pem"), "mine");
    let edited = r#"{"project":"mine","location":"l","registry":"reg"}"#;
    folder.write("registry.json", edited);
    let mut emulator = Emulator::start(&["--plain", "--example-registry", &folder.path("")]);
    let listening = emulator.await_event(&json!({ "event": "listening" }));
    assert!(
        listening["clients"]
            .as_str()
            .unwrap()
            .starts_with("projects/mine/")
    );
    assert_eq!(folder.read("registry.json"), edited);
}

#[test]
fn half_an_example_is_neither_begun_nor_gone_on_with() {
    let folder = Folder::new("example-half");
    folder.write("gateway.pub.pem", "mine");
    folder.write("roaming-sensor.pem", "mine");
    let (status, stderr) =
        Emulator::start(&["--plain", "--example-registry", &folder.path("")]).end();
    assert_eq!(status.code(), Some(1));
    for name in ["gateway.pub.pem, ", "roaming-sensor.pem exists and is not"] {
        assert!(stderr.contains(name), "{stderr}");
    }
    assert!(!fs::exists(folder.path("gateway.pem")).unwrap());
}

/// Returns the relay's environment in the README, with its folder `example` here.
fn readme_environment(folder: &Folder) -> Vec<(&str, String)> {
    let exports = README
        .lines()
        .filter_map(|line| line.strip_prefix("export "));
    let variables = exports.flat_map(|line| line.split(' '));
    let pairs = variables.map(|variable| variable.split_once('=').unwrap());
    pairs
        .map(|(name, value)| (name, value.replace("example/", &folder.path("example/"))))
        .collect()
}

#[test]
fn a_relay_works_with_the_example_as_the_readme_says() {
    let folder = Folder::new("example-relay");
    let path = folder.path("example");
    let mut emulator = Emulator::start(&["--example-registry", &path, "--tls-self-signed", &path]);
    let port = emulator.address().port().to_string();
    let mut relay = Command::new(executable("iotcore-relay"))
        .env_clear()
        .envs(readme_environment(&folder))
        .args(["--port", &port, "--no-reconnect"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = relay.stdin.take().unwrap();
    writeln!(stdin, r#"{{"op":"attach","id":1,"device":"boiler-7"}}"#).unwrap();
    emulator.await_event(
        &json!({ "event": "config_acknowledged", "device": "boiler-7", "version": 1 }),
    );
    writeln!(
        stdin,
        r#"{{"op":"telemetry","id":2,"device":"boiler-7","payload":"71"}}"#
    )
    .unwrap();
    emulator.await_event(&json!({ "event": "telemetry", "device": "boiler-7", "payload": "71" }));
    drop(stdin);
    let end = now() + PATIENCE;
    while relay.try_wait().unwrap().is_none() {
        assert!(now() < end, "the relay is still running");
        pause();
    }
    let output = relay.wait_with_output().unwrap();
    let events = String::from_utf8(output.stdout).unwrap();
    let mut events = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert!(output.status.success());
    let is_config = |event: &Value| event["event"] == "config" && event["device"] == "boiler-7";
    let config = events.find(is_config).unwrap();
    assert_eq!(config["payload"], r#"{"target":20}"#);
}
