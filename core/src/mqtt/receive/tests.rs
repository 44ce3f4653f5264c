use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::mqtt::codec::{
    PacketId, Publish,
    tests::{Read, SMALL_LIMIT, packets, topic, violations},
};

/// A way to take the next packet off the front of the input.
type Next = fn(&mut Receive, &mut &[u8]) -> Result<Option<Packet>, Violation>;

/// Takes the next packet as a connection does: the most frequent ones by shortcuts.
fn next_by_shortcuts(
    receive: &mut Receive,
    input: &mut &[u8],
) -> Result<Option<Packet>, Violation> {
    if receive.append(input) {
        *input = &[];
        return Ok(None);
    }
    match receive.next_puback(input) {
        Some(packet_id) => Ok(Some(Packet::PubAck(packet_id))),
        None => receive.next(input),
    }
}

/// Returns all packets in the fragments, and the violation that ends them.
fn read<'a>(
    limit: usize,
    fragments: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Read>, Option<Violation>) {
    read_by(Receive::next, limit, fragments)
}

fn read_by<'a>(
    next: Next,
    limit: usize,
    fragments: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Read>, Option<Violation>) {
    let mut receive = Receive::new(limit);
    let mut packets = Vec::new();
    let mut end = None;
    for mut fragment in fragments {
        loop {
            match next(&mut receive, &mut fragment) {
                Ok(Some(Packet::Publish)) => {
                    let publish = receive.take_publish().expect("it was read");
                    packets.push(Read::Publish(publish));
                }
                Ok(Some(packet)) => packets.push(Read::Packet(packet)),
                Ok(None) => {
                    assert_eq!(fragment, b"", "some of it is left");
                    break;
                }
                Err(violation) => {
                    assert!(end.is_none_or(|end| end == violation));
                    end = Some(violation);
                    break;
                }
            }
        }
    }
    (packets, end)
}

/// Reads the input whole, byte by byte, and cut at each byte, by shortcuts or not; the results must be the same.
fn read_every_way(limit: usize, input: &[u8]) -> (Vec<Read>, Option<Violation>) {
    let whole = read(limit, [input]);
    for next in [Receive::next, next_by_shortcuts] {
        assert_eq!(read_by(next, limit, [input]), whole);
        assert_eq!(read_by(next, limit, input.chunks(1)), whole);
        for cut in 1..input.len() {
            let (front, back) = input.split_at(cut);
            let parts = read_by(next, limit, [front, back]);
            assert_eq!(parts, whole, "cut at {cut}");
        }
    }
    whole
}

#[test]
fn packets_come_out_in_order_however_they_are_split() {
    let (bytes, expected): (Vec<&[u8]>, Vec<Read>) = packets().into_iter().unzip();
    assert_eq!(
        read_every_way(SMALL_LIMIT, &bytes.concat()),
        (expected, None)
    );
}

#[test]
fn a_violation_comes_after_the_packets_before_it_however_they_are_split() {
    for (bytes, expected) in violations() {
        let input = [&[0x40, 2, 0, 1, 0xd0, 0], bytes, &[0xd0, 0]].concat();
        let (packets, violation) = read_every_way(SMALL_LIMIT, &input);
        assert_eq!(packets.len(), 2);
        assert_eq!(violation, Some(expected));
    }
}

#[test]
fn a_violation_is_final() {
    let mut receive = Receive::new(SMALL_LIMIT);
    for mut fragment in [&[0xf0][..], &[0xd0, 0], &[]] {
        let read = receive.next(&mut fragment);
        assert_eq!(read, Err(Violation::ReservedType { first_byte: 0xf0 }));
        assert_eq!(receive.waiting(), 0);
    }
}

/// Encodes a PUBLISH with this payload, with an identifier unless that is 0.
fn publish(payload: &[u8], packet_id: u16) -> Vec<u8> {
    let (mut out, id) = (BytesMut::new(), PacketId::new(packet_id));
    codec::publish(&mut out, &topic("topic"), payload, id, false).expect("a legal publish");
    out.to_vec()
}

