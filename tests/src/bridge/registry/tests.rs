//! Valid registries, and each way in which one can be invalid.

use std::io;

use super::super::settings::{AuthFailure, Settings};
use super::super::tests::{ES256_PRIVATE, ES256_PUBLIC, RS256_PUBLIC};
use super::file::parse;
use super::*;

/// Returns the example of the format's documentation.
fn example() -> String {
    let documentation = include_str!("file.rs");
    let (_, rest) = documentation.split_once("//! ```json\n").unwrap();
    let (json, _) = rest.split_once("//! ```\n").unwrap();
    json.replace("//! ", "")
}

fn read(file: &str) -> io::Result<String> {
    match file {
        "roaming-sensor_public.pem" => Ok(RS256_PUBLIC.to_owned()),
        "my-gateway_public.pem" => Ok(ES256_PUBLIC.to_owned()),
        "private.pem" => Ok(ES256_PRIVATE.to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    }
}

fn error(text: &str) -> String {
    parse(text, read).expect_err("an error").to_string()
}

/// Returns a registry file with these devices and gateways.
fn with(devices: &str, gateways: &str) -> String {
    format!(
        r#"{{"project":"p","location":"l","registry":"reg","devices":{devices},"gateways":{gateways}}}"#
    )
}

#[test]
fn the_documented_example_is_a_registry() {
    let (registry, settings, service) = parse(&example(), read).unwrap();
    assert_eq!(registry.project(), "my-project");
    let ids: Vec<_> = registry.devices().collect();
    assert_eq!(
        ids,
        [
            "bound-sensor",
            "my-gateway",
            "roaming-sensor",
            "stolen-sensor"
        ]
    );
    assert_eq!(
        registry.client_id("my-gateway"),
        "projects/my-project/locations/us-central1/registries/my-registry/devices/my-gateway"
    );
    assert!(registry.find("stolen-sensor").unwrap().blocked);
    assert_eq!(registry.find("roaming-sensor").unwrap().keys.len(), 1);
    let gateway = registry
        .find("my-gateway")
        .unwrap()
        .gateway
        .as_ref()
        .unwrap();
    assert_eq!(
        (gateway.auth_method, gateway.bound),
        (AuthMethod::AssociationOnly, 2)
    );
    assert!(
        registry
            .find("bound-sensor")
            .unwrap()
            .bound_to
            .contains("my-gateway")
    );
    assert!(registry.is_mqtt_enabled() && registry.has_telemetry_topic());
    let auth_failure = AuthFailure::Connack5;
    assert_eq!(
        settings,
        Settings {
            auth_failure,
            ..Settings::default()
        }
    );
    assert!(service.is_default());
}

#[test]
fn a_service_is_its_words() {
    let text = |service| {
        format!(r#"{{"project":"p","location":"l","registry":"reg","service":"{service}"}}"#)
    };
    let (.., service) = parse(&text("attach=2s workers=4"), read).unwrap();
    assert_eq!(service.to_string(), "workers=4 attach=2s");
    let error = error(&text("attach=2"));
    assert!(
        error.contains("attach=2\\\"") || error.contains("\"attach=2\""),
        "{error}"
    );
}

#[test]
fn a_key_is_text_or_an_object() {
    let pem = serde_json::to_string(ES256_PUBLIC).unwrap();
    let keys = format!(
        r#"[{pem},{{"pem":{pem},"expires":1}},{{"file":"my-gateway_public.pem","expires":2}}]"#
    );
    let text = with(&format!(r#"[{{"id":"dev","public_keys":{keys}}}]"#), "[]");
    let (registry, ..) = parse(&text, read).unwrap();
    assert_eq!(registry.find("dev").unwrap().keys.len(), 3);
}

#[test]
fn bad_json_is_located() {
    let message = error("{\n  \"project\": \"p\",,\n}");
    assert!(message.contains("line 2 column 18"), "{message}");
    let message = error(r#"{"project":"p","location":"l","registry":"reg","device":[]}"#);
    assert!(message.contains("unknown field `device`"), "{message}");
    let message = error(&with("[]", r#"[{"id":"gate","auth_method":"NONE"}]"#));
    assert!(message.contains("`ASSOCIATION_ONLY`"), "{message}");
    let message = error(&with(
        r#"[{"id":"dev","public_keys":[{"path":"x"}]}]"#,
        "[]",
    ));
    assert!(
        message.contains("an object with `file` or `pem`"),
        "{message}"
    );
    let settings = r#"{"project":"p","location":"l","registry":"reg","settings":{"mqtt5":"yes"}}"#;
    assert!(error(settings).contains("`accept`"), "{}", error(settings));
}

#[test]
fn ids_are_checked() {
    for id in [
        "ab",
        "1dev",
        "goog-dev",
        "with space",
        "a/b/c",
        "umläut",
        &"x".repeat(256),
    ] {
        let message = error(&with(&format!(r#"[{{"id":"{id}"}}]"#), "[]"));
        assert!(message.contains(&format!("device {id:?}")), "{message}");
        assert!(message.contains("3 to 255"), "{message}");
    }
    for id in ["abc", "a-._+~%9", &"x".repeat(255)] {
        assert!(
            parse(&with(&format!(r#"[{{"id":"{id}"}}]"#), "[]"), read).is_ok(),
            "{id}"
        );
    }
    assert!(Registry::new("", "l", "reg").is_err());
    assert!(Registry::new("p", "a/b", "reg").is_err());
    assert!(Registry::new("p", "l", "r").is_err());
    let twice = error(&with(r#"[{"id":"dev"}]"#, r#"[{"id":"dev"}]"#));
    assert_eq!(twice, r#""dev" is there twice"#);
}

#[test]
fn keys_are_checked() {
    let message = error(&with(r#"[{"id":"dev","public_keys":["x"]}]"#, "[]"));
    assert!(
        message.contains(r#"device "dev", public key 1: not PEM"#),
        "{message}"
    );
    let private = r#"[{"id":"dev","public_keys":[{"file":"private.pem"}]}]"#;
    let message = error(&with(private, "[]"));
    assert!(message.contains("openssl pkey"), "{message}");
    let missing = r#"[{"id":"dev","public_keys":[{"file":"nowhere.pem"}]}]"#;
    let message = error(&with(missing, "[]"));
    assert!(
        message.contains("nowhere.pem") && message.contains("not found"),
        "{message}"
    );
    let four = r#"[{"id":"dev","public_keys":["1","2","3","4"]}]"#;
    assert!(error(&with(four, "[]")).contains("4 public keys; 3 are allowed"));
}

#[test]
fn a_config_is_text_or_base64() {
    let configs = r#"[
        {"id":"text","config":"{\"target\":20}"}, {"id":"bytes","config":{"base64":"/w=="}}, {"id":"none"}
    ]"#;
    let text = with(configs, r#"[{"id":"gate","config":"on"}]"#);
    let records = parse(&text, read).unwrap().0.records();
    let config = |id: &str| (records[id].config().to_vec(), records[id].config_version());
    assert_eq!(config("text"), (br#"{"target":20}"#.to_vec(), 1));
    assert_eq!(config("bytes"), (vec![0xFF], 1));
    assert_eq!(config("none"), (vec![], 1));
    assert_eq!(config("gate"), (b"on".to_vec(), 1));
}

#[test]
fn configs_are_checked() {
    let device = |config: &str| {
        error(&with(
            &format!(r#"[{{"id":"dev","config":{config}}}]"#),
            "[]",
        ))
    };
    let message = device(r#"{"base64":"!"}"#);
    assert!(
        message.starts_with(r#"device "dev": the config is not base64: "#),
        "{message}"
    );
    let message = device("20");
    assert!(
        message.contains("a config is a string, or an object with `base64`"),
        "{message}"
    );
    let message = device(&format!("{:?}", "x".repeat(65_537)));
    assert!(
        message.contains(r#""dev" has a config of 65537 bytes; the limit is 65536 bytes"#),
        "{message}"
    );
    let most = format!(r#"[{{"id":"dev","config":{:?}}}]"#, "x".repeat(65_536));
    assert!(parse(&with(&most, "[]"), read).is_ok());
}

#[test]
fn bindings_are_checked() {
    let bound = |devices: &str| format!(r#"[{{"id":"gate","bound_devices":{devices}}}]"#);
    assert_eq!(
        error(&with("[]", &bound(r#"["dev"]"#))),
        r#"the registry has no device "dev""#
    );
    assert!(error(&with("[]", &bound(r#"["gate"]"#))).contains("is a gateway"));
    let mut registry = Registry::new("p", "l", "reg").unwrap();
    registry.add_device("dev", &[]).unwrap();
    registry.add_device("other", &[]).unwrap();
    let not = RegistryError::NotGateway {
        id: "other".to_owned(),
    };
    assert_eq!(registry.bind("other", "dev"), Err(not));
    for number in 0..10 {
        let gateway = format!("gate{number}");
        registry
            .add_gateway(&gateway, &[], AuthMethod::AssociationOnly)
            .unwrap();
        registry.bind(&gateway, "dev").unwrap();
        registry.bind(&gateway, "dev").unwrap();
    }
    registry
        .add_gateway("last", &[], AuthMethod::AssociationOnly)
        .unwrap();
    let device = "dev".to_owned();
    assert_eq!(
        registry.bind("last", "dev"),
        Err(RegistryError::TooManyGateways { device })
    );
    registry.unbind("gate0", "dev").unwrap();
    registry.unbind("gate0", "dev").unwrap();
    registry.bind("last", "dev").unwrap();
}

#[test]
fn a_gateway_has_ten_thousand_devices_at_most() {
    let mut registry = Registry::new("p", "l", "reg").unwrap();
    registry
        .add_gateway("gate", &[], AuthMethod::AssociationOnly)
        .unwrap();
    for number in 0..=10_000 {
        registry.add_device(&format!("dev{number}"), &[]).unwrap();
    }
    for number in 0..10_000 {
        registry.bind("gate", &format!("dev{number}")).unwrap();
    }
    let gateway = "gate".to_owned();
    assert_eq!(
        registry.bind("gate", "dev10000"),
        Err(RegistryError::TooManyBound { gateway })
    );
}
