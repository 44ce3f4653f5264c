//! The client's side of MQTT, byte by byte, and tokens.

use serde_json::json;

use crate::packets;
pub(crate) use crate::packets::string;

/// A packet that a client receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Connack(u8),
    Publish {
        topic: String,
        qos: u8,
        dup: bool,
        packet_id: u16,
        payload: String,
    },
    Puback(u16),
    Suback(u16, Vec<u8>),
    Unsuback(u16),
    Pingresp,
}

impl Received {
    /// Returns a PUBLISH with QoS 0.
    pub(crate) fn message(topic: &str, payload: &str) -> Self {
        Self::Publish {
            topic: topic.to_owned(),
            qos: 0,
            dup: false,
            packet_id: 0,
            payload: payload.to_owned(),
        }
    }

    /// Returns a PUBLISH with QoS 1.
    pub(crate) fn acknowledged(topic: &str, packet_id: u16, dup: bool, payload: &str) -> Self {
        Self::Publish {
            topic: topic.to_owned(),
            qos: 1,
            dup,
            packet_id,
            payload: payload.to_owned(),
        }
    }

    /// Returns the code of an error report.
    pub(crate) fn error_type(&self) -> &str {
        let Self::Publish { topic, payload, .. } = self else {
            panic!("{self:?} is no report");
        };
        assert!(topic.ends_with("/errors"), "{topic}");
        let (_, rest) = payload.split_once(r#"{"error_type":""#).unwrap();
        rest.split_once('"').unwrap().0
    }
}

pub(crate) const DISCONNECT: &[u8] = &[0xE0, 0];
pub(crate) const PINGREQ: &[u8] = &[0xC0, 0];

pub(crate) fn client_id(device: &str) -> String {
    format!("projects/my-project/locations/us-central1/registries/my-registry/devices/{device}")
}

/// Encodes CONNECT as a device's client library sends it.
pub(crate) fn connect(device: &str, token: &str, keep_alive: u16) -> Vec<u8> {
    connect_with(
        4,
        0xC2,
        keep_alive,
        &[client_id(device).as_bytes(), b"unused", token.as_bytes()],
    )
}

/// Encodes CONNECT with any level and flags, and the fields of the payload.
pub(crate) fn connect_with(level: u8, flags: u8, keep_alive: u16, fields: &[&[u8]]) -> Vec<u8> {
    let mut body = string(b"MQTT");
    body.extend([level, flags]);
    body.extend(keep_alive.to_be_bytes());
    if level == 5 {
        body.push(0);
    }
    for field in fields {
        body.extend(string(field));
    }
    frame(0x10, &body)
}

pub(crate) fn publish(topic: &str, qos: u8, packet_id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = string(topic.as_bytes());
    if qos > 0 {
        body.extend(packet_id.to_be_bytes());
    }
    body.extend(payload);
    frame(0x30 | qos << 1, &body)
}

pub(crate) fn subscribe(packet_id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    for (filter, qos) in filters {
        body.extend(string(filter.as_bytes()));
        body.push(*qos);
    }
    frame(0x82, &body)
}

pub(crate) fn unsubscribe(packet_id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    for filter in filters {
        body.extend(string(filter.as_bytes()));
    }
    frame(0xA2, &body)
}

/// Encodes PUBACK or, with another first byte, PUBREC, PUBREL or PUBCOMP.
pub(crate) fn acknowledgement(first: u8, packet_id: u16) -> Vec<u8> {
    frame(first, &packet_id.to_be_bytes())
}

pub(crate) fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    packets::frame(first, &[body])
}

/// Parses complete packets.
pub(crate) fn parse(mut bytes: &[u8]) -> Vec<Received> {
    let mut received = Vec::new();
    while !bytes.is_empty() {
        let (first, body, rest) = packets::split(bytes).unwrap();
        received.push(parse_one(first, body));
        bytes = rest;
    }
    received
}

fn parse_one(first: u8, body: &[u8]) -> Received {
    let short = |bytes: &[u8]| u16::from_be_bytes([bytes[0], bytes[1]]);
    match first >> 4 {
        2 => {
            assert_eq!(
                (body.len(), body[0]),
                (2, 0),
                "session present is never set"
            );
            Received::Connack(body[1])
        }
        3 => {
            let (topic, rest) = body[2..].split_at(usize::from(short(body)));
            let qos = first >> 1 & 3;
            let (packet_id, payload) = match qos {
                0 => (0, rest),
                _ => (short(rest), &rest[2..]),
            };
            Received::Publish {
                topic: String::from_utf8(topic.to_vec()).unwrap(),
                qos,
                dup: first & 8 != 0,
                packet_id,
                payload: String::from_utf8(payload.to_vec()).unwrap(),
            }
        }
        4 => Received::Puback(short(body)),
        9 => Received::Suback(short(body), body[2..].to_vec()),
        11 => Received::Unsuback(short(body)),
        13 => Received::Pingresp,
        _ => panic!("a packet {first:#x} that no server sends"),
    }
}

/// Returns a token signed with a private key in PEM.
pub(crate) fn token(iat: u64, exp: u64, aud: &str, private_pem: &str) -> String {
    signed(
        &json!({ "alg": algorithm(private_pem), "typ": "JWT" }),
        &json!({ "iat": iat, "exp": exp, "aud": aud }),
        private_pem,
    )
}

/// Returns a token with any header and claims, correctly signed with the key.
pub(crate) fn signed(
    header: &serde_json::Value,
    claims: &serde_json::Value,
    private_pem: &str,
) -> String {
    let message = format!("{}.{}", base64url(header), base64url(claims));
    let (key, name) = match algorithm(private_pem) {
        "RS256" => (
            jsonwebtoken::EncodingKey::from_rsa_pem(private_pem.as_bytes()),
            jsonwebtoken::Algorithm::RS256,
        ),
        _ => (
            jsonwebtoken::EncodingKey::from_ec_pem(private_pem.as_bytes()),
            jsonwebtoken::Algorithm::ES256,
        ),
    };
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key.unwrap(), name).unwrap();
    format!("{message}.{signature}")
}

/// Returns the key's algorithm: an RSA key of 2048 bits is ten times as long as a P-256 key.
fn algorithm(private_pem: &str) -> &'static str {
    match private_pem.len() > 1000 {
        true => "RS256",
        false => "ES256",
    }
}

fn base64url(value: &serde_json::Value) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
}
