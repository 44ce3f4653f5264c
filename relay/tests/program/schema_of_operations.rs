//! The schema of the operations, compared with what the program reads.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{child::Relay, cloud::Cloud, schema};

/// Sends a line, and returns why it is `invalid`, or `None` if it is not.
fn complaint(relay: &mut Relay, line: &Value) -> Option<String> {
    let number = relay.lines_sent + 1;
    relay.send(line);
    let next = format!("after line {number}");
    relay.send(json!({"op": "stats", "id": next}));
    let answer = relay.expect_where("an answer", |event| {
        event["event"] == "invalid" && event["line"] == number || event["id"] == *next
    });
    if answer["event"] == "stats" {
        return None;
    }
    relay.expect_where("the next answer", |event| event["id"] == *next);
    Some(answer["detail"].as_str().unwrap().to_owned())
}

/// Returns the names that the parser lists as those that it expects.
fn expected_names(complaint: &str) -> BTreeSet<String> {
    let (_, list) = complaint.split_once("expected").unwrap_or_default();
    let names = list.split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

#[test]
fn the_schema_names_exactly_the_operations_and_members_that_the_program_reads() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&[]));
    let schema = schema::operations();
    let listed = schema::listed(&schema);
    let names: BTreeSet<_> = listed.iter().map(|(name, _)| name.clone()).collect();
    let unknown = complaint(&mut relay, &json!({"op": "dance"})).unwrap();
    assert_eq!(expected_names(&unknown), names);
    for (name, definition) in listed {
        let unknown = complaint(&mut relay, &json!({"op": name, "dance": 1})).unwrap();
        assert!(unknown.contains("`dance`"), "{unknown}");
        let members = definition["properties"].as_object().unwrap().keys();
        let members: BTreeSet<_> = members.filter(|name| *name != "op").cloned().collect();
        assert_eq!(expected_names(&unknown), members, "{name}: {unknown}");
    }
    relay.close().assert_closed(0);
}

#[test]
fn every_operation_in_the_examples_of_the_schema_is_accepted() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--acknowledge", "manual"]));
    relay.expect("config");
    let schema = schema::operations();
    for (name, definition) in schema::listed(&schema) {
        let examples = definition["examples"].as_array().unwrap();
        assert!(!examples.is_empty(), "{name} has no example");
        for example in examples.iter().filter(|example| example["op"] != "close") {
            assert!(schema::is_operation(example), "{example}");
            assert_eq!(complaint(&mut relay, example), None, "{example}");
        }
    }
    relay.send(json!({"op": "close"}));
    let end = relay.wait();
    end.assert_closed(0);
    let is_mistake = |event: &&Value| {
        event["error"]
            .as_str()
            .is_some_and(|e| e.starts_with("illegal"))
    };
    assert_eq!(end.events.iter().find(is_mistake), None);
}

#[test]
fn a_line_that_the_schema_refuses_is_refused_and_one_that_it_takes_is_no_invalid_line() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--acknowledge", "manual"]));
    relay.expect("config");
    let schema = schema::operations();
    let mut id = 100;
    for (name, definition) in schema::listed(&schema) {
        if name == "close" {
            continue;
        }
        let members: Vec<_> = definition["properties"]
            .as_object()
            .unwrap()
            .keys()
            .collect();
        for example in definition["examples"].as_array().unwrap() {
            for member in members.iter().filter(|member| **member != "op") {
                for value in [
                    None,
                    Some(json!(null)),
                    Some(json!(true)),
                    Some(json!(-1)),
                    Some(json!(0)),
                    Some(json!(1)),
                    Some(json!(2)),
                    Some(json!(0.5)),
                    Some(json!("a")),
                    Some(json!("%")),
                    Some(json!("AAA=")),
                    Some(json!("urgent")),
                    Some(json!("boiler-7")),
                    Some(json!([])),
                    Some(json!({})),
                ] {
                    let mut line = example.clone();
                    id += 1;
                    if line.get("id").is_some() {
                        line["id"] = id.into();
                    }
                    match value {
                        Some(value) if *member == "id" && value.is_i64() => continue,
                        Some(value) => line[member.as_str()] = value,
                        None => drop(line.as_object_mut().unwrap().remove(*member)),
                    }
                    let refused = complaint(&mut relay, &line);
                    let is_operation = schema::is_operation(&line);
                    // Values beyond their limits, and deliveries that never were, are told otherwise.
                    let is_limit = ["device", "subfolder", "tag", "expires_after", "delivery"]
                        .contains(&member.as_str());
                    assert!(
                        refused.is_none() == is_operation
                            || is_limit && (*member == "delivery") == is_operation,
                        "{line}: {refused:?}"
                    );
                }
            }
        }
    }
    relay.send(json!({"op": "close"}));
    assert_eq!(relay.wait().events.last().unwrap()["event"], "closed");
}
