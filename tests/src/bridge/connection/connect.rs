//! Handles CONNECT.

use core::num::NonZeroU8;
use std::collections::BTreeMap;

use super::super::auth::{self, SKEW, TokenError};
use super::super::codec::{Connect, Packet, Reply, Version};
use super::super::event::EventKind;
use super::super::registry::Device;
use super::super::settings::{ConnectFeature, DuplicateClient, Mqtt5};
use super::super::wire::Context;
use super::super::world::Notice;
use super::{Client, CloseReason};

/// Documented return codes, by their name in the standard.
const UNACCEPTABLE_PROTOCOL: u8 = 1;
const IDENTIFIER_REJECTED: u8 = 2;
const SERVER_UNAVAILABLE: u8 = 3;
/// Documented: the vendor's code for every reason without its own code.
const CATCH_ALL: u8 = 13;

/// The reason why a CONNECT is refused, and the return code of the CONNACK, if one is sent.
struct Refusal {
    code: Option<u8>,
    reason: String,
}

/// Handles a connection's first packet.
///
/// # Errors
/// The connection ends, after the CONNACK that the refusal requires [MQTT-3.2.2-5].
pub(super) fn admit(packet: Packet, cx: &mut Context<'_>) -> Result<Client, CloseReason> {
    let connect = match packet {
        Packet::Connect(connect) => *connect,
        Packet::UnsupportedConnect { level } => {
            return Err(refuse(String::new(), unacceptable(level), cx));
        }
        other => {
            let packet = other.name();
            return Err(CloseReason::NotConnected { packet });
        }
    };
    match check(&connect, cx) {
        Ok(client) => Ok(client),
        Err(refusal) => Err(refuse(connect.client_id, refusal, cx)),
    }
}

/// Refuses a CONNECT because of a fault, in the MQTT version that would have been accepted.
pub(super) fn refuse_by_fault(
    packet: Packet,
    code: NonZeroU8,
    cx: &mut Context<'_>,
) -> CloseReason {
    let mut client_id = String::new();
    if let Packet::Connect(connect) = packet {
        // A version that is refused anyway is answered in the format of 3.1.1, as usual.
        let _ = check_version(&connect, cx);
        client_id = connect.client_id;
    }
    let refusal = Refusal {
        code: Some(code.get()),
        reason: CloseReason::Fault.to_string(),
    };
    refuse(client_id, refusal, cx)
}

fn refuse(client_id: String, refusal: Refusal, cx: &mut Context<'_>) -> CloseReason {
    cx.log(EventKind::Refused {
        client_id,
        code: refusal.code,
        reason: refusal.reason,
    });
    if let Some(code) = refusal.code {
        cx.send(&Reply::Connack { code });
    }
    CloseReason::Refused
}

fn check(connect: &Connect, cx: &mut Context<'_>) -> Result<Client, Refusal> {
    check_version(connect, cx)?;
    check_features(connect, cx)?;
    // Assumed: a registry with MQTT disabled is "unavailable"; it is only known that it refuses.
    if !cx.world.registry.is_mqtt_enabled() {
        return Err(Refusal {
            code: Some(SERVER_UNAVAILABLE),
            reason: "the registry takes no MQTT connections".to_owned(),
        });
    }
    let (device, entry) = identify(&connect.client_id, cx)?;
    let is_gateway = entry.gateway.is_some();
    let exp = authenticate(connect, entry, cx).map_err(|reason| Refusal {
        code: cx.world.settings.auth_failure.code(),
        reason,
    })?;
    let older = cx.world.connected.get(&device).copied();
    if let Some(older) = older {
        // Inferred: the older connection ends, as with the bridge's predecessor.
        match cx.world.settings.duplicate_client {
            DuplicateClient::TakeOver => cx.world.notices.push(Notice::TakeOver { older }),
            DuplicateClient::RefuseNew => {
                return Err(Refusal {
                    code: Some(IDENTIFIER_REJECTED),
                    reason: "the client is connected already".to_owned(),
                });
            }
        }
    }
    cx.world.connected.insert(device.clone(), cx.wire.id);
    cx.wire.client = Some(device.clone());
    cx.log(EventKind::Connected {
        gateway: is_gateway,
        keep_alive: connect.keep_alive,
        token_valid: exp.cast_signed() - cx.world.unix().cast_signed(),
    });
    cx.send(&Reply::Connack { code: 0 });
    Ok(Client {
        device,
        is_gateway,
        keep_alive: connect.keep_alive,
        token_ends: cx.world.instant(exp + SKEW),
        attached: BTreeMap::new(),
        subscriptions: BTreeMap::new(),
        in_flight: BTreeMap::new(),
        last_packet_id: 0,
    })
}

