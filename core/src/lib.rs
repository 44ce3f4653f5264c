//! A sans-IO state machine for gateways.

mod mqtt;

pub use mqtt::{PacketType, QoS, Violation};
