//! A slow service and a slow link, as a client observes them on its socket.
//!
//! Times are lower limits only, so that a machine that is slow itself does not matter.

use super::*;

const PINGREQ: &[u8] = &[0xC0, 0];

fn connected(served: &Served) -> TcpStream {
    let mut stream = served.stream();
    stream
        .write_all(&connect("solo", &fresh_token(), 60))
        .unwrap();
    assert_eq!(receive(&mut stream), Received::Connack(0));
    stream
}

fn say(served: &Served, line: &str) -> String {
    terminal::run(&served.server, line).to_string()
}

/// Sends a packet and returns the answer, and after how long it came.
fn ask(stream: &mut TcpStream, packet: &[u8]) -> (Received, Duration) {
    let asked = now();
    stream.write_all(packet).unwrap();
    (receive(stream), now() - asked)
}

#[test]
fn the_operator_sets_and_sees_the_service() {
    let served = Served::start(None);
    assert_eq!(say(&served, "service"), "everything is answered at once");
    let set = say(&served, "service ping=300ms one workers=2");
    assert_eq!(set, "ok: service workers=2 ping=300ms");
    assert_eq!(say(&served, "service"), "service workers=2 ping=300ms");
    let mut stream = connected(&served);
    let (answer, after) = ask(&mut stream, PINGREQ);
    assert_eq!(answer, Received::Pingresp);
    assert!(after >= Duration::from_millis(300), "{after:?}");
    assert_eq!(
        say(&served, "service one"),
        "ok: everything is answered at once"
    );
    assert_eq!(ask(&mut stream, PINGREQ).0, Received::Pingresp);
    let wrong = say(&served, "service ping=soon");
    assert!(
        wrong.starts_with("error: ") && wrong.contains("400ms"),
        "{wrong}"
    );
}

#[test]
fn an_injected_service_and_a_stall_are_seen_until_they_are_cleared() {
    let served = Served::start(None);
    let mut stream = connected(&served);
    for line in [
        "service ping=60s",
        "stall 60000",
        "stall 90000 --client solo",
        "rate up 9",
    ] {
        assert_eq!(
            say(&served, &format!("fault {line}")),
            format!("ok: fault {line}")
        );
    }
    let faults = say(&served, "faults");
    let lines: Vec<&str> = faults.lines().collect();
    assert_eq!(lines.len(), 4, "{faults}");
    assert_eq!(lines[..2], ["rate up 9", "service ping=60s"]);
    assert!(lines[2].starts_with("stall ") && !lines[2].contains("--client"));
    assert!(lines[3].ends_with(" --client solo"));
    stream.write_all(PINGREQ).unwrap();
    assert_eq!(say(&served, "fault clear"), "ok: fault clear");
    assert_eq!(receive(&mut stream), Received::Pingresp);
    assert_eq!(say(&served, "faults"), "no fault is active");
}

#[test]
fn a_slow_link_takes_its_time_in_both_directions() {
    let served = Served::start(None);
    let mut stream = connected(&served);
    assert_eq!(
        say(&served, "fault rate up 10000"),
        "ok: fault rate up 10000"
    );
    let telemetry = publish("/devices/solo/events", 1, 7, &[b'x'; 5_000]);
    let (answer, after) = ask(&mut stream, &telemetry);
    assert_eq!(answer, Received::Puback(7));
    assert!(after >= Duration::from_millis(350), "{after:?}");
    say(&served, "fault clear");
    say(&served, "fault rate down 10000");
    stream
        .write_all(&subscribe(1, &[("/devices/solo/config", 0)]))
        .unwrap();
    assert_eq!(receive(&mut stream), Received::Suback(1, vec![0]));
    receive(&mut stream);
    let sent = now();
    say(&served, &format!("config solo {}", "x".repeat(5_000)));
    let config = receive(&mut stream);
    let after = now() - sent;
    assert!(matches!(config, Received::Publish { .. }));
    assert!(after >= Duration::from_millis(350), "{after:?}");
    stream.write_all(DISCONNECT).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}
