//! Reads files that may hold private keys.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use zeroize::Zeroizing;

/// The size beyond which a file is not one with keys or certificates, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// The size for which there is room at first if the file does not tell its own, as a pipe does not.
const FIRST_BYTES: usize = 16 << 10;

/// Reads a file, and wipes its contents when they are dropped. Waits for what a pipe will contain.
pub(crate) fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(MAX_BYTES);
    // The room for one byte more shows the end.
    read_all(file, (len.min(MAX_BYTES) + 1).max(FIRST_BYTES))
}

/// Returns whether a path leads to a regular file, which can be read again, and without waiting for anybody.
pub(crate) fn is_regular(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.is_file())
}

/// Reads until the end. A vector that grows leaves a copy behind, so it is replaced.
fn read_all(mut source: impl Read, first_len: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut contents = Zeroizing::new(vec![0; first_len]);
    let mut len = 0;
    loop {
        if len > MAX_BYTES {
            let limit = format!("it has more than {MAX_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, limit));
        }
        if len == contents.len() {
            let mut larger = Zeroizing::new(vec![0; 2 * len]);
            larger.split_at_mut(len).0.copy_from_slice(&contents);
            contents = larger;
        }
        match source.read(contents.get_mut(len..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    contents.truncate(len);
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_read_in_any_pieces_up_to_the_limit() {
        let bytes: Vec<_> = (0..100_000_u32).map(|number| number as u8).collect();
        for first_len in [1, 7, 99_999, 100_000, 100_001] {
            let read = read_all(bytes.as_slice(), first_len).unwrap();
            assert_eq!(*read, bytes);
        }
        let at_limit = io::repeat(7).take(MAX_BYTES as u64);
        assert_eq!(read_all(at_limit, 1).unwrap().len(), MAX_BYTES);
        let error = read_all(io::repeat(7), 1).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 16777216 bytes");
    }
}
