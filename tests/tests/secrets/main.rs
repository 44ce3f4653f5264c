//! No token and no key is ever shown: not by an event, an error, a `Debug`, a log line or a program, in success or
//! failure. The only exception is what a gateway transmits, because the token must be sent.
#![forbid(unsafe_code)]
#![cfg(all(feature = "programs", feature = "simulation"))]

mod driver;
#[path = "../programs/mod.rs"]
mod executables;
mod keys;
mod machine;
mod programs;
mod search;

use search::Secrets;

/// The key of the gateway in [`iotcore_gateway_testkit::link::registry`], and of its devices.
const KEY: &str = include_str!("../../src/link/gateway.key.pem");

#[test]
fn the_search_finds_a_planted_secret_in_every_form() {
    let mut secrets = Secrets::default();
    let token = "head.body.0123456789-ABCDEFGHIJ_abcdefghij";
    secrets.add_text("token", token);
    secrets.add_key(KEY);
    let scalar = search::scalar(KEY);
    let leaks = [
        format!("password: {token}"),
        format!("Some(\"{}\")", &token[10..30]),
        format!("{:?}", token.as_bytes()),
        format!("{:#?}", token.as_bytes()),
        format!("{:x?}", token.as_bytes()),
        format!("{:?}", bytes::Bytes::from(token)),
        KEY.to_owned(),
        KEY.lines().nth(1).unwrap().to_owned(),
        KEY.replace('\n', "\\n"),
        format!("{scalar:?}"),
        format!("{:#?}", &scalar[8..]),
        format!("{scalar:02x?}"),
        scalar.iter().map(|byte| format!("{byte:02x}")).collect(),
        scalar.iter().map(|byte| format!("{byte:02X}")).collect(),
    ];
    for leak in leaks {
        assert!(secrets.find(&leak).is_some(), "{leak}");
    }
    for harmless in [
        "head and body",
        include_str!("../../src/link/gateway.pub.pem"),
    ] {
        assert_eq!(secrets.find(harmless), None);
    }
}
