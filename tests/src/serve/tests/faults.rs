//! Faults as a client observes them on its socket.

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
fn a_refusal_by_closing_sends_no_connack() {
    let served = Served::start(None);
    fault(&served, "refuse 1 close");
    let mut stream = served.stream();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    converse(&served, &mut served.stream());
}

/// A stream that returns at most one TLS record per read.
struct Records {
    stream: TcpStream,
    left: usize,
}

impl Read for Records {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let mut header = [0; 5];
            self.stream.read_exact(&mut header)?;
            self.left = usize::from(u16::from_be_bytes([header[3], header[4]]));
            buffer[..5].copy_from_slice(&header);
            return Ok(5);
        }
        let wanted = self.left.min(buffer.len());
        let length = self.stream.read(&mut buffer[..wanted])?;
        self.left -= length;
        Ok(length)
    }
}

impl Write for Records {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Uses TLS, because write boundaries are not visible over TCP, whereas each write over TLS is a record.
#[test]
fn segments_are_written_one_by_one() {
    let identity = ServerIdentity::generate().unwrap();
    let tls = tls::server_config(&identity.certificate_pem, &identity.key_pem).unwrap();
    let served = Served::start(Some(tls));
    for (line, sizes) in [
        ("clear", vec![4]),
        ("segment 3", vec![3, 1]),
        ("clear", vec![4]),
        ("segment 1", vec![1; 4]),
    ] {
        fault(&served, line);
        let records = Records {
            stream: served.stream(),
            left: 0,
        };
        let mut stream = StreamOwned::new(tls_client(&identity, "127.0.0.1"), records);
        stream
            .write_all(&connect("solo", &fresh_token(), 60))
            .unwrap();
        let (mut connack, mut seen) = (Vec::new(), Vec::new());
        while connack.len() < 4 {
            let mut segment = [0; 16];
            let length = stream.read(&mut segment).unwrap();
            connack.extend_from_slice(&segment[..length]);
            seen.push(length);
        }
        assert_eq!(parse(&connack), [Received::Connack(0)]);
        assert_eq!(seen, sizes, "{line}");
    }
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
fn the_operator_sees_active_faults_and_the_valid_form_of_a_line() {
    let served = Served::start(None);
    let say = |line: &str| terminal::run(&served.server, line).to_string();
    assert_eq!(say("faults"), "no fault is active");
    fault(&served, "puback hold 3");
    fault(&served, "segment 5 --client solo");
    assert_eq!(say("faults"), "puback hold 3\nsegment 5 --client solo");
    fault(&served, "clear");
    assert_eq!(say("faults"), "no fault is active");
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
