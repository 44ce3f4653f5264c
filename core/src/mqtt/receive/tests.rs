use proptest::prelude::*;

use super::*;
use crate::mqtt::codec::tests::{SMALL_LIMIT, packets, topic, violations};

/// All packets that the fragments hold, and the violation that ends them.
fn read<'a>(
    limit: usize,
    fragments: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Packet>, Option<Violation>) {
    let mut receive = Receive::new(limit);
    let mut packets = Vec::new();
    let mut end = None;
    for fragment in fragments {
        receive.push(fragment);
        loop {
            match receive.next() {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
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

/// Reads the input whole, byte by byte, and cut at each byte; each must read the same.
fn read_every_way(limit: usize, input: &[u8]) -> (Vec<Packet>, Option<Violation>) {
    let whole = read(limit, [input]);
    assert_eq!(read(limit, input.chunks(1)), whole);
    for cut in 1..input.len() {
        let (front, back) = input.split_at(cut);
        assert_eq!(read(limit, [front, back]), whole, "cut at {cut}");
    }
    whole
}

#[test]
fn packets_come_out_in_order_however_they_are_split() {
    let (bytes, expected): (Vec<&[u8]>, Vec<Packet>) = packets().into_iter().unzip();
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
    receive.push(&[0xf0]);
    let violation = Err(Violation::ReservedType { first_byte: 0xf0 });
    for _ in 0..3 {
        assert_eq!(receive.next(), violation);
        receive.push(&[0xd0, 0]);
    }
    assert_eq!(receive.next(), violation);
    assert_eq!(receive.buffer.capacity(), 0);
}

#[test]
fn a_header_reserves_nothing() {
    let mut receive = Receive::new(usize::MAX);
    receive.push(&[0x30, 0xff, 0xff, 0xff, 0x7f]);
    assert_eq!(receive.next(), Ok(None));
    receive.push(&[0, 1, b't']);
    assert_eq!(receive.next(), Ok(None));
    assert!(receive.buffer.capacity() < 100);
}

fn large_publish(payload: usize) -> Vec<u8> {
    let mut out = BytesMut::new();
    codec::publish(&mut out, &topic("topic"), &vec![5; payload], None, false)
        .expect("a legal publish");
    out.to_vec()
}

#[test]
fn a_large_packet_in_pieces_is_looked_at_once() {
    let input = large_publish(256 * 1024);
    let mut receive = Receive::new(codec::DEFAULT_FRAME_LIMIT);
    let pieces: Vec<&[u8]> = input.chunks(1024).collect();
    let (last, before) = pieces.split_last().expect("there are pieces");
    for piece in before {
        receive.push(piece);
        assert_eq!(receive.next(), Ok(None));
        assert_eq!(receive.needed, input.len());
    }
    receive.push(last);
    assert!(matches!(receive.next(), Ok(Some(Packet::Publish(_)))));
    assert_eq!(receive.needed, 1);
}

#[test]
fn a_payload_does_not_keep_the_read_buffer() {
    for size in [64, 1024, 1025, 100_000] {
        let input = large_publish(size);
        let mut receive = Receive::new(codec::DEFAULT_FRAME_LIMIT);
        receive.push(&input);
        let Ok(Some(Packet::Publish(kept))) = receive.next() else {
            panic!("a whole PUBLISH was pushed");
        };
        assert!(kept.payload.is_unique());
        assert!(
            receive.buffer.try_reclaim(input.len()),
            "the buffer is shared"
        );
    }
}

#[test]
fn memory_follows_what_lately_arrived() {
    let mut receive = Receive::new(codec::DEFAULT_FRAME_LIMIT);
    let large = large_publish(256 * 1024);
    for _ in 0..3 {
        receive.push(&large);
        assert!(matches!(receive.next(), Ok(Some(_))));
        assert_eq!(receive.next(), Ok(None));
        assert!(
            receive.buffer.try_reclaim(large.len()),
            "a use that repeats keeps its memory"
        );
    }
    receive.push(&[0xd0, 0]);
    assert_eq!(receive.next(), Ok(Some(Packet::PingResp)));
    assert_eq!(receive.next(), Ok(None));
    assert_eq!(receive.buffer.capacity(), 0);
}

/// Mostly legal packets, some broken in one byte, some noise.
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
