//! The files that the program reads and writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Reads a text file.
///
/// # Errors
/// A file that cannot be read, or a PEM text in place of its name, which is not repeated.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    check_name(&path.to_string_lossy())?;
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// Checks that a name is not a PEM text, perhaps a key, that was given in its place.
///
/// # Errors
/// It is one, which is not repeated.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    match name.contains("-----") {
        true => Err("a PEM text was given, and must be the name of its file".to_owned()),
        false => Ok(()),
    }
}

/// Creates a folder, with those that it is in, unless it exists.
///
/// # Errors
/// The system's, or a PEM text in place of its name, which is not repeated.
pub(crate) fn create_folder(path: &Path) -> Result<(), String> {
    check_name(&path.to_string_lossy())?;
    fs::create_dir_all(path).map_err(|error| format!("cannot create {}: {error}", path.display()))
}

/// Writes a new file that only its owner can read.
///
/// # Errors
/// The system's, of which one is that the file exists.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    write(options.write(true).create_new(true).open(path)?, text)
}

/// Writes a new file that everybody can read.
///
/// # Errors
/// The system's, of which one is that the file exists.
pub(crate) fn write_public(path: &Path, text: &str) -> io::Result<()> {
    write(File::create_new(path)?, text)
}

fn write(mut file: File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())
}
