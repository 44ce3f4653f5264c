//! Notes for the operator on standard error.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write as _},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Instant,
};

use serde_json::json;

use crate::{
    child::{PATIENCE, PROGRAM},
    cloud::Cloud,
};

/// Returns a PUBLISH that no subscription asked for.
fn unrequested(number: u32) -> String {
    let topic = format!("/devices/nobody/config/{number:0>40}");
    let mut packet = vec![0x30, (topic.len() + 3) as u8, 0, topic.len() as u8];
    packet.extend(topic.as_bytes());
    packet.push(b'x');
    let mut hex = String::new();
    for byte in packet {
        write!(hex, "{byte:02x}").unwrap();
    }
    hex
}

#[test]
fn a_flood_of_notes_is_limited_to_ten_and_one_a_second_and_what_is_left_out_is_counted() {
    const NOTES: u32 = 3_000;
    let cloud = Cloud::plain();
    let mut child = Command::new(PROGRAM)
        .args(cloud.options(&[]))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let expect = |part: &str| while !lines.recv_timeout(PATIENCE).unwrap().contains(part) {};
    let mut stdin = child.stdin.take().unwrap();
    let mut send = |id| {
        let line = json!({"op": "telemetry", "id": id, "payload": "x"});
        writeln!(stdin, "{line}").unwrap();
    };
    send(1);
    expect(r#""id":1"#);
    let begun = Instant::now();
    for number in 0..NOTES {
        cloud.inject(&format!("raw gateway-1 {}", unrequested(number)));
    }
    // Its PUBACK follows all of them.
    send(2);
    expect(r#""id":2"#);
    let reading = thread::spawn(move || {
        let mut notes = String::new();
        stderr.read_to_string(&mut notes).unwrap();
        notes
    });
    drop(stdin);
    expect(r#""closed""#);
    assert!(child.wait().unwrap().success());
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    let notes = reading.join().unwrap();
    let (counts, kept): (Vec<_>, Vec<_>) = notes
        .lines()
        .partition(|note| note.contains(" more like this one were left out: "));
    assert!((1..seconds + 2).contains(&counts.len()), "{notes}");
    assert!((10..=10 + seconds).contains(&kept.len()), "{notes}");
    let count =
        |note: &&str| -> usize { note.split(' ').find_map(|word| word.parse().ok()).unwrap() };
    let left_out: usize = counts.iter().map(count).sum();
    assert_eq!(kept.len() + left_out, NOTES as usize);
    assert!(
        kept.iter().all(|note| note.contains("/devices/nobody")),
        "{kept:#?}"
    );
}

#[test]
fn a_standard_error_that_is_never_read_does_not_delay_the_end_for_long() {
    let cloud = Cloud::plain();
    let mut child = Command::new(PROGRAM)
        .args(cloud.options(&[]))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("connected") {
        line.clear();
        stdout.read_line(&mut line).unwrap();
    }
    for number in 0..1_500 {
        cloud.inject(&format!("raw gateway-1 {}", unrequested(number)));
    }
    drop(child.stdin.take());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("closed"), "{rest}");
    assert!(child.wait().unwrap().success());
}
