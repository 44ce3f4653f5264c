//! `iotcore-relay store`, which looks at what a relay has left.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use iotcore_gateway_tokio::{
    auth::UnixTime,
    message::{Priority, PublicationTopic, QoS},
    store::{Record, SegmentStore, Store, StoreOp, StoreSeq},
};
use serde_json::{Value, json};

use crate::{
    child::{PROGRAM, Relay},
    cloud::{Cloud, offline},
    schema,
    store::{folder, kill, stored},
    store_folders::segment,
};

pub(crate) fn tool(task: &str, folder: &Path) -> Output {
    let mut command = Command::new(PROGRAM);
    command.env_clear().args(["store", task]).arg(folder);
    command.output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// Returns what the tool writes about an intact store.
pub(crate) fn written(task: &str, folder: &Path) -> String {
    let output = tool(task, folder);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    text(&output.stdout).to_owned()
}

fn messages() -> Vec<Value> {
    vec![
        json!({"op": "telemetry", "id": 1, "device": "boiler-7", "qos": 1, "payload": "71", "subfolder": "a/b", "tag": "r 1"}),
        json!({"op": "telemetry", "id": 2, "qos": 1, "payload_base64": "/wA=", "priority": "urgent"}),
        json!({"op": "state", "id": 3, "device": "pump-1", "qos": 1, "payload": "warm"}),
        json!({"op": "telemetry", "id": 4, "device": "boiler-7", "qos": 1, "payload": "72", "expires_after": 600.0}),
    ]
}

/// Leaves the messages in a store.
pub(crate) fn fill(cloud: &Cloud) {
    let mut relay = Relay::start(&stored(cloud, offline(cloud, &[]), &[]));
    for device in ["boiler-7", "pump-1"] {
        relay.send(json!({"op": "attach", "id": device, "device": device}));
    }
    for message in messages() {
        relay.send(message);
        relay.expect("stored");
    }
    kill(relay);
}

#[test]
fn show_writes_a_line_for_each_message_without_its_payload() {
    let cloud = Cloud::plain();
    fill(&cloud);
    let shown = written("show", &folder(&cloud));
    let (first, rest) = shown.rsplit_once(", expires in ").unwrap();
    assert_eq!(
        first,
        "1 boiler-7 telemetry/a/b, 2 bytes, tag \"r 1\"\n2 gateway-1 telemetry, 2 bytes, urgent\n3 pump-1 state, 4 bytes\n\
         4 boiler-7 telemetry, 2 bytes"
    );
    let seconds = rest.strip_suffix(" s\n").unwrap().parse::<u64>().unwrap();
    assert!((500..=601).contains(&seconds), "{seconds}");
}

#[test]
fn check_writes_whose_the_store_is_and_how_much_it_holds() {
    let cloud = Cloud::plain();
    fill(&cloud);
    let before = fs::read(segment(&folder(&cloud))).unwrap();
    let checked = written("check", &folder(&cloud));
    assert_eq!(
        checked,
        "gateway:    projects/plant/locations/us-central1/registries/sensors/devices/gateway-1\n\
         messages:   4, 10 bytes\n  boiler-7: 2\n  gateway-1: 1\n  pump-1: 1\n\
         damaged:    0 places, 0 bytes\nunfinished: 0 places, 0 bytes, as a power cut leaves them\n"
    );
    assert_eq!(fs::read(segment(&folder(&cloud))).unwrap(), before);
}

#[test]
fn what_is_exported_is_what_another_relay_sends() {
    let cloud = Cloud::plain();
    fill(&cloud);
    let exported = written("export", &folder(&cloud));
    let lines: Vec<Value> = exported
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &lines {
        assert!(schema::is_operation(line), "{line}");
    }
    let mut expected = messages();
    for (place, device) in [(0, "boiler-7"), (3, "pump-1")] {
        let attach = json!({"op": "attach", "id": format!("attach {device}"), "device": device});
        expected.insert(place, attach);
    }
    let left = lines.last().unwrap()["expires_after"].as_f64().unwrap();
    assert!((500.0..=601.0).contains(&left), "{left}");
    *expected.last_mut().unwrap() = lines.last().unwrap().clone();
    assert_eq!(lines, expected);

    // Into another folder, where the same is exported then.
    let other = cloud.folder.join("other");
    let mut options = offline(&cloud, &["--store"]);
    options.push(other.to_str().unwrap().to_owned());
    let mut relay = Relay::start(&options);
    for line in &lines {
        relay.send(line);
    }
    for _ in messages() {
        relay.expect("stored");
    }
    kill(relay);
    let sorted = |text: String| {
        let mut lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for line in &mut lines {
            line["id"].take();
            line["expires_after"].take();
        }
        lines.sort_by_key(Value::to_string);
        lines
    };
    assert_eq!(sorted(written("export", &other)), sorted(exported.clone()));

    let mut relay = Relay::start(&cloud.options(&[]));
    for line in &lines {
        relay.send(line);
    }
    let end = relay.close();
    end.assert_closed(0);
    assert_eq!(cloud.telemetry("boiler-7"), [b"71", b"72"]);
    assert_eq!(cloud.telemetry("gateway-1"), [b"\xff\x00"]);
}

/// A machine without a clock battery boots in 1970: for it, the messages are as far in the future as these are here.
#[test]
fn while_the_clock_is_wrong_nothing_that_expires_is_exported() {
    let cloud = Cloud::plain();
    fill(&cloud);
    let folder = folder(&cloud);
    let mut store = SegmentStore::open(&folder).unwrap();
    let owner = store.owner().unwrap().unwrap();
    let mut last = None;
    let mut each = |seq: StoreSeq, record: Record<'_>| last = Some((seq, record.accepted));
    store.restore(&owner, &mut each).unwrap();
    let (seq, accepted) = last.unwrap();
    let (seq, accepted) = (seq.next(), accepted.checked_add(1).unwrap());
    let record = Record {
        accepted,
        device: owner.gateway(),
        topic: &PublicationTopic::State,
        qos: QoS::AtLeastOnce,
        payload: b"x",
        deadline: Some(UnixTime::from_secs(9_000_000_000)),
        priority: Priority::Ordinary,
        tag: None,
    };
    store.apply(StoreOp::Put { seq, record }).unwrap();
    store.apply(StoreOp::Commit { through: seq }).unwrap();
    drop(store);

    let export = tool("export", &folder);
    assert_eq!((export.status.code(), text(&export.stdout)), (Some(1), ""));
    assert!(text(&export.stderr).contains("the clock of this machine is wrong"));
    let shown = written("show", &folder);
    let last = shown.lines().last().unwrap();
    assert!(
        last.ends_with("state, 1 bytes, expires 9000000000 s after 1970"),
        "{last}"
    );
    assert!(written("check", &folder).contains("messages:   5, "));
}

#[test]
fn a_store_in_use_is_not_read_and_one_that_is_not_there_is_not_made() {
    let cloud = Cloud::plain();
    let none = folder(&cloud);
    for task in ["check", "show", "export"] {
        let output = tool(task, &none);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("No such file"), "{output:?}");
        assert!(!none.exists());
    }
    let mut relay = Relay::start(&stored(&cloud, offline(&cloud, &[]), &[]));
    relay.send(json!({"op": "telemetry", "id": 1, "payload": "x"}));
    relay.expect("stored");
    for task in ["check", "show", "export"] {
        let output = tool(task, &folder(&cloud));
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(output.stdout, b"");
        let stderr = text(&output.stderr);
        assert!(
            stderr.contains("is in use: end the relay first"),
            "{stderr}"
        );
    }
    kill(relay);
    assert_eq!(written("show", &folder(&cloud)).lines().count(), 1);
}

