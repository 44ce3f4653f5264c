//! Whether the names of files still lead to them. A file that was deleted, or moved with its folder, is still written and
//! synced without an error, and nobody finds it after a restart.

use std::{fs::File, io, path::Path};

/// Returns whether an open file is what its name leads to.
#[cfg(unix)]
pub(super) fn is_in_place(file: &File, path: &Path) -> io::Result<bool> {
    use std::{fs, os::unix::fs::MetadataExt};

    let named = match fs::metadata(path) {
        Ok(named) => named,
        Err(error) if is_absent(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    let open = file.metadata()?;
    Ok((named.dev(), named.ino()) == (open.dev(), open.ino()))
}

#[cfg(unix)]
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Elsewhere a file does not say what it is.
#[cfg(not(unix))]
pub(super) fn is_in_place(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

/// Constructs the error of a file that is not.
pub(super) fn misplaced(path: &Path, advice: &str) -> io::Error {
    let path = path.display();
    let what = format!("{path} was deleted, moved or replaced while it was in use: {advice}");
    io::Error::new(io::ErrorKind::NotFound, what)
}
