//! Why a store cannot be used.

use core::{error::Error, fmt};
use std::{io, path::PathBuf};

use crate::store::{OpenError, StoreFailure};

/// A store cannot be used. Nothing in it was touched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder cannot be created, read or written.
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What is in the way.
        kind: io::ErrorKind,
        /// What the operating system said.
        detail: Box<str>,
    },
    /// The folder has no file of a store, and was opened to be read only.
    NoStore {
        /// The folder.
        folder: PathBuf,
    },
    /// Another process has the folder, or another store of this one.
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The store belongs to another gateway, or was written by a newer version.
    Unsuitable(OpenError),
    /// It cannot be read.
    Unreadable(StoreFailure),
    /// The beginnings of all segments are damaged, so nothing says whose they are. Who knows can still open the store.
    NoOwner,
    /// The setup is a clone of one that was started with this store.
    Taken,
}

impl StoreError {
    pub(crate) fn of_folder(folder: PathBuf, error: &io::Error) -> Self {
        Self::Folder {
            folder,
            kind: error.kind(),
            detail: error.to_string().into(),
        }
    }
}

impl From<StoreFailure> for StoreError {
    fn from(failure: StoreFailure) -> Self {
        Self::Unreadable(failure)
    }
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        Self::Unsuitable(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder {
                folder,
                kind,
                detail,
            } => {
                let advice = match kind {
                    io::ErrorKind::PermissionDenied => {
                        "give this user the right to read and write it"
                    }
                    io::ErrorKind::ReadOnlyFilesystem => {
                        "mount its file system so that it can be written"
                    }
                    io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                        "name a folder, not a file"
                    }
                    io::ErrorKind::NotFound => "create the folder that it is to be in",
                    _ => "mend that, or name another folder",
                };
                write!(f, "the store {}: {detail}: {advice}", folder.display())
            }
            Self::NoStore { folder } => write!(
                f,
                "the folder {} holds no store: it has neither a file `lock` nor a segment, such as `0000000000000001.seg`",
                folder.display()
            ),
            Self::InUse { folder } => write!(
                f,
                "the store {} is in use: give each gateway a folder of its own, and start it once",
                folder.display()
            ),
            Self::Unsuitable(error) => error.fmt(f),
            Self::Unreadable(failure) => write!(f, "it cannot be read: {failure}"),
            Self::NoOwner => f.write_str(
                "the store is damaged where it says which gateway it belongs to: that gateway can still be started on it",
            ),
            Self::Taken => f.write_str(
                "the store was started with a clone of this setup: open one for each that is started",
            ),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unsuitable(error) => Some(error),
            Self::Unreadable(failure) => Some(failure),
            Self::Folder { .. }
            | Self::NoStore { .. }
            | Self::InUse { .. }
            | Self::NoOwner
            | Self::Taken => None,
        }
    }
}
