//! The first byte and the remaining length of any packet. A gateway rejects input that no server may send at the first
//! byte that shows it, so most of these rows end there.

use iotcore_gateway::cause::{PacketType, Violation};

use crate::{
    Expect::{self, Closes, TimesOut},
    Row,
    stage::Stage,
};
use PacketType::{
    ConnAck, Connect, Disconnect, PingReq, PingResp, PubAck, PubComp, PubRec, PubRel, Publish,
    SubAck, Subscribe, UnsubAck, Unsubscribe,
};

/// The packets that a server sends, except PUBLISH, with their first byte and only valid remaining length.
const FIXED: [(PacketType, u8, u8); 5] = [
    (ConnAck, 0x20, 2),
    (PubAck, 0x40, 2),
    (SubAck, 0x90, 3),
    (UnsubAck, 0xb0, 2),
    (PingResp, 0xd0, 0),
];

/// The maximum remaining length.
const MOST: usize = 268_435_455;

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = types();
    rows.extend(flags());
    rows.extend(qualities());
    rows.extend(length_encodings());
    rows.extend(lengths());
    rows.extend(sizes());
    rows
}

fn open(clause: &'static str, name: String, bytes: impl Into<Vec<u8>>, closes: Violation) -> Row {
    Row::new(clause, name, Stage::Open, bytes, Closes(closes))
}

