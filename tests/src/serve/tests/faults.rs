//! Faults as a client's socket feels them.

use std::io::ErrorKind;

use super::*;
use crate::bridge::faults::{AnswerKind, PacketKind};

fn fault(served: &Served, line: &str) {
    let answer = terminal::run(&served.server, &format!("fault {line}"));
    assert_eq!(answer.to_string(), format!("ok: fault {line}"));
}

#[test]
fn a_refusal_by_reset_is_a_reset() {
    let served = Served::start(None);
    fault(&served, "refuse 1 reset");
    let mut stream = served.stream();
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    fault(&served, "refuse 1 reset --client solo");
    let mut stream = served.stream();
    stream
        .write_all(&connect("solo", &fresh_token(), 60))
        .unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(served.server.shared.lock().sockets.is_empty());
    converse(&served, &mut served.stream());
}

#[test]
fn a_refusal_by_closing_is_none() {
    let served = Served::start(None);
    fault(&served, "refuse 1 close");
    let mut stream = served.stream();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    converse(&served, &mut served.stream());
}

#[test]
fn segments_are_written_one_by_one() {
    let served = Served::start(None);
    fault(&served, "segment 1");
    let mut stream = served.stream();
    stream
        .write_all(&connect("solo", &fresh_token(), 60))
        .unwrap();
    // CONNACK has four bytes, each of which goes out in a write of its own.
    assert_eq!(receive(&mut stream), Received::Connack(0));
}

#[test]
fn a_cut_after_its_answer_lets_the_client_read_it() {
    let served = Served::start(None);
    fault(&served, "cut after connect");
    let mut stream = served.stream();
    stream
        .write_all(&connect("solo", &fresh_token(), 60))
        .unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(parse(&all), [Received::Connack(0)]);
    assert!(served.has_event(&["solo", "CLOSED", "a fault that was asked for"]));
}

#[test]
fn the_operator_sees_what_stands_and_what_a_line_should_be() {
    let served = Served::start(None);
    let say = |line: &str| terminal::run(&served.server, line).to_string();
    assert_eq!(say("faults"), "no fault stands");
    fault(&served, "puback hold 3");
    fault(&served, "segment 5 --client solo");
    assert_eq!(say("faults"), "puback hold 3\nsegment 5 --client solo");
    fault(&served, "clear");
    assert_eq!(say("faults"), "no fault stands");
    for (line, words) in [
        ("fault", "refuse, puback"),
        ("fault puback", "hold [N], release"),
        ("fault refuse 1 connack 0", "1 to 255"),
        ("fault raw solo d0", "not connected"),
        ("fault segment 1 --client nobody", "no device \"nobody\""),
    ] {
        let answer = say(line);
        assert!(
            answer.starts_with("error: ") && answer.contains(words),
            "{line}: {answer}"
        );
    }
    for word in AnswerKind::ALL
        .iter()
        .map(|answer| answer.word())
        .chain(PacketKind::ALL.iter().map(|packet| packet.word()))
    {
        assert!(terminal::HELP.contains(word), "{word}");
    }
}
