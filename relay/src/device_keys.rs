//! The keys of devices that authenticate themselves: each in a file of its own, all in one folder.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use iotcore_gateway_tokio::{
    Algorithm, DeviceId, KeyTokens,
    auth::{KeyError, MintError},
    error::KeyFileError,
    id::IdError,
};

/// What follows the id of the device in the name of its file.
const EXTENSION: &str = "pem";

/// A folder with the private keys of devices. A file is read when its device first needs a token, and again for each further
/// one; if it cannot be used any more, the last key that was read from it remains in use.
#[derive(Debug)]
pub(crate) struct DeviceKeys {
    folder: PathBuf,
    /// The lifetime of each token.
    lifetime: Duration,
    opened: Mutex<BTreeMap<DeviceId, Arc<KeyTokens>>>,
}

/// A file that is to hold the key of a device.
pub(crate) struct DeviceKeyFile {
    pub(crate) path: PathBuf,
    /// Its device, or why its name is that of none.
    device: Result<DeviceId, DeviceKeysError>,
}

impl DeviceKeys {
    /// Reads all keys that are in the folder.
    pub(crate) fn open(folder: PathBuf, lifetime: Duration) -> Result<Self, DeviceKeysError> {
        let keys = Self {
            folder,
            lifetime,
            opened: Mutex::default(),
        };
        for file in keys.files()? {
            keys.key(&file.device?, &file.path)?;
        }
        Ok(keys)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the source of a device's tokens; `None` if it has no file.
    pub(crate) fn of(&self, device: &DeviceId) -> Option<Result<Arc<KeyTokens>, DeviceKeysError>> {
        if let Some(opened) = self.lock().get(device) {
            return Some(Ok(Arc::clone(opened)));
        }
        let path = self.folder.join(format!("{device}.{EXTENSION}"));
        is_file(&path).then(|| self.key(device, &path))
    }

    /// Reads all keys again, and those that are new. Returns how many can be used, and the errors of the others: the last keys
    /// that were read from their files remain in use.
    pub(crate) fn reload(&self) -> (usize, Vec<DeviceKeysError>) {
        let files = match self.files() {
            Ok(files) => files,
            Err(error) => return (0, vec![error]),
        };
        let mut errors = Vec::new();
        let count = files.len();
        for file in files {
            let read = file.device.and_then(|device| self.key(&device, &file.path));
            match read.map(|key| key.reload()) {
                Ok(unusable) => errors.extend(unusable.into_iter().map(DeviceKeysError::Key)),
                Err(error) => errors.push(error),
            }
        }
        (count - errors.len(), errors)
    }

    /// Returns the files of the folder that are to hold keys.
    pub(crate) fn files(&self) -> Result<Vec<DeviceKeyFile>, DeviceKeysError> {
        let entries = fs::read_dir(&self.folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let paths = entries.map_err(DeviceKeysError::Folder)?.into_iter();
        let paths = paths.map(|entry| entry.path());
        let keys = paths
            .filter(|path| is_named_as_key(path) && is_file(path))
            .map(|path| {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                let device = DeviceId::try_from(&*name);
                let device = device.map_err(|error| DeviceKeysError::Name(path.clone(), error));
                DeviceKeyFile { path, device }
            });
        Ok(keys.collect())
    }

    /// Returns the key of a device, which is read from this file if it was not before.
    fn key(&self, device: &DeviceId, path: &Path) -> Result<Arc<KeyTokens>, DeviceKeysError> {
        let mut opened = self.lock();
        if let Some(key) = opened.get(device) {
            return Ok(Arc::clone(key));
        }
        let key = read(path).map_err(DeviceKeysError::Key)?;
        let key = key
            .lifetime(self.lifetime)
            .map_err(DeviceKeysError::Lifetime)?;
        let key = Arc::new(key);
        opened.insert(device.clone(), Arc::clone(&key));
        Ok(key)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceId, Arc<KeyTokens>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a name is that of a private key: not of a public one beside it, nor hidden, as editors name their copies.
fn is_named_as_key(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with('.') && name.ends_with(".pem") && !name.ends_with(".pub.pem")
}

/// Returns whether there is a file to read: not a FIFO, on which reading would wait. What is there and cannot be looked at is
/// read, so that its error is reported.
fn is_file(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(found) => found.is_file(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Reads a key, which determines its algorithm.
fn read(path: &Path) -> Result<KeyTokens, KeyFileError> {
    match KeyTokens::from_pem_file(path, Algorithm::Es256) {
        Err(KeyFileError::Unusable {
            error: KeyError::RsaForEs256,
            ..
        }) => KeyTokens::from_pem_file(path, Algorithm::Rs256),
        read => read,
    }
}

/// The reason why a folder has what is no key of a device.
#[derive(Debug)]
pub(crate) enum DeviceKeysError {
    /// The folder cannot be read.
    Folder(io::Error),
    /// The name of this file is not that of a device.
    Name(PathBuf, IdError),
    /// A file cannot be read, or contains no key.
    Key(KeyFileError),
    /// The lifetime of the tokens is out of range.
    Lifetime(MintError),
}

impl fmt::Display for DeviceKeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(error) => write!(
                f,
                "cannot read the folder: {error}; it must hold a file <device id>.{EXTENSION} for each device that has a key"
            ),
            Self::Name(path, error) => write!(
                f,
                "{}: its name is not that of a device, followed by .{EXTENSION}: {error}",
                path.display()
            ),
            Self::Key(error) => error.fmt(f),
            Self::Lifetime(error) => error.fmt(f),
        }
    }
}

impl Error for DeviceKeysError {}
