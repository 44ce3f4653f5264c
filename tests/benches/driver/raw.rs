//! The minimal work of a client: prepared packets are written to a socket, and PUBACKs are counted by their bytes.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

use iotcore_gateway_testkit::packets::publish;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    Outcome,
    load::{Figures, MESSAGES, PAYLOAD, SINGLES, Stopwatch, TOPIC, WINDOW},
};

/// CONNECT of MQTT 3.1.1 with a clean session, a keep alive of 60 s, and the client identifier `raw`.
const CONNECT: &[u8] = b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03raw";

/// The size of a PUBACK and of a CONNACK.
const ANSWER: usize = 4;

/// Two consecutive windows of packets, so that any window of them is one slice.
struct Ready {
    packets: Vec<u8>,
    size: usize,
    /// The index of the next packet to send.
    next: usize,
    sent: usize,
    /// The number of bytes of PUBACKs received so far.
    answered: usize,
    messages: usize,
}

impl Ready {
    fn new(messages: usize) -> Self {
        let mut packets = Vec::new();
        for id in (1..=WINDOW as u16).chain(1..=WINDOW as u16) {
            packets.extend(publish(TOPIC, &PAYLOAD, Some(id), false));
        }
        Self {
            size: packets.len() / (2 * WINDOW),
            packets,
            next: 0,
            sent: 0,
            answered: 0,
            messages,
        }
    }

    fn is_done(&self) -> bool {
        self.answered == ANSWER * self.messages
    }

    /// Returns all packets that the window allows, with at most `window` in flight.
    fn take(&mut self, window: usize) -> &[u8] {
        let in_flight = self.sent - self.answered / ANSWER;
        let count = (window - in_flight).min(self.messages - self.sent);
        let begin = self.next * self.size;
        self.next = (self.next + count) % WINDOW;
        self.sent += count;
        &self.packets[begin..begin + count * self.size]
    }
}

pub(crate) fn blocking(port: u16) -> Outcome<Figures> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let mut answers = [0; 16 * 1024];
    stream.write_all(CONNECT)?;
    stream.read_exact(&mut answers[..ANSWER])?;

    let mut ready = Ready::new(MESSAGES);
    let stopwatch = Stopwatch::start();
    while !ready.is_done() {
        stream.write_all(ready.take(WINDOW))?;
        ready.answered += stream.read(&mut answers)?;
    }
    let throughput = stopwatch.stop();

    let mut ready = Ready::new(SINGLES);
    let mut latencies = Vec::new();
    while !ready.is_done() {
        let begun = Instant::now();
        stream.write_all(ready.take(1))?;
        stream.read_exact(&mut answers[..ANSWER])?;
        ready.answered += ANSWER;
        latencies.push(begun.elapsed());
    }
    Ok(throughput.figures("raw socket", latencies))
}

pub(crate) async fn on_tokio(port: u16) -> Outcome<Figures> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let mut answers = [0; 16 * 1024];
    stream.write_all(CONNECT).await?;
    stream.read_exact(&mut answers[..ANSWER]).await?;

    let mut ready = Ready::new(MESSAGES);
    let stopwatch = Stopwatch::start();
    while !ready.is_done() {
        stream.write_all(ready.take(WINDOW)).await?;
        ready.answered += stream.read(&mut answers).await?;
    }
    let throughput = stopwatch.stop();

    let mut ready = Ready::new(SINGLES);
    let mut latencies = Vec::new();
    while !ready.is_done() {
        let begun = Instant::now();
        stream.write_all(ready.take(1)).await?;
        stream.read_exact(&mut answers[..ANSWER]).await?;
        ready.answered += ANSWER;
        latencies.push(begun.elapsed());
    }
    Ok(throughput.figures("raw socket on Tokio", latencies))
}
