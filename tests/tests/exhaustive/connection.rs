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
    /// The packets whose acknowledgements can still arrive.
    open: BTreeMap<u16, Open>,
    /// The greatest identifier so far. The first 65,535 of a connection are all new, in order.
    last_id: u16,
    grants: [Grants; 2],
    /// Unacknowledged configs, oldest first.
    owed: VecDeque<u16>,
}

/// A packet with an identifier.
#[derive(Debug)]
struct Open {
    packet: Packet,
    /// How many acknowledgements can still arrive: one for each transmission.
    copies: u8,
    is_answered: bool,
}

/// What the bridge has granted for a device, as far as the gateway has to know it.
#[derive(Debug, Default)]
struct Grants {
    /// The last attach; the device is attached once it is acknowledged, however late.
    attach: Option<u16>,
    is_attached: bool,
    /// Whether the gateway has said that the device is attached.
    is_told: bool,
    /// The SUBSCRIBE packets of this attachment, in order.
    subscribes: Vec<u16>,
    /// How many of them were sent before the last command to subscribe.
    earlier: usize,
    /// Whether one of them was answered.
    is_subscribed: bool,
    /// Whether one was answered that the last command is sure to be about: the gateway knows the subscription.
    is_held: bool,
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
            Packet::Attach {
                id,
                device,
                is_again,
            } => {
                let earlier = self.grants[device].attach.replace(id);
                assert!(
                    is_again || earlier.is_none(),
                    "{packet:?} while {earlier:?} is not answered"
                );
            }
            Packet::Detach { device, .. } => self.detached(device),
            Packet::Event { device, .. } | Packet::SubscribeConfig { device, .. } => {
                let is_attached = self.grants[device].is_attached;
                assert!(is_attached, "{packet:?} before the PUBACK of the attach");
                if let Packet::SubscribeConfig { id, .. } = packet {
                    self.grants[device].subscribes.push(id);
                }
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
        if !packet.is_again() {
            assert!(id > self.last_id, "{packet:?} reuses an identifier");
            self.last_id = id;
            let open = Open {
                packet,
                copies: 1,
                is_answered: false,
            };
            self.open.insert(id, open);
            return;
        }
        let open = self.open.get_mut(&id);
        let open = open.unwrap_or_else(|| panic!("{packet:?} is sent again, but not open"));
        assert_eq!(
            open.packet,
            packet.first(),
            "{packet:?} has the identifier of another packet"
        );
        assert!(!open.is_answered, "{packet:?} is sent again once answered");
        open.copies += 1;
    }

    /// Records the bridge's answer to a packet. Returns whether it ends what the packet asked for, if nothing else has
    /// ended that before. The time does not matter: a late answer counts.
    pub(crate) fn answered(&mut self, packet: Packet) -> bool {
        if let Some(id) = packet.id() {
            let open = self.open.get_mut(&id).expect("an answer to what was sent");
            open.is_answered = true;
            open.copies -= 1;
            if open.copies == 0 {
                self.open.remove(&id);
            }
        }
        match packet {
            Packet::Connect => self.is_accepted = true,
            Packet::Attach { id, device, .. } => {
                let grants = &mut self.grants[device];
                grants.is_attached |= grants.attach == Some(id);
                return grants.attach == Some(id);
            }
            Packet::SubscribeConfig { id, device } => {
                let grants = &mut self.grants[device];
                let place = grants.subscribes.iter().position(|sent| *sent == id);
                let counts = place.is_some_and(|place| {
                    place >= grants.earlier || place + 1 == grants.subscribes.len()
                });
                grants.is_subscribed |= place.is_some();
                grants.is_held |= counts;
                return counts;
            }
            _ => {}
        }
        true
    }

    /// Records that the gateway has said that a device is attached: once for each attachment.
    pub(crate) fn told_attached(&mut self, device: usize) {
        let grants = &mut self.grants[device];
        assert!(grants.is_attached, "{} is not attached", DEVICES[device]);
        let is_told = core::mem::replace(&mut grants.is_told, true);
        assert!(!is_told, "{} is attached twice", DEVICES[device]);
    }

    /// Records a new command to subscribe. Returns whether it must be done at once.
    pub(crate) fn subscribing(&mut self, device: usize) -> bool {
        let grants = &mut self.grants[device];
        grants.earlier = grants.subscribes.len();
        grants.is_held
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

    /// Checks after each step that no config waits for its PUBACK, and that the gateway considers those devices attached
    /// that are, and has said so. After DISCONNECT it need not any more.
    pub(crate) fn check(&self, is_attached: impl Fn(usize) -> bool) {
        assert!(
            self.is_left || self.owed.is_empty(),
            "a config is not acknowledged"
        );
        for (device, grants) in self.grants.iter().enumerate() {
            let is_considered = is_attached(device);
            assert!(
                grants.is_attached == is_considered || self.is_left && !is_considered,
                "{} is considered attached: {is_considered}",
                DEVICES[device]
            );
            assert!(
                grants.is_told || !is_considered,
                "{} is attached, but not said to be",
                DEVICES[device]
            );
        }
    }
}
