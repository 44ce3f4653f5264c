//! A store in segments.

use std::path::PathBuf;

use super::{Disk, Executed, Folder, ReadOnlyFolder, Store, StoreError};
use crate::{
    id::ClientId,
    store::{
        Damage, DiskOp, LONGEST_HEADER, LogEvent, LogOptions, Record, Recovered, Recovery,
        SegmentLog, StoreFailure, StoreFailureKind, StoreOp, StoreSeq, read_owner,
    },
};

/// A store that keeps its records in segments: files of 4 MiB to which it only appends, in a folder of its own.
///
/// It always starts: what is damaged is set aside and counted. After an outage, the folder shrinks to a few segments. The
/// folder belongs to one gateway, by its client id, and to one process at a time.
///
/// ```no_run
/// # use iotcore_gateway::{ClientId, driver::{*, store::SegmentStore}};
/// # fn setup<T: token_source::TokenSource>(setup: Setup<T>) -> Result<Setup<T>, Box<dyn std::error::Error>> {
/// let store = SegmentStore::open("/var/lib/gateway/store")?;
/// let setup = setup.store(store);
/// # Ok(setup)
/// # }
/// ```
#[derive(Debug)]
pub struct SegmentStore<D = Folder> {
    disk: D,
    options: LogOptions,
    /// There once the store was read.
    log: Option<SegmentLog>,
    damage: Damage,
}

impl SegmentStore {
    /// Opens the store in this folder, and creates the folder if it does not exist; the one that it is in has to. It is read
    /// by [`Setup::start`](crate::driver::Setup::start).
    ///
    /// # Errors
    ///
    /// [`StoreError`] names the folder: it cannot be created, read or written, or it is in use.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Ok(Self::on(Folder::open(folder.into())?))
    }

    /// Opens the store in this folder for a tool, which reads it with [`owner`](Self::owner) and
    /// [`restore`](Store::restore). Nothing in it is changed.
    ///
    /// # Errors
    ///
    /// [`StoreError`] names the folder: it does not exist or cannot be read, holds no store, or a gateway uses it.
    pub fn open_read_only(
        folder: impl Into<PathBuf>,
    ) -> Result<SegmentStore<ReadOnlyFolder>, StoreError> {
        Ok(SegmentStore::on(ReadOnlyFolder::open(folder.into())?))
    }
}

impl<D: Disk> SegmentStore<D> {
    /// Keeps the segments on this disk.
    pub fn on(disk: D) -> Self {
        Self {
            disk,
            options: LogOptions::default(),
            log: None,
            damage: Damage::default(),
        }
    }

    /// Sets the sizes of the segments and of all of them together.
    #[must_use]
    pub fn options(mut self, options: LogOptions) -> Self {
        self.options = options;
        self
    }

    /// Returns the gateway that the store belongs to, as its newest segment says that is intact and can be read; `None` if nothing
    /// was written.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: the disk does not answer, or the store was written by a newer version, or no segment says whose it is.
    pub fn owner(&mut self) -> Result<Option<ClientId>, StoreError> {
        let mut files = self.disk.files()?;
        files.sort_unstable();
        let mut is_blank = true;
        for (segment, _) in files.into_iter().rev() {
            let head = self.disk.execute(&DiskOp::Read {
                segment,
                offset: 0,
                len: LONGEST_HEADER,
            });
            let head = match head {
                Ok(Executed::Read(head)) => head,
                Ok(Executed::Done) => continue,
                Err(failure) if failure.kind != StoreFailureKind::Broken => {
                    return Err(failure.into());
                }
                Err(_) => {
                    is_blank = false;
                    continue;
                }
            };
            if let Some(owner) = read_owner(&head)? {
                return Ok(Some(owner));
            }
            is_blank &= head.iter().all(|byte| *byte == 0);
        }
        match is_blank {
            true => Ok(None),
            false => Err(StoreError::NoOwner),
        }
    }

    /// Does what the log asks the disk for next; returns whether there was anything.
    fn step(disk: &mut D, log: &mut SegmentLog) -> bool {
        let Some(op) = log.poll_disk() else {
            return false;
        };
        match disk.execute(&op) {
            Ok(Executed::Done) => log.handle_done(),
            Ok(Executed::Read(bytes)) => log.handle_read(&bytes),
            Err(failure) => log.handle_failed(failure),
        }
        true
    }
}

impl<D: Disk> Store for SegmentStore<D> {
    fn restore(
        &mut self,
        client: &ClientId,
        each: &mut dyn FnMut(StoreSeq, Record<'_>),
    ) -> Result<Recovered, StoreError> {
        let files = self.disk.files()?;
        let mut recovery = Recovery::new(client, self.options, files);
        loop {
            while let Some(found) = recovery.poll_record() {
                each(found.seq(), found.record());
            }
            let Some(op) = recovery.poll_disk() else {
                break;
            };
            match self.disk.execute(&op) {
                Ok(Executed::Read(bytes)) => recovery.handle_read(&bytes),
                Ok(Executed::Done) => recovery.handle_read(&[]),
                // It is no error of this file: it may be intact, so it is not taken for damaged.
                Err(failure) if failure.kind != StoreFailureKind::Broken => {
                    return Err(failure.into());
                }
                Err(failure) => recovery.handle_failed(&failure),
            }
        }
        let (log, recovered) = recovery.finish()?;
        self.log = Some(log);
        Ok(recovered)
    }

    fn apply(&mut self, op: StoreOp<'_>) -> Result<(), StoreFailure> {
        let failed = |detail| StoreFailure::new(StoreFailureKind::Broken, detail);
        let Some(log) = &mut self.log else {
            return Err(failed("it was not read before"));
        };
        let is_commit = matches!(op, StoreOp::Commit { .. });
        log.apply(op)?;
        if !is_commit {
            return Ok(());
        }
        loop {
            match log.poll_event() {
                Some(LogEvent::Committed { .. }) => return Ok(()),
                Some(LogEvent::Failed(failure)) => return Err(failure),
                Some(event) => note(&mut self.damage, &event),
                None if Self::step(&mut self.disk, log) => {}
                None => return Err(failed("a commit was not answered")),
            }
        }
    }

    fn tidy(&mut self) {
        if let Some(log) = &mut self.log {
            while Self::step(&mut self.disk, log) {}
            while let Some(event) = log.poll_event() {
                note(&mut self.damage, &event);
            }
        }
    }

    fn damage(&self) -> Damage {
        let lost = self.log.as_ref().map_or(0, |log| log.stats().lost);
        Damage {
            places: self.damage.places + lost,
            ..self.damage
        }
    }
}

/// Counts a segment that cannot be read, and is left as it is.
fn note(damage: &mut Damage, event: &LogEvent) {
    if let LogEvent::SetAside { bytes, .. } = event {
        damage.add(*bytes);
    }
}
