//! The keys of devices that authenticate themselves, in a folder: used, added, replaced, damaged.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use crate::{child::Relay, cloud::Cloud, telemetry};

/// Creates the folder of the keys, with that of `boiler-7`.
fn keys(cloud: &Cloud) -> PathBuf {
    let folder = cloud.folder.join("keys");
    fs::create_dir(&folder).unwrap();
    write(&folder.join("boiler-7.pem"), &cloud.device_key.private_pem);
    folder
}

fn write(file: &PathBuf, pem: &str) {
    fs::write(file, pem).unwrap();
    #[cfg(unix)]
    fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

fn attach(id: u64, device: &str) -> serde_json::Value {
    json!({"op": "attach", "id": id, "device": device})
}

/// Starts a relay with these keys and options, and attaches `boiler-7`, which has one.
fn start(cloud: &Cloud, keys: &Path, options: &[&str]) -> Relay {
    let options = [&["--device-keys", keys.to_str().unwrap()], options].concat();
    let mut relay = Relay::start(&cloud.options_of_gateway_2(&options));
    relay.send(attach(1, "boiler-7"));
    assert_eq!(relay.expect_end(1)["event"], "done");
    relay
}

#[test]
fn a_device_with_a_key_is_attached_on_each_connection_and_asks_for_no_token() {
    let cloud = Cloud::plain();
    let keys = keys(&cloud);
    let mut relay = start(
        &cloud,
        &keys,
        &["--token-lifetime", "2", "--backoff-min", "10"],
    );
    // Longer than its first token lives.
    for id in 2..5 {
        relay.expect("connected");
        relay.expect("attached");
        relay.send(telemetry(id, "71"));
        assert_eq!(relay.expect_end(id)["event"], "done");
    }
    let end = relay.close();
    end.assert_closed(0);
    assert!(
        end.events
            .iter()
            .all(|event| event["event"] != "token_needed")
    );
    assert_eq!(end.stderr, "");
    assert_eq!(cloud.telemetry("boiler-7").len(), 3);
}

#[test]
fn a_key_of_either_kind_that_is_added_later_is_found() {
    let cloud = Cloud::plain();
    let keys = keys(&cloud);
    let public = include_str!("../../../core/tests/keys/rsa-2048.pub.pem");
    cloud.act(|bridge, _| bridge.set_public_keys("pump-1", &[public]));
    let mut relay =
        Relay::start(&cloud.options_of_gateway_2(&["--device-keys", keys.to_str().unwrap()]));
    relay.send(attach(1, "pump-1"));
    assert_eq!(relay.expect_end(1)["error"], "gateway_attachment_error");
    let private = include_str!("../../../core/tests/keys/rsa-2048.pkcs8.pem");
    write(&keys.join("pump-1.pem"), private);
    relay.send(attach(2, "pump-1"));
    assert_eq!(relay.expect_end(2)["event"], "done");
    write(&keys.join("stranger-1.pem"), "no key");
    relay.send(attach(3, "stranger-1"));
    let failed = relay.expect_end(3);
    assert_eq!(
        (&failed["error"], &failed["retry"]),
        (&"no_token".into(), &"backoff".into())
    );
    let detail = failed["detail"].as_str().unwrap();
    assert!(
        detail.contains("stranger-1.pem: the key is not PEM"),
        "{detail}"
    );
    relay.close().assert_closed(0);
}

#[cfg(unix)]
#[test]
fn a_hangup_reads_the_keys_of_devices_again_and_says_which_cannot_be_used() {
    let cloud = Cloud::plain();
    let keys = keys(&cloud);
    let mut relay = start(&cloud, &keys, &["--backoff-min", "10"]);
    write(&keys.join("boiler-7.pem"), "");
    write(&keys.join("pump-1.pem"), &cloud.device_key.private_pem);
    write(&keys.join("x.pem"), &cloud.device_key.private_pem);
    write(&keys.join("README"), "");
    relay.signal("HUP");
    for id in 2..7 {
        relay.send(json!({"op": "telemetry", "id": id, "payload": "x"}));
        relay.expect_end(id);
    }
    // The last key remains.
    cloud.cut("gateway-2");
    relay.expect("disconnected");
    relay.expect("attached");
    let end = relay.close();
    end.assert_closed(0);
    let folder = keys.display();
    for part in [
        format!("--device-keys: no key for ES256 in {folder}/boiler-7.pem: the key is empty"),
        format!(
            "--device-keys: {folder}/x.pem: its name is not that of a device, followed by .pem: "
        ),
        format!("--device-keys {folder}: 1 read again, each for the next token of its device"),
    ] {
        assert!(end.stderr.contains(&part), "{part}: {}", end.stderr);
    }
}

#[cfg(unix)]
#[test]
fn a_key_of_a_device_that_others_may_read_is_noted() {
    let cloud = Cloud::plain();
    let keys = keys(&cloud);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(keys.join("boiler-7.pem"), mode).unwrap();
    let end = Relay::start(&cloud.options(&["--device-keys", keys.to_str().unwrap()])).close();
    end.assert_closed(0);
    let note = format!(
        "--device-keys {}/boiler-7.pem: its mode is 0644",
        keys.display()
    );
    assert!(end.stderr.contains(&note), "{}", end.stderr);
}

#[cfg(unix)]
#[test]
fn what_is_no_key_file_in_the_folder_is_left_alone() {
    let cloud = Cloud::plain();
    let keys = keys(&cloud);
    write(&keys.join("boiler-7.pub.pem"), "a public key");
    write(&keys.join(".boiler-7.pem"), "an editor's copy");
    let fifo = Command::new("mkfifo").arg(keys.join("pump-1.pem")).status();
    assert!(fifo.unwrap().success());
    let relay = start(&cloud, &keys, &[]);
    relay.close().assert_closed(0);
}

#[test]
fn a_folder_that_holds_no_keys_of_devices_ends_the_start_with_exit_code_1() {
    let cloud = Cloud::plain();
    let folder = cloud.folder.join("other");
    fs::create_dir(&folder).unwrap();
    let file = |name: &str, text: &str| {
        let file = folder.join(name);
        write(&file, text);
        file
    };
    let refusal = |folder: &PathBuf| {
        let options = cloud.options(&["--device-keys", folder.to_str().unwrap()]);
        let end = Relay::start(&options).close();
        assert_eq!((end.code, end.events.len()), (Some(1), 0), "{}", end.stderr);
        end.stderr
    };
    let missing = refusal(&cloud.folder.join("missing"));
    assert!(
        missing.contains("--device-keys: cannot read the folder: No such file"),
        "{missing}"
    );
    let public = file("boiler-7.pem", &cloud.device_key.public_pem);
    let told = refusal(&folder);
    assert!(
        told.contains("boiler-7.pem: this is a public key"),
        "{told}"
    );
    fs::remove_file(public).unwrap();
    file("a+b.pem", &cloud.device_key.private_pem);
    let told = refusal(&folder);
    assert!(
        told.contains("a+b.pem: its name is not that of a device"),
        "{told}"
    );
}
