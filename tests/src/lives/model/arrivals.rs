//! What arrives at the bridge, and in which order.

use super::Model;
use crate::{
    Event, EventKind,
    bridge::event::Payload,
    lives::{
        DEVICES,
        message::{Status, number},
    },
};

/// So many connections in a row that end at a message make it a suspect, which is sent last.
const SUSPECT_AFTER: u32 = 3;

impl Model {
    /// Checks an event of the bridge.
    pub(in super::super) fn take_of_bridge(&mut self, event: &Event) {
        match &event.kind {
            EventKind::Telemetry {
                device, payload, ..
            }
            | EventKind::State {
                device, payload, ..
            } => self.arrive(device, payload),
            EventKind::Unserved { .. }
            | EventKind::Dropped { .. }
            | EventKind::ErrorReport { .. }
            | EventKind::Detached { .. }
            | EventKind::Closed {
                by_bridge: true, ..
            } => {
                self.note(|| event.to_string());
                self.excuse_order();
            }
            _ => {}
        }
    }

    /// The bridge has not taken something that it was sent: it comes again, later.
    fn excuse_order(&mut self) {
        self.excused = [self.messages.len(); DEVICES.len()];
    }

    fn arrive(&mut self, device: &str, Payload(payload): &Payload) {
        let message =
            number(payload).and_then(|number| Some((number, self.messages.get_mut(number)?)));
        let Some((number, message)) = message else {
            return self.find(format!("{payload:?} was never published"));
        };
        message.arrivals += 1;
        let (arrivals, is_back) = (message.arrivals, message.is_back);
        let draft = &message.draft;
        let (of, lane, is_right) = (draft.device, draft.lane, draft.payload == *payload);
        self.note(|| format!("{number} arrives"));
        if !is_right || device != DEVICES[of] {
            self.find(format!("{number} arrives for {device}, and has changed"));
        }
        if arrivals > 1 {
            self.counts.one("duplicates");
            return;
        }
        self.counts.one("arrivals");
        if number < self.excused[of] || is_back {
            return;
        }
        let newest = self.newest.entry((of, lane)).or_default();
        let before = core::mem::replace(newest, number.max(*newest));
        if number < before {
            self.find(format!("{number} arrives after {before}"));
        }
    }

    /// Records whether there is a connection.
    pub(in super::super) fn observe(&mut self, is_open: bool) {
        if !is_open {
            self.offline_before = self.messages.len();
        }
    }

    /// Records that the gateway is asked to close: it puts everything at once.
    pub(in super::super) fn close(&mut self) {
        self.note(|| "close".into());
        self.offline_before = self.messages.len();
    }

    pub(super) fn disconnected(&mut self) {
        self.note(|| "disconnected".into());
        self.offline_before = self.messages.len();
        if !core::mem::take(&mut self.was_open) {
            return;
        }
        self.counts.one("connections that ended");
        let count = self.messages.len();
        for message in &mut self.messages {
            if let Status::Live(_) = message.status {
                message.strikes += 1;
                if message.strikes >= SUSPECT_AFTER {
                    self.excused[message.draft.device] = count;
                }
            }
        }
    }

    /// Forgets what has arrived: the next bridge is another one.
    pub(in super::super) fn change_bridge(&mut self) {
        self.newest.clear();
        for message in &mut self.messages {
            message.arrivals = 0;
        }
    }
}