/// Table 2.1: packet types that do not exist, and those that only a client sends.
fn types() -> Vec<Row> {
    let reserved = [0x00, 0x01, 0x0f, 0xf0, 0xf1, 0xff].map(|first_byte| {
        let name = format!("reserved type {first_byte:#04x}");
        open(
            "2.2.1",
            name,
            [first_byte],
            Violation::ReservedType { first_byte },
        )
    });
    let of_clients: [(PacketType, &[u8]); 10] = [
        (Connect, b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0"),
        (Connect, &[0x11]),
        (Subscribe, b"\x82\x06\0\x01\0\x01a\0"),
        (Subscribe, &[0x80]),
        (Unsubscribe, b"\xa2\x05\0\x01\0\x01a"),
        (Unsubscribe, &[0xa0]),
        (PingReq, &[0xc0, 0]),
        (PingReq, &[0xc8]),
        (Disconnect, &[0xe0, 0]),
        (Disconnect, &[0xe1]),
    ];
    let of_clients = of_clients.map(|(packet, bytes)| {
        let name = format!("{packet} from the server, {:#04x}", bytes[0]);
        open("2.2.1", name, bytes, Violation::ClientPacket { packet })
    });
    reserved.into_iter().chain(of_clients).collect()
}

/// Each reserved bit of each packet, alone and combined, followed by the rest of the packet.
fn flags() -> Vec<Row> {
    let mut rows = Vec::new();
    for (packet, first, len) in FIXED {
        for found in [1, 2, 4, 8, 15] {
            let mut bytes = vec![first | found, len];
            bytes.extend((0..len).map(|at| u8::from(at == 1)));
            let name = format!("{packet} with flags {found:#06b}");
            rows.push(open(
                "MQTT-2.2.2-2",
                name,
                bytes,
                Violation::Flags { packet, found },
            ));
        }
    }
    rows
}

/// QoS values that do not exist, or that this client never uses.
fn qualities() -> Vec<Row> {
    let mut rows = Vec::new();
    for first in [0x36, 0x37, 0x3e, 0x3f] {
        let name = format!("PUBLISH of QoS 3, {first:#04x}");
        rows.push(open("MQTT-3.3.1-4", name, [first], Violation::QoS3));
    }
    for first in [0x38, 0x39] {
        let name = format!("PUBLISH with DUP at QoS 0, {first:#04x}");
        rows.push(open("MQTT-3.3.1-2", name, [first], Violation::DupAtQoS0));
    }
    for (clause, packet, first) in [
        ("MQTT-3.3.4-1", Publish, 0x34),
        ("MQTT-3.3.4-1", Publish, 0x35),
        ("MQTT-3.3.4-1", Publish, 0x3c),
        ("MQTT-3.3.4-1", Publish, 0x3d),
        ("MQTT-4.3.3-2", PubRec, 0x50),
        ("MQTT-4.3.3-1", PubRel, 0x62),
        ("MQTT-3.6.1-1", PubRel, 0x60),
        ("MQTT-4.3.3-2", PubComp, 0x70),
    ] {
        let name = format!("{packet} of QoS 2, {first:#04x}");
        let bytes = [first, 5, 0, 1, b't', 0, 1];
        rows.push(open(clause, name, bytes, Violation::QoS2 { packet }));
    }
    rows
}

/// 2.2.3: at most four bytes, and no more than the length needs.
fn length_encodings() -> Vec<Row> {
    let mut rows = Vec::new();
    let publish = [(Publish, 0x30, 0x03), (Publish, 0x32, 0x05)];
    for (packet, first, len) in FIXED.into_iter().chain(publish) {
        rows.push(open(
            "2.2.3",
            format!("{packet} {first:#04x} with an endless remaining length"),
            [first, 0x80 | len, 0x80 | 1, 0xff, 0xff, 0x7f],
            Violation::LengthEndless { packet },
        ));
        rows.push(open(
            "2.2.3",
            format!("{packet} {first:#04x} with its remaining length in two bytes"),
            [first, 0x80 | len, 0],
            Violation::LengthNotMinimal {
                packet,
                length: len.into(),
            },
        ));
    }
    for (bytes, length) in [
        (&[0x30, 0x80, 0x00][..], 0),
        (&[0x30, 0xff, 0x80, 0x00], 127),
        (&[0x30, 0xff, 0xff, 0x80, 0x00], 16_383),
    ] {
        let name = format!("PUBLISH with its remaining length {length} in too many bytes");
        let packet = Publish;
        rows.push(open(
            "2.2.3",
            name,
            bytes,
            Violation::LengthNotMinimal { packet, length },
        ));
    }
    rows
}

/// Remaining lengths that a packet of its type cannot have, those of MQTT 5 among them.
fn lengths() -> Vec<Row> {
    let mut rows = Vec::new();
    for (packet, first, len) in FIXED {
        let only = usize::from(len);
        for found in (0..=5).filter(|found| *found != only) {
            let mut bytes = vec![first, found as u8];
            bytes.extend((0..found).map(|at| u8::from(at == 1)));
            let violation = Violation::Length {
                packet,
                found,
                at_least: only,
                at_most: only,
            };
            rows.push(open(
                "2.2.3",
                format!("{packet} of {found} bytes"),
                bytes,
                violation,
            ));
        }
        let violation = Violation::Length {
            packet,
            found: MOST,
            at_least: only,
            at_most: only,
        };
        rows.push(open(
            "2.2.3",
            format!("{packet} of 256 MiB"),
            [first, 0xff, 0xff, 0xff, 0x7f],
            violation,
        ));
    }
    for (first, at_least) in [(0x30, 3), (0x32, 5)] {
        for found in 0..at_least {
            let mut bytes = vec![first, found as u8];
            bytes.extend([0, 1, b't', 0].into_iter().take(found));
            let violation = Violation::Length {
                packet: Publish,
                found,
                at_least,
                at_most: MOST,
            };
            let name = format!("PUBLISH {first:#04x} of {found} bytes");
            rows.push(open("3.3.2", name, bytes, violation));
        }
    }
    rows
}

/// Lengths that a header announces: rejected before the body arrives, and without allocating memory for it.
fn sizes() -> Vec<Row> {
    const LIMIT: usize = 327_688;
    let too_large = |name: &str, bytes: &[u8], length| {
        let violation = Violation::TooLarge {
            packet: Publish,
            length,
            limit: LIMIT,
        };
        open("2.2.3", name.to_owned(), bytes, violation)
    };
    vec![
        too_large(
            "PUBLISH one byte over the limit",
            &[0x30, 0x85, 0x80, 0x14],
            LIMIT + 1,
        ),
        too_large(
            "PUBLISH at QoS 1 one byte over the limit",
            &[0x3b, 0x85, 0x80, 0x14],
            LIMIT + 1,
        ),
        too_large(
            "PUBLISH of 256 MiB",
            &[0x30, 0xff, 0xff, 0xff, 0x7f],
            MOST + 5,
        ),
        Row::new(
            "2.2.3",
            "PUBLISH of the maximum size without its body",
            Stage::Pinging,
            [0x30, 0x84, 0x80, 0x14],
            no_pong(),
        )
        .then_silence(76),
        Row::new(
            "2.2.3",
            "a packet that stops within its remaining length",
            Stage::Pinging,
            [0x30, 0xff, 0xff],
            no_pong(),
        )
        .then_silence(76),
    ]
}

/// The rest of the packet never arrives, so that no PINGRESP to the next PINGREQ can.
fn no_pong() -> Expect {
    TimesOut(iotcore_gateway::cause::DisconnectReason::PingRespTimedOut(
        crate::peer::seconds(20),
    ))
}
