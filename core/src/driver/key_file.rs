//! A private key in a file that may be replaced while the program runs.

use core::{error::Error, fmt};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    driver::secret_file,
    jwt::{Algorithm, KeyError, SigningKey},
};

/// A key file, and the key that was last read from it.
pub(crate) struct KeyFile {
    path: PathBuf,
    algorithm: Algorithm,
    key: Mutex<Arc<SigningKey>>,
}

impl KeyFile {
    /// Reads a key file.
    pub(crate) fn open(path: &Path, algorithm: Algorithm) -> Result<Self, KeyFileError> {
        Ok(Self {
            key: Mutex::new(Arc::new(read(path, algorithm)?)),
            path: path.into(),
            algorithm,
        })
    }

    /// Reads the file again. On an error it keeps the key that it has.
    pub(crate) fn reload(&self) -> Result<(), KeyFileError> {
        let key = read(&self.path, self.algorithm)?;
        *self.lock() = Arc::new(key);
        Ok(())
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

fn read(path: &Path, algorithm: Algorithm) -> Result<SigningKey, KeyFileError> {
    let pem = secret_file::read(path).map_err(|error| KeyFileError::Unreadable {
        path: path.into(),
        error,
    })?;
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
        /// The file.
        path: PathBuf,
        /// The reason.
        error: io::Error,
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
