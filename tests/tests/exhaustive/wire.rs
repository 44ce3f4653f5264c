//! The server's half of MQTT 3.1.1, as far as the search needs it. It shares nothing with the gateway's codec.

/// The gateway that the search is about.
pub(crate) const GATEWAY: &str = "gw-1";

/// Its devices.
pub(crate) const DEVICES: [&str; 2] = ["d-a", "d-b"];

/// A packet of the gateway's, by what it is about. A device is its place in [`DEVICES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    Connect,
    Attach {
        id: u16,
        device: usize,
    },
    Detach {
        id: u16,
        device: usize,
    },
    /// A telemetry event; its payload is its number.
    Event {
        id: u16,
        device: usize,
        number: u8,
        is_again: bool,
    },
    SubscribeErrors {
        id: u16,
    },
    SubscribeConfig {
        id: u16,
        device: usize,
    },
    PubAck {
        id: u16,
    },
    PingReq,
    Disconnect,
}

impl Packet {
    /// The identifier that its acknowledgement will carry.
    pub(crate) fn id(&self) -> Option<u16> {
        match *self {
            Self::Attach { id, .. }
            | Self::Detach { id, .. }
            | Self::Event { id, .. }
            | Self::SubscribeErrors { id }
            | Self::SubscribeConfig { id, .. } => Some(id),
            Self::Connect | Self::PubAck { .. } | Self::PingReq | Self::Disconnect => None,
        }
    }

    /// The same, sent for the first time.
    pub(crate) fn first(mut self) -> Self {
        if let Self::Event { is_again, .. } = &mut self {
            *is_again = false;
        }
        self
    }

    /// What a content bridge answers; nothing to a PUBACK or a DISCONNECT.
    pub(crate) fn answer(&self) -> Option<Vec<u8>> {
        match *self {
            Self::Connect => Some(vec![0x20, 2, 0, 0]),
            Self::Attach { id, .. } | Self::Detach { id, .. } | Self::Event { id, .. } => {
                let [high, low] = id.to_be_bytes();
                Some(vec![0x40, 2, high, low])
            }
            Self::SubscribeErrors { id } => Some(suback(id, 0)),
            Self::SubscribeConfig { id, .. } => Some(suback(id, 1)),
            Self::PingReq => Some(vec![0xd0, 0]),
            Self::PubAck { .. } | Self::Disconnect => None,
        }
    }
}

fn suback(id: u16, code: u8) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    vec![0x90, 3, high, low, code]
}

/// A config for a device, at QoS 1.
pub(crate) fn config(device: usize, id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let topic = format!("/devices/{}/config", DEVICES[device]);
    publish(0x32, &topic, &[high, low, b'c'])
}

/// A report that a device is not, or no longer, attached. It names no packet.
pub(crate) fn report(device: usize) -> Vec<u8> {
    let report = format!(
        r#"{{"error_type":"GATEWAY_ATTACHMENT_ERROR","device_id":"{}"}}"#,
        DEVICES[device]
    );
    publish(
        0x30,
        &format!("/devices/{GATEWAY}/errors"),
        report.as_bytes(),
    )
}

fn publish(first: u8, topic: &str, rest: &[u8]) -> Vec<u8> {
    let length = u8::try_from(2 + topic.len() + rest.len()).expect("a small packet");
    assert!(length < 0x80, "one byte holds its length");
    let mut packet = vec![first, length, 0, topic.len() as u8];
    packet.extend_from_slice(topic.as_bytes());
    packet.extend_from_slice(rest);
    packet
}

/// Takes the whole packets off the front of a stream.
pub(crate) fn take_packets(stream: &mut Vec<u8>) -> Vec<Packet> {
    let mut packets = Vec::new();
    while let Some((start, end)) = bounds(stream) {
        packets.push(read(stream[0], Body(&stream[start..end])));
        stream.drain(..end);
    }
    packets
}

/// Where the body of the first packet begins and ends, if all of it is there.
fn bounds(stream: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (at, byte) in stream.iter().enumerate().skip(1).take(4) {
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            let (start, end) = (at + 1, at + 1 + length);
            return (end <= stream.len()).then_some((start, end));
        }
    }
    None
}

fn read(first: u8, mut body: Body<'_>) -> Packet {
    let packet = match first {
        0x10 => {
            body.rest();
            Packet::Connect
        }
        0x32 | 0x3a => {
            let topic = body.string();
            let (id, payload) = (body.number(), body.rest());
            let mut levels = topic.split('/').skip(2);
            let device = device(levels.next().expect("a device"));
            match (levels.next(), payload) {
                (Some("attach"), b"{}") if first == 0x32 => Packet::Attach { id, device },
                (Some("detach"), b"{}") if first == 0x32 => Packet::Detach { id, device },
                (Some("events"), &[number]) => Packet::Event {
                    id,
                    device,
                    number,
                    is_again: first == 0x3a,
                },
                other => panic!("PUBLISH {first:#x} to {topic}: {other:?}"),
            }
        }
        0x82 => {
            let (id, filter, qos) = (body.number(), body.string(), body.byte());
            let levels: Vec<_> = filter.split('/').collect();
            match (&levels[..], qos) {
                (["", "devices", GATEWAY, "errors"], 0) => Packet::SubscribeErrors { id },
                (["", "devices", name, "config"], 1) => Packet::SubscribeConfig {
                    id,
                    device: device(name),
                },
                _ => panic!("SUBSCRIBE of {filter} at QoS {qos}"),
            }
        }
        0x40 => Packet::PubAck { id: body.number() },
        0xc0 => Packet::PingReq,
        0xe0 => Packet::Disconnect,
        _ => panic!("a packet that begins with {first:#x}"),
    };
    assert_eq!(body.rest(), b"", "behind {packet:?}");
    packet
}

fn device(id: &str) -> usize {
    let found = DEVICES.iter().position(|device| *device == id);
    found.unwrap_or_else(|| panic!("a packet for {id}"))
}

/// What is left of a packet's body.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn string(&mut self) -> &'a str {
        let length = usize::from(self.number());
        str::from_utf8(self.take(length)).expect("UTF-8")
    }

    fn rest(&mut self) -> &'a [u8] {
        self.take(self.0.len())
    }
}
