//! A folder of segments on a real disk.

mod in_place;
mod read_only;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf, absolute},
    thread,
};

use self::in_place::{is_in_place, misplaced};
pub use self::read_only::ReadOnlyFolder;
use super::{Disk, Executed, StoreError};
use crate::{
    store::{DiskOp, SegmentNumber, StoreFailure, StoreFailureKind},
    time::Duration,
};

/// The file that is locked while the folder is in use.
const LOCK: &str = "lock";

/// How often a lock is tried. A child process that was started a moment ago has the lock of a store that has ended until it
/// runs its own program.
const LOCK_ATTEMPTS: u32 = 20;

const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// What to do if a segment is not where it was. What a single one held is written anew.
const SEGMENT_ADVICE: &str =
    "if this goes on, put it back, or start the program again, which may report what is missing";

/// As many files are kept open.
const OPEN_FILES: usize = 4;

/// A segment is filled with zeros in pieces of this size.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// A folder of segments, locked against other processes, and other stores of this one.
///
/// On Unix, nothing is reported as durable that a restart would not find. If the segment that is written was deleted or
/// replaced, what it held is written anew. While the folder is moved or unmounted, all fails; also if the file `lock` was
/// deleted or replaced, because another process may have the folder then, until the program is started again. If several
/// segments were deleted, the same holds at once; if an older one was, from the next on.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Locked until it is dropped.
    lock: File,
    /// The segments that were there, or were created.
    known: BTreeSet<SegmentNumber>,
    open: BTreeMap<SegmentNumber, File>,
}

impl Folder {
    /// Opens a folder, and creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: it cannot be created, read or written, or it is in use.
    pub fn open(path: PathBuf) -> Result<Self, StoreError> {
        // The program may change its current folder.
        let locked = Self::lock(&path).and_then(|lock| Ok((lock, absolute(&path)?)));
        match locked {
            Ok((Some(lock), path)) => Ok(Self {
                path,
                lock,
                known: BTreeSet::new(),
                open: BTreeMap::new(),
            }),
            Ok((None, _)) => Err(StoreError::InUse { folder: path }),
            Err(error) => Err(StoreError::of_folder(path, &error)),
        }
    }