/// Returns the capacity and the address of the allocation for the incomplete packet.
fn reserved(receive: &Receive) -> Option<(usize, *const u8)> {
    match &receive.begun {
        Begun::Publish(assembly) => Some((assembly.bytes.capacity(), assembly.bytes.as_ptr())),
        _ => None,
    }
}

#[test]
fn large_packets_between_small_ones_read_the_same_at_every_split() {
    // At 127 and 16,383 bytes the header grows; a server reads 16 KiB at once.
    for length in [118, 119, 500, 16_374, 16_375, 16_384, 70_000] {
        let payloads: Vec<Vec<u8>> = (0..3)
            .map(|n| (0..length + n).map(|at| (at % 251) as u8).collect())
            .collect();
        let large = payloads
            .iter()
            .map(|payload| publish(payload, 7))
            .collect::<Vec<_>>();
        let small = [0x40, 2, 0, 1, 0x30, 3, 0, 1, b't'];
        let input = [
            &small[..],
            &large[0],
            &large[1],
            &small,
            &large[2],
            &[0xd0, 0],
        ]
        .concat();
        let first_ends = small.len() + large[0].len();

        let whole = read(codec::DEFAULT_FRAME_LIMIT, [&input[..]]);
        let found = whole.0.iter().filter_map(|packet| match packet {
            Read::Publish(publish) if publish.packet_id.is_some() => Some(&publish.payload[..]),
            _ => None,
        });
        assert!(found.eq(&payloads), "{length}");
        assert_eq!((whole.0.len(), whole.1), (8, None));
        for size in [
            1,
            2,
            5,
            64,
            1_000,
            16_384,
            first_ends - 1,
            first_ends,
            first_ends + 1,
        ] {
            let pieces = read(codec::DEFAULT_FRAME_LIMIT, input.chunks(size));
            assert_eq!(pieces, whole, "{length} in pieces of {size}");
        }
        for cut in (0..small.len() + 20).chain(first_ends - 3..first_ends + 20) {
            let (front, back) = input.split_at(cut);
            let pieces = read(codec::DEFAULT_FRAME_LIMIT, [front, back]);
            assert_eq!(pieces, whole, "{length} cut at {cut}");
        }
    }
}

#[test]
fn a_violation_in_a_large_packet_waits_for_its_end_however_it_is_split() {
    for (at, byte, violation) in [
        (7, 0, Violation::TopicWithNul { at: 1 }),
        (9, 0xff, Violation::TopicNotUtf8 { at: 3 }),
    ] {
        let mut input = publish(&[5; 20_000], 0);
        input[at] = byte;
        let last = input.len() - 1;
        for size in [1, 1_000, last, input.len()] {
            let (before, _) = input.split_at(last);
            assert_eq!(read(32_768, before.chunks(size)), (vec![], None));
            assert_eq!(read(32_768, input.chunks(size)), (vec![], Some(violation)));
        }
    }
}

#[test]
fn a_header_reserves_its_packet_once_and_never_more_than_the_limit() {
    let mut receive = Receive::new(SMALL_LIMIT);
    let mut claim: &[u8] = &[0x30, 0xfe, 0x07];
    assert_eq!(receive.next(&mut claim), Ok(None));
    let memory = reserved(&receive);
    assert_eq!(memory.map(|(size, _)| size), Some(SMALL_LIMIT));
    for _ in 3..SMALL_LIMIT - 1 {
        assert_eq!(receive.next(&mut &[b't'][..]), Ok(None));
        assert_eq!(reserved(&receive), memory);
    }

    let mut receive = Receive::new(SMALL_LIMIT);
    let mut claim: &[u8] = &[0x30, 0xff, 0x07];
    assert!(receive.next(&mut claim).is_err());
    assert_eq!(reserved(&receive), None);
}

