//! Getters: how things stand.

use super::{
    Gateway,
    devices::{DeviceState, OWN},
};
use crate::{
    command::DeviceKey,
    id::{ClientId, DeviceId},
    stats::Stats,
    unsent::Unsent,
};

impl Gateway {
    /// The client id that it connects with.
    pub fn client_id(&self) -> &ClientId {
        &self.session.client_id
    }

    /// Whether the bridge has accepted the connection, and it has not ended.
    pub fn is_open(&self) -> bool {
        self.lifecycle.is_open()
    }

    /// Whether the gateway is closed for good.
    pub fn is_closed(&self) -> bool {
        self.lifecycle.is_closed()
    }

    /// The key of the gateway itself, which is a device too.
    pub fn own_key(&self) -> DeviceKey {
        self.session.devices.key(OWN)
    }

    /// The key of the device with this id, if it is attached or to be attached.
    pub fn device_key(&self, id: &DeviceId) -> Option<DeviceKey> {
        let devices = &self.session.devices;
        Some(devices.key(devices.find(id.as_str())?))
    }

    /// The id of a device, unless it has been detached.
    pub fn device_id(&self, device: DeviceKey) -> Option<&DeviceId> {
        let devices = &self.session.devices;
        Some(&devices.at(devices.resolve(device)?).id)
    }

    /// How a device stands, unless it has been detached.
    pub fn device_state(&self, device: DeviceKey) -> Option<DeviceState> {
        let devices = &self.session.devices;
        let device = devices.at(devices.resolve(device)?);
        Some(device.life.state(self.is_open()))
    }

    /// Everything that is accepted and has not ended, in the order of acceptance: what to keep across a restart of the
    /// process, and to publish again then.
    pub fn unsent(&self) -> impl Iterator<Item = Unsent> {
        self.session.unsent()
    }

    /// What the gateway has done and holds.
    pub fn stats(&self) -> Stats {
        let session = &self.session;
        let online = self.lifecycle.online();
        Stats {
            unsolicited: session.stats.unsolicited
                + online.map_or(0, |online| online.link.unsolicited()),
            delays: session.outbox.delays().count,
            delayed: session.outbox.delays().total,
            queued: session.outbox.len(),
            queued_bytes: session.outbox.bytes(),
            in_flight: online.map_or(0, |online| online.flight.in_flight()),
            events: session.events.len(),
            unacknowledged: online.map_or(0, |online| online.owed.len()),
            received: online.map_or(0, |online| online.link.received()),
            devices: session.devices.len(),
            ..session.stats
        }
    }
}
