//! rumqttc 0.25: its `MqttState` and its codec, as its event loop uses them.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use rumqttc::{
    Event, MqttState, Packet, Publish, QoS, Request,
    mqttbytes::{Error, v4::PubAck},
};

use crate::subject::{BUFFER, Subject, WRITE_TARGET, Wire, Work};

/// The state reads the clock twice per message, and keeps a copy of the packet for retransmission.
pub(crate) struct Rumqttc {
    state: MqttState,
    topics: Vec<String>,
    payload: Bytes,
    next: usize,
    out: BytesMut,
    input: BytesMut,
}

impl Rumqttc {
    pub(crate) fn new(work: &Work) -> Self {
        Self {
            state: MqttState::new(work.window, false),
            topics: work.topics(),
            payload: work.payload().into(),
            next: 0,
            out: BytesMut::with_capacity(2 * WRITE_TARGET),
            input: BytesMut::with_capacity(BUFFER),
        }
    }

    fn hand_over(&mut self, wire: Wire<'_>) {
        wire(&self.out);
        self.out.clear();
    }

    /// Reads the received bytes, writes the answers, and passes the events to `on_event`.
    fn read(&mut self, bytes: &[u8], on_event: &mut dyn FnMut(Event)) {
        self.input.extend_from_slice(bytes);
        loop {
            let packet = match Packet::read(&mut self.input, usize::MAX) {
                Ok(packet) => packet,
                Err(Error::InsufficientBytes(_)) => return,
                Err(error) => panic!("the peer conforms to the standard: {error}"),
            };
            let answer = self
                .state
                .handle_incoming_packet(packet)
                .expect("a valid request");
            if let Some(answer) = answer {
                answer.write(&mut self.out, usize::MAX).expect("legal");
            }
            while let Some(event) = self.state.events.pop_front() {
                on_event(event);
            }
        }
    }
}

impl Subject for Rumqttc {
    fn send(&mut self, count: usize, wire: Wire<'_>) {
        for _ in 0..count {
            let topic = self.topics[self.next].as_str();
            self.next = (self.next + 1) % self.topics.len();
            let publish = Publish::from_bytes(topic, QoS::AtLeastOnce, self.payload.clone());
            let packet = self
                .state
                .handle_outgoing_packet(Request::Publish(publish))
                .expect("legal")
                .expect("room in the window");
            packet.write(&mut self.out, usize::MAX).expect("legal");
            while let Some(event) = self.state.events.pop_front() {
                black_box(&event);
            }
            if self.out.len() >= WRITE_TARGET {
                self.hand_over(wire);
            }
        }
        self.hand_over(wire);
    }

    fn acknowledge(&mut self, pubacks: &[u8]) -> usize {
        let mut done = 0;
        for piece in pubacks.chunks(BUFFER) {
            self.read(piece, &mut |event| {
                let is_done = matches!(
                    black_box(&event),
                    Event::Incoming(Packet::PubAck(PubAck { .. }))
                );
                done += usize::from(is_done);
            });
        }
        done
    }

    fn receive(&mut self, publishes: &[u8], piece: usize, wire: Wire<'_>) -> usize {
        let mut received = 0;
        for piece in publishes.chunks(piece) {
            self.read(piece, &mut |event| {
                let is_message = matches!(black_box(&event), Event::Incoming(Packet::Publish(_)));
                received += usize::from(is_message);
            });
            self.hand_over(wire);
        }
        received
    }
}
