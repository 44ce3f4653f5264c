//! Standard input may be any bytes.

use serde_json::json;

use crate::child::{Emulator, is_served};
use crate::folder::Folder;

/// Returns the error of the next answer.
fn error(emulator: &mut Emulator) -> String {
    let answer = emulator.await_event(&json!({ "event": "answer" }));
    answer["error"].as_str().expect("an error").to_owned()
}

#[test]
fn a_line_that_is_no_command_is_explained_and_the_next_one_is_executed() {
    let folder = Folder::new("input");
    let mut emulator = Emulator::start(&["--plain", "--registry", &folder.registry()]);
    let address = emulator.address();
    emulator.send(b"config sensor \xff\xfe\n");
    let text = error(&mut emulator);
    assert!(
        text.starts_with("line 1 of standard input is not UTF-8 at byte 15"),
        "{text}"
    );
    assert!(text.contains("base64:"), "{text}");
    let mut long = b"config sensor ".to_vec();
    long.resize(10_000_000, b'x');
    long.push(b'\n');
    emulator.send(&long);
    let text = error(&mut emulator);
    assert!(
        text.contains("line 2") && text.contains("10000001 bytes"),
        "{text}"
    );
    assert!(text.contains("limit is 1048576 bytes"), "{text}");
    emulator.send(b"\0\n");
    assert!(error(&mut emulator).contains(r#"unknown command "\0""#));
    let mut unknown = vec![b'x'; 1_000_000];
    unknown.push(b'\n');
    emulator.send(&unknown);
    let text = error(&mut emulator);
    assert!(
        text.starts_with("unknown command \"xxx") && text.len() < 2_000,
        "{text}"
    );
    emulator.send(b"\r\n\nconfig sensor on\r\nconfig sensor last");
    let done = json!({ "event": "answer", "text": "sensor has config version 2" });
    emulator.await_event(&done);
    drop(emulator.stdin.take());
    let done = json!({ "event": "answer", "text": "sensor has config version 3" });
    emulator.await_event(&done);
    assert!(is_served(address), "after the end of standard input");
    assert!(emulator.is_running());
}

#[test]
fn without_a_standard_input_the_bridge_is_served() {
    let folder = Folder::new("no-input");
    // A closed one, and one that cannot be read.
    for redirection in ["<&-", "< ."] {
        let script = format!(r#"exec "$0" "$@" {redirection}"#);
        let registry = folder.registry();
        let mut emulator = Emulator::start_script(&script, &["--plain", "--registry", &registry]);
        let address = emulator.address();
        assert!(is_served(address), "{redirection}");
        emulator.signal("TERM");
        assert!(emulator.end().0.success());
    }
}
