//! Access to the codec for the project's own fuzzing. Not an API: it follows the codec, regardless of semantic
//! versioning.

use core::error::Error;
use core::num::NonZeroU16;

use bytes::{Bytes, BytesMut};

use super::{
    codec::{self, Connect, Packet, Publish, QoS, SubAckCode, TopicName, Violation},
    receive::Receive,
};

/// A packet from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// CONNACK.
    ConnAck {
        /// Whether the server has a stored session.
        session_present: bool,
        /// The return code; 0 means accepted.
        return_code: u8,
    },
    /// PUBLISH at QoS 0 or 1.
    Publish {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: Bytes,
        /// Present if and only if at QoS 1.
        packet_id: Option<NonZeroU16>,
        /// Whether it is marked as a re-delivery.
        dup: bool,
        /// Whether it is a retained message.
        retain: bool,
    },
    /// PUBACK.
    PubAck(NonZeroU16),
    /// SUBACK of one topic filter, with its return code.
    SubAck(NonZeroU16, u8),
    /// UNSUBACK.
    UnsubAck(NonZeroU16),
    /// PINGRESP.
    PingResp,
}

/// The gateway's incremental packet reader.
#[derive(Debug)]
pub struct Decoder(Receive);

impl Decoder {
    /// Creates a decoder for packets of at most `frame_limit` bytes, header included.
    #[must_use]
    pub fn new(frame_limit: usize) -> Self {
        Self(Receive::new(frame_limit))
    }

    /// Takes the next packet off the front of a fragment; returns `None` once all of it is consumed.
    ///
    /// # Errors
    ///
    /// A violation by the server; it is final.
    pub fn next_packet(&mut self, input: &mut &[u8]) -> Result<Option<Received>, Violation> {
        let packet = self.0.next(input)?;
        Ok(packet.map(|packet| Received::new(packet, self.0.take_publish())))
    }

    /// Returns the number of bytes that wait for the rest of their packet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting()
    }
}

impl Received {
    fn new(packet: Packet, publish: Option<Publish>) -> Self {
        match packet {
            Packet::ConnAck {
                session_present,
                return_code,
            } => Self::ConnAck {
                session_present,
                return_code,
            },
            Packet::Publish => {
                let publish = publish.expect("it was read with its packet");
                Self::Publish {
                    topic: publish.topic,
                    payload: publish.payload,
                    packet_id: publish.packet_id,
                    dup: publish.dup,
                    retain: publish.retain,
                }
            }
            Packet::PubAck(packet_id) => Self::PubAck(packet_id),
            Packet::SubAck {
                packet_id,
                return_code,
            } => {
                let return_code = match return_code {
                    SubAckCode::MaximumQoS0 => 0x00,
                    SubAckCode::MaximumQoS1 => 0x01,
                    SubAckCode::MaximumQoS2 => 0x02,
                    SubAckCode::Failure => 0x80,
                };
                Self::SubAck(packet_id, return_code)
            }
            Packet::UnsubAck(packet_id) => Self::UnsubAck(packet_id),
            Packet::PingResp => Self::PingResp,
        }
    }
}

/// A packet from the client. Has no `Debug`, because the password may be a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sent<'a> {
    /// CONNECT of MQTT 3.1.1 with CleanSession 1 and no will.
    Connect {
        /// The client identifier.
        client_id: &'a str,
        /// The user name.
        user_name: &'a str,
        /// The password; omitted when empty.
        password: &'a str,
        /// Seconds.
        keep_alive: u16,
    },
    /// PUBLISH, at QoS 1 if and only if it has a packet identifier.
    Publish {
        /// Its topic.
        topic: &'a str,
        /// Its payload.
        payload: &'a [u8],
        /// Its identifier.
        packet_id: Option<NonZeroU16>,
        /// Whether it is a re-delivery.
        dup: bool,
    },
    /// PUBACK.
    PubAck(NonZeroU16),
    /// SUBSCRIBE of one topic filter.
    Subscribe(NonZeroU16, &'a str, QoS),
    /// UNSUBSCRIBE of one topic filter.
    Unsubscribe(NonZeroU16, &'a str),
    /// PINGREQ.
    PingReq,
    /// DISCONNECT.
    Disconnect,
}

impl Sent<'_> {
    /// Appends the packet to `out`; on an error, `out` is unchanged.
    ///
    /// # Errors
    ///
    /// If MQTT has no encoding for the packet.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), impl Error + use<>> {
        match *self {
            Self::Connect {
                client_id,
                user_name,
                password,
                keep_alive,
            } => {
                let connect = Connect {
                    client_id,
                    user_name,
                    password,
                    keep_alive_secs: keep_alive,
                };
                codec::connect(out, &connect)?;
            }
            Self::Publish {
                topic,
                payload,
                packet_id,
                dup,
            } => {
                let mut name = TopicName::default();
                name.make(|out| out.push_str(topic))?;
                codec::publish(out, &name, payload, packet_id, dup)?;
            }
            Self::PubAck(packet_id) => codec::puback(out, packet_id),
            Self::Subscribe(packet_id, filter, qos) => {
                codec::subscribe(out, packet_id, filter, qos)?;
            }
            Self::Unsubscribe(packet_id, filter) => codec::unsubscribe(out, packet_id, filter)?,
            Self::PingReq => codec::pingreq(out),
            Self::Disconnect => codec::disconnect(out),
        }
        Ok::<_, codec::Unencodable>(())
    }
}
