//! The server's half of MQTT 3.1.1, as far as these tests need it: reads what a gateway sends, strictly.

/// A packet that the gateway sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    Connect {
        client_id: String,
        user_name: String,
        password: String,
        keep_alive: u16,
    },
    Publish {
        topic: String,
        payload: Vec<u8>,
        id: Option<u16>,
        dup: bool,
    },
    PubAck(u16),
    Subscribe {
        id: u16,
        filter: String,
        qos: u8,
    },
    Unsubscribe {
        id: u16,
        filter: String,
    },
    PingReq,
    Disconnect,
}

/// Reads a stream of whole packets.
pub fn parse(mut bytes: &[u8]) -> Vec<Sent> {
    let mut sent = Vec::new();
    while let Some((&first, rest)) = bytes.split_first() {
        let mut reader = Reader(rest);
        let len = reader.remaining_length();
        let mut body = Reader(reader.take(len));
        bytes = reader.0;
        sent.push(packet(first, &mut body));
        assert!(body.0.is_empty(), "{first:#04x} has bytes left over");
    }
    sent
}

fn packet(first: u8, body: &mut Reader<'_>) -> Sent {
    match first {
        0x10 => connect(body),
        0x30 | 0x32 | 0x3a => Sent::Publish {
            topic: body.string(),
            id: (first & 0x06 != 0).then(|| body.id()),
            payload: std::mem::take(&mut body.0).to_vec(),
            dup: first & 0x08 != 0,
        },
        0x40 => Sent::PubAck(body.id()),
        0x82 => Sent::Subscribe {
            id: body.id(),
            filter: body.string(),
            qos: body.byte(),
        },
        0xa2 => Sent::Unsubscribe {
            id: body.id(),
            filter: body.string(),
        },
        0xc0 => Sent::PingReq,
        0xe0 => Sent::Disconnect,
        _ => panic!("no client may send {first:#04x}"),
    }
}

fn connect(body: &mut Reader<'_>) -> Sent {
    assert_eq!(body.string(), "MQTT");
    assert_eq!(body.byte(), 4, "the level of MQTT 3.1.1");
    assert_eq!(
        body.byte(),
        0xc2,
        "user name, password, CleanSession 1 and nothing else"
    );
    Sent::Connect {
        keep_alive: body.number(),
        client_id: body.string(),
        user_name: body.string(),
        password: body.string(),
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(len).expect("a whole packet");
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn number(&mut self) -> u16 {
        u16::from(self.byte()) << 8 | u16::from(self.byte())
    }

    fn id(&mut self) -> u16 {
        let id = self.number();
        assert_ne!(id, 0, "[MQTT-2.3.1-1]");
        id
    }

    fn string(&mut self) -> String {
        let len = usize::from(self.number());
        String::from_utf8(self.take(len).to_vec()).unwrap()
    }

    fn remaining_length(&mut self) -> usize {
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte();
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return length;
            }
        }
        panic!("a remaining length of more than four bytes");
    }
}

/// A PUBLISH of the server's.
pub fn publish(topic: &str, payload: &[u8], id: Option<u16>, dup: bool) -> Vec<u8> {
    let mut body = (topic.len() as u16).to_be_bytes().to_vec();
    body.extend_from_slice(topic.as_bytes());
    body.extend(id.into_iter().flat_map(u16::to_be_bytes));
    body.extend_from_slice(payload);
    let mut packet = vec![0x30 | u8::from(id.is_some()) << 1 | u8::from(dup) << 3];
    let mut length = body.len();
    while length >= 0x80 {
        packet.push((length % 0x80) as u8 | 0x80);
        length /= 0x80;
    }
    packet.push(length as u8);
    packet.extend(body);
    packet
}