    /// Returns the locked file; `None` if another has locked it.
    #[expect(
        clippy::disallowed_methods,
        reason = "it is no part of the machine, and waits for a disk anyway"
    )]
    fn lock(path: &Path) -> io::Result<Option<File>> {
        if !path.is_dir() {
            fs::create_dir(path)?;
            if let Some(parent) = path.parent() {
                sync_folder(parent)?;
            }
        }
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let lock = path.join(LOCK);
        check_file(&lock)?;
        let file = options.open(lock)?;
        for _ in 0..LOCK_ATTEMPTS {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    fn file_path(&self, segment: SegmentNumber) -> PathBuf {
        self.path.join(segment.file_name())
    }

    /// Returns the file of a segment.
    fn file(&mut self, segment: SegmentNumber) -> io::Result<&mut File> {
        if !self.open.contains_key(&segment) {
            let path = self.file_path(segment);
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            self.keep(segment, file);
        }
        self.open
            .get_mut(&segment)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Keeps a file open, and closes the oldest segment instead.
    fn keep(&mut self, segment: SegmentNumber, file: File) {
        if self.open.len() >= OPEN_FILES {
            self.open.pop_first();
        }
        self.open.insert(segment, file);
    }

    fn create(&mut self, segment: SegmentNumber, bytes: u64) -> io::Result<()> {
        let path = self.file_path(segment);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let mut file = options.open(path)?;
        let mut left = bytes;
        while left > 0 {
            let len = left.min(ZEROS.len() as u64);
            let zeros = ZEROS.get(..len as usize).unwrap_or(&ZEROS);
            file.write_all(zeros)?;
            left -= len;
        }
        self.keep(segment, file);
        self.known.insert(segment);
        Ok(())
    }

    fn read(&mut self, segment: SegmentNumber, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        read_from(self.file(segment)?, offset, len)
    }

    fn write(&mut self, segment: SegmentNumber, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(segment)?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    fn sync(&mut self, segment: SegmentNumber) -> io::Result<()> {
        self.file(segment)?.sync_data()?;
        self.check_lock()?;
        let path = self.file_path(segment);
        if is_in_place(self.file(segment)?, &path)? {
            return Ok(());
        }
        self.known.remove(&segment);
        self.check_known()?;
        Err(misplaced(&path, SEGMENT_ADVICE))
    }

    /// Checks that no other process can have the folder.
    fn check_lock(&self) -> io::Result<()> {
        let path = self.path.join(LOCK);
        match is_in_place(&self.lock, &path)? {
            true => Ok(()),
            false => Err(misplaced(
                &path,
                "until it is back, or the program was started again, nothing is stored",
            )),
        }
    }

    /// Checks that all segments are there that were not deleted here, but for one that was reported.
    fn check_known(&self) -> io::Result<()> {
        let absent = |path: &PathBuf| matches!(path.try_exists(), Ok(false));
        let mut paths = self.known.iter().map(|segment| self.file_path(*segment));
        paths
            .find(absent)
            .map_or(Ok(()), |path| Err(misplaced(&path, SEGMENT_ADVICE)))
    }

    fn recycle(&mut self, segment: SegmentNumber, to: SegmentNumber) -> io::Result<()> {
        self.known.remove(&segment);
        fs::rename(self.file_path(segment), self.file_path(to))?;
        self.known.insert(to);
        if let Some(file) = self.open.remove(&segment) {
            self.keep(to, file);
        }
        Ok(())
    }

    fn delete(&mut self, segment: SegmentNumber) -> io::Result<()> {
        self.open.remove(&segment);
        self.known.remove(&segment);
        match fs::remove_file(self.file_path(segment)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn perform(&mut self, op: &DiskOp<'_>) -> io::Result<Executed> {
        // After a sync, it is checked before that counts.
        if !matches!(op, DiskOp::Read { .. } | DiskOp::Sync { .. }) {
            self.check_lock()?;
        }
        match *op {
            DiskOp::Create { segment, bytes } => {
                self.check_known()?;
                self.create(segment, bytes)?;
            }
            DiskOp::Write {
                segment,
                offset,
                bytes,
            } => self.write(segment, offset, bytes)?,
            DiskOp::Sync { segment } => self.sync(segment)?,
            DiskOp::SyncFolder => sync_folder(&self.path)?,
            DiskOp::Recycle { segment, to } => self.recycle(segment, to)?,
            DiskOp::Delete { segment } => self.delete(segment)?,
            DiskOp::Read {
                segment,
                offset,
                len,
            } => return Ok(Executed::Read(self.read(segment, offset, len)?)),
        }
        Ok(Executed::Done)
    }
}

impl Disk for Folder {
    fn files(&mut self) -> Result<Vec<(SegmentNumber, u64)>, StoreFailure> {
        let files = list(&self.path).map_err(|error| failure(&error))?;
        self.known = files.iter().map(|(segment, _)| *segment).collect();
        Ok(files)
    }

    fn execute(&mut self, op: &DiskOp<'_>) -> Result<Executed, StoreFailure> {
        self.perform(op).map_err(|error| failure(&error))
    }
}

/// Returns the segments in a folder, with their sizes: none for one about which the file system says nothing because it is broken.
fn list(path: &Path) -> io::Result<Vec<(SegmentNumber, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        if let Some(segment) = name.to_str().and_then(SegmentNumber::from_file_name) {
            let path = entry.path();
            let found = check_file(&path).and_then(|()| fs::metadata(path));
            match found {
                Ok(found) => files.push((segment, found.len())),
                Err(error) if is_of_file(&error) => files.push((segment, 0)),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(files)
}

/// Checks that this is a file, if it is there: to open a FIFO may take for ever.
fn check_file(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} is not a file", path.display()),
        )),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Returns whether an error concerns one file only, which the store can do without until it is mended.
fn is_of_file(error: &io::Error) -> bool {
    let is_a_file = error.kind() != io::ErrorKind::InvalidInput;
    is_a_file && failure(error).kind == StoreFailureKind::Broken
}

fn read_from(file: &mut File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::with_capacity(len);
    file.take(len as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes the entries of a folder durable, where that is possible.
fn sync_folder(path: &Path) -> io::Result<()> {
    // An empty path is the current folder.
    let path = match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    };
    if cfg!(unix) {
        return File::open(path)?.sync_all();
    }
    Ok(())
}

/// The numbers of ENOMEM, ENFILE and EMFILE on Unix, which have no kind of their own.
const EXHAUSTED: [i32; 3] = [12, 23, 24];

/// The numbers of errors that concern what is on the medium, or one file of it: EIO on Unix, and on Linux ENODATA, EBADMSG,
/// EILSEQ, ESTALE, EUCLEAN and EREMOTEIO.
const BROKEN: [i32; 7] = [5, 61, 74, 84, 116, 117, 121];

fn failure(error: &io::Error) -> StoreFailure {
    let number = error.raw_os_error().filter(|_| cfg!(unix));
    let kind = match (error.kind(), number) {
        (_, Some(number)) if EXHAUSTED.contains(&number) => StoreFailureKind::Exhausted,
        (
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge
            | io::ErrorKind::WriteZero,
            _,
        ) => StoreFailureKind::Full,
        (io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied, _) => {
            StoreFailureKind::ReadOnly
        }
        (_, Some(number)) if !BROKEN.contains(&number) => StoreFailureKind::Unreachable,
        (io::ErrorKind::NotFound | io::ErrorKind::InvalidInput, None) => {
            StoreFailureKind::Unreachable
        }
        _ => StoreFailureKind::Broken,
    };
    StoreFailure::new(kind, error)
}

#[cfg(test)]
mod tests;
