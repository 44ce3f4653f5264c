//! A resolver that hangs: in a mount namespace of the relay's own, whose name server never answers. That takes root.

use std::{
    fs,
    io::{self, Write},
    net::UdpSocket,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    child::{PATIENCE, PROGRAM, Relay},
    cloud::{Cloud, options},
};

/// How soon a program ends, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A name server that never answers, and a relay that is waiting for it.
struct Hanging {
    relay: Relay,
    _cloud: Cloud,
    _server: UdpSocket,
}

/// Starts a relay and waits until it has asked the name server. Says why it cannot, if so.
fn start(test: &str) -> Option<Hanging> {
    let skipped = |why: &str| {
        // Not with `eprint`, whose output the test harness captures.
        let _ = writeln!(io::stderr(), "skipped {test}: {why}");
    };
    let Some(server) = (1..100).find_map(|n| UdpSocket::bind((format!("127.53.0.{n}"), 53)).ok())
    else {
        skipped("needs root, for a name server on port 53");
        return None;
    };
    let may_unshare = Command::new("unshare").args(["--mount", "true"]).status();
    if !may_unshare.is_ok_and(|status| status.success()) {
        skipped("needs root and `unshare`, for a mount namespace");
        return None;
    }
    let cloud = Cloud::tls();
    let mut relay = Relay::start_command(in_namespace(&cloud.folder, &server), &[]);
    relay.read();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    server.recv(&mut [0; 512]).expect("the relay asks");
    Some(Hanging {
        relay,
        _cloud: cloud,
        _server: server,
    })
}

/// Returns the command of a relay that asks this name server, and nothing else.
fn in_namespace(folder: &Path, server: &UdpSocket) -> Command {
    let address = server.local_addr().unwrap().ip();
    let resolv = format!("nameserver {address}\noptions timeout:30 attempts:5\n");
    fs::write(folder.join("resolv.conf"), resolv).unwrap();
    fs::write(folder.join("nsswitch.conf"), "hosts: files dns\n").unwrap();
    let mut command = Command::new("unshare");
    let script = r#"
        for file in resolv.conf nsswitch.conf; do
            [ ! -e "/etc/$file" ] || mount --bind "$0/$file" "/etc/$file" || exit
        done
        exec "$@""#;
    command
        .args(["--mount", "sh", "-c", script])
        .arg(folder)
        .arg(PROGRAM);
    command.args(options(folder, "bridge.example.org", 8_883));
    command.arg("--ca").arg(folder.join("ca.pem"));
    command
}

#[test]
fn it_ends_at_once_after_closed_while_the_resolver_hangs() {
    let Some(mut hanging) = start("it_ends_at_once_after_closed_while_the_resolver_hangs") else {
        return;
    };
    hanging.relay.send(json!({"op": "close"}));
    assert_eq!(hanging.relay.expect("closed")["unsent"], 0);
    let begun = Instant::now();
    hanging.relay.wait().assert_closed(0);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

#[test]
fn two_signals_end_it_at_once_while_the_resolver_hangs() {
    let Some(mut hanging) = start("two_signals_end_it_at_once_while_the_resolver_hangs") else {
        return;
    };
    hanging
        .relay
        .send(json!({"op": "telemetry", "id": 1, "payload": "x"}));
    hanging.relay.send("the last line");
    hanging.relay.expect("invalid");
    let begun = Instant::now();
    // The first lets the message wait for a connection.
    hanging.relay.signal("TERM");
    std::thread::sleep(AT_ONCE / 4);
    hanging.relay.signal("INT");
    assert_eq!(hanging.relay.wait().code, Some(1));
    assert!(begun.elapsed() < 2 * AT_ONCE, "{:?}", begun.elapsed());
}
