//! The fields of a Put.

use core::num::NonZeroU64;

use super::{ALIGNMENT, BEGINS_WRITE, Kind, RECORD_HEADER, RecordHeader, append_padding};
use crate::{
    command::{Priority, PublicationTopic},
    mqtt::QoS,
    store::{
        Record,
        record_too_large::{MAX_PAYLOAD, RecordTooLarge},
    },
    time::UnixTime,
};

/// The bytes before the texts, without and with a deadline.
const FIXED: usize = RECORD_HEADER + 12;
const FIXED_WITH_DEADLINE: usize = FIXED + 8;

const AT_LEAST_ONCE: u8 = 1;
const URGENT: u8 = 2;
const STATE: u8 = 4;
const SUBFOLDER: u8 = 8;
const DEADLINE: u8 = 16;
const TAG: u8 = 32;
const ALL_FLAGS: u8 = 63 | BEGINS_WRITE;

/// The fields of a Put that was read. The texts are not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fields<'a> {
    pub(crate) accepted: NonZeroU64,
    pub(crate) device: &'a [u8],
    pub(crate) is_state: bool,
    pub(crate) subfolder: Option<&'a [u8]>,
    pub(crate) qos: QoS,
    pub(crate) priority: Priority,
    pub(crate) deadline: Option<UnixTime>,
    pub(crate) tag: Option<&'a [u8]>,
    pub(crate) payload: &'a [u8],
}

/// Appends a Put, unsealed.
#[inline]
pub(crate) fn append_put(
    out: &mut Vec<u8>,
    seq: NonZeroU64,
    record: &Record<'_>,
) -> Result<(), RecordTooLarge> {
    let payload = record.payload;
    if payload.len() > MAX_PAYLOAD {
        return Err(RecordTooLarge { len: payload.len() });
    }
    let (is_state, subfolder) = match record.topic {
        PublicationTopic::State => (true, None),
        PublicationTopic::Telemetry(subfolder) => (false, subfolder.as_ref()),
    };
    let device = record.device.as_str().as_bytes();
    let subfolder_text = subfolder.map_or(&[][..], |subfolder| subfolder.as_str().as_bytes());
    let tag = record.tag.map_or(&[][..], |tag| tag.as_str().as_bytes());
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let flags = flag(record.qos == QoS::AtLeastOnce, AT_LEAST_ONCE)
        | flag(record.priority == Priority::Urgent, URGENT)
        | flag(is_state, STATE)
        | flag(subfolder.is_some(), SUBFOLDER)
        | flag(record.deadline.is_some(), DEADLINE)
        | flag(record.tag.is_some(), TAG);
    let fixed_len = match record.deadline {
        None => FIXED,
        Some(_) => FIXED_WITH_DEADLINE,
    };
    let len = fixed_len + device.len() + subfolder_text.len() + tag.len() + payload.len();
    let header = RecordHeader {
        kind: Kind::Put,
        flags,
        len: len as u32,
        seq: seq.get(),
    };

    let mut fixed = [0; FIXED_WITH_DEADLINE];
    fixed[..RECORD_HEADER].copy_from_slice(&header.unsealed());
    fixed[20..28].copy_from_slice(&record.accepted.get().to_le_bytes());
    // An id has at most 255 bytes, a tag 64, a subfolder 256 characters.
    fixed[28] = device.len() as u8;
    fixed[29] = tag.len() as u8;
    fixed[30..32].copy_from_slice(&(subfolder_text.len() as u16).to_le_bytes());
    let deadline = record.deadline.map_or(0, UnixTime::as_secs);
    fixed[32..40].copy_from_slice(&deadline.to_le_bytes());

    out.reserve(len + ALIGNMENT);
    match record.deadline {
        None => out.extend_from_slice(&fixed[..FIXED]),
        Some(_) => out.extend_from_slice(&fixed),
    }
    out.extend_from_slice(device);
    out.extend_from_slice(subfolder_text);
    out.extend_from_slice(tag);
    out.extend_from_slice(payload);
    append_padding(out);
    Ok(())
}

/// Reads the fields of a whole Put, without its padding; `None` if they contradict each other.
#[inline]
pub(crate) fn read_put(flags: u8, record: &[u8]) -> Option<Fields<'_>> {
    let (fixed, rest) = record.split_first_chunk::<FIXED>()?;
    let has = |flag: u8| flags & flag != 0;
    if flags & !ALL_FLAGS != 0 {
        return None;
    }
    let (deadline, rest) = match has(DEADLINE) {
        false => (None, rest),
        true => {
            let (seconds, rest) = rest.split_first_chunk::<8>()?;
            (
                Some(UnixTime::from_secs(u64::from_le_bytes(*seconds))),
                rest,
            )
        }
    };
    let accepted = NonZeroU64::new(u64::from_le_bytes(*fixed.get(20..)?.first_chunk()?))?;
    let subfolder_len = u16::from_le_bytes([fixed[30], fixed[31]]);
    let (device, rest) = rest.split_at_checked(usize::from(fixed[28]))?;
    let (subfolder, rest) = rest.split_at_checked(usize::from(subfolder_len))?;
    let (tag, payload) = rest.split_at_checked(usize::from(fixed[29]))?;
    Some(Fields {
        accepted,
        device,
        is_state: has(STATE),
        subfolder: has(SUBFOLDER).then_some(subfolder),
        qos: match has(AT_LEAST_ONCE) {
            true => QoS::AtLeastOnce,
            false => QoS::AtMostOnce,
        },
        priority: match has(URGENT) {
            true => Priority::Urgent,
            false => Priority::Ordinary,
        },
        deadline,
        tag: has(TAG).then_some(tag),
        payload,
    })
}
