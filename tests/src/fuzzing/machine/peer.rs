//! The other end of a transport: checks what the gateway writes, and determines when it must hang up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use iotcore_gateway::{Options, options::Acknowledge};

use crate::bridge::codec::{Decoder, Packet};
use crate::fuzzing::differential::Reference;
use crate::fuzzing::differential::server_packet::ServerPacket;

const PUBACK: u8 = 4;
const SUBACK: u8 = 9;
const UNSUBACK: u8 = 11;

/// One end of one transport.
#[derive(Debug)]
pub(super) struct Peer {
    /// A decoder for what this end has sent.
    said: Reference,
    has_said_connack: bool,
    is_broken: bool,
    /// Whether the user acknowledges, so that the gateway may give a config up.
    is_manual: bool,
    /// The QoS 1 PUBLISHes without a PUBACK, oldest first.
    owed: VecDeque<Owed>,
    /// How many of them may have been answered nevertheless: each number that is consistent with the PUBACKs so far.
    answered: BTreeSet<usize>,
    /// A decoder for what the gateway has written, including what the transport has not taken yet.
    heard: Decoder,
    /// How many of the pending bytes were already decoded.
    ahead: usize,
    packets: usize,
    has_heard_disconnect: bool,
    /// Identifiers whose acknowledgement was not sent, and the type of that acknowledgement.
    in_use: BTreeMap<u16, u8>,
    /// The received packets that require an answer, oldest first.
    unanswered: Vec<Question>,
}

/// A QoS 1 PUBLISH that was sent.
#[derive(Clone, Debug)]
struct Owed {
    packet_id: u16,
    topic: String,
    /// Whether it may have no PUBACK of its own: a copy of one that waits for its PUBACK, or a config that the user has
    /// not acknowledged in time.
    is_optional: bool,
}

/// A packet that requires an answer.
#[derive(Clone, Debug)]
pub(super) enum Question {
    Connect,
    Attach(u16),
    Publish(u16),
    Subscribe(u16),
    Unsubscribe(u16),
    Ping,
}