/// Reads the next packet, a PUBLISH.
fn next_publish(receive: &mut Receive, input: &mut &[u8]) -> Publish {
    assert_eq!(receive.next(input), Ok(Some(Packet::Publish)));
    receive.take_publish().expect("it was read")
}

#[test]
fn a_large_packet_in_pieces_is_copied_once() {
    let input = publish(&[5; 256 * 1024], 7);
    let mut receive = Receive::new(codec::DEFAULT_FRAME_LIMIT);
    let (before, mut last) = input.split_at(input.len() - 1024);
    for mut piece in before.chunks(1024) {
        assert_eq!(receive.next(&mut piece), Ok(None));
    }
    let (size, memory) = reserved(&receive).expect("it is not whole");
    assert_eq!(size, input.len());
    let payload = next_publish(&mut receive, &mut last).payload;
    let start = input.len() - payload.len();
    assert_eq!(payload.as_ptr(), memory.wrapping_add(start));
    assert!(payload.is_unique());
}

#[test]
fn a_payload_keeps_its_packet_at_most() {
    let input = publish(&[5; 1024], 0);
    let two = [&input[..], &input].concat();
    for fragments in [vec![&two[..]], two.chunks(100).collect()] {
        for publish in read(SMALL_LIMIT + 20, fragments).0 {
            let Read::Publish(Publish { payload, .. }) = publish else {
                panic!("only PUBLISHes were written");
            };
            assert!(BytesMut::from(payload).capacity() <= input.len());
        }
    }
}

#[test]
fn memory_follows_what_lately_arrived() {
    let mut receive = Receive::new(codec::DEFAULT_FRAME_LIMIT);
    let large = publish(&[5; 256 * 1024], 0);
    for _ in 0..3 {
        let (mut front, mut back) = large.split_at(1024);
        assert_eq!(receive.next(&mut front), Ok(None));
        assert_eq!(receive.waiting(), 1024);
        next_publish(&mut receive, &mut back);
        assert!(matches!(receive.begun, Begun::Nothing));
    }
}

#[test]
fn debug_shows_no_payload() {
    let mut receive = Receive::new(codec::DEFAULT_FRAME_LIMIT);
    let input = publish(b"secret", 0);
    let (mut before, _) = input.split_at(input.len() - 1);
    assert_eq!(receive.next(&mut before), Ok(None));
    let shown = format!("{receive:?}");
    for secret in ["secre", "115, 101"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(
        shown.contains(&format!("len: {}", input.len() - 1)),
        "{shown}"
    );
}

/// Mostly legal packets, some corrupted in one byte, some noise.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let legal = proptest::sample::select(packets()).prop_map(|(bytes, _)| bytes.to_vec());
    let broken = (legal.clone(), any::<proptest::sample::Index>(), any::<u8>()).prop_map(
        |(mut bytes, at, byte)| {
            *at.get_mut(&mut bytes) = byte;
            bytes
        },
    );
    let noise = proptest::collection::vec(any::<u8>(), 1..12);
    let part = prop_oneof![8 => legal, 2 => broken, 1 => noise];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_split_reads_the_same(
        input in input(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..20),
    ) {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        ends.extend([0, input.len()]);
        ends.sort_unstable();
        let fragments = ends.windows(2).map(|ends| &input[ends[0]..ends[1]]);
        let whole = read(SMALL_LIMIT, [&input[..]]);
        prop_assert_eq!(read(SMALL_LIMIT, fragments), whole.clone());
        prop_assert_eq!(read(SMALL_LIMIT, input.chunks(1)), whole);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        first in proptest::sample::select(vec![0x20, 0x30, 0x32, 0x40, 0x90, 0xb0, 0xd0, 0xf0_u8]),
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let input = [&[first], &rest[..]].concat();
        let whole = read(SMALL_LIMIT, [&input[..]]);
        prop_assert_eq!(read(SMALL_LIMIT, input.chunks(1)), whole);
    }
}
