//! A record as a row of a table.

use std::{num::NonZeroU64, str::FromStr};

use iotcore_gateway::{
    auth::UnixTime,
    message::{Priority, PublicationTopic, QoS, Tag},
    store::{Record, StoreSeq},
};
use rusqlite::{Connection, Error, Result, Row, params};

pub(crate) const TABLE: &str = "CREATE TABLE IF NOT EXISTS records (
    seq INTEGER PRIMARY KEY, accepted INTEGER NOT NULL, device TEXT NOT NULL, is_state INTEGER NOT NULL, subfolder TEXT,
    payload BLOB NOT NULL, deadline INTEGER, is_urgent INTEGER NOT NULL, tag TEXT)";
pub(crate) const SELECT: &str = "SELECT * FROM records ORDER BY accepted";
const PUT: &str = "INSERT OR REPLACE INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const DELETE: &str = "DELETE FROM records WHERE seq = ?1";

pub(crate) fn put(db: &Connection, seq: StoreSeq, record: &Record<'_>) -> Result<()> {
    let (is_state, subfolder) = match record.topic {
        PublicationTopic::Telemetry(subfolder) => (false, subfolder.as_ref()),
        _ => (true, None),
    };
    let row = params![
        seq.as_u64(),
        record.accepted.get(),
        record.device.as_str(),
        is_state,
        subfolder.map(ToString::to_string),
        record.payload,
        record.deadline.map(UnixTime::as_secs),
        record.priority == Priority::Urgent,
        record.tag.map(Tag::as_str),
    ];
    db.prepare_cached(PUT)?.execute(row).map(drop)
}

pub(crate) fn delete(db: &Connection, seq: StoreSeq) -> Result<()> {
    let mut delete = db.prepare_cached(DELETE)?;
    delete.execute([seq.as_u64()]).map(drop)
}

/// Passes the record in a row to `each`. Fails if it is none.
pub(crate) fn read(row: &Row<'_>, each: &mut dyn FnMut(StoreSeq, Record<'_>)) -> Result<()> {
    let (seq, accepted) = (number(row, "seq")?, number(row, "accepted")?);
    let device = parsed(row, "device")?.ok_or(Error::InvalidQuery)?;
    let topic = match row.get("is_state")? {
        true => PublicationTopic::State,
        false => PublicationTopic::Telemetry(parsed(row, "subfolder")?),
    };
    let priority = match row.get("is_urgent")? {
        true => Priority::Urgent,
        false => Priority::Ordinary,
    };
    let tag = parsed(row, "tag")?;
    let record = Record {
        accepted,
        device: &device,
        topic: &topic,
        qos: QoS::AtLeastOnce, // others are never stored
        payload: row.get_ref("payload")?.as_blob()?,
        deadline: row
            .get::<_, Option<u64>>("deadline")?
            .map(UnixTime::from_secs),
        priority,
        tag: tag.as_ref(),
    };
    each(seq.into(), record);
    Ok(())
}

fn number(row: &Row<'_>, column: &str) -> Result<NonZeroU64> {
    NonZeroU64::new(row.get(column)?).ok_or(Error::InvalidQuery)
}

fn parsed<T: FromStr>(row: &Row<'_>, column: &str) -> Result<Option<T>> {
    let text: Option<String> = row.get(column)?;
    let parsed = text.map(|text| text.parse()).transpose();
    parsed.map_err(|_| Error::InvalidQuery)
}
