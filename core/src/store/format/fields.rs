//! The fields of a Put.

use core::num::NonZeroU64;

use super::{ALIGNMENT, IN_BOUNDS, Kind, RECORD_HEADER, RecordHeader, append_padding};
use crate::{
    command::{Priority, PublicationTopic},
    mqtt::QoS,
    store::{
        Record,
        record_too_large::{MAX_PAYLOAD, RecordTooLarge},
    },
    time::UnixTime,
};

/// The bytes of a record without texts and payload, at most.
const LONGEST_FIXED: usize = RECORD_HEADER + 8 + 8 + 1 + 2 + 1 + ALIGNMENT;

const AT_LEAST_ONCE: u8 = 1;
const URGENT: u8 = 2;
const STATE: u8 = 4;
const SUBFOLDER: u8 = 8;
const DEADLINE: u8 = 16;
const TAG: u8 = 32;
/// The place in the order of acceptance has eight bytes, not four.
const FAR: u8 = 128;

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
    let subfolder = subfolder.map(|subfolder| subfolder.as_str().as_bytes());
    let tag = record.tag.map(|tag| tag.as_str().as_bytes());
    let accepted = record.accepted.get().to_le_bytes();
    let is_far = u32::try_from(record.accepted.get()).is_err();
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let flags = flag(record.qos == QoS::AtLeastOnce, AT_LEAST_ONCE)
        | flag(record.priority == Priority::Urgent, URGENT)
        | flag(is_state, STATE)
        | flag(subfolder.is_some(), SUBFOLDER)
        | flag(record.deadline.is_some(), DEADLINE)
        | flag(tag.is_some(), TAG)
        | flag(is_far, FAR);

    let start = out.len();
    out.reserve(LONGEST_FIXED + device.len() + payload.len());
    out.extend_from_slice(&[0; RECORD_HEADER]);
    match is_far {
        false => out.extend_from_slice(&accepted[..4]),
        true => out.extend_from_slice(&accepted),
    }
    if let Some(deadline) = record.deadline {
        out.extend_from_slice(&deadline.as_secs().to_le_bytes());
    }
    // An id has at most 255 bytes, a subfolder 256 characters, a tag 64 bytes.
    out.push(device.len() as u8);
    out.extend_from_slice(device);
    if let Some(subfolder) = subfolder {
        out.extend_from_slice(&(subfolder.len() as u16).to_le_bytes());
        out.extend_from_slice(subfolder);
    }
    if let Some(tag) = tag {
        out.push(tag.len() as u8);
        out.extend_from_slice(tag);
    }
    out.extend_from_slice(payload);
    let header = RecordHeader {
        kind: Kind::Put,
        flags,
        len: (out.len() - start) as u32,
        seq: seq.get(),
    };
    let begin = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut);
    *begin.expect(IN_BOUNDS) = header.unsealed();
    append_padding(out);
    Ok(())
}

/// Reads the fields of a whole Put, without its padding; `None` if they contradict each other.
#[inline]
pub(crate) fn read_put(flags: u8, record: &[u8]) -> Option<Fields<'_>> {
    let has = |flag: u8| flags & flag != 0;
    let (_, rest) = record.split_first_chunk::<RECORD_HEADER>()?;
    let (accepted, rest) = match has(FAR) {
        false => take(rest).map(|(place, rest)| (u32::from_le_bytes(place).into(), rest)),
        true => take(rest).map(|(place, rest)| (u64::from_le_bytes(place), rest)),
    }?;
    let (deadline, rest) = optional(has(DEADLINE), rest, |rest| {
        let (seconds, rest) = take(rest)?;
        Some((UnixTime::from_secs(u64::from_le_bytes(seconds)), rest))
    })?;
    let (device, rest) = short_text(rest)?;
    let (subfolder, rest) = optional(has(SUBFOLDER), rest, |rest| {
        let (len, rest) = take(rest)?;
        rest.split_at_checked(u16::from_le_bytes(len).into())
    })?;
    let (tag, payload) = optional(has(TAG), rest, short_text)?;
    Some(Fields {
        accepted: NonZeroU64::new(accepted)?,
        device,
        is_state: has(STATE),
        subfolder,
        qos: match has(AT_LEAST_ONCE) {
            true => QoS::AtLeastOnce,
            false => QoS::AtMostOnce,
        },
        priority: match has(URGENT) {
            true => Priority::Urgent,
            false => Priority::Ordinary,
        },
        deadline,
        tag,
        payload,
    })
}

/// Takes a number's bytes.
fn take<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    let (taken, rest) = bytes.split_first_chunk()?;
    Some((*taken, rest))
}

/// Takes a text of at most 255 bytes, after its length.
fn short_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*len))
}

/// Takes a field, if it is there.
fn optional<'a, T>(
    is_there: bool,
    bytes: &'a [u8],
    take: impl FnOnce(&'a [u8]) -> Option<(T, &'a [u8])>,
) -> Option<(Option<T>, &'a [u8])> {
    match is_there {
        false => Some((None, bytes)),
        true => take(bytes).map(|(field, rest)| (Some(field), rest)),
    }
}
