//! The registry file, in JSON.
//!
//! ```json
//! {
//!   "project": "my-project",
//!   "location": "us-central1",
//!   "registry": "my-registry",
//!   "devices": [
//!     { "id": "bound-sensor", "config": "{\"target\":20}" },
//!     { "id": "roaming-sensor", "public_keys": [{ "file": "roaming-sensor_public.pem" }] },
//!     { "id": "stolen-sensor", "blocked": true }
//!   ],
//!   "gateways": [
//!     {
//!       "id": "my-gateway",
//!       "public_keys": [{ "file": "my-gateway_public.pem" }],
//!       "auth_method": "ASSOCIATION_ONLY",
//!       "bound_devices": ["bound-sensor", "stolen-sensor"]
//!     }
//!   ],
//!   "settings": { "auth_failure": "connack_5" }
//! }
//! ```
//!
//! * `project`, `location` and `registry` make up the client identifiers
//!   `projects/P/locations/L/registries/R/devices/D`, and `project` is a token's `aud`.
//! * `public_keys`: up to three per device. Each is the PEM itself (a string, line breaks as `\n`), or
//!   an object with `file` (a path, from the registry file's folder) or `pem`, and optionally `expires`
//!   (seconds since 1970). RSA or P-256; a `PUBLIC KEY` or a `CERTIFICATE`. None are needed for a
//!   device that a gateway attaches by its binding.
//! * `config`: the config that the device or gateway has at the start, as its version 1: text, or an object with
//!   `base64`. At most 64 KiB; empty by default.
//! * `blocked`: `true` refuses the device; `false` by default.
//! * `auth_method`: `ASSOCIATION_ONLY`, `DEVICE_AUTH_TOKEN_ONLY` or
//!   `ASSOCIATION_AND_DEVICE_AUTH_TOKEN`; without it no device may use the gateway.
//! * `bound_devices`: names from `devices`.
//! * `mqtt_enabled` and `telemetry_topic` (`true` by default): whether the registry accepts MQTT
//!   connections, and whether it has a topic for telemetry.
//! * `settings`: see [`Settings`]; only those that differ from the default.
//! * `service`: how long the bridge takes, and what it never answers, such as `"attach=400ms workers=4"`; see
//!   [`service::text`](crate::bridge::service::text).
//!
//! Any other member is an error, so that a misspelt one does not pass unnoticed.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{AuthMethod, Gateway, Registry, RegistryError, check_key_count};
use crate::bridge::auth::PublicKey;
use crate::bridge::service::Service;
use crate::bridge::settings::Settings;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    project: String,
    location: String,
    registry: String,
    #[serde(default = "yes")]
    mqtt_enabled: bool,
    #[serde(default = "yes")]
    telemetry_topic: bool,
    #[serde(default)]
    devices: Vec<DeviceEntry>,
    #[serde(default)]
    gateways: Vec<GatewayEntry>,
    #[serde(default)]
    settings: Settings,
    #[serde(default)]
    service: Service,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceEntry {
    id: String,
    #[serde(default)]
    public_keys: Vec<KeyEntry>,
    #[serde(default)]
    blocked: bool,
    config: Option<ConfigEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GatewayEntry {
    id: String,
    #[serde(default)]
    public_keys: Vec<KeyEntry>,
    #[serde(default)]
    blocked: bool,
    config: Option<ConfigEntry>,
    #[serde(default)]
    auth_method: AuthMethod,
    #[serde(default)]
    bound_devices: Vec<String>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a public key is a string of PEM, or an object with `file` or `pem` and perhaps `expires`"
)]
enum KeyEntry {
    Pem(String),
    Inline(InlineKey),
    InFile(KeyInFile),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InlineKey {
    pem: String,
    expires: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyInFile {
    file: String,
    expires: Option<u64>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a config is a string, or an object with `base64`"
)]
enum ConfigEntry {
    Text(String),
    Encoded(EncodedConfig),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EncodedConfig {
    base64: String,
}

/// Parses a registry file from its text, with a function that reads the public key files that it names.
///
/// # Errors
/// The first error in it.
pub fn parse(
    text: &str,
    mut read: impl FnMut(&str) -> io::Result<String>,
) -> Result<(Registry, Settings, Service), RegistryError> {
    let file: File = serde_json::from_str(text).map_err(|error| RegistryError::Json {
        message: error.to_string(),
    })?;
    let mut registry = Registry::new(&file.project, &file.location, &file.registry)?;
    registry.set_mqtt_enabled(file.mqtt_enabled);
    registry.set_telemetry_topic(file.telemetry_topic);
    for device in file.devices {
        let keys = read_keys(&device.id, device.public_keys, &mut read)?;
        registry.insert(&device.id, keys, None)?;
        registry.set_blocked(&device.id, device.blocked)?;
        configure(&mut registry, &device.id, device.config)?;
    }
    for gateway in file.gateways {
        let keys = read_keys(&gateway.id, gateway.public_keys, &mut read)?;
        let role = Gateway {
            auth_method: gateway.auth_method,
            ..Gateway::default()
        };
        registry.insert(&gateway.id, keys, Some(role))?;
        registry.set_blocked(&gateway.id, gateway.blocked)?;
        configure(&mut registry, &gateway.id, gateway.config)?;
        for device in &gateway.bound_devices {
            registry.bind(&gateway.id, device)?;
        }
    }
    Ok((registry, file.settings, file.service))
}

fn configure(
    registry: &mut Registry,
    device: &str,
    config: Option<ConfigEntry>,
) -> Result<(), RegistryError> {
    let config =
        match config {
            None => return Ok(()),
            Some(ConfigEntry::Text(text)) => text.into_bytes(),
            Some(ConfigEntry::Encoded(EncodedConfig { base64 })) => STANDARD
                .decode(base64)
                .map_err(|error| RegistryError::ConfigEncoding {
                    device: device.to_owned(),
                    error: error.to_string(),
                })?,
        };
    registry.set_initial_config(device, config)
}

fn read_keys(
    device: &str,
    entries: Vec<KeyEntry>,
    read: &mut impl FnMut(&str) -> io::Result<String>,
) -> Result<Vec<PublicKey>, RegistryError> {
    check_key_count(device, entries.len())?;
    let mut keys = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let (pem, expires) = match entry {
            KeyEntry::Pem(pem) => (pem, None),
            KeyEntry::Inline(InlineKey { pem, expires }) => (pem, expires),
            KeyEntry::InFile(KeyInFile { file, expires }) => {
                let pem = read(&file).map_err(|error| RegistryError::KeyFile {
                    device: device.to_owned(),
                    file: path_for_people(file),
                    error: error.to_string(),
                })?;
                (pem, expires)
            }
        };
        let key = PublicKey::from_pem(&pem).map_err(|error| RegistryError::Key {
            device: device.to_owned(),
            number: index + 1,
            error,
        })?;
        keys.push(match expires {
            Some(unix) => key.expiring(unix),
            None => key,
        });
    }
    Ok(keys)
}

/// Returns the path for messages; a key passed instead of a path is not repeated.
fn path_for_people(path: String) -> String {
    match path.contains("-----") {
        true => "(a PEM text instead of a path)".to_owned(),
        false => path,
    }
}

fn yes() -> bool {
    true
}
