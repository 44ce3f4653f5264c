//! The subjects of the measurement: four implementations of the same work.

use crate::{floor::Floor, ours::Ours, protocol_core::ProtocolCore, rumqttc::Rumqttc};

/// The destination of a subject's bytes, whole packets at a time.
pub(crate) type Wire<'a> = &'a mut dyn FnMut(&[u8]);

/// The maximum size of a driver's read, and the amount of waiting data at which it writes.
pub(crate) const BUFFER: usize = 16 * 1024;
pub(crate) const WRITE_TARGET: usize = 64 * 1024;

/// An MQTT client without I/O. Every call ends with its bytes on the wire, in buffers of about [`WRITE_TARGET`].
pub(crate) trait Subject {
    /// Accepts this many publications at QoS 1, round-robin over the devices, each with a shared payload.
    fn send(&mut self, count: usize, wire: Wire<'_>);

    /// Reads PUBACKs, and returns how many publications it then reports as completed.
    fn acknowledge(&mut self, pubacks: &[u8]) -> usize;

    /// Reads PUBLISHes at QoS 1 in pieces of this size, acknowledges them, and returns how many messages it delivered.
    fn receive(&mut self, publishes: &[u8], piece: usize, wire: Wire<'_>) -> usize;
}

/// The work that a subject is configured for.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    pub(crate) payload: usize,
    pub(crate) devices: usize,
    /// The maximum number in flight at once.
    pub(crate) window: u16,
}

impl Work {
    pub(crate) fn payload(&self) -> Vec<u8> {
        vec![7; self.payload]
    }

    /// The topic of each device, in a form for all subjects.
    pub(crate) fn topics(&self) -> Vec<String> {
        let topic = |n| format!("/devices/{}/events", device(n));
        (0..self.devices).map(topic).collect()
    }
}

/// Returns the id of the n-th device; all have the same length.
pub(crate) fn device(n: usize) -> String {
    format!("device-{n:03}")
}

/// The implementation that does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contender {
    Floor,
    Ours,
    Rumqttc,
    ProtocolCore,
}

impl Contender {
    pub(crate) const ALL: [Self; 4] = [Self::Floor, Self::Ours, Self::Rumqttc, Self::ProtocolCore];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Ours => "iotcore-gateway",
            Self::Rumqttc => "rumqttc 0.25",
            Self::ProtocolCore => "mqtt-protocol-core 0.7",
        }
    }

    /// Returns a short name for a narrow column.
    pub(crate) fn short_name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Ours => "iotcore",
            Self::Rumqttc => "rumqttc",
            Self::ProtocolCore => "m-p-core",
        }
    }

    pub(crate) fn build(self, work: &Work) -> Box<dyn Subject> {
        match self {
            Self::Floor => Box::new(Floor::new(work)),
            Self::Ours => Box::new(Ours::new(work)),
            Self::Rumqttc => Box::new(Rumqttc::new(work)),
            Self::ProtocolCore => Box::new(ProtocolCore::new(work)),
        }
    }
}
