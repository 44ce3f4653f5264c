//! What is refused at once, before it changes anything.

use super::{devices::Life, session::Session};
use crate::{
    command::{DeviceKey, Publication, PublicationTopic, Slot},
    error::{CommandError, PublishError},
};

impl Session {
    /// Whether the publications of a device can be accepted, however much room there is; if not, how one is handed back.
    pub(super) fn admit(&self, device: DeviceKey) -> Result<(), fn(Publication) -> PublishError> {
        let Some(slot) = self.devices.resolve(device) else {
            return Err(PublishError::UnknownDevice);
        };
        let device = self.devices.at(slot);
        if device.detach.is_some() {
            return Err(PublishError::Detaching);
        }
        if matches!(device.life, Life::Refused) {
            return Err(PublishError::DeviceRefused);
        }
        Ok(())
    }

    /// The largest payload of a publication to this topic.
    pub(super) fn payload_limit(&self, topic: &PublicationTopic) -> usize {
        match topic {
            PublicationTopic::Telemetry(_) => self.options.quota.max_telemetry_bytes,
            PublicationTopic::State => self.options.quota.max_state_bytes,
        }
    }

    pub(super) fn resolve(&self, device: DeviceKey) -> Result<Slot, CommandError> {
        self.devices
            .resolve(device)
            .ok_or(CommandError::UnknownDevice)
    }

    /// The slot of a device that is not being detached.
    pub(super) fn resolve_staying(&self, device: DeviceKey) -> Result<Slot, CommandError> {
        let slot = self.resolve(device)?;
        match self.devices.at(slot).detach {
            Some(_) => Err(CommandError::Detaching),
            None => Ok(slot),
        }
    }
}
