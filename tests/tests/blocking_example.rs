//! The core's example without a runtime, as a program of its own, against the emulator over TLS.
#![cfg(feature = "serve")]

mod programs;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use iotcore_gateway_testkit::keys::{DeviceKey, ServerIdentity};
use iotcore_gateway_testkit::serve::{Server, tls};
use iotcore_gateway_testkit::{AuthMethod, Registry, Settings};
use programs::{example, run};

/// What the program says, after these faults; and what the bridge has seen.
fn run_example(device: &str, faults: &[&str]) -> (Output, Vec<String>) {
    let key = DeviceKey::generate().unwrap();
    let mut registry = Registry::new("plant", "us-central1", "sensors").unwrap();
    let keys = [key.public_pem.as_str()];
    registry
        .add_gateway("gateway-1", &keys, AuthMethod::AssociationOnly)
        .unwrap();
    registry.add_device("boiler-7", &[]).unwrap();
    registry.add_device("stranger", &[]).unwrap();
    registry.bind("gateway-1", "boiler-7").unwrap();

    let identity = ServerIdentity::generate().unwrap();
    let config = tls::server_config(&identity.certificate_pem, &identity.key_pem).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let on_event = move |event: &iotcore_gateway_testkit::Event| {
        log.lock().unwrap().push(event.kind.to_string());
    };
    let address = "127.0.0.1:0";
    let server = Server::start(
        registry,
        Settings::default(),
        address,
        Some(config),
        on_event,
    )
    .unwrap();
    for fault in faults {
        server
            .with(|bridge, now| bridge.inject(fault.parse().unwrap(), now))
            .unwrap();
    }

    let port = server.local_addr().port();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("blocking-{port}"));
    fs::create_dir_all(&folder).unwrap();
    let (ca, private) = (folder.join("ca.pem"), folder.join("gateway.pem"));
    fs::write(&ca, identity.ca_pem).unwrap();
    fs::write(&private, &key.private_pem).unwrap();
    let mut program = Command::new(example("blocking"));
    program.args(["localhost", &port.to_string()]).arg(ca);
    program.args(["plant", "us-central1", "sensors", "gateway-1"]);
    let output = run(program.arg(private).arg(device), "");
    server.shutdown();
    fs::remove_dir_all(folder).unwrap();
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    (output, seen)
}

fn count(seen: &[String], start: &str) -> usize {
    seen.iter().filter(|line| line.starts_with(start)).count()
}

#[test]
fn a_reading_is_delivered_and_the_connection_ends_in_order() {
    let (output, seen) = run_example("boiler-7", &[]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(count(&seen, "CONNECTED"), 1, "{seen:#?}");
    assert_eq!(count(&seen, "TELEMETRY    boiler-7"), 1, "{seen:#?}");
    let last = "CLOSED       by the client: the client said DISCONNECT";
    assert_eq!(seen.last().map(String::as_str), Some(last), "{seen:#?}");
}

#[test]
fn a_reading_is_delivered_though_connections_are_lost() {
    let faults = ["cut instead telemetry", "refuse 1 reset", "segment 1"];
    let (output, seen) = run_example("boiler-7", &faults);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(count(&seen, "CONNECTED"), 2, "{seen:#?}");
    assert_eq!(count(&seen, "TELEMETRY    boiler-7"), 2, "{seen:#?}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told.matches("Disconnected(").count(), 3, "{told}");
}

#[test]
fn a_device_of_somebody_else_is_told_as_a_failure() {
    let (output, seen) = run_example("stranger", &[]);
    assert!(!output.status.success());
    assert_eq!(count(&seen, "TELEMETRY"), 0, "{seen:#?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("the reading was not acknowledged"), "{told}");
}

#[test]
fn without_arguments_it_says_how_it_is_used() {
    let output = Command::new(example("blocking")).output().unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("usage: blocking HOST PORT CA"), "{told}");
}
