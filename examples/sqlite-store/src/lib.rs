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

mod row;

use std::path::Path;

use iotcore_gateway::{
    ClientId,
    driver::{error::StoreError, store::Store},
    store::{OpenError, Record, Recovered, StoreFailure, StoreFailureKind, StoreOp, StoreSeq},
};
use rusqlite::{Connection, ErrorCode, Result};

/// Records in a database, which is locked against other processes while it is open.
#[derive(Debug)]
pub struct SqliteStore(Connection);

// A commit is durable once it returns, and costs one sync.
const OPEN: &str =
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS owner (id INTEGER PRIMARY KEY, client TEXT NOT NULL);";

impl SqliteStore {
    /// Opens a database, and creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError`] has what SQLite says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let open = |path| {
            let db = Connection::open(path)?;
            db.execute_batch(OPEN)?;
            db.execute_batch(row::TABLE)?;
            Ok(Self(db))
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
        let mut select = self.0.prepare(row::SELECT)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            match row::read(row, each) {
                Ok(()) => recovered.records += 1,
                Err(_) => recovered.damaged.places += 1, // and the rest goes on
            }
        }
        Ok(recovered)
    }

    fn write(&self, op: StoreOp<'_>) -> Result<()> {
        if self.0.is_autocommit() && !matches!(op, StoreOp::Commit { .. }) {
            self.0.execute_batch("BEGIN")?;
        }
        match op {
            StoreOp::Put { seq, record } => row::put(&self.0, seq, &record),
            StoreOp::Remove { seq } => row::delete(&self.0, seq),
            _ if self.0.is_autocommit() => Ok(()),
            _ => self.0.execute_batch("COMMIT"),
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
