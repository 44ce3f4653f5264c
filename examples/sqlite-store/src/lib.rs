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
    store::{OpenError, Record, Recovered, StoreFailure, StoreFailureKind, StoreOp, StoreSeq},
};
use rusqlite::{Connection, Error, ErrorCode, Params, Result, params};

// It is locked while it is open. A commit is durable once it returns, and costs one sync. Record 0 is the gateway. There is a
// transaction at any time, for what the next commit makes durable.
const OPEN: &str = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS kept (seq INTEGER PRIMARY KEY, accepted INTEGER NOT NULL, record BLOB NOT NULL); BEGIN";
const CLAIM: &str =
    "INSERT INTO kept VALUES (0, 0, ?1) ON CONFLICT DO UPDATE SET accepted = 0 RETURNING record";
const ALL: &str = "SELECT record FROM kept WHERE seq > 0 ORDER BY accepted";

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
        let db = Connection::open(path).map_err(failure)?;
        db.execute_batch(OPEN).map_err(failure)?;
        Ok(Self(db))
    }

    fn run(&self, statement: &str, params: impl Params) -> Result<()> {
        self.0.prepare_cached(statement)?.execute(params).map(drop)
    }
}

impl Store for SqliteStore {
    fn restore(
        &mut self,
        client: &ClientId,
        each: &mut dyn FnMut(StoreSeq, Record<'_>),
    ) -> Result<Recovered, StoreError> {
        let Self(db) = self;
        let owner = db.query_row(CLAIM, [client.to_string()], |row| row.get(0));
        let owner: Box<str> = owner.map_err(failure)?;
        if *owner != *client.to_string() {
            return Err(OpenError::OtherClient { client: owner }.into());
        }
        let mut recovered = Recovered::default();
        let mut select = db.prepare(ALL).map_err(failure)?;
        let rows = select.query_map([], |row| row.get::<_, Vec<u8>>(0));
        for bytes in rows.map_err(failure)? {
            recovered.read(&bytes.map_err(failure)?, each);
        }
        Ok(recovered)
    }

    fn apply(&mut self, op: StoreOp<'_>) -> Result<(), StoreFailure> {
        let done = match op {
            StoreOp::Put { seq, record } => self.run(
                "REPLACE INTO kept VALUES (?, ?, ?)",
                params![seq.as_u64(), record.accepted.get(), record.to_bytes(seq)?],
            ),
            StoreOp::Remove { seq } => self.run("DELETE FROM kept WHERE seq = ?", [seq.as_u64()]),
            StoreOp::Commit { .. } => self.0.execute_batch("COMMIT; BEGIN"),
            _ => Err(Error::InvalidQuery), // of a later version
        };
        // What is half written need not be undone: it comes again. Where SQLite has undone it, there is no transaction.
        done.inspect_err(|_| drop(self.0.execute_batch("BEGIN")))
            .map_err(failure)
    }
}

fn failure(error: Error) -> StoreFailure {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreFailureKind::Full,
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => StoreFailureKind::ReadOnly,
        _ => StoreFailureKind::Broken,
    };
    StoreFailure::new(kind, error)
}