fn check_version(connect: &Connect, cx: &mut Context<'_>) -> Result<(), Refusal> {
    if connect.version == Version::V5 {
        // The vendor's pages contradict each other about MQTT 5, so this is a setting.
        match cx.world.settings.mqtt5 {
            Mqtt5::Refuse => return Err(unacceptable(5)),
            Mqtt5::Accept => cx.wire.speak(Version::V5),
        }
    }
    Ok(())
}

/// Checks for unsupported features. Documented: neither persistent sessions nor wills are supported. Assumed: they are
/// ignored.
fn check_features(connect: &Connect, cx: &Context<'_>) -> Result<(), Refusal> {
    let settings = &cx.world.settings;
    for (asked, answer, what) in [
        (
            !connect.clean_session,
            settings.persistent_session,
            "a persistent session",
        ),
        (connect.will.is_some(), settings.will, "a will"),
    ] {
        let code = match answer {
            ConnectFeature::Refuse => Some(CATCH_ALL),
            ConnectFeature::Close => None,
            ConnectFeature::Accept => continue,
        };
        if asked {
            let reason = format!("the client asks for {what}");
            return Err(Refusal { code, reason });
        }
    }
    Ok(())
}

/// Finds the device of a client identifier.
///
/// Documented: code 2 is for an identifier that is not allowed. Inferred: that this means one that names another
/// registry or an unknown device.
fn identify<'a>(client_id: &str, cx: &'a Context<'_>) -> Result<(String, &'a Device), Refusal> {
    let registry = &cx.world.registry;
    let prefix = registry.client_id("");
    let refusal = |reason: String| Refusal {
        code: Some(IDENTIFIER_REJECTED),
        reason,
    };
    let device = client_id
        .strip_prefix(&prefix)
        .ok_or_else(|| refusal(format!("the client identifier has to be {prefix}DEVICE")))?;
    let entry = registry
        .find(device)
        .ok_or_else(|| refusal(format!("the registry has no device {device:?}")))?;
    Ok((device.to_owned(), entry))
}

/// Checks the token in the password; the user name is ignored. Returns the token's `exp`.
///
/// Documented: a blocked device cannot connect. Assumed: it fails in the same way as with a wrong token.
fn authenticate(connect: &Connect, device: &Device, cx: &Context<'_>) -> Result<u64, String> {
    if device.blocked {
        return Err("the device is blocked".to_owned());
    }
    let password = connect.password.as_deref().unwrap_or_default();
    let not_text = |_| TokenError::Form {
        problem: "the password is not text".to_owned(),
    };
    let exp = match password {
        [] => Err(TokenError::Missing),
        _ => core::str::from_utf8(password)
            .map_err(not_text)
            .and_then(|token| {
                let project = cx.world.registry.project();
                auth::check(token, &device.keys, project, cx.world.unix())
            }),
    };
    exp.map_err(|error| error.to_string())
}

fn unacceptable(level: u8) -> Refusal {
    Refusal {
        code: Some(UNACCEPTABLE_PROTOCOL),
        reason: format!("protocol level {level}; only 4, MQTT 3.1.1, is supported"),
    }
}
