//! The clients in Python and Node, each with its own test program, against the relay and the emulator.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crate::{
    child::PROGRAM,
    cloud::{Cloud, offline},
};

/// Runs a test program in the folder of a client. Without its interpreter it is skipped, and that is said.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn run(interpreter: &str, client: &str, program: &str) {
    let cloud = Cloud::tls();
    let json = |options: Vec<String>| serde_json::to_string(&options).unwrap();
    let folder = format!("{}/clients/{client}", env!("CARGO_MANIFEST_DIR"));
    let started = Command::new(interpreter)
        .arg(program)
        .current_dir(folder)
        .env("RELAY", PROGRAM)
        .env("OPTIONS", json(cloud.options(&["--backoff-min", "500"])))
        .env("OFFLINE", json(offline(&cloud, &[])))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else {
        eprintln!("skipped: there is no {interpreter}");
        return;
    };
    let mut last = String::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        last = line.unwrap();
        match last.as_str() {
            "command" => cloud.command("boiler-7", None, "close"),
            "cut" => cloud.cut("gateway-1"),
            _ => {}
        }
    }
    assert!(
        child.wait().unwrap().success() && last == "passed",
        "{last}"
    );
    let sent = cloud.telemetry("boiler-7");
    let numbers: Vec<_> = (0..1000).map(|n: u32| n.to_string().into_bytes()).collect();
    assert_eq!(sent, [vec![b"71".to_vec()], numbers].concat());
}

#[test]
fn the_python_client_sends_receives_reconnects_and_ends_with_an_error_where_the_relay_does() {
    run("python3", "python", "test_client.py");
}

#[test]
fn the_node_client_sends_receives_reconnects_and_ends_with_an_error_where_the_relay_does() {
    run("node", "node", "test-client.mjs");
}
