//! The devices of the gateway, itself first: data only. The transitions are in `attachment`, `detachment` and
//! `subscriptions`.

mod auth;
mod device;
mod info;
mod slots;
mod subscription;

use std::collections::{BTreeMap, BTreeSet};

use self::slots::Slots;
pub use self::{
    device::DeviceState,
    info::{DeviceInfo, LastFailure},
};
pub(crate) use self::{
    device::{AskedAttach, Detach, Device, Life},
    subscription::{
        Asked, Feed, Held, Progress, SubscriptionKey, SubscriptionRequest, SubscriptionState,
    },
};
use crate::{
    command::{DeviceKey, OpId, Slot},
    id::{ClientId, DeviceId},
    mqtt::QoS,
};

/// The packet identifiers, turns and deadlines of a device end before it is removed, so every slot in them is
/// in use.
const NAMED_WHILE_HERE: &str = "a slot is used only while its device exists";

/// The slot of the gateway itself.
pub(crate) const OWN: Slot = Slot(0);

/// All devices, by slot and by id.
#[derive(Debug)]
pub(crate) struct Devices {
    devices: Slots<Device>,
    by_id: BTreeMap<DeviceId, Slot>,
    /// The gateway's subscription to its error reports. The others are with their device.
    errors: SubscriptionState,
    next_generation: u32,
    /// Those that have changed since they were last taken, while somebody follows the changes.
    changed: Option<BTreeSet<Slot>>,
}

impl Devices {
    /// Creates the table with the gateway alone. Generations begin at a hash of the client id, so that the key of
    /// another gateway's device is most likely unknown here instead of matching a different device.
    pub(crate) fn new(client_id: &ClientId) -> Self {
        let mut devices = Self {
            devices: Slots::default(),
            by_id: BTreeMap::new(),
            errors: SubscriptionState {
                wanted: Some(QoS::AtMostOnce),
                ..SubscriptionState::default()
            },
            next_generation: client_id.fingerprint(),
            changed: None,
        };
        devices.insert(client_id.gateway().clone(), Life::Own);
        devices
    }

    pub(crate) fn insert(&mut self, id: DeviceId, life: Life) -> Slot {
        let device = Device::new(id.clone(), self.next_generation, life);
        self.next_generation = self.next_generation.wrapping_add(1);
        let slot = self.devices.insert(device);
        self.by_id.insert(id, slot);
        slot
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Device {
        let device = self.devices.remove(slot).expect(NAMED_WHILE_HERE);
        self.by_id.remove(&device.id);
        device
    }

    /// Returns the slot of a key, unless its device has been detached.
    pub(crate) fn resolve(&self, key: DeviceKey) -> Option<Slot> {
        let device = self.devices.get(key.slot)?;
        (device.generation == key.generation).then_some(key.slot)
    }

    pub(crate) fn find(&self, id: &str) -> Option<Slot> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn key(&self, slot: Slot) -> DeviceKey {
        DeviceKey {
            slot,
            generation: self.at(slot).generation,
        }
    }

    /// Returns the device in a slot, if there is one.
    pub(crate) fn get(&self, slot: Slot) -> Option<&Device> {
        self.devices.get(slot)
    }

    #[inline]
    pub(crate) fn at(&self, slot: Slot) -> &Device {
        self.devices.get(slot).expect(NAMED_WHILE_HERE)
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, slot: Slot) -> &mut Device {
        self.note_change(slot);
        self.devices.get_mut(slot).expect(NAMED_WHILE_HERE)
    }

    /// Records that a device, or its publications, may have changed.
    #[inline]
    pub(crate) fn note_change(&mut self, slot: Slot) {
        if let Some(changed) = &mut self.changed {
            changed.insert(slot);
        }
    }

    /// Returns whether somebody follows the changes.
    #[inline]
    pub(crate) fn are_followed(&self) -> bool {
        self.changed.is_some()
    }

    /// Follows the changes from now on, and counts all devices as changed; or stops doing so.
    pub(crate) fn follow_changes(&mut self, is_following: bool) {
        self.changed = is_following.then(|| self.slots().into_iter().collect());
    }

    /// Takes the slots of the devices that have changed.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<Slot> {
        let changed = self.changed.as_mut();
        changed.map(core::mem::take).unwrap_or_default()
    }

    pub(crate) fn subscription(&self, key: SubscriptionKey) -> &SubscriptionState {
        match key.feed {
            Feed::Errors => &self.errors,
            Feed::Config => &self.at(key.device).config,
            Feed::Commands => &self.at(key.device).commands,
        }
    }

    pub(crate) fn subscription_mut(&mut self, key: SubscriptionKey) -> &mut SubscriptionState {
        match key.feed {
            Feed::Errors => {
                self.note_change(OWN);
                &mut self.errors
            }
            Feed::Config => &mut self.at_mut(key.device).config,
            Feed::Commands => &mut self.at_mut(key.device).commands,
        }
    }

    /// Returns the slots in use, the gateway's own first.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        self.iter().map(|(slot, _)| slot).collect()
    }

    /// Returns the number of devices, not counting the gateway.
    pub(crate) fn len(&self) -> usize {
        self.devices.len() - 1
    }

    /// Returns the number of devices that the user has attached, not counting the gateway.
    pub(crate) fn claimed(&self) -> usize {
        let claimed = self.iter().filter(|(_, device)| device.is_claimed());
        claimed.count() - 1
    }

    /// Returns every device, the gateway first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Device)> {
        self.devices.iter()
    }

    /// Every operation of a device that has not ended, oldest first, and whose it is.
    pub(crate) fn pending_ops(&self) -> Vec<(OpId, DeviceKey)> {
        let mut ops = Vec::new();
        for (slot, device) in self.iter() {
            let detach = device.detach.map(|detach| detach.op);
            let pending = device.pending_ops().chain(detach);
            ops.extend(pending.map(|op| (op, self.key(slot))));
        }
        ops.sort_unstable();
        ops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(gateway: &str) -> Devices {
        let part = |text: &str| text.to_owned();
        let client_id = ClientId::new(
            part("project-1").try_into().unwrap(),
            part("us-central1").try_into().unwrap(),
            part("registry").try_into().unwrap(),
            part(gateway).try_into().unwrap(),
        );
        Devices::new(&client_id)
    }

    #[test]
    fn a_key_of_another_gateway_names_no_device_here() {
        let (mut here, mut there) = (devices("gateway-1"), devices("gateway-2"));
        let id: DeviceId = "sensor-1".try_into().unwrap();
        let ours = here.insert(id.clone(), Life::Waiting);
        let theirs = there.insert(id, Life::Waiting);
        assert_eq!(ours, theirs);
        assert_eq!(here.resolve(here.key(ours)), Some(ours));
        assert_eq!(here.resolve(there.key(theirs)), None);
        assert_eq!(here.resolve(there.key(OWN)), None);
    }

    #[test]
    fn a_key_is_void_once_its_slot_is_taken_anew_and_generations_wrap() {
        let mut devices = devices("gateway-1");
        devices.next_generation = u32::MAX;
        let id: DeviceId = "sensor-1".try_into().unwrap();
        let slot = devices.insert(id.clone(), Life::Waiting);
        let old = devices.key(slot);
        devices.remove(slot);
        assert_eq!(devices.resolve(old), None);
        assert_eq!(devices.insert(id, Life::Waiting), slot);
        assert_eq!(devices.resolve(old), None);
        assert_eq!(devices.key(slot).generation, 0);
    }
}
