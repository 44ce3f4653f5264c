//! What a file is called that gives no private key, and what its error keeps to itself.
#![forbid(unsafe_code)]
#![cfg(feature = "jwt")]

mod damage;
mod files;
#[path = "../keys/mod.rs"]
mod keys;

/// Fails if `shown` repeats eight characters of the key's text in a row.
fn assert_secret(pem: &[u8], shown: &str) {
    let text = String::from_utf8_lossy(pem);
    let body = text.lines().filter(|line| !line.starts_with("-----"));
    for window in body.flat_map(|line| line.as_bytes().windows(8)) {
        let window = String::from_utf8_lossy(window);
        assert!(!shown.contains(&*window), "{shown:?} repeats {window:?}");
    }
}
