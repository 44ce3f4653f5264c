//! The peer: the answers of a bridge that accepts everything.

use iotcore_gateway_testkit::packets::{put_frame, split};

/// Appends the answer to each packet of a client.
pub(crate) fn answer(mut bytes: &[u8], answers: &mut Vec<u8>) {
    while !bytes.is_empty() {
        let (first, body, rest) = split(bytes).expect("the subjects write whole packets");
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

/// Returns this many PUBLISHes at QoS 1, with identifiers from 1.
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
    let length = (topic.len() as u16).to_be_bytes();
    put_frame(out, 0x32, &[&length, topic, &id.to_be_bytes(), payload]);
}
