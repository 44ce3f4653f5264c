//! A private key in a file that may be replaced while the program runs.

use core::{error::Error, fmt};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    driver::secret_file,
    jwt::{Algorithm, SigningKey},
    private_key::KeyError,
};

/// A key file, and the key that was last read from it.
pub(crate) struct KeyFile {
    path: PathBuf,
    algorithm: Algorithm,
    key: Mutex<Arc<SigningKey>>,
    /// Whether it was a pipe or a device, whose contents can be read only once.
    was_read_up: bool,
}

impl KeyFile {
    /// Reads a key file. Waits for the end of what is written to a pipe.
    pub(crate) fn open(path: &Path, algorithm: Algorithm) -> Result<Self, KeyFileError> {
        let is_regular = is_regular(path)?;
        Ok(Self {
            key: Mutex::new(Arc::new(read(path, algorithm)?)),
            path: path.into(),
            algorithm,
            was_read_up: !is_regular,
        })
    }

    /// Reads the file again. On an error it keeps the key that it has. Waits for nobody: a pipe is not read.
    pub(crate) fn reload(&self) -> Result<(), KeyFileError> {
        if !is_regular(&self.path)? {
            return Err(KeyFileError::NotRegular {
                path: self.path.clone(),
            });
        }
        let key = read(&self.path, self.algorithm)?;
        *self.lock() = Arc::new(key);
        Ok(())
    }

    /// Reads the file again for a token, unless it is the pipe that it was.
    pub(crate) fn renew(&self) -> Result<(), KeyFileError> {
        match self.reload() {
            Err(KeyFileError::NotRegular { .. }) if self.was_read_up => Ok(()),
            // The descriptor in `/dev/fd` may have been closed.
            Err(KeyFileError::Unreadable { .. }) if self.was_read_up => Ok(()),
            reloaded => reloaded,
        }
    }

    /// Returns the key that was last read.
    pub(crate) fn key(&self) -> Arc<SigningKey> {
        Arc::clone(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Arc<SigningKey>> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile")
            .field("path", &self.path)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

fn is_regular(path: &Path) -> Result<bool, KeyFileError> {
    secret_file::is_regular(path).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: io::Error) -> KeyFileError {
    KeyFileError::Unreadable {
        path: secret_file::shown(path),
        error,
    }
}

fn read(path: &Path, algorithm: Algorithm) -> Result<SigningKey, KeyFileError> {
    let pem = secret_file::read(path).map_err(|error| unreadable(path, error))?;
    SigningKey::from_pem(&pem, algorithm).map_err(|error| KeyFileError::Unusable {
        path: path.into(),
        algorithm,
        error,
    })
}

/// A key file that cannot be used. Contains no byte of the key.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file cannot be read.
    Unreadable {
        /// The file, unless this looks like a key.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// What was to be read again is no regular file: a pipe, device or directory. Reading it might wait for ever.
    NotRegular {
        /// The path.
        path: PathBuf,
    },
    /// The file contains no private key that fits the algorithm.
    Unusable {
        /// The file.
        path: PathBuf,
        /// The algorithm.
        algorithm: Algorithm,
        /// The reason.
        error: KeyError,
    },
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => {
                write!(f, "cannot read the key file {}: {error}", path.display())
            }
            Self::NotRegular { path } => write!(
                f,
                "cannot read the key file {} again: it is not a regular file; give the key in one to replace it while the \
                 program runs",
                path.display()
            ),
            Self::Unusable {
                path,
                algorithm,
                error,
            } => write!(f, "no key for {algorithm} in {}: {error}", path.display()),
        }
    }
}

impl Error for KeyFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } => Some(error),
            Self::Unusable { error, .. } => Some(error),
            Self::NotRegular { .. } => None,
        }
    }
}

/// A key file that could not be read again: the key that was read before is used.
#[derive(Debug)]
pub(crate) struct KeyKept(pub(crate) KeyFileError);

impl fmt::Display for KeyKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}; until the file can be used, tokens are signed with the key that was read before",
            self.0
        )
    }
}

impl Error for KeyKept {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}
