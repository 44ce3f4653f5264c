//! Packets of both sides from parts, well formed or nearly so: what a fuzzer would take long to find by itself.

/// A packet: its first byte, the length of its parts, its parts.
pub(super) fn frame(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut packet = vec![first];
    let mut length = body.len();
    while length >= 0x80 {
        packet.push((length % 0x80) as u8 | 0x80);
        length /= 0x80;
    }
    packet.push(length as u8);
    packet.extend(body);
    packet
}

/// A string with its length, cut to what a length can say.
pub(super) fn string(text: &[u8]) -> Vec<u8> {
    let text = &text[..text.len().min(usize::from(u16::MAX))];
    [&(text.len() as u16).to_be_bytes(), text].concat()
}

/// A PUBLISH of QoS 1 with an identifier, else of QoS 0.
pub(super) fn publish(topic: &str, payload: &[u8], packet_id: Option<u16>, dup: bool) -> Vec<u8> {
    let first = 0x30 | u8::from(packet_id.is_some()) << 1 | u8::from(dup) << 3;
    let packet_id = packet_id.map(u16::to_be_bytes);
    let packet_id = packet_id.as_ref().map_or(&[][..], |bytes| &bytes[..]);
    frame(first, &[&string(topic.as_bytes()), packet_id, payload])
}
