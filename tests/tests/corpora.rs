//! Runs every committed seed and every past crash with the function of its fuzz target, on stable.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};

use iotcore_gateway_testkit::fuzzing::{TARGETS, Target};

/// The maximum size of a seed, so that it remains readable.
const MOST_BYTES: u64 = 1_024;

fn fuzz(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz")
        .join(folder)
}

/// Returns the entries of a folder, by name; none if there is no such folder.
fn entries(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Returns the names in a folder, without extensions.
fn names(folder: &str) -> BTreeSet<String> {
    let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    entries(&fuzz(folder)).iter().map(name).collect()
}

/// Returns the number of files.
fn replay(target: &Target, folder: &str) -> usize {
    let inputs = entries(&fuzz(folder).join(target.name));
    for path in &inputs {
        let bytes = fs::read(path).unwrap();
        let run = panic::catch_unwind(|| (target.run)(&bytes));
        assert!(run.is_ok(), "{} breaks a guarantee", path.display());
    }
    inputs.len()
}

#[test]
fn every_seed_keeps_the_guarantees() {
    for target in TARGETS {
        let replayed = replay(target, "seeds");
        assert!(
            replayed > 0,
            "fuzz/seeds/{} is missing or empty",
            target.name
        );
    }
}

#[test]
fn no_past_crash_comes_back() {
    for target in TARGETS {
        replay(target, "crashes");
    }
}

#[test]
fn every_target_has_its_program_and_nothing_else_has_seeds_or_crashes() {
    let targets: BTreeSet<_> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("seeds"), targets);
    assert!(names("crashes").is_subset(&targets));
}

#[test]
fn seeds_are_small() {
    for target in TARGETS {
        for path in entries(&fuzz("seeds").join(target.name)) {
            let bytes = fs::metadata(&path).unwrap().len();
            assert!(bytes <= MOST_BYTES, "{} has {bytes} bytes", path.display());
        }
    }
}
