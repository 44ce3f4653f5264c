//! The packets that may be sent on one connection, given those sent and answered before.

use std::collections::{BTreeMap, VecDeque};

use super::wire::{DEVICES, Packet};

/// One connection, from the transport's first byte to its last.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    pub(crate) is_accepted: bool,
    /// Whether DISCONNECT was queued.
    is_left: bool,
    /// Whether the gateway has reported its end.
    pub(crate) is_over: bool,
    /// The packets whose acknowledgements can still arrive, and how many: one for each transmission.
    open: BTreeMap<u16, (Packet, u8)>,
    grants: [Grants; 2],
    /// Unacknowledged configs, oldest first.
    owed: VecDeque<u16>,
}

/// What the bridge has granted for a device.
#[derive(Debug, Default)]
struct Grants {
    /// The attach; the device is attached once it is acknowledged.
    attach: Option<u16>,
    is_attached: bool,
    is_subscribed: bool,
    /// The number of the last event sent since the attach.
    last: Option<u8>,
}

impl Connection {
    /// Checks a packet that the gateway has queued.
    pub(crate) fn queued(&mut self, packet: Packet) {
        assert!(!self.is_over, "{packet:?} after the end");
        assert!(!self.is_left, "{packet:?} after DISCONNECT");
        if let Some(id) = packet.id() {
            self.use_id(id, packet);
        }
        match packet {
            Packet::Attach { id, device } => self.grants[device].attach = Some(id),
            Packet::Detach { device, .. } => self.detached(device),
            Packet::Event { device, .. } | Packet::SubscribeConfig { device, .. } => {
                let is_attached = self.grants[device].is_attached;
                assert!(is_attached, "{packet:?} before the PUBACK of the attach");
            }
            Packet::PubAck { id } => {
                assert_eq!(self.owed.pop_front(), Some(id), "{packet:?} out of order");
            }
            Packet::Disconnect => self.is_left = true,
            Packet::Connect | Packet::SubscribeErrors { .. } | Packet::PingReq => {}
        }
        if let Packet::Event {
            device,
            number,
            is_again: false,
            ..
        } = packet
        {
            let last = self.grants[device].last.replace(number);
            assert!(last < Some(number), "{packet:?} after number {last:?}");
        }
    }

    /// Records the use of an identifier: a new one, or that of a retransmission.
    fn use_id(&mut self, id: u16, packet: Packet) {
        let (before, times) = self.open.remove(&id).unzip();
        if matches!(packet, Packet::Event { is_again: true, .. }) {
            assert_eq!(
                before,
                Some(packet.first()),
                "{packet:?} reuses the identifier of another kind of packet"
            );
        } else {
            assert_eq!(before, None, "{packet:?} uses an identifier that is in use");
        }
        self.open
            .insert(id, (packet.first(), times.unwrap_or(0) + 1));
    }

    /// Records the bridge's answer to a packet.
    pub(crate) fn answered(&mut self, packet: Packet) {
        if let Some(id) = packet.id() {
            let (open, times) = self.open.remove(&id).expect("an answer to what was sent");
            if times > 1 {
                self.open.insert(id, (open, times - 1));
            }
        }
        match packet {
            Packet::Connect => self.is_accepted = true,
            Packet::Attach { id, device } => {
                let grants = &mut self.grants[device];
                grants.is_attached |= grants.attach == Some(id);
            }
            Packet::SubscribeConfig { device, .. } => {
                let grants = &mut self.grants[device];
                grants.is_subscribed = grants.is_attached;
            }
            _ => {}
        }
    }

    /// Records a config of the bridge.
    pub(crate) fn configured(&mut self, id: u16) {
        self.owed.push_back(id);
    }

    /// Records that a device is not or no longer attached.
    pub(crate) fn detached(&mut self, device: usize) {
        self.grants[device] = Grants::default();
    }

    pub(crate) fn is_attached(&self, device: usize) -> bool {
        self.grants[device].is_attached
    }

    pub(crate) fn is_subscribed(&self, device: usize) -> bool {
        self.grants[device].is_subscribed
    }

    /// Checks after each step that no config waits for its PUBACK, and that the gateway does not consider a device
    /// attached that is not. The opposite may occur: an acknowledgement after its deadline has no effect.
    pub(crate) fn check(&self, is_attached: impl Fn(usize) -> bool) {
        assert!(
            self.is_left || self.owed.is_empty(),
            "a config is not acknowledged"
        );
        for (device, grants) in self.grants.iter().enumerate() {
            assert!(
                grants.is_attached || !is_attached(device),
                "{} is considered attached",
                DEVICES[device]
            );
        }
    }
}
