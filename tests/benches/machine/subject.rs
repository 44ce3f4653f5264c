//! What is measured: four ways to do the same work.

use crate::{floor::Floor, ours::Ours, protocol_core::ProtocolCore, rumqttc::Rumqttc};

/// Where a subject's bytes go, whole packets at a time.
pub(crate) type Wire<'a> = &'a mut dyn FnMut(&[u8]);

/// A driver reads at most this much at once, and writes once this much waits.
pub(crate) const BUFFER: usize = 16 * 1024;
pub(crate) const WRITE_TARGET: usize = 64 * 1024;

/// An MQTT client without I/O. Every call ends with its bytes on the wire, in buffers of about [`WRITE_TARGET`].
pub(crate) trait Subject {
    /// Takes in so many publications at QoS 1, by turns of the devices, each with a payload that is shared.
    fn send(&mut self, count: usize, wire: Wire<'_>);

    /// Reads PUBACKs, and gives how many publications it then told to be done.
    fn acknowledge(&mut self, pubacks: &[u8]) -> usize;

    /// Reads PUBLISHes at QoS 1 in pieces of this size, acknowledges them, and gives how many messages it handed out.
    fn receive(&mut self, publishes: &[u8], piece: usize, wire: Wire<'_>) -> usize;
}

/// What a subject is made for.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    pub(crate) payload: usize,
    pub(crate) devices: usize,
    /// The most in flight at once.
    pub(crate) window: u16,
}

impl Work {
    pub(crate) fn payload(&self) -> Vec<u8> {
        vec![7; self.payload]
    }

    /// Where each device publishes, in the form that it has for all subjects.
    pub(crate) fn topics(&self) -> Vec<String> {
        let topic = |n| format!("/devices/{}/events", device(n));
        (0..self.devices).map(topic).collect()
    }
}

/// The id of the n-th device; as long as the others' ids.
pub(crate) fn device(n: usize) -> String {
    format!("device-{n:03}")
}

/// Who does the work.
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

    /// A name for a narrow column.
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
