//! A store of one's own: the messages that a gateway keeps, in an SQLite database.
//!
//! ```no_run
//! # use iotcore_gateway::driver::{Setup, error::StoreError, token_source::TokenSource};
//! # fn setup<T: TokenSource>(setup: Setup<T>) -> Result<Setup<T>, StoreError> {
//! let setup = setup.store(sqlite_store::SqliteStore::open("/var/lib/gateway/messages.db")?);
//! # Ok(setup)
//! # }
//! ```
#![forbid(unsafe_code)]

use std::{num::NonZeroU64, path::Path};

use iotcore_gateway::{
    ClientId,
    auth::UnixTime,
    driver::{error::StoreError, store::Store},
    message::{Priority, PublicationTopic, QoS, Tag},
    store::{OpenError, Record, Recovered, StoreFailure, StoreFailureKind, StoreOp, StoreSeq},
};
use rusqlite::{Connection, ErrorCode, Result, Row, params};

/// Records in a database, which is locked against other processes while it is open.
#[derive(Debug)]
pub struct SqliteStore(Connection);

// A commit is durable once it returns, and a log is synced once for it.
const SCHEMA: &str = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS owner (id INTEGER PRIMARY KEY, client TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS records (seq INTEGER PRIMARY KEY, accepted INTEGER NOT NULL, device TEXT NOT NULL,
        is_state INTEGER NOT NULL, subfolder TEXT, payload BLOB NOT NULL, deadline INTEGER, is_urgent INTEGER NOT NULL, tag TEXT);";
const PUT: &str = "INSERT OR REPLACE INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

impl SqliteStore {
    /// Opens a database, and creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError`] has what SQLite says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let open = |path| {
            Connection::open(path).and_then(|db| db.execute_batch(SCHEMA).map(|()| Self(db)))
        };
        open(path.as_ref()).map_err(unreadable)
    }

    fn owner(&self, client: &ClientId) -> Result<String> {
        self.0.execute(
            "INSERT OR IGNORE INTO owner VALUES (1, ?1)",
            [client.to_string()],
        )?;
        self.0
            .query_row("SELECT client FROM owner", [], |row| row.get(0))
    }

    fn read(&self, each: &mut dyn FnMut(StoreSeq, Record<'_>)) -> Result<Recovered> {
        let mut recovered = Recovered::default();
        let mut select = self.0.prepare("SELECT * FROM records ORDER BY accepted")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            match read_record(row, each)? {
                Some(()) => recovered.records += 1,
                None => recovered.damaged.places += 1,
            }
        }
        Ok(recovered)
    }

    fn write(&self, op: StoreOp<'_>) -> Result<()> {
        if self.0.is_autocommit() && !matches!(op, StoreOp::Commit { .. }) {
            self.0.execute_batch("BEGIN")?;
        }
        match op {
            StoreOp::Put { seq, record } => {
                let (is_state, subfolder) = match record.topic {
                    PublicationTopic::Telemetry(subfolder) => {
                        (false, subfolder.as_ref().map(ToString::to_string))
                    }
                    _ => (true, None),
                };
                self.0.prepare_cached(PUT)?.execute(params![
                    seq.as_u64(),
                    record.accepted.get(),
                    record.device.as_str(),
                    is_state,
                    subfolder,
                    record.payload,
                    record.deadline.map(UnixTime::as_secs),
                    record.priority == Priority::Urgent,
                    record.tag.map(Tag::as_str),
                ])?;
            }
            StoreOp::Remove { seq } => {
                self.0
                    .prepare_cached("DELETE FROM records WHERE seq = ?1")?
                    .execute([seq.as_u64()])?;
            }
            _ if self.0.is_autocommit() => {}
            _ => self.0.execute_batch("COMMIT")?,
        }
        Ok(())
    }
}

/// Passes a record to `each`; `None` if it is none.
fn read_record(row: &Row<'_>, each: &mut dyn FnMut(StoreSeq, Record<'_>)) -> Result<Option<()>> {
    let (device, tag): (String, Option<String>) = (row.get("device")?, row.get("tag")?);
    let subfolder: Option<String> = row.get("subfolder")?;
    let (deadline, numbers): (Option<u64>, [u64; 2]) = (
        row.get("deadline")?,
        [row.get("seq")?, row.get("accepted")?],
    );
    let record = || {
        let [seq, accepted] = numbers.map(NonZeroU64::new);
        let subfolder = subfolder.map(|name| name.parse()).transpose().ok()?;
        Some((
            seq?,
            accepted?,
            device.parse().ok()?,
            subfolder,
            tag.map(|tag| tag.parse()).transpose().ok()?,
        ))
    };
    let Some((seq, accepted, device, subfolder, tag)) = record() else {
        return Ok(None);
    };
    let topic = match row.get("is_state")? {
        true => PublicationTopic::State,
        false => PublicationTopic::Telemetry(subfolder),
    };
    let priority = if row.get("is_urgent")? {
        Priority::Urgent
    } else {
        Priority::Ordinary
    };
    let (payload, deadline) = (
        row.get_ref("payload")?.as_blob()?,
        deadline.map(UnixTime::from_secs),
    );
    let (device, topic, tag, qos) = (&device, &topic, tag.as_ref(), QoS::AtLeastOnce);
    each(
        seq.into(),
        Record {
            accepted,
            device,
            topic,
            qos,
            payload,
            deadline,
            priority,
            tag,
        },
    );
    Ok(Some(()))
}

impl Store for SqliteStore {
    fn restore(
        &mut self,
        client: &ClientId,
        each: &mut dyn FnMut(StoreSeq, Record<'_>),
    ) -> Result<Recovered, StoreError> {
        let owner = self.owner(client).map_err(unreadable)?;
        if owner != client.to_string() {
            return Err(StoreError::Unsuitable(OpenError::OtherClient {
                client: owner.into(),
            }));
        }
        self.read(each).map_err(unreadable)
    }

    fn apply(&mut self, op: StoreOp<'_>) -> Result<(), StoreFailure> {
        self.write(op).map_err(|error| {
            // Nothing since the last commit counts as kept. Where SQLite has rolled back by itself, this fails.
            drop(self.0.execute_batch("ROLLBACK"));
            failure(&error)
        })
    }
}

fn unreadable(error: rusqlite::Error) -> StoreError {
    StoreError::Unreadable(failure(&error))
}

fn failure(error: &rusqlite::Error) -> StoreFailure {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreFailureKind::Full,
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            StoreFailureKind::ReadOnly
        }
        _ => StoreFailureKind::Broken,
    };
    StoreFailure {
        kind,
        detail: error.to_string().into(),
    }
}
