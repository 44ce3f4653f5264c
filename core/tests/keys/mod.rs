//! The keys of this folder, made by `make.sh`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose};
use iotcore_gateway::Algorithm;

/// Every form of private key that is read, by its file.
pub(crate) const GOOD_KEYS: [(&str, Algorithm); 10] = [
    ("rsa-2048.pkcs8.pem", Algorithm::Rs256),
    ("rsa-2048.pkcs1.pem", Algorithm::Rs256),
    ("p256.pkcs8.pem", Algorithm::Es256),
    ("p256.sec1.pem", Algorithm::Es256),
    ("p256.sec1-params.pem", Algorithm::Es256),
    ("p256.hybrid.pem", Algorithm::Es256),
    ("p256.explicit.pem", Algorithm::Es256),
    ("p256.short.pkcs8.pem", Algorithm::Es256),
    ("p256.short.sec1.pem", Algorithm::Es256),
    ("p256.long.sec1.pem", Algorithm::Es256),
];

pub(crate) fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/keys")
        .join(file)
}

pub(crate) fn read(file: &str) -> Vec<u8> {
    fs::read(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The decoded body of a one-section PEM file.
pub(crate) fn der(pem: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(pem).unwrap();
    let body: String = text
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    general_purpose::STANDARD.decode(body).unwrap()
}
