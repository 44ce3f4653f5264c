//! What `Gateway::devices` shows.

use iotcore_gateway::{DeviceKey, Event, Failure, Gateway, device::DeviceInfo};

use super::{DEVICES, Finding, Model};
use crate::script::Rule;

/// The last failure of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LastFailure {
    /// One whose event does not say it as the look at the device does.
    Untold,
    Known(Failure),
}

impl Model {
    /// Records the failure of an operation.
    pub(super) fn note_failure(&mut self, key: DeviceKey, failure: &Failure) {
        let is_users = matches!(
            failure,
            Failure::Cancelled
                | Failure::Superseded
                | Failure::Detached
                | Failure::Closed
                | Failure::DeviceRefused
                | Failure::NotAttached
        );
        if !is_users {
            let failure = LastFailure::Known(failure.clone());
            self.last_failures.insert(key, failure);
        }
    }

    /// Records an event that may tell a failure of a device.
    pub(super) fn note_loss(&mut self, event: &Event) {
        let (key, failure) = match event {
            Event::SubscriptionLost {
                device, failure, ..
            } => (*device, LastFailure::Known(failure.clone())),
            Event::Detached { device, .. } => (*device, LastFailure::Untold),
            _ => return,
        };
        self.last_failures.insert(key, failure);
    }

    /// Checks the looks at all devices. Called when all events were polled.
    pub(crate) fn check_devices(&self, gateway: &Gateway) -> Result<(), Finding> {
        let finding = |what| Err(Finding::new(Rule::Delivery, what));
        let mut loads = self.publications.loads;
        let (sent, mut in_flight) = (self.in_flight(), 0);
        for info in gateway.devices() {
            let Some(&index) = self.keys.get(&info.key) else {
                return finding(format!("{info:?}, which nobody has attached"));
            };
            let load = core::mem::take(&mut loads[index]);
            in_flight += info.in_flight;
            if let Some(wrong) = self.wrong_of(&info, index, (load, sent[index]), gateway) {
                return finding(format!("{wrong} is wrong in {info:?}"));
            }
        }
        if let Some(index) = loads.iter().position(|load| *load != (0, 0)) {
            return finding(format!(
                "{} is not shown, and has {:?}",
                DEVICES[index], loads[index]
            ));
        }
        match gateway.stats().in_flight {
            total if total == in_flight => Ok(()),
            total => finding(format!(
                "{in_flight} are in flight for all devices, and {total} in total"
            )),
        }
    }

    /// Returns the name of what is wrong in a look at a device.
    fn wrong_of(
        &self,
        info: &DeviceInfo,
        index: usize,
        (load, sent): ((usize, usize), usize),
        gateway: &Gateway,
    ) -> Option<&'static str> {
        let device = &self.devices[index];
        let may_be_put_back = device.was_detached() || device.is_slandered || self.is_deceived;
        let last_failure = self.last_failures.get(&info.key);
        let is_failure_right = match (last_failure, &info.last_failure) {
            (None, None) | (Some(LastFailure::Untold), Some(_)) => true,
            (Some(LastFailure::Known(told)), Some(last)) if last.failure == *told => true,
            // No event tells that an attach has failed after a reconnect.
            (_, Some(last)) => matches!(last.failure, Failure::TimedOut(_) | Failure::Reported(_)),
            (Some(_), None) => false,
        };
        let checks = [
            ("the id", info.id.as_str() == DEVICES[index]),
            (
                "the state",
                Some(info.state) == gateway.device_state(info.key),
            ),
            ("the queue", (info.queued, info.queued_bytes) == load),
            (
                "what is in flight",
                info.in_flight == sent || may_be_put_back && info.in_flight < sent,
            ),
            (
                "what is suspected",
                info.suspected + info.in_flight <= info.queued,
            ),
            ("the last failure", is_failure_right),
        ];
        let wrong = checks.into_iter().find(|(_, is_right)| !is_right);
        wrong.map(|(what, _)| what)
    }
}
