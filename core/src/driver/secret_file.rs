//! Reads files that may hold private keys.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use zeroize::Zeroizing;

/// The size beyond which a file is not one with keys or certificates, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Reads a file, and wipes its contents when they are dropped.
pub(crate) fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len().min(MAX_BYTES);
    // With the room for one byte more it does not grow, which would leave a copy behind.
    let capacity = usize::try_from(len).unwrap_or_default() + 1;
    let mut contents = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(MAX_BYTES + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > MAX_BYTES {
        let limit = format!("it has more than {MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, limit));
    }
    Ok(contents)
}
