//! What is refused at once, before it changes anything.

use super::{Gateway, devices::Life};
use crate::{
    command::{DeviceKey, Publication, PublicationTopic},
    error::{CommandError, Failure, PublishError},
    options::Overflow,
};

impl Gateway {
    /// Whether the publications of a device can be accepted, however much room there is; if not, how one is handed back.
    pub(super) fn admit(&self, device: DeviceKey) -> Result<(), fn(Publication) -> PublishError> {
        if self.lifecycle.is_closing() {
            return Err(PublishError::Closed);
        }
        let Some(index) = self.devices.resolve(device) else {
            return Err(PublishError::UnknownDevice);
        };
        let device = self.devices.at(index);
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

    /// Makes room for a publication by dropping older ones, if the options say so.
    pub(super) fn make_room(&mut self, publication: &Publication) -> bool {
        while !self.outbox.has_room(publication) {
            let oldest = match self.options.overflow {
                Overflow::DropOldest => self.outbox.oldest_waiting(publication.device.index),
                Overflow::Reject => None,
            };
            let Some(oldest) = oldest else {
                return false;
            };
            self.end_publication(oldest, Err(Failure::Dropped));
            self.stats.dropped += 1;
        }
        true
    }

    pub(super) fn check_open(&self) -> Result<(), CommandError> {
        if self.lifecycle.is_closing() {
            Err(CommandError::Closed)
        } else {
            Ok(())
        }
    }

    pub(super) fn resolve(&self, device: DeviceKey) -> Result<u32, CommandError> {
        self.devices
            .resolve(device)
            .ok_or(CommandError::UnknownDevice)
    }

    pub(super) fn resolve_staying(&self, device: DeviceKey) -> Result<u32, CommandError> {
        let index = self.resolve(device)?;
        match self.devices.at(index).detach {
            Some(_) => Err(CommandError::Detaching),
            None => Ok(index),
        }
    }
}
