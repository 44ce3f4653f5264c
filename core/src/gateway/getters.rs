//! Getters: how things stand.

use super::{
    Gateway,
    devices::{DeviceState, OWN},
    lifecycle::State,
    outbox::Unsent,
};
use crate::{
    command::DeviceKey,
    id::{ClientId, DeviceId},
    mqtt::Connection,
    stats::Stats,
};

impl Gateway {
    /// The client id that it connects with.
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// Whether the bridge has accepted the connection, and it has not ended.
    pub fn is_open(&self) -> bool {
        matches!(self.lifecycle.state, State::Open | State::Refreshing)
    }

    /// Whether the gateway is closed for good.
    pub fn is_closed(&self) -> bool {
        matches!(self.lifecycle.state, State::Closed)
    }

    /// The key of the gateway itself, which is a device too.
    pub fn own_key(&self) -> DeviceKey {
        self.devices.key(OWN)
    }

    /// The key of the device with this id, if it is attached or to be attached.
    pub fn device_key(&self, id: &DeviceId) -> Option<DeviceKey> {
        Some(self.devices.key(self.devices.find(id.as_str())?))
    }

    /// The id of a device, unless it has been detached.
    pub fn device_id(&self, device: DeviceKey) -> Option<&DeviceId> {
        Some(&self.devices.at(self.devices.resolve(device)?).id)
    }

    /// How a device stands, unless it has been detached.
    pub fn device_state(&self, device: DeviceKey) -> Option<DeviceState> {
        let index = self.devices.resolve(device)?;
        Some(self.devices.at(index).life.state(self.is_open()))
    }

    /// Everything that is accepted and has not ended, in the order of acceptance: what to keep across a restart of the
    /// process, and to publish again then.
    pub fn unsent(&self) -> impl Iterator<Item = Unsent> {
        self.outbox.all(None).into_iter().map(|key| {
            let entry = self.outbox.entry(key);
            Unsent::new(entry, &self.devices.at(entry.device).id)
        })
    }

    /// What the gateway has done and holds.
    pub fn stats(&self) -> Stats {
        let link = self.link.as_ref();
        Stats {
            unsolicited: self.stats.unsolicited + link.map_or(0, Connection::unsolicited),
            delays: self.outbox.delays().count,
            delayed: self.outbox.delays().total,
            queued: self.outbox.len(),
            queued_bytes: self.outbox.bytes(),
            in_flight: self.outbox.in_flight(),
            events: self.events.len(),
            unacknowledged: self.inbox.len(),
            received: link.map_or(0, Connection::received),
            devices: self.devices.len(),
            ..self.stats
        }
    }
}
