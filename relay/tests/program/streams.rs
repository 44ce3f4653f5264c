//! Standard input and output: what cannot be read, byte order marks, and pipes that another process has made non-blocking.

use std::{
    fs::{self, File},
    io::{self, Write},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    child::{End, PATIENCE, PROGRAM, Relay},
    cloud::{Cloud, offline},
};

#[cfg(unix)]
mod non_blocking {
    use std::{
        sync::mpsc,
        thread::{self, park_timeout},
    };

    use rustix::fs::{OFlags, fcntl_setfl};

    use super::*;
    use crate::pressure::count_until_standstill;

    /// Starts a relay of which both pipes are non-blocking.
    fn start(cloud: &Cloud) -> Relay {
        let (stdin, input) = io::pipe().unwrap();
        let (output, stdout) = io::pipe().unwrap();
        fcntl_setfl(&stdin, OFlags::NONBLOCK).unwrap();
        fcntl_setfl(&stdout, OFlags::NONBLOCK).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(cloud.options(&[])).env_clear();
        Relay::spawn(command, stdin.into(), stdout.into(), Some(input), output)
    }

    #[test]
    fn an_input_that_has_nothing_yet_is_waited_for_and_no_line_is_torn() {
        let cloud = Cloud::plain();
        let mut relay = start(&cloud);
        relay.read();
        relay.expect("connected");
        let mut input = relay.take_input();
        for id in 0..20 {
            let line = format!(
                "{}\n",
                json!({"op": "telemetry", "id": id, "payload": id.to_string()})
            );
            let (one, other) = line.split_at(line.len() / 2);
            input.write_all(one.as_bytes()).unwrap();
            park_timeout(Duration::from_millis(5));
            input.write_all(other.as_bytes()).unwrap();
            assert_eq!(relay.expect_end(id)["event"], "done");
        }
        drop(input);
        relay.wait().assert_closed(0);
        let expected: Vec<_> = (0..20).map(|id| id.to_string().into_bytes()).collect();
        assert_eq!(cloud.telemetry("gateway-1"), expected);
    }

    #[test]
    fn an_output_that_is_full_is_waited_for_and_no_line_is_lost_or_torn() {
        const LINES: usize = 20_000;
        let cloud = Cloud::plain();
        let mut relay = start(&cloud);
        let mut input = relay.take_input();
        let (written, lines) = mpsc::channel();
        let writing = thread::spawn(move || {
            for _ in 0..LINES {
                writeln!(input, "{}", json!({"op": "stats"})).unwrap();
                let _ = written.send(());
            }
        });
        let count = count_until_standstill(&lines);
        assert!(count < LINES, "{count} lines were taken");
        relay.read();
        let end = relay.wait();
        writing.join().unwrap();
        end.assert_closed(0);
        let answers = end.events.iter().filter(|event| event["event"] == "stats");
        assert_eq!(answers.count(), LINES);
    }
}

/// Runs a relay with this input.
fn run(cloud: &Cloud, stdin: Stdio) -> End {
    let mut command = Command::new(PROGRAM);
    command.args(cloud.options(&[])).env_clear();
    let (output, stdout) = io::pipe().unwrap();
    Relay::spawn(command, stdin, stdout.into(), None, output).wait()
}

fn assert_unreadable(end: &End, reason: &str) {
    let last = end.events.last();
    assert_eq!(
        last,
        Some(&json!({"event": "closed", "unsent": 0})),
        "{}",
        end.stderr
    );
    assert_eq!(end.code, Some(1), "{}", end.stderr);
    let said = "iotcore-relay: cannot read standard input: ";
    assert!(
        end.stderr.contains(said) && end.stderr.contains(reason),
        "{}",
        end.stderr
    );
}