#[test]
fn a_folder_of_something_else_is_no_empty_store() {
    let cloud = Cloud::plain();
    let folder = folder(&cloud);
    fs::create_dir(&folder).unwrap();
    for other in [None, Some("notes.txt"), Some("1.seg")] {
        if let Some(name) = other {
            fs::write(folder.join(name), "x").unwrap();
        }
        for task in ["check", "show", "export"] {
            let output = tool(task, &folder);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert_eq!(text(&output.stdout), "");
            let expected = format!(
                "{} holds no store: it has neither a file `lock` nor a segment, such as `0000000000000001.seg`",
                folder.display()
            );
            let stderr = text(&output.stderr);
            assert!(stderr.contains(&expected), "{stderr}");
        }
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);

    // A relay was started on this one, and has stored nothing.
    let mut relay = Relay::start(&stored(&cloud, offline(&cloud, &[]), &[]));
    relay.send(json!({"op": "stats"}));
    relay.expect("stats");
    kill(relay);
    let checked = written("check", &folder);
    assert!(checked.contains("messages:   0, 0 bytes"), "{checked}");
}

#[test]
fn a_tool_needs_a_folder_and_no_options_of_a_relay() {
    let cloud = Cloud::plain();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.env_clear().args(arguments).output().unwrap()
    };
    for arguments in [&["store"][..], &["store", "check"], &["store", "mend", "x"]] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let mut options = cloud.options(&["store", "check"]);
    options.push(cloud.folder.to_str().unwrap().to_owned());
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    assert_eq!(run(&options).status.code(), Some(2));
}
