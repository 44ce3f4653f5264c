//! Runs the programs of other packages.

#![allow(unreachable_pub, reason = "shared by several test crates")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

/// Returns the executable of `gateway`, `blocking` or `iotcore-relay`. The first call builds all of them, which takes
/// no time after `cargo test --workspace`.
pub fn executable(name: &str) -> &'static PathBuf {
    static BUILT: LazyLock<BTreeMap<String, PathBuf>> = LazyLock::new(build);
    BUILT.get(name).expect("the program is built")
}

fn build() -> BTreeMap<String, PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    // The variables that Cargo sets for a test of its own package would cause ring, and all its dependents, to be
    // rebuilt.
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(variable);
        }
    }
    // All in one build: the relay alone would be built without the features of the tests, and its dependencies too.
    let built = cargo
        .args(["build", "--workspace", "--bin", "iotcore-relay"])
        .args(["--example", "gateway", "--example", "blocking"])
        .args(["--message-format", "json", "--quiet"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let messages = String::from_utf8(built.stdout).unwrap();
    let executables = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).unwrap();
        let name = message["target"]["name"].as_str()?;
        let file = message["executable"].as_str()?;
        Some((name.to_owned(), PathBuf::from(file)))
    });
    executables.collect()
}
