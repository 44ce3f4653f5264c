//! The packets of the search.

use iotcore_gateway_testkit::packets::{self, Sent};

/// The gateway of the search.
pub(crate) const GATEWAY: &str = "gw-1";

/// Its devices.
pub(crate) const DEVICES: [&str; 2] = ["d-a", "d-b"];

/// A packet of the gateway, by its purpose. A device is an index into [`DEVICES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    Connect,
    Attach {
        id: u16,
        device: usize,
        is_again: bool,
    },
    Detach {
        id: u16,
        device: usize,
    },
    /// A telemetry event; its payload is its number.
    Event {
        id: u16,
        device: usize,
        number: u8,
        is_again: bool,
    },
    SubscribeErrors {
        id: u16,
    },
    SubscribeConfig {
        id: u16,
        device: usize,
    },
    PubAck {
        id: u16,
    },
    PingReq,
    Disconnect,
}

impl Packet {
    /// Returns the identifier that its acknowledgement will contain.
    pub(crate) fn id(&self) -> Option<u16> {
        match *self {
            Self::Attach { id, .. }
            | Self::Detach { id, .. }
            | Self::Event { id, .. }
            | Self::SubscribeErrors { id }
            | Self::SubscribeConfig { id, .. } => Some(id),
            Self::Connect | Self::PubAck { .. } | Self::PingReq | Self::Disconnect => None,
        }
    }

    /// Returns whether it was sent before, with the same identifier.
    pub(crate) fn is_again(&self) -> bool {
        matches!(
            self,
            Self::Attach { is_again: true, .. } | Self::Event { is_again: true, .. }
        )
    }

    /// Returns the same packet, sent for the first time.
    pub(crate) fn first(mut self) -> Self {
        if let Self::Attach { is_again, .. } | Self::Event { is_again, .. } = &mut self {
            *is_again = false;
        }
        self
    }

    /// Returns the answer of a bridge that accepts everything; none to a PUBACK or a DISCONNECT.
    pub(crate) fn answer(&self) -> Option<Vec<u8>> {
        match *self {
            Self::Connect => Some(packets::connack(0)),
            Self::Attach { id, .. } | Self::Detach { id, .. } | Self::Event { id, .. } => {
                Some(packets::puback(id))
            }
            Self::SubscribeErrors { id } => Some(packets::suback(id, 0)),
            Self::SubscribeConfig { id, .. } => Some(packets::suback(id, 1)),
            Self::PingReq => Some(packets::PINGRESP.to_vec()),
            Self::PubAck { .. } | Self::Disconnect => None,
        }
    }
}

/// Returns a config for a device, at QoS 1.
pub(crate) fn config(device: usize, id: u16) -> Vec<u8> {
    let topic = format!("/devices/{}/config", DEVICES[device]);
    packets::publish(&topic, b"c", Some(id), false)
}

/// Returns a report that a device is not or no longer attached. It names no packet.
pub(crate) fn report(device: usize) -> Vec<u8> {
    let report = format!(
        r#"{{"error_type":"GATEWAY_ATTACHMENT_ERROR","device_id":"{}"}}"#,
        DEVICES[device]
    );
    let topic = format!("/devices/{GATEWAY}/errors");
    packets::publish(&topic, report.as_bytes(), None, false)
}

/// Removes the complete packets from the front of a stream, and returns them.
pub(crate) fn take_packets(stream: &mut Vec<u8>) -> Vec<Packet> {
    let sent = packets::take(stream).into_iter();
    sent.map(read).collect()
}

fn read(sent: Sent) -> Packet {
    match sent {
        Sent::Connect { .. } => Packet::Connect,
        Sent::Publish {
            topic,
            payload,
            id: Some(id),
            dup,
        } => {
            let mut levels = topic.split('/').skip(2);
            let device = device(levels.next().expect("a device"));
            match (levels.next(), &payload[..]) {
                (Some("attach"), b"{}") => Packet::Attach {
                    id,
                    device,
                    is_again: dup,
                },
                (Some("detach"), b"{}") if !dup => Packet::Detach { id, device },
                (Some("events"), &[number]) => Packet::Event {
                    id,
                    device,
                    number,
                    is_again: dup,
                },
                other => panic!("PUBLISH to {topic}, again: {dup}: {other:?}"),
            }
        }
        Sent::Subscribe { id, filter, qos } => {
            let levels: Vec<_> = filter.split('/').collect();
            match (&levels[..], qos) {
                (["", "devices", GATEWAY, "errors"], 0) => Packet::SubscribeErrors { id },
                (["", "devices", name, "config"], 1) => Packet::SubscribeConfig {
                    id,
                    device: device(name),
                },
                _ => panic!("SUBSCRIBE of {filter} at QoS {qos}"),
            }
        }
        Sent::PubAck(id) => Packet::PubAck { id },
        Sent::PingReq => Packet::PingReq,
        Sent::Disconnect => Packet::Disconnect,
        other => panic!("{other:?} is unexpected"),
    }
}

fn device(id: &str) -> usize {
    let found = DEVICES.iter().position(|device| *device == id);
    found.unwrap_or_else(|| panic!("a packet for {id}"))
}
