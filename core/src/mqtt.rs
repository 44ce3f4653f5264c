//! One MQTT 3.1.1 client connection. Knows no gateway and no device.

mod buffer;
mod codec;
mod packet_ids;
mod receive;
mod transmit;

pub use codec::{PacketType, QoS, Violation};
