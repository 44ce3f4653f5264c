//! Records as bytes, for stores of one's own.

use std::num::NonZeroU64;

use iotcore_gateway::{
    DeviceId,
    auth::UnixTime,
    message::{Priority, PublicationTopic, QoS, Tag},
    store::{Record, StoreSeq, StoredRecord},
};

/// Calls `each` with records of every kind.
fn records(mut each: impl FnMut(StoreSeq, Record<'_>)) {
    let device: DeviceId = "sensor-1".parse().unwrap();
    let tag: Tag = "reading 17".parse().unwrap();
    let topics = [
        PublicationTopic::State,
        PublicationTopic::Telemetry(None),
        PublicationTopic::Telemetry(Some("alerts/high".parse().unwrap())),
    ];
    let near = u64::from(u32::MAX);
    let places = [1, near, near + 1, u64::MAX].map(|place| NonZeroU64::new(place).unwrap());
    for number in 0..48 {
        let accepted = places[number as usize % 4];
        let record = Record {
            accepted,
            device: &device,
            topic: &topics[number as usize % 3],
            qos: match number / 3 % 2 {
                0 => QoS::AtLeastOnce,
                _ => QoS::AtMostOnce,
            },
            payload: [&b"71"[..], b""][number as usize / 6 % 2],
            deadline: (number / 12 % 2 == 0).then(|| UnixTime::from_secs(1_900_000_000)),
            priority: match number / 24 {
                0 => Priority::Ordinary,
                _ => Priority::Urgent,
            },
            tag: (number % 5 == 0).then_some(&tag),
        };
        each(StoreSeq::FIRST.next(), record);
    }
}

#[test]
fn a_record_is_read_as_it_was_written() {
    records(|seq, record| {
        let bytes = record.to_bytes(seq).unwrap();
        let read = StoredRecord::from_bytes(&bytes).unwrap();
        assert_eq!((read.seq(), read.record()), (seq, record));
    });
}

#[test]
fn damage_and_parts_of_a_record_are_noticed() {
    records(|seq, record| {
        let mut bytes = record.to_bytes(seq).unwrap();
        for place in 0..bytes.len() {
            for bit in 0..8 {
                bytes[place] ^= 1 << bit;
                assert_eq!(StoredRecord::from_bytes(&bytes), None);
                bytes[place] ^= 1 << bit;
            }
            assert_eq!(StoredRecord::from_bytes(&bytes[..place]), None);
        }
        bytes.push(0);
        assert_eq!(StoredRecord::from_bytes(&bytes), None);
    });
}

#[test]
fn the_bytes_are_those_of_the_first_version() {
    let device: DeviceId = "sensor-1".parse().unwrap();
    let record = Record {
        accepted: NonZeroU64::new(7).unwrap(),
        device: &device,
        topic: &PublicationTopic::State,
        qos: QoS::AtLeastOnce,
        payload: b"on",
        deadline: None,
        priority: Priority::Ordinary,
        tag: None,
    };
    let bytes = record.to_bytes(StoreSeq::FIRST).unwrap();
    let written = [
        185, 247, 248, 81, 35, 0, 0, 0, 103, 63, 1, 5, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 8, b's',
        b'e', b'n', b's', b'o', b'r', b'-', b'1', b'o', b'n',
    ];
    assert_eq!(bytes, written);
}
