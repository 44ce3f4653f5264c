//! Folders that a relay cannot have as its store: it says why, changes nothing, and never goes on without.

use std::{fs, path::Path, process::Command};

use serde_json::json;

use crate::{
    child::{PROGRAM, Relay},
    cloud::{Cloud, offline},
    store::{events, folder, kill, store, stored},
};

/// Returns standard error of a program that does not start.
fn refusal(relay: Relay) -> String {
    let end = relay.wait();
    assert_eq!(end.events, [] as [serde_json::Value; 0]);
    assert_eq!(end.code, Some(1), "{}", end.stderr);
    end.stderr
}

/// Asserts that the first relay has stored three messages, which are still there.
fn assert_unharmed(cloud: &Cloud) {
    let mut relay = Relay::start(&stored(cloud, cloud.options(&[]), &[]));
    for _ in 0..3 {
        relay.expect("restored");
    }
    let end = relay.close();
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(cloud.telemetry("gateway-1"), [b"0", b"1", b"2"]);
}

#[test]
fn a_second_relay_on_a_folder_is_refused_and_the_first_goes_on() {
    let cloud = Cloud::plain();
    let options = stored(&cloud, offline(&cloud, &[]), &[]);
    let mut first = Relay::start(&options);
    store(&mut first, 0..1);
    let stderr = refusal(Relay::start(&options));
    let expected = format!("--store: the store {} is in use", folder(&cloud).display());
    assert!(stderr.contains(&expected), "{stderr}");
    assert!(
        stderr.contains("twice its --drain-timeout: start this one again then"),
        "{stderr}"
    );
    store(&mut first, 1..3);
    kill(first);
    assert_unharmed(&cloud);
}

#[test]
fn a_folder_of_another_gateway_is_refused_by_its_name() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&stored(&cloud, offline(&cloud, &[]), &[]));
    store(&mut relay, 0..3);
    kill(relay);
    let stderr = refusal(Relay::start(&stored(
        &cloud,
        cloud.options_of_gateway_2(&[]),
        &[],
    )));
    let owner = "projects/plant/locations/us-central1/registries/sensors/devices/gateway-1";
    assert!(
        stderr.contains("--store: the store belongs to the gateway"),
        "{stderr}"
    );
    assert!(stderr.contains(owner), "{stderr}");
    assert_unharmed(&cloud);
}

/// Returns the only segment of a store.
pub(crate) fn segment(folder: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut segments: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|end| end == "seg"))
        .collect();
    segments.sort();
    segments.remove(0)
}

#[test]
fn a_folder_of_a_newer_version_is_refused() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&stored(&cloud, offline(&cloud, &[]), &[]));
    store(&mut relay, 0..3);
    kill(relay);
    let segment = segment(&folder(&cloud));
    let written = fs::read(&segment).unwrap();
    let mut newer = written.clone();
    newer[8] = 2;
    let checksum = crc32(&newer[..12]);
    newer[12..16].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&segment, newer).unwrap();
    let stderr = refusal(Relay::start(&stored(&cloud, cloud.options(&[]), &[])));
    assert!(
        stderr.contains("newer version (format 2): update"),
        "{stderr}"
    );
    fs::write(&segment, written).unwrap();
    assert_unharmed(&cloud);
}

/// The checksum of a header, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[test]
fn a_file_and_a_folder_in_none_are_refused() {
    let cloud = Cloud::plain();
    fs::write(folder(&cloud), "").unwrap();
    let stderr = refusal(Relay::start(&stored(&cloud, cloud.options(&[]), &[])));
    assert!(stderr.contains("name a folder, not a file"), "{stderr}");
    let mut options = cloud.options(&["--store"]);
    options.push(cloud.folder.join("none/store").to_str().unwrap().to_owned());
    let stderr = refusal(Relay::start(&options));
    assert!(
        stderr.contains("create the folder that it is to be in"),
        "{stderr}"
    );
}

