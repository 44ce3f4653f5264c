//! A folder of segments that is only read.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::{Disk, Executed, LOCK, StoreError, check_file, failure, list, read_from};
use crate::store::{DiskOp, SegmentNumber, StoreFailure, StoreFailureKind};

/// A folder of segments that is only read, for tools. Nothing in it is changed, so it may be on a medium that cannot be
/// written.
///
/// While a gateway uses the folder it cannot be opened, because segments change while they would be read, which looks like
/// damage. While this is open, no gateway can use the folder.
#[derive(Debug)]
pub struct ReadOnlyFolder {
    path: PathBuf,
    /// Locked until it is dropped; `None` if no gateway has ever used the folder where it is now.
    _lock: Option<File>,
}

impl ReadOnlyFolder {
    /// Opens a folder.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: it does not exist or cannot be read, holds no store, or is in use.
    pub fn open(path: PathBuf) -> Result<Self, StoreError> {
        let found = list(&path).and_then(|segments| Ok((segments, Self::lock(&path)?)));
        match found {
            Ok((segments, Some(None))) if segments.is_empty() => {
                Err(StoreError::NoStore { folder: path })
            }
            Ok((_, Some(lock))) => Ok(Self { path, _lock: lock }),
            Ok((_, None)) => Err(StoreError::InUse { folder: path }),
            Err(error) => Err(StoreError::of_folder(path, &error)),
        }
    }

    /// Returns the locked file, if there is one; `None` if a gateway has locked it.
    fn lock(path: &Path) -> io::Result<Option<Option<File>>> {
        let lock = path.join(LOCK);
        check_file(&lock)?;
        let file = match File::open(lock) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(None)),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Some(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Disk for ReadOnlyFolder {
    fn files(&mut self) -> Result<Vec<(SegmentNumber, u64)>, StoreFailure> {
        list(&self.path).map_err(|error| failure(&error))
    }

    fn execute(&mut self, op: &DiskOp<'_>) -> Result<Executed, StoreFailure> {
        let DiskOp::Read {
            segment,
            offset,
            len,
        } = *op
        else {
            let detail = "it was opened to be read only";
            return Err(StoreFailure::new(StoreFailureKind::ReadOnly, detail));
        };
        let file = File::open(self.path.join(segment.file_name()));
        let read = file.and_then(|mut file| read_from(&mut file, offset, len));
        read.map(Executed::Read).map_err(|error| failure(&error))
    }
}
