//! Signals that end the emulator.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::child::{Emulator, PROGRAM, connect, now, pause, signal};
use crate::folder::Folder;

#[test]
fn sigterm_and_sigint_close_the_connections_and_end_it() {
    let folder = Folder::new("signals");
    let registry = folder.registry();
    for name in ["TERM", "INT"] {
        let mut emulator = Emulator::start(&["--plain", "--registry", &registry]);
        let address = emulator.address();
        let mut client = connect(address);
        emulator.await_event(&json!({ "event": "accepted" }));
        let start = now();
        emulator.signal(name);
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "the end of the stream");
        emulator.await_event(&json!({ "event": "ended", "signal": format!("SIG{name}") }));
        emulator.await_event(&json!({ "event": "closed", "reason": "the bridge is shut down" }));
        assert_eq!(emulator.end().0.code(), Some(0));
        assert!(now() - start < Duration::from_secs(3));
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn signals_end_it_also_as_the_first_process_of_a_container() {
    let root = Command::new("id").arg("-u").output().unwrap();
    if root.stdout != b"0\n" {
        let _ = writeln!(
            io::stderr(),
            "skipped: only root can create a PID namespace"
        );
        return;
    }
    let folder = Folder::new("pid-1");
    for name in ["TERM", "INT"] {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", PROGRAM]);
        command.args(["--port", "0", "--json", "--plain"]);
        command.args(["--registry", &folder.registry()]);
        let mut emulator = Emulator::start_command(command);
        emulator.address();
        let parent = emulator.id();
        signal(child_of(parent), name);
        emulator.await_event(&json!({ "event": "ended", "signal": format!("SIG{name}") }));
        assert_eq!(emulator.end().0.code(), Some(0));
    }
}

/// Returns the only child of a process.
fn child_of(parent: u32) -> u32 {
    loop {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        if let Ok(child) = children.unwrap().trim().parse() {
            return child;
        }
        pause();
    }
}
