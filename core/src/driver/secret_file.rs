//! Reads files that may hold private keys.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
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

/// Returns a path for an error, or a replacement if it is the text of a key: an option or variable is easily given that
/// instead of the name of its file.
pub(crate) fn shown(path: &Path) -> PathBuf {
    /// The length from which on a text of nothing but base64 is taken for a key.
    const MIN_KEY: usize = 60;
    let text = path.to_string_lossy();
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/= \r\n".contains(&byte);
    if text.contains("-----") || text.len() >= MIN_KEY && text.bytes().all(is_base64) {
        return "(not the name of a file but perhaps a key, not shown)".into();
    }
    path.into()
}

/// Returns whether a path leads to a regular file, which can be read again, and without waiting for anybody.
#[cfg(feature = "jwt")]
pub(crate) fn is_regular(path: &Path) -> io::Result<bool> {
    Ok(path.metadata()?.is_file())
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
    fn a_key_instead_of_a_name_is_not_shown() {
        let pem = include_str!("../../tests/keys/p256.sec1.pem");
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        for key in [pem, &body, &pem.replace('\n', " ")] {
            let shown = shown(Path::new(key)).display().to_string();
            assert!(!shown.contains(&body[..16]), "{shown}");
        }
        let long = format!("/etc/{}/gateway-1.key.pem", "folder/".repeat(20));
        for path in ["gateway.pem", "/run/secrets/key", &long] {
            assert_eq!(shown(Path::new(path)), Path::new(path));
        }
    }

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
