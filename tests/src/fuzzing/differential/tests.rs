use super::*;

const LIMIT: usize = 64;

fn reference(bytes: &[u8]) -> Result<Option<ServerPacket>, Refusal> {
    let mut reference = Reference::new(LIMIT);
    reference.push(bytes);
    reference.next_packet()
}

fn gateway(mut bytes: &[u8]) -> Option<ServerPacket> {
    let mut decoder = Decoder::new(LIMIT);
    let packet = decoder.next_packet(&mut bytes).ok()??;
    Some(packet.into())
}

/// Decodes with the standard's decoder.
fn standard(bytes: &[u8]) -> Option<ServerPacket> {
    let (packet, length) = server_packet::read(bytes).ok()??;
    assert_eq!(length, bytes.len());
    Some(packet)
}

#[test]
fn the_listed_packets_are_allowed_by_the_standard_and_refused_by_the_gateway() {
    use Difference::*;
    let long: &[u8] = &[&[0x30, 63, 0, 1, b't'][..], &[b'x'; 60]].concat();
    for (bytes, difference) in [
        (&b"\x34\x05\0\x01t\0\x01"[..], QosTwo),
        (&[0x50, 2, 0, 1], QosTwo),
        (&[0x62, 2, 0, 1], QosTwo),
        (&[0x70, 2, 0, 1], QosTwo),
        (&[0x90, 4, 0, 1, 0, 0x80], SubAckOfSeveralFilters),
        (&[0x40, 0x82, 0, 0, 1], LongFormOfLength),
        (&[0xd0, 0x80, 0], LongFormOfLength),
        (long, AboveLimit),
    ] {
        assert!(standard(bytes).is_some(), "{bytes:02x?}");
        assert_eq!(reference(bytes), Err(Refusal::Agreed(difference)));
        assert_eq!(gateway(bytes), None, "{difference:?}");
    }
}

#[test]
fn the_listed_packets_are_reserved_by_the_standard_and_accepted_by_the_gateway() {
    for return_code in 6..=255 {
        let bytes = [0x20, 2, 0, return_code];
        let refusal = ServerPacket::ConnAck {
            session_present: false,
            return_code,
        };
        assert_eq!(
            server_packet::read(&bytes),
            Err(Malformed::ReturnCode(return_code))
        );
        assert_eq!(reference(&bytes), Ok(Some(refusal.clone())));
        assert_eq!(gateway(&bytes), Some(refusal));
    }
}

#[test]
fn the_decoder_checks_every_rule_of_the_standard() {
    use Malformed::*;
    for (bytes, malformed) in [
        (&b"\x00"[..], Type),
        (b"\x10", Type),
        (b"\x82", Type),
        (b"\xe0", Type),
        (b"\xf0", Type),
        (b"\x21", Flags),
        (b"\x42", Flags),
        (b"\x60", Flags),
        (b"\x91", Flags),
        (b"\xd1", Flags),
        (b"\x36", QosThree),
        (b"\x3f", QosThree),
        (b"\x38", DupAtQosZero),
        (b"\x30\xff\xff\xff\xff", EndlessLength),
        (b"\x20\x03", Length),
        (b"\x40\x01", Length),
        (b"\x90\x02", Length),
        (b"\xd0\x01", Length),
        (b"\x30\x02", Length),
        (b"\x32\x04", Length),
        (b"\x30\x03\0\x02t", Truncated),
        (b"\x32\x05\0\x02tt\0", Truncated),
        (b"\x20\x02\x02\0", ConnAckFlags),
        (b"\x20\x02\x01\x01", SessionPresent),
        (b"\x90\x03\0\x01\x03", SubAckCode),
        (b"\x40\x02\0\0", PacketIdZero),
        (b"\x90\x03\0\0\0", PacketIdZero),
        (b"\xb0\x02\0\0", PacketIdZero),
        (b"\x32\x05\0\x01t\0\0", PacketIdZero),
        (b"\x30\x03\0\x01\xff", NotUtf8),
        (b"\x30\x05\0\x03\xed\xa0\x80", NotUtf8),
        (b"\x30\x03\0\x01\0", Nul),
        (b"\x30\x03\0\x01+", Wildcard),
        (b"\x30\x04\0\x02t#", Wildcard),
        (b"\x30\x03\0\0x", EmptyTopic),
    ] {
        assert_eq!(server_packet::read(bytes), Err(malformed), "{bytes:02x?}");
        assert_eq!(gateway(bytes), None);
    }
}

#[test]
fn bytes_that_the_decoders_read_equally_pass_and_others_do_not() {
    run(b"\0\x02\x20\x02\0\0\x30\x05\0\x01txy\xd0\0\xff");
    let differ = std::panic::catch_unwind(|| {
        let mut reference = Reference::new(LIMIT);
        reference.push(b"\xd0");
        compare(reference, [&b"\xd0\0"[..]].into_iter());
    });
    assert!(differ.is_err(), "a difference is not noticed");
}