/// Returns a command that runs the relay as somebody who is not root, and owns the key.
#[cfg(unix)]
fn as_a_user(cloud: &Cloud, options: &[String]) -> Command {
    use std::os::unix::{fs::chown, process::CommandExt};

    const NOBODY: u32 = 65_534;
    let mut command = Command::new(PROGRAM);
    command.args(options);
    let key = cloud.folder.join("gateway.pem");
    // Only root can give the file away.
    if chown(&key, Some(NOBODY), Some(NOBODY)).is_ok() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

#[cfg(unix)]
#[test]
fn a_folder_that_this_user_must_not_write_or_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let cloud = Cloud::plain();
    let options = stored(&cloud, cloud.options(&[]), &[]);
    for mode in [0o555, 0o000] {
        let folder = folder(&cloud);
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        let mut relay = Relay::start_command(as_a_user(&cloud, &options), &[]);
        relay.read();
        let stderr = refusal(relay);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let expected = "give this user the right to read and write it";
        assert!(stderr.contains(expected), "{mode:o}: {stderr}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}

#[cfg(unix)]
#[test]
fn segments_of_another_user_are_no_damage_but_a_reason_not_to_start() {
    use std::os::unix::fs::PermissionsExt;

    let cloud = Cloud::plain();
    let mut relay = Relay::start(&stored(&cloud, offline(&cloud, &[]), &[]));
    store(&mut relay, 0..3);
    kill(relay);
    let folder = folder(&cloud);
    let segment = segment(&folder);
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for (path, mode) in [
        (&folder, 0o777),
        (&folder.join("lock"), 0o666),
        (&segment, 0),
    ] {
        set(path, mode);
    }
    let options = stored(&cloud, cloud.options(&[]), &[]);
    let mut relay = Relay::start_command(as_a_user(&cloud, &options), &[]);
    relay.read();
    let stderr = refusal(relay);
    assert!(stderr.contains("Permission denied"), "{stderr}");
    set(&segment, 0o644);
    assert_unharmed(&cloud);
}

#[cfg(unix)]
#[test]
fn a_fifo_instead_of_a_file_is_refused_and_not_waited_for() {
    let cloud = Cloud::plain();
    let folder = folder(&cloud);
    fs::create_dir(&folder).unwrap();
    for name in ["lock", "0000000000000001.seg"] {
        let path = folder.join(name);
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let stderr = refusal(Relay::start(&stored(&cloud, cloud.options(&[]), &[])));
        let expected = format!("{} is not a file", path.display());
        assert!(stderr.contains(&expected), "{stderr}");
        fs::remove_file(path).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_limit_on_the_size_of_files_is_a_full_store_and_kills_nothing() {
    let cloud = Cloud::plain();
    let options = stored(&cloud, offline(&cloud, &["--drain-timeout", "1"]), &[]);
    let mut limited = Command::new("/bin/sh");
    limited.args(["-c", "ulimit -f 100; exec \"$0\" \"$@\"", PROGRAM]);
    limited.args(&options);
    let mut relay = Relay::start_command(limited, &[]);
    relay.read();
    relay.send(json!({"op": "telemetry", "id": 1, "payload": "x"}));
    assert_eq!(relay.expect("store_failed")["error"], "full");
    let end = relay.close();
    assert_eq!(end.code, Some(3), "{}", end.stderr);
}

#[test]
fn options_of_a_store_without_one_and_values_out_of_range_are_a_usage_error() {
    let cloud = Cloud::plain();
    for (options, part) in [
        (&["--store-linger", "0"][..], "--store <FOLDER>"),
        (&["--store-limit", "2000000"], "--store <FOLDER>"),
        (&["--store-failure", "memory"], "--store <FOLDER>"),
        (
            &["--store", "x", "--store-failure", "ignore"],
            "refuse, memory",
        ),
        (&["--store", "x", "--store-limit", "1000"], "1048576"),
        (&["--store", "x", "--store-linger=-1"], "--store-linger"),
    ] {
        let end = Relay::start(&cloud.options(options)).wait();
        assert_eq!(end.code, Some(2), "{options:?}: {}", end.stderr);
        assert!(end.stderr.contains(part), "{options:?}: {}", end.stderr);
        assert!(events(&end.events, "closed").is_empty());
    }
}
