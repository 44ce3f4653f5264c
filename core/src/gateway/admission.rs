//! Checks that refuse a command at once, before it changes anything.

use super::{devices::Life, session::Session};
use crate::{
    command::{DeviceKey, Publication, PublicationTopic, Slot},
    error::{CommandError, PublishErrorKind},
    mqtt::QoS,
};

impl Session {
    /// Checks whether a publication can be accepted now. Makes room for it by dropping older ones, if the options say
    /// so.
    pub(super) fn admit(&mut self, publication: &Publication) -> Result<(), PublishErrorKind> {
        let Some(slot) = self.devices.resolve(publication.device) else {
            return Err(PublishErrorKind::UnknownDevice);
        };
        let device = self.devices.at(slot);
        if device.detach.is_some() {
            return Err(PublishErrorKind::Detaching);
        }
        if matches!(device.life, Life::Refused) {
            return Err(PublishErrorKind::DeviceRefused);
        }
        if publication.payload.len() >= self.outbox.admits_below(&publication.topic) {
            self.look_closer(publication)?;
        }
        if !self.make_room(publication) {
            self.outbox.block(publication);
            return Err(PublishErrorKind::Blocked);
        }
        Ok(())
    }

    /// Checks a publication that is too large, or that the store may have no room for. Never inlined: such a one is
    /// rare.
    #[inline(never)]
    fn look_closer(&mut self, publication: &Publication) -> Result<(), PublishErrorKind> {
        let limit = self.payload_limit(&publication.topic);
        if publication.payload.len() > limit {
            return Err(PublishErrorKind::TooLarge { limit });
        }
        #[cfg(feature = "store")]
        self.admit_to_store(publication)?;
        Ok(())
    }

    /// Returns the largest payload of a publication to this topic.
    fn payload_limit(&self, topic: &PublicationTopic) -> usize {
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

    /// Returns the slot of a device whose subscription may be changed: one that was refused has none, and gets none.
    pub(super) fn resolve_subscriber(
        &self,
        device: DeviceKey,
        qos: Option<QoS>,
    ) -> Result<Slot, CommandError> {
        let slot = self.resolve_staying(device)?;
        match self.devices.at(slot).life {
            Life::Refused if qos.is_some() => Err(CommandError::DeviceRefused),
            _ => Ok(slot),
        }
    }

    /// Returns the slot of a device that is not being detached.
    pub(super) fn resolve_staying(&self, device: DeviceKey) -> Result<Slot, CommandError> {
        let slot = self.resolve(device)?;
        match self.devices.at(slot).detach {
            Some(_) => Err(CommandError::Detaching),
            None => Ok(slot),
        }
    }
}
