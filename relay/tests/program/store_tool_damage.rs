//! `iotcore-relay store` on what is damaged, or only looks like it.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    process::Command,
};

use serde_json::json;

use crate::{
    child::{PROGRAM, Relay},
    cloud::Cloud,
    store::{events, folder, stored},
    store_folders::segment,
    store_tool::{fill, text, tool, written},
};

const OWNER: [&str; 8] = [
    "--project",
    "plant",
    "--location",
    "us-central1",
    "--registry",
    "sensors",
    "--gateway",
    "gateway-1",
];

#[test]
fn a_file_that_was_never_a_segment_is_named_and_is_no_damage() {
    let cloud = Cloud::plain();
    fill(&cloud);
    let before = written("check", &folder(&cloud));
    for content in ["", "something else"] {
        fs::write(folder(&cloud).join("ffffffffffffffff.seg"), content).unwrap();
        let output = tool("check", &folder(&cloud));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(text(&output.stdout), before);
        let stderr = text(&output.stderr);
        assert!(
            stderr.contains("ffffffffffffffff.seg is no segment of this store"),
            "{stderr}"
        );
    }
    let mut relay = Relay::start(&stored(&cloud, cloud.options(&[]), &[]));
    relay.expect("connected");
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    relay.send(json!({"op": "attach", "id": 2, "device": "pump-1"}));
    let end = relay.close();
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(events(&end.events, "restored").len(), 4);
    assert_eq!(events(&end.events, "store_damaged").len(), 0);
}

#[test]
fn damage_is_told_and_the_rest_is_read() {
    let cloud = Cloud::plain();
    fill(&cloud);
    let path = segment(&folder(&cloud));
    let content = fs::read(&path).unwrap();
    let place = content
        .windows(3)
        .position(|bytes| bytes == b"r 1")
        .unwrap();
    let mut file = File::options().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(place as u64)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(place as u64)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
    for (task, lines) in [("check", 7), ("show", 3), ("export", 5)] {
        let output = tool(task, &folder(&cloud));
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert_eq!(text(&output.stdout).lines().count(), lines, "{output:?}");
        let stderr = text(&output.stderr);
        assert!(stderr.contains("damaged in 1 places"), "{stderr}");
    }
    let mut relay = Relay::start(&stored(&cloud, cloud.options(&[]), &[]));
    let damaged = relay.expect("store_damaged");
    assert_eq!(damaged["places"], 1);
    relay.expect("connected");
    let restored = relay
        .seen
        .iter()
        .filter(|event| event["event"] == "restored");
    assert_eq!(restored.count(), 3);
}

#[test]
fn a_folder_that_does_not_say_whose_it_is_is_read_by_who_names_its_gateway() {
    let cloud = Cloud::plain();
    fill(&cloud);
    let folder = folder(&cloud);
    let path = segment(&folder);
    let mut content = fs::read(&path).unwrap();
    content[0] ^= 1;
    fs::write(&path, content).unwrap();
    let run = |task, options: &[&str], variables: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.env_clear().args(["store", task]).arg(&folder);
        command.args(options);
        for variable in variables.chunks(2) {
            let name = variable[0].trim_start_matches('-').to_uppercase();
            command.env(format!("IOTCORE_{name}"), variable[1]);
        }
        command.output().unwrap()
    };
    for (task, lines) in [("check", 7), ("show", 4), ("export", 6)] {
        for too_little in [&[][..], &OWNER[2..]] {
            let output = run(task, too_little, &[]);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            let stderr = text(&output.stderr);
            assert!(
                stderr.contains(
                    "does not say which gateway it belongs to, because it is damaged there or cannot be read: name that, with --project, --location, \
                     --registry and --gateway"
                ),
                "{stderr}"
            );
        }
        for (options, variables) in [
            (&OWNER[..], &[][..]),
            (&[], &OWNER),
            (&OWNER[6..], &OWNER[..6]),
        ] {
            let output = run(task, options, variables);
            let written = text(&output.stdout);
            assert_eq!(written.lines().count(), lines, "{output:?}");
            assert_eq!(output.status.code(), Some(3), "{output:?}");
            let stderr = text(&output.stderr);
            assert!(
                stderr.contains("if that is another than was named here"),
                "{stderr}"
            );
            if task == "check" {
                assert!(
                    written.contains("registries/sensors/devices/gateway-1\nmessages:   4, "),
                    "{written}"
                );
            }
        }
    }
}

#[test]
fn a_store_that_says_whose_it_is_is_read_although_another_gateway_is_named() {
    let cloud = Cloud::plain();
    fill(&cloud);
    let mut command = Command::new(PROGRAM);
    command
        .env_clear()
        .args(["store", "check"])
        .arg(folder(&cloud));
    command
        .args(&OWNER[..6])
        .env("IOTCORE_GATEWAY", "gateway-2");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let written = text(&output.stdout);
    assert!(
        written.contains("devices/gateway-1\nmessages:   4, "),
        "{written}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_read_is_told_from_damage_and_the_rest_is_read() {
    let cloud = Cloud::plain();
    fill(&cloud);
    // Reading the first byte of a process's memory fails as a broken disk does.
    for name in ["0000000000000000.seg", "0000000000000009.seg"] {
        let unread = folder(&cloud).join(name);
        std::os::unix::fs::symlink("/proc/self/mem", &unread).unwrap();
        for (task, lines) in [("check", 7), ("show", 4), ("export", 6)] {
            let output = tool(task, &folder(&cloud));
            assert_eq!(output.status.code(), Some(3), "{output:?}");
            assert_eq!(text(&output.stdout).lines().count(), lines, "{output:?}");
            let stderr = text(&output.stderr);
            assert!(
                stderr.contains("of the files, 1 cannot be read"),
                "{stderr}"
            );
            assert!(!stderr.contains("damaged"), "{stderr}");
        }
        fs::remove_file(unread).unwrap();
    }
}