#[cfg(target_os = "linux")]
#[test]
fn an_input_that_cannot_be_read_ends_with_exit_code_1() {
    let cloud = Cloud::plain();
    let folder = File::open(&cloud.folder).unwrap();
    assert_unreadable(&run(&cloud, folder.into()), "Is a directory");
    // Nothing is mapped at the first address of a process.
    let memory = File::open("/proc/self/mem").unwrap();
    assert_unreadable(&run(&cloud, memory.into()), "Input/output error");
}

#[cfg(unix)]
#[test]
fn without_an_input_the_program_closes_with_exit_code_0() {
    let cloud = Cloud::plain();
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"exec "$0" "$@" <&-"#, PROGRAM])
        .args(cloud.options(&[]))
        .env_clear();
    let (output, stdout) = io::pipe().unwrap();
    let end = Relay::spawn(command, Stdio::null(), stdout.into(), None, output).wait();
    end.assert_closed(0);
    let null = File::options().read(true).write(true).open("/dev/null");
    run(&cloud, null.unwrap().into()).assert_closed(0);
}

#[test]
fn messages_left_unsent_end_with_exit_code_3() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&offline(&cloud, &["--drain-timeout", "1"]));
    relay.send(json!({"op": "telemetry", "id": 1, "payload": "x"}));
    let begun = Instant::now();
    let end = relay.close();
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    assert_eq!(end.code, Some(3));
    assert_eq!(end.ends(1)[0]["error"], "closed");
    end.assert_closed(1);
}

/// Returns the events of a relay that reads these bytes.
fn fed(cloud: &Cloud, bytes: &[u8]) -> Vec<Value> {
    let file = cloud.folder.join("input");
    fs::write(&file, bytes).unwrap();
    let end = run(cloud, File::open(file).unwrap().into());
    end.assert_closed(0);
    end.events
}

#[test]
fn a_byte_order_mark_before_the_first_line_is_skipped() {
    let cloud = Cloud::plain();
    let line = |id| {
        format!(
            "\u{feff}{}\n",
            json!({"op": "telemetry", "id": id, "payload": "x"})
        )
    };
    let events = fed(&cloud, (line(1) + &line(2)).as_bytes());
    assert!(
        events.contains(&json!({"event": "done", "id": 1})),
        "{events:#?}"
    );
    let is_invalid = |event: &&Value| event["event"] == "invalid";
    let invalid = events
        .iter()
        .find(is_invalid)
        .expect("only before the first");
    assert_eq!(invalid["line"], 2);
    // Nothing else is no line either.
    assert!(
        fed(&cloud, "\u{feff}\n".as_bytes())
            .iter()
            .all(|event| event["event"] != "invalid")
    );
}

#[test]
fn what_is_not_utf_8_is_told_with_its_place() {
    let cloud = Cloud::plain();
    let events = fed(&cloud, b"{\"op\":\"stats\",\"id\":\"\xff\"}\n");
    let invalid = json!({"event": "invalid", "line": 1, "error": "not_utf8",
                         "detail": "the line is not UTF-8, from its byte 21 on"});
    assert!(events.contains(&invalid), "{events:#?}");
}

#[test]
fn utf_16_is_told_as_such() {
    let cloud = Cloud::plain();
    let lines = format!("{0}\r\n{0}\r\n", json!({"op": "stats"}));
    for mark in ["", "\u{feff}"] {
        let text = format!("{mark}{lines}");
        let little = text.encode_utf16().flat_map(u16::to_le_bytes);
        let big = text.encode_utf16().flat_map(u16::to_be_bytes);
        for bytes in [little.collect::<Vec<u8>>(), big.collect()] {
            let events = fed(&cloud, &bytes);
            let invalid = events.iter().filter(|event| event["event"] == "invalid");
            let told: Vec<_> = invalid
                .map(|event| (&event["error"], &event["detail"]))
                .collect();
            assert!(told.len() >= 2, "{events:#?}");
            for (error, detail) in told {
                assert_eq!(error, "not_utf8");
                assert_eq!(detail, "the input is UTF-16, and must be UTF-8");
            }
        }
    }
}
