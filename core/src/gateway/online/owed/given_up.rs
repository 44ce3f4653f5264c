//! The configs whose packets are not acknowledged on this connection.

use std::collections::BTreeMap;

use super::super::super::fingerprint::Fingerprint;
use crate::{
    command::Slot,
    mqtt::{PacketId, Publish},
};

/// The newest config of each device, if it was given up and not acknowledged since.
#[derive(Debug, Default)]
pub(super) struct GivenUpConfigs {
    configs: BTreeMap<Slot, GivenUpConfig>,
}

/// A config whose packet is not acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GivenUpConfig {
    pub(super) number: u64,
    pub(super) packet_id: PacketId,
    pub(crate) device: Slot,
    pub(crate) fingerprint: Fingerprint,
}

impl GivenUpConfigs {
    /// Adds a config, unless a newer one of its device was given up.
    pub(super) fn add(&mut self, config: GivenUpConfig) {
        let newest = self.configs.entry(config.device).or_insert(config);
        if newest.number < config.number {
            *newest = config;
        }
    }

    /// Removes that of a device.
    pub(super) fn remove(&mut self, device: Slot) {
        self.configs.remove(&device);
    }

    /// Returns the config with this number.
    pub(super) fn find(&self, number: u64) -> Option<GivenUpConfig> {
        let mut configs = self.configs.values();
        configs.find(|config| config.number == number).copied()
    }

    /// Returns whether this is a duplicate of one of them: it has the same identifier and payload.
    pub(super) fn have_copy(&self, publish: &Publish) -> bool {
        self.configs.values().any(|config| {
            Some(config.packet_id) == publish.packet_id
                && Fingerprint::of(publish) == config.fingerprint
        })
    }
}
