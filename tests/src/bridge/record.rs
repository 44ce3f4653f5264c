//! The cloud's record of a device, independent of connections.

use std::collections::VecDeque;

use bytes::Bytes;

use super::quotas::StatePace;

/// The maximum number of telemetry events kept per device.
pub const KEPT_TELEMETRY: usize = 10_000;

/// The maximum total size of telemetry payloads kept per device, in bytes.
pub const KEPT_TELEMETRY_BYTES: usize = 4 * 1024 * 1024;

/// Documented: the number of states kept per device.
pub const KEPT_STATES: usize = 10;

/// The cloud's record of a device: its config, and what it has sent.
#[derive(Clone, Debug)]
pub struct DeviceRecord {
    pub(crate) config: Bytes,
    pub(crate) config_version: u64,
    pub(crate) config_acknowledged: Option<u64>,
    pub(crate) pace: StatePace,
    telemetry: VecDeque<Telemetry>,
    telemetry_bytes: usize,
    telemetry_total: u64,
    states: VecDeque<Bytes>,
    states_total: u64,
}

/// A received telemetry event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// The part of its topic after `events/`.
    pub subfolder: Option<String>,
    /// Its payload.
    pub payload: Bytes,
}

impl DeviceRecord {
    /// Creates the record of a device with this config, its version 1.
    pub(crate) fn new(config: Bytes) -> Self {
        Self {
            config,
            config_version: 1,
            config_acknowledged: None,
            pace: StatePace::default(),
            telemetry: VecDeque::new(),
            telemetry_bytes: 0,
            telemetry_total: 0,
            states: VecDeque::new(),
            states_total: 0,
        }
    }

    /// Returns the newest config.
    #[must_use]
    pub fn config(&self) -> &Bytes {
        &self.config
    }

    /// Returns the version of the newest config, counted from 1.
    #[must_use]
    pub fn config_version(&self) -> u64 {
        self.config_version
    }

    /// Returns the newest version that the device has acknowledged.
    #[must_use]
    pub fn config_acknowledged(&self) -> Option<u64> {
        self.config_acknowledged
    }

    /// Returns the newest telemetry events, oldest first: at most [`KEPT_TELEMETRY`] of them and
    /// [`KEPT_TELEMETRY_BYTES`], but always the last one.
    pub fn telemetry(&self) -> impl ExactSizeIterator<Item = &Telemetry> {
        self.telemetry.iter()
    }

    /// Returns the total number of telemetry events received.
    #[must_use]
    pub fn telemetry_total(&self) -> u64 {
        self.telemetry_total
    }

    /// Returns the newest states, oldest first, at most [`KEPT_STATES`].
    pub fn states(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.states.iter()
    }

    /// Returns the total number of states received.
    #[must_use]
    pub fn states_total(&self) -> u64 {
        self.states_total
    }

    pub(crate) fn add_telemetry(&mut self, subfolder: Option<String>, payload: Bytes) {
        self.telemetry_total += 1;
        self.telemetry_bytes += payload.len();
        self.telemetry.push_back(Telemetry { subfolder, payload });
        while self.telemetry.len() > 1
            && (self.telemetry.len() > KEPT_TELEMETRY
                || self.telemetry_bytes > KEPT_TELEMETRY_BYTES)
        {
            let oldest = self.telemetry.pop_front();
            self.telemetry_bytes -= oldest.map_or(0, |oldest| oldest.payload.len());
        }
    }

    pub(crate) fn add_state(&mut self, payload: Bytes) {
        self.states_total += 1;
        if self.states.len() == KEPT_STATES {
            self.states.pop_front();
        }
        self.states.push_back(payload);
    }
}

/// Documented: a device that was never configured has version 1, which is empty.
impl Default for DeviceRecord {
    fn default() -> Self {
        Self::new(Bytes::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_a_device_is_bounded() {
        let mut record = DeviceRecord::default();
        for _ in 0..KEPT_TELEMETRY + 5 {
            record.add_telemetry(None, Bytes::from_static(b"x"));
        }
        assert_eq!(record.telemetry().len(), KEPT_TELEMETRY);
        let half = Bytes::from(vec![0; KEPT_TELEMETRY_BYTES / 2 + 1]);
        record.add_telemetry(None, half.clone());
        record.add_telemetry(None, half);
        assert_eq!(record.telemetry().len(), 1);
        assert_eq!(record.telemetry_total(), KEPT_TELEMETRY as u64 + 7);
        for number in 0..20_u8 {
            record.add_state(Bytes::from(vec![number]));
        }
        assert_eq!(record.states().len(), KEPT_STATES);
        assert_eq!(record.states().last(), Some(&Bytes::from_static(&[19])));
    }
}
