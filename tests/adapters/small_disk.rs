//! Disks that are small or cannot be written, in memory, which only a child process sees.

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::Folder;

/// Names the disk to the child process.
const DISK: &str = "IOTCORE_TEST_DISK";

/// Mounts what is named first, then runs what is named next.
const MOUNT: &str = r#"mount -t tmpfs -o "$0" none "$1" && shift && exec "$@""#;

/// Runs a test on a disk of its own, with these options of tmpfs: in a child process, which runs the test of this name once
/// more. Where a user may mount nothing, the test is skipped, which is printed.
pub(crate) fn on(options: &str, test: &str, body: impl FnOnce(&Path)) {
    if let Some(disk) = env::var_os(DISK) {
        return body(&PathBuf::from(disk));
    }
    let folder = Folder::new();
    let mounted = |command: &[&str]| {
        let mut child = Command::new("unshare");
        child.args(["--map-root-user", "--mount", "sh", "-c", MOUNT, options]);
        child.arg(folder.path()).args(command);
        child.env(DISK, folder.path());
        child
    };
    let probe = mounted(&["true"]).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        // Not with `eprintln`, whose output the test harness captures.
        let note = "this user may mount nothing (unshare --map-root-user --mount)";
        let _ = writeln!(io::stderr(), "skipped: {note}");
        return;
    }
    let program = env::current_exe().unwrap();
    let name = format!("store::{test}");
    let program = program.to_str().expect("a path in UTF-8");
    let ended = mounted(&[program, "--exact", &name]).output().unwrap();
    let output = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && output.contains("1 passed"),
        "{output}"
    );
}
