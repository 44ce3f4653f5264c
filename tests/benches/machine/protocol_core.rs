//! mqtt-protocol-core 0.7: its client connection of MQTT 3.1.1, another state machine without I/O.

use std::hint::black_box;

use mqtt_protocol_core::mqtt::{
    Arc, Connection, Version,
    common::Cursor,
    connection::Event,
    packet::{
        GenericPacketTrait, Packet, Qos,
        v3_1_1::{Connect, Publish},
    },
    role::Client,
};

use crate::subject::{BUFFER, Subject, WRITE_TARGET, Wire, Work};

/// With a clean session, which the bridge requires, it stores nothing that it sent.
pub(crate) struct ProtocolCore {
    connection: Connection<Client>,
    topics: Vec<String>,
    payload: Arc<[u8]>,
    next: usize,
    out: Vec<u8>,
}

impl ProtocolCore {
    pub(crate) fn new(work: &Work) -> Self {
        let mut connection = Connection::new(Version::V3_1_1);
        connection.set_auto_pub_response(true);
        let connect = Connect::builder()
            .client_id("gateway")
            .expect("legal")
            .clean_session(true)
            .keep_alive(60)
            .build()
            .expect("complete");
        connection.checked_send(connect);
        connection.recv(&mut Cursor::new(&[0x20, 2, 0, 0]));
        Self {
            connection,
            topics: work.topics(),
            payload: work.payload().into(),
            next: 0,
            out: Vec::with_capacity(2 * WRITE_TARGET),
        }
    }

    fn hand_over(&mut self, wire: Wire<'_>) {
        wire(&self.out);
        self.out.clear();
    }

    /// Reads the received bytes, writes the answers, and passes every packet to `on_packet`.
    fn read(&mut self, bytes: &[u8], on_packet: &mut dyn FnMut(Packet)) {
        let mut input = Cursor::new(bytes);
        while input.position() < bytes.len() as u64 {
            for event in self.connection.recv(&mut input) {
                match event {
                    Event::RequestSendPacket { packet, .. } => write(&mut self.out, &packet),
                    Event::NotifyPacketReceived(packet) => on_packet(packet),
                    Event::NotifyError(error) => {
                        panic!("the peer conforms to the standard: {error}")
                    }
                    other => {
                        black_box(&other);
                    }
                }
            }
        }
    }
}

impl Subject for ProtocolCore {
    fn send(&mut self, count: usize, wire: Wire<'_>) {
        for _ in 0..count {
            let topic = self.topics[self.next].as_str();
            self.next = (self.next + 1) % self.topics.len();
            let id = self.connection.acquire_packet_id().expect("one is free");
            let publish = Publish::builder()
                .topic_name(topic)
                .expect("legal")
                .qos(Qos::AtLeastOnce)
                .packet_id(id)
                .payload(self.payload.clone())
                .build()
                .expect("complete");
            for event in self.connection.checked_send(publish) {
                match event {
                    Event::RequestSendPacket { packet, .. } => write(&mut self.out, &packet),
                    other => {
                        black_box(&other);
                    }
                }
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
            self.read(piece, &mut |packet| {
                done += usize::from(matches!(black_box(&packet), Packet::V3_1_1Puback(_)));
            });
        }
        done
    }

    fn receive(&mut self, publishes: &[u8], piece: usize, wire: Wire<'_>) -> usize {
        let mut received = 0;
        for piece in publishes.chunks(piece) {
            self.read(piece, &mut |packet| {
                received += usize::from(matches!(black_box(&packet), Packet::V3_1_1Publish(_)));
            });
            self.hand_over(wire);
        }
        received
    }
}

/// Appends a packet to the bytes of the next write.
fn write(out: &mut Vec<u8>, packet: &Packet) {
    for slice in packet.to_buffers() {
        out.extend_from_slice(&slice);
    }
}
