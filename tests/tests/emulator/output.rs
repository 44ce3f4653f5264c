//! Standard output that nobody reads, or that is closed.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::child::{Emulator, PATIENCE, PROGRAM, connack, is_served, now, pause};
use crate::folder::Folder;

/// More answers than the queue and the pipe have room for.
const ANSWERS: usize = 8_000;

/// Returns the command of an emulator and its address, which cannot be read.
fn emulator(folder: &Folder) -> (Command, SocketAddr) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut command = Command::new(PROGRAM);
    command.args(["--plain", "--json", "--port", &address.port().to_string()]);
    command.args(["--registry", &folder.registry()]);
    (command, address)
}

fn await_served(address: SocketAddr) {
    let end = now() + Duration::from_secs(10);
    while !is_served(address) {
        assert!(now() < end, "it is not served");
    }
}

#[test]
fn an_output_that_nobody_reads_holds_up_nobody_and_what_is_dropped_is_told() {
    let folder = Folder::new("unread");
    let (command, address) = emulator(&folder);
    let mut emulator = Emulator::start_unread(command);
    await_served(address);
    emulator.send("help\n".repeat(ANSWERS).as_bytes());
    // Once that has an effect, the lines before it have had theirs.
    emulator.send(b"set auth_failure connack_5\n");
    let end = now() + PATIENCE;
    let mut clients = 2;
    while connack(address) != Some(5) {
        assert!(now() < end, "the commands are not executed");
        clients += 1;
        pause();
    }
    emulator.read();
    let dropped = emulator.await_event(&json!({ "event": "output_dropped" }));
    let dropped = usize::try_from(dropped["lines"].as_u64().unwrap()).unwrap();
    let told = emulator.seen.len() - 1;
    assert!(told > 1_000 && dropped > 1_000, "{told} and {dropped}");
    // The help, "listening", the setting, and of each client "accepted", "refused" and "closed".
    assert_eq!(told + dropped, ANSWERS + 2 + 3 * clients);
    emulator.send(b"config sensor off\n");
    let done = json!({ "event": "answer", "text": "sensor has config version 2" });
    emulator.await_event(&done);
}

#[test]
fn it_ends_soon_although_nobody_reads_its_output() {
    let folder = Folder::new("unread-end");
    let (command, address) = emulator(&folder);
    let mut emulator = Emulator::start_unread(command);
    await_served(address);
    emulator.send("help\n".repeat(100).as_bytes());
    let start = now();
    emulator.send(b"quit\n");
    // The pipe stays open until then.
    let _unread = emulator.stdout();
    assert!(emulator.end().0.success());
    let took = now() - start;
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn a_closed_output_is_told_and_the_bridge_is_served_on() {
    let folder = Folder::new("closed");
    let full = File::options().write(true).open("/dev/full");
    for output in [None, full.ok()] {
        let (command, address) = emulator(&folder);
        let mut emulator = match output {
            None => Emulator::start_unread(command),
            Some(full) => Emulator::start_writing_to(command, Stdio::from(full)),
        };
        drop(emulator.stdout());
        await_served(address);
        await_served(address);
        emulator.send(b"state\nquit\n");
        let (status, stderr) = emulator.end();
        assert_eq!(status.code(), Some(0));
        assert_eq!(
            stderr.matches("standard output is closed").count(),
            1,
            "{stderr}"
        );
    }
}
