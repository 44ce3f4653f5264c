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

use std::path::Path;

use iotcore_gateway::{
    ClientId,
    driver::{error::StoreError, store::Store},
    store::{
        OpenError, Record, Recovered, StoreFailure, StoreFailureKind, StoreOp, StoreSeq,
        StoredRecord,
    },
};
use rusqlite::{Connection, Error, ErrorCode, Result, params};

// It is locked while it is open. A commit is durable once it returns, and costs one sync. Record 0 is the gateway.
const OPEN: &str =
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS records (seq INTEGER PRIMARY KEY, accepted INTEGER NOT NULL, record BLOB NOT NULL);";
const CLAIM: &str = "INSERT OR IGNORE INTO records VALUES (0, 0, ?1)";
const OWNER: &str = "SELECT record FROM records WHERE seq = 0";
const ALL: &str = "SELECT record FROM records WHERE seq > 0 ORDER BY accepted";
const PUT: &str = "INSERT OR REPLACE INTO records VALUES (?1, ?2, ?3)";
const REMOVE: &str = "DELETE FROM records WHERE seq = ?1";

/// Records in a database, which is locked against other processes while it is open.
#[derive(Debug)]
pub struct SqliteStore(Connection);

impl SqliteStore {
    /// Opens a database, and creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError`] has what SQLite says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let db = Connection::open(path).map_err(unreadable)?;
        db.execute_batch(OPEN).map_err(unreadable)?;
        Ok(Self(db))
    }

    /// Returns the gateway that the database belongs to: this one, if it is new.
    fn owner(&self, client: &ClientId) -> Result<Vec<u8>> {
        self.0.execute(CLAIM, [client.to_string().into_bytes()])?;
        self.0.query_row(OWNER, [], |row| row.get(0))
    }

    fn read(&self, each: &mut dyn FnMut(StoreSeq, Record<'_>)) -> Result<Recovered> {
        let mut recovered = Recovered::default();
        let mut select = self.0.prepare(ALL)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            match StoredRecord::from_bytes(row.get_ref(0)?.as_bytes()?) {
                Some(found) => {
                    each(found.seq(), found.record());
                    recovered.records += 1;
                }
                None => recovered.damaged.places += 1, // and the rest goes on
            }
        }
        Ok(recovered)
    }

    fn write(&self, op: StoreOp<'_>) -> Result<()> {
        if self.0.is_autocommit() {
            self.0.execute_batch("BEGIN")?;
        }
        match op {
            StoreOp::Put { seq, record } => {
                let bytes = record.to_bytes(seq);
                let bytes = bytes.map_err(|error| Error::ToSqlConversionFailure(error.into()))?;
                let row = params![seq.as_u64(), record.accepted.get(), bytes];
                self.0.prepare_cached(PUT)?.execute(row).map(drop)
            }
            StoreOp::Remove { seq } => {
                let mut remove = self.0.prepare_cached(REMOVE)?;
                remove.execute([seq.as_u64()]).map(drop)
            }
            StoreOp::Commit { .. } => self.0.execute_batch("COMMIT"),
            _ => Err(Error::InvalidQuery), // of a later version
        }
    }
}

impl Store for SqliteStore {
    fn restore(
        &mut self,
        client: &ClientId,
        each: &mut dyn FnMut(StoreSeq, Record<'_>),
    ) -> Result<Recovered, StoreError> {
        let owner = self.owner(client).map_err(unreadable)?;
        if owner != client.to_string().as_bytes() {
            return Err(StoreError::Unsuitable(OpenError::OtherClient {
                client: String::from_utf8_lossy(&owner).into(),
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

fn unreadable(error: Error) -> StoreError {
    StoreError::Unreadable(failure(&error))
}

fn failure(error: &Error) -> StoreFailure {
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