impl Peer {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            said: Reference::new(options.frame_limit),
            has_said_connack: false,
            is_broken: false,
            is_manual: options.acknowledge == Acknowledge::Manual,
            owed: VecDeque::new(),
            answered: BTreeSet::from([0]),
            heard: Decoder::new(),
            ahead: 0,
            packets: 0,
            has_heard_disconnect: false,
            in_use: BTreeMap::new(),
            unanswered: Vec::new(),
        }
    }

    /// Records bytes sent by this end.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.said.push(bytes);
        while !self.is_broken {
            match self.said.next_packet() {
                Ok(Some(packet)) => self.on_said(&packet),
                Ok(None) => return,
                Err(_) => self.is_broken = true,
            }
        }
    }

    /// Returns whether this end has violated the standard, or sent something that the gateway does not accept.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    fn on_said(&mut self, packet: &ServerPacket) {
        let is_connack = matches!(packet, ServerPacket::ConnAck { .. });
        // CONNACK must come first [MQTT-3.2.0-1], and only once.
        self.is_broken |= is_connack == self.has_said_connack;
        self.has_said_connack = true;
        match packet {
            ServerPacket::Publish {
                qos: 1,
                packet_id,
                dup,
                topic,
                ..
            } => self.owe(*packet_id, *dup, topic),
            ServerPacket::PubAck(packet_id) => self.free_id(*packet_id, PUBACK),
            ServerPacket::SubAck(packet_id, _) => self.free_id(*packet_id, SUBACK),
            ServerPacket::UnsubAck(packet_id) => self.free_id(*packet_id, UNSUBACK),
            _ => {}
        }
    }

    /// Records a QoS 1 PUBLISH. If it is marked as a retransmission but is another message, one PUBACK, after the later
    /// one, is for both.
    fn owe(&mut self, packet_id: u16, dup: bool, topic: &str) {
        if dup {
            let earlier = self.owed.iter_mut();
            for owed in earlier.filter(|owed| owed.packet_id == packet_id && owed.topic != topic) {
                owed.is_optional = true;
            }
        }
        self.owed.push_back(Owed {
            packet_id,
            topic: topic.to_owned(),
            is_optional: dup || self.is_manual && topic.ends_with("/config"),
        });
    }

    /// Frees an identifier; an acknowledgement of another kind has no effect on a packet.
    fn free_id(&mut self, packet_id: u16, said: u8) {
        if self.in_use.get(&packet_id) == Some(&said) {
            self.in_use.remove(&packet_id);
        }
    }

    /// Decodes what the gateway has queued since the last call.
    pub(super) fn watch(&mut self, waiting: &[u8]) {
        let new = waiting.get(self.ahead..);
        self.heard
            .feed(new.expect("what waits is only appended to"));
        self.ahead = waiting.len();
        while let Some(packet) = self.heard.next_packet().expect("a gateway speaks MQTT") {
            self.on_heard(packet);
        }
    }

    /// Records that the transport has taken this many of the pending bytes.
    pub(super) fn take(&mut self, length: usize) {
        self.ahead -= length;
    }

    /// Removes the packets that this answers, oldest first.
    pub(super) fn take_questions(
        &mut self,
        is_answered: impl FnMut(&mut Question) -> bool,
    ) -> Vec<Question> {
        self.unanswered.extract_if(.., is_answered).collect()
    }

    fn on_heard(&mut self, packet: Packet) {
        assert!(!self.has_heard_disconnect, "{packet:?} after DISCONNECT");
        let is_connect = matches!(packet, Packet::Connect(_));
        assert_eq!(is_connect, self.packets == 0, "{packet:?} in its place");
        self.packets += 1;
        let question = match packet {
            Packet::Connect(_) => Question::Connect,
            Packet::Publish(publish) if publish.qos == 1 => {
                self.use_id(publish.packet_id, PUBACK, publish.dup);
                if publish.dup {
                    return;
                }
                match publish.topic.ends_with("/attach") {
                    true => Question::Attach(publish.packet_id),
                    false => Question::Publish(publish.packet_id),
                }
            }
            Packet::Subscribe { packet_id, .. } => {
                self.use_id(packet_id, SUBACK, false);
                Question::Subscribe(packet_id)
            }
            Packet::Unsubscribe { packet_id, .. } => {
                self.use_id(packet_id, UNSUBACK, false);
                Question::Unsubscribe(packet_id)
            }
            Packet::Pingreq => Question::Ping,
            Packet::Puback { packet_id } => return self.match_puback(packet_id),
            Packet::Publish(publish) => {
                assert_eq!(publish.qos, 0, "a gateway has no use for QoS 2");
                return;
            }
            Packet::Disconnect => {
                self.has_heard_disconnect = true;
                return;
            }
            Packet::QosTwo { .. } | Packet::UnsupportedConnect { .. } => {
                panic!("{packet:?} is no gateway's")
            }
        };
        self.unanswered.push(question);
    }

    /// Records the use of an identifier: only once until its acknowledgement [MQTT-2.3.1-2], except by a retransmission
    /// [MQTT-2.3.1-3].
    fn use_id(&mut self, packet_id: u16, awaits: u8, is_again: bool) {
        let used = self.in_use.insert(packet_id, awaits);
        assert_eq!(used, is_again.then_some(awaits), "{packet_id} again");
    }

    /// Matches a PUBACK with a PUBLISH [MQTT-2.3.1-6], in their order [MQTT-4.6.0-2]; those that need none may be passed
    /// over. If it is ambiguous which one it answers, all possibilities are kept.
    fn match_puback(&mut self, packet_id: u16) {
        let mut answered = BTreeSet::new();
        for &from in &self.answered {
            for (at, owed) in self.owed.iter().enumerate().skip(from) {
                if owed.packet_id == packet_id {
                    answered.insert(at + 1);
                }
                if !owed.is_optional {
                    break;
                }
            }
        }
        let Some(&least) = answered.first() else {
            panic!("PUBACK {packet_id} is out of order, of {:?}", self.owed);
        };
        self.owed.drain(..least);
        self.answered = answered.into_iter().map(|count| count - least).collect();
    }
}
