//! The file with the gateway's key: replaced while the relay runs, damaged, and readable by others.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    thread,
};

use iotcore_gateway_testkit::keys::DeviceKey;
use serde_json::json;

use crate::{
    child::Relay,
    cloud::{Cloud, write_key},
};

/// Lets some operations end, so that the relay has handled what arrived before them.
fn round_trips(relay: &mut Relay, first: u64) {
    for id in first..first + 5 {
        relay.send(json!({"op": "telemetry", "id": id, "payload": "x"}));
        assert_eq!(relay.expect_end(id)["event"], "done");
    }
}

#[test]
fn a_replaced_key_signs_the_next_token() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--backoff-min", "10"]));
    relay.expect("connected");
    let key = DeviceKey::generate().unwrap();
    write_key(&cloud.folder, &key.private_pem);
    cloud.act(|bridge, _| bridge.set_public_keys("gateway-1", &[&key.public_pem]));
    cloud.cut("gateway-1");
    relay.expect("disconnected");
    // The bridge refuses the old key.
    let next = relay.expect_where("a next attempt", |event| {
        event["event"] == "connected" || event["event"] == "disconnected"
    });
    assert_eq!(next, json!({"event": "connected"}));
    let end = relay.close();
    end.assert_closed(0);
    assert_eq!(end.stderr, "");
}

#[test]
fn a_key_that_cannot_be_read_again_is_noted_and_the_old_one_remains_in_use() {
    let cloud = Cloud::plain();
    let file = cloud.folder.join("gateway.pem");
    let mut relay = Relay::start(&cloud.options(&["--backoff-min", "10"]));
    relay.expect("connected");
    fs::write(&file, "").unwrap();
    cloud.cut("gateway-1");
    relay.expect("connected");
    fs::remove_file(&file).unwrap();
    cloud.cut("gateway-1");
    relay.expect("connected");
    round_trips(&mut relay, 1);
    let end = relay.close();
    end.assert_closed(0);
    let file = file.display();
    let kept = "until the file can be used, tokens are signed with the key that was read before";
    let notes: Vec<_> = end.stderr.lines().collect();
    assert_eq!(notes.len(), 2, "{notes:#?}");
    for (note, problem) in notes.iter().zip([
        format!("no key for ES256 in {file}: the key is empty; "),
        format!("cannot read the key file {file}: No such file"),
    ]) {
        let begin = format!("iotcore-relay: the token for gateway-1: {problem}");
        assert!(note.starts_with(&begin) && note.ends_with(kept), "{note}");
    }
}

#[test]
fn a_hangup_reads_the_key_again_and_ends_nothing() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--backoff-min", "10"]));
    relay.expect("connected");
    let key = DeviceKey::generate().unwrap();
    write_key(&cloud.folder, &key.private_pem);
    relay.signal("HUP");
    round_trips(&mut relay, 1);
    fs::write(cloud.folder.join("gateway.pem"), "no key").unwrap();
    relay.signal("HUP");
    round_trips(&mut relay, 11);
    // The key that was read at the first one is used now.
    cloud.act(|bridge, _| bridge.set_public_keys("gateway-1", &[&key.public_pem]));
    cloud.cut("gateway-1");
    relay.expect("connected");
    let end = relay.close();
    end.assert_closed(0);
    let notes: Vec<_> = end.stderr.lines().collect();
    let [read, failed, ..] = notes[..] else {
        panic!("{notes:#?}");
    };
    assert!(
        read.ends_with("gateway.pem: read again, for the next token"),
        "{read}"
    );
    assert!(failed.contains("the key is not PEM"), "{failed}");
    assert!(
        failed.ends_with("; the key that was read before remains in use"),
        "{failed}"
    );
}

#[test]
fn a_key_that_others_may_read_is_noted_with_its_mode() {
    let cloud = Cloud::plain();
    let file = cloud.folder.join("gateway.pem");
    for (mode, shown) in [(0o644, Some("0644")), (0o440, Some("0440")), (0o400, None)] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let mut relay = Relay::start(&cloud.options(&[]));
        relay.expect("connected");
        let end = relay.close();
        end.assert_closed(0);
        let file = file.display();
        let expected = shown.map(|mode| {
            format!(
                "iotcore-relay: --key {file}: its mode is {mode}, which gives other users of this machine access to the \
                 private key: `chmod 600 '{file}'`\n"
            )
        });
        assert_eq!(end.stderr, expected.unwrap_or_default());
    }
}

fn make_fifo(file: &Path) {
    assert!(Command::new("mkfifo").arg(file).status().unwrap().success());
}

#[test]
fn a_key_from_a_pipe_is_read_once_and_kept_without_a_word() {
    let cloud = Cloud::plain();
    let file = cloud.folder.join("gateway.pem");
    let key = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    make_fifo(&file);
    let writer = {
        let file = file.clone();
        thread::spawn(move || fs::write(file, key).unwrap())
    };
    let mut relay = Relay::start(&cloud.options(&["--backoff-min", "10"]));
    relay.expect("connected");
    writer.join().unwrap();
    cloud.cut("gateway-1");
    relay.expect("connected");
    relay.signal("HUP");
    round_trips(&mut relay, 1);
    let end = relay.close();
    end.assert_closed(0);
    let expected = format!(
        "iotcore-relay: --key: cannot read the key file {} again: it is not a regular file",
        file.display()
    );
    assert!(end.stderr.starts_with(&expected), "{}", end.stderr);
    assert_eq!(end.stderr.lines().count(), 1, "{}", end.stderr);
}

#[test]
fn a_key_file_that_became_a_pipe_stops_nothing() {
    let cloud = Cloud::plain();
    let file = cloud.folder.join("gateway.pem");
    let mut relay = Relay::start(&cloud.options(&["--backoff-min", "10"]));
    relay.expect("connected");
    fs::remove_file(&file).unwrap();
    make_fifo(&file);
    relay.signal("HUP");
    round_trips(&mut relay, 1);
    cloud.cut("gateway-1");
    relay.expect("connected");
    round_trips(&mut relay, 11);
    let end = relay.close();
    end.assert_closed(0);
    let notes: Vec<_> = end.stderr.lines().collect();
    assert_eq!(notes.len(), 2, "{notes:#?}");
    for note in notes {
        assert!(note.contains("again: it is not a regular file"), "{note}");
    }
}
