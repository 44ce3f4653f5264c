//! The other side of the wire: what a bridge that agrees with everything says.

/// Appends the answer to each packet of a client.
pub(crate) fn answer(mut bytes: &[u8], answers: &mut Vec<u8>) {
    while let [first, rest @ ..] = bytes {
        let (length, start) = remaining_length(rest);
        let (body, rest) = rest[start..].split_at(length);
        match first {
            0x10 => answers.extend([0x20, 2, 0, 0]),
            0x32 => {
                let id = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                answers.extend([0x40, 2, body[id], body[id + 1]]);
            }
            0x82 => answers.extend([0x90, 3, body[0], body[1], 1]),
            _ => {}
        }
        bytes = rest;
    }
}

/// So many PUBLISHes at QoS 1, on the identifiers from 1.
pub(crate) fn publishes(topic: &str, payload: usize, count: usize) -> Vec<u8> {
    let payload = vec![7; payload];
    let mut out = Vec::new();
    for id in 1..=count {
        put_publish(&mut out, topic.as_bytes(), id as u16, &payload);
    }
    out
}

/// Appends a PUBLISH at QoS 1.
pub(crate) fn put_publish(out: &mut Vec<u8>, topic: &[u8], id: u16, payload: &[u8]) {
    out.push(0x32);
    let mut length = 2 + topic.len() + 2 + payload.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    out.extend_from_slice(topic);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The remaining length at the front of `bytes`, and how many bytes it takes.
pub(crate) fn remaining_length(bytes: &[u8]) -> (usize, usize) {
    let mut length = 0;
    for (at, byte) in bytes.iter().enumerate().take(4) {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            return (length, at + 1);
        }
    }
    panic!("the subjects write legal lengths");
}
