//! The schemas of the relay's protocol, for the tests of the program from within and from outside.
#![allow(dead_code, reason = "each of the two uses a part of it")]

use std::sync::OnceLock;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

const OPERATIONS: &str = "https://iotcore-relay.example/operations.json";
const EVENTS: &str = "https://iotcore-relay.example/events.json";

/// Returns the schema of the operations.
pub(crate) fn operations() -> Value {
    serde_json::from_str(include_str!("operations.json")).unwrap()
}

/// Returns the schema of the events.
pub(crate) fn events() -> Value {
    serde_json::from_str(include_str!("events.json")).unwrap()
}

/// Returns the definitions that a schema's `oneOf` lists, with their names.
pub(crate) fn listed(schema: &Value) -> Vec<(String, &Value)> {
    let name = |part: &Value| {
        let reference = part["$ref"].as_str().unwrap();
        reference.strip_prefix("#/$defs/").unwrap().to_owned()
    };
    let listed = schema["oneOf"].as_array().unwrap().iter().map(name);
    listed
        .map(|name| (name.clone(), &schema["$defs"][name.as_str()]))
        .collect()
}

/// Returns the codes of a definition, each with its sentence.
pub(crate) fn codes(definition: &Value) -> Vec<(&str, &str)> {
    let codes = definition["oneOf"].as_array().unwrap().iter();
    codes
        .map(|code| {
            (
                code["const"].as_str().unwrap(),
                code["description"].as_str().unwrap(),
            )
        })
        .collect()
}

/// Returns whether this is an operation, according to the schema.
pub(crate) fn is_operation(line: &Value) -> bool {
    let compiled = compiled();
    compiled.schemas.validate(line, compiled.operations).is_ok()
}

/// Asserts that this is an event, according to the schema.
pub(crate) fn assert_is_event(line: &Value) {
    let compiled = compiled();
    if let Err(error) = compiled.schemas.validate(line, compiled.events) {
        panic!("not an event of relay/schema/events.json: {line}\n{error:#}");
    }
}

struct Compiled {
    schemas: Schemas,
    operations: SchemaIndex,
    events: SchemaIndex,
}

fn compiled() -> &'static Compiled {
    static COMPILED: OnceLock<Compiled> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let mut compiler = Compiler::new();
        compiler.add_resource(OPERATIONS, operations()).unwrap();
        compiler.add_resource(EVENTS, events()).unwrap();
        let mut schemas = Schemas::new();
        Compiled {
            operations: compiler.compile(OPERATIONS, &mut schemas).unwrap(),
            events: compiler.compile(EVENTS, &mut schemas).unwrap(),
            schemas,
        }
    })
}
