//! The errors for files without a usable private key, which must not contain key material.
#![forbid(unsafe_code)]
#![cfg(feature = "jwt")]

mod damage;
mod files;
#[path = "../keys/mod.rs"]
mod keys;

/// Asserts that `shown` does not contain eight consecutive characters of the key's text.
fn assert_secret(pem: &[u8], shown: &str) {
    let text = String::from_utf8_lossy(pem);
    let body = text.lines().filter(|line| !line.starts_with("-----"));
    for window in body.flat_map(|line| line.as_bytes().windows(8)) {
        let window = String::from_utf8_lossy(window);
        assert!(!shown.contains(&*window), "{shown:?} repeats {window:?}");
    }
}
