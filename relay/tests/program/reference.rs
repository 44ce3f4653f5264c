//! The chapter of the book that is generated from the schemas.

use std::{env, fmt::Write, fs};

use serde_json::Value;

use crate::schema::{codes, events, listed, operations};

const CHAPTER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/book/relay-reference.md"
);

const HEAD: &str = "\
# The relay's protocol

<!-- Generated from relay/schema by `UPDATE_REFERENCE=1 cargo test -p iotcore-relay --test program reference`. -->

`iotcore-relay` reads operations from standard input and writes events to standard output, each a line of JSON. This page is
made from the JSON Schemas (2020-12) `operations.json` and `events.json` in `relay/schema`, with which the program is tested. They
describe this version, and nothing else is valid; a program ignores what it does not know, because later versions may add
events, members and codes. The `$id` in them is a name, no address, by which the events refer to the operations: give a
validator both. With Python's `jsonschema`:

```python
import json
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

operations, events = (json.load(open(f\"relay/schema/{name}.json\")) for name in (\"operations\", \"events\"))
named = [(schema[\"$id\"], Resource.from_contents(schema)) for schema in (operations, events)]
validator = Draft202012Validator(events, registry=Registry().with_resources(named))
validator.validate({\"event\": \"connected\"})
```
";

const CODES: [(&str, &str); 11] = [
    ("error_code", "`error`: codes of the relay"),
    ("reported_code", "`error`: codes that the bridge reports"),
    ("invalid_code", "`error` in `invalid`"),
    ("cancel_code", "`error` in `not_cancelled`"),
    ("store_code", "`error` in `store_failed`"),
    ("disconnect_reason", "`reason` in `disconnected`"),
    ("certainty", "`certainty`"),
    ("retry", "`retry`"),
    ("state", "`state` of a device"),
    ("subscription", "`subscription`"),
    ("detach_cause", "`cause` in `detached`"),
];

#[test]
fn the_reference_chapter_is_that_of_the_schema() {
    let generated = chapter();
    if env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(CHAPTER, &generated).unwrap();
    }
    let written = fs::read_to_string(CHAPTER).unwrap();
    assert!(
        written == generated,
        "{CHAPTER} is out of date: run this test with UPDATE_REFERENCE=1"
    );
}

fn chapter() -> String {
    let mut text = HEAD.to_owned();
    let (operations, events) = (operations(), events());
    for schema in [&operations, &events] {
        let _ = write!(
            text,
            "\n## {}\n\n{}\n",
            words(&schema["title"]),
            words(&schema["description"])
        );
        for (name, definition) in listed(schema) {
            section(&mut text, &name, definition, schema, &operations);
        }
    }
    text.push_str("\n## A device in `devices`\n");
    members(&mut text, &events["$defs"]["device"], &events, &operations);
    text.push_str("\n## Codes\n");
    for (name, title) in CODES {
        let definition = &events["$defs"][name];
        let _ = write!(
            text,
            "\n### {title}\n\n{}\n\n| code | |\n|---|---|\n",
            words(&definition["description"])
        );
        // An open list has its own codes first, and then those of the bridge.
        let own = definition["anyOf"].get(0).unwrap_or(definition);
        for (code, sentence) in codes(own) {
            let _ = writeln!(text, "| `{code}` | {sentence} |");
        }
        if !definition["anyOf"].is_null() {
            text.push_str("| another one | A code that the bridge reports, see above. |\n");
        }
    }
    text
}

fn words(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Writes the section of an operation or event.
fn section(text: &mut String, name: &str, definition: &Value, schema: &Value, other: &Value) {
    let _ = write!(
        text,
        "\n### `{name}`\n\n{}\n\n```json\n",
        words(&definition["description"])
    );
    for example in definition["examples"].as_array().unwrap() {
        let _ = writeln!(text, "{}", line(example));
    }
    text.push_str("```\n");
    members(text, definition, schema, other);
}

/// Returns an example as one writes it: what it is first, then its id.
fn line(example: &Value) -> String {
    let members = example.as_object().unwrap();
    let rank = |name: &str| {
        ["op", "event", "id", "line", "device"]
            .iter()
            .position(|first| *first == name)
            .unwrap_or(9)
    };
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by_key(|(name, _)| rank(name));
    let members = members
        .iter()
        .map(|(name, value)| format!("{name:?}:{value}"));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// Writes the table of members, except of the one that has the name of the operation or event.
fn members(text: &mut String, definition: &Value, schema: &Value, other: &Value) {
    let members = definition["properties"].as_object().unwrap();
    let mut members: Vec<_> = members
        .iter()
        .filter(|(_, member)| member["const"].is_null())
        .collect();
    if members.is_empty() {
        return;
    }
    text.push_str("\n| member | type | |\n|---|---|---|\n");
    let required = definition["required"].as_array().unwrap();
    let place = |name: &str| required.iter().position(|required| required == name);
    members.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
    for (name, member) in members {
        let target = target(member, schema, other);
        let about = member.get("description").unwrap_or(&target["description"]);
        let optional = match place(name).is_some() {
            true => "",
            false => "optional; ",
        };
        let _ = writeln!(
            text,
            "| `{name}` | {optional}{} | {} |",
            kind(member, target),
            words(about)
        );
        let inner = target["properties"].as_object().into_iter().flatten();
        for (inner, part) in inner {
            let target = self::target(part, schema, other);
            let about = part.get("description").unwrap_or(&target["description"]);
            let _ = writeln!(
                text,
                "| `{name}.{inner}` | {} | {} |",
                kind(part, target),
                words(about)
            );
        }
    }
}

/// Returns what a member refers to, or itself.
fn target<'a>(member: &'a Value, schema: &'a Value, other: &'a Value) -> &'a Value {
    let Some(reference) = member["$ref"].as_str() else {
        return member;
    };
    let (file, name) = reference.split_once("#/$defs/").unwrap();
    match file {
        "" => &schema["$defs"][name],
        _ => &other["$defs"][name],
    }
}

/// Returns the type of a member in words, with its default.
fn kind(member: &Value, target: &Value) -> String {
    let allowed = |value: &Value| format!("`{value}`");
    let mut kind = match (&target["enum"], &target["type"]) {
        (Value::Array(values), _) => values.iter().map(allowed).collect::<Vec<_>>().join(", "),
        (_, Value::Array(types)) => types.iter().map(words).collect::<Vec<_>>().join(" or "),
        (_, Value::String(kind)) => kind.clone(),
        _ => match member["$ref"].as_str() {
            Some("#/$defs/message") => "operation".to_owned(),
            _ => "code".to_owned(),
        },
    };
    if let Some(default) = target.get("default") {
        let _ = write!(kind, " ({default})");
    }
    kind
}
