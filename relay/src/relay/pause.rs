//! When reading the input pauses, and what it does not wait for.

use std::io;

use iotcore_gateway_tokio::DeviceId;
use tokio::time::Instant;

use super::{Relay, lanes::PATIENCE, load::Load};
use crate::{
    failure::Reason,
    operation::Request,
    options::Overflow,
    output::{Event, Message},
};

/// The number of pending attaches, detaches and token changes at which reading the input pauses.
const MAX_CONTROLS: usize = 10_000;

/// What the input does not wait for.
#[derive(Default)]
pub(super) struct Pause {
    /// When the devices that cannot send were looked for.
    checked_at: Option<Instant>,
    /// Their messages that the gateway holds, then.
    unmoved: Load,
}

impl Pause {
    /// Forgets which devices could not send.
    pub(super) fn forget(&mut self) {
        self.checked_at = None;
        self.unmoved = Load::default();
    }
}

impl Relay {
    /// Returns whether the input is read: not while too much is open, unless it was read before a signal. With [`Overflow::DropOldest`] the gateway limits what
    /// it holds, and only what waits for it counts.
    pub(super) fn is_reading(&self) -> bool {
        let has_room = || !self.is_full() && self.open.controls() < MAX_CONTROLS;
        self.shutdown.has_lines_left() || self.shutdown.is_running() && has_room()
    }

    /// Returns whether too many messages are open, of devices that can send as far as that is known. What was found in the
    /// store does not count: it may be for devices that the input has yet to attach.
    fn is_full(&self) -> bool {
        let messages = match self.settings.overflow {
            Overflow::Wait => {
                let messages = self.open.messages().without(self.open.restored());
                messages.without(self.pause.unmoved)
            }
            Overflow::DropOldest => self.lanes.waiting_load(),
        };
        messages.reaches(self.settings.total_queue)
    }

    /// Returns when to look for devices that cannot send, because reading pauses. Without a connection none can, and all are
    /// waited for.
    pub(super) fn next_check(&self) -> Option<Instant> {
        let since = self.connection.since?;
        let is_paused = self.shutdown.is_running() && self.is_full();
        is_paused.then(|| self.pause.checked_at.map_or(since, |at| at + PATIENCE))
    }

    /// Fails what waits for devices that cannot send, so that the input does not wait for them.
    pub(super) async fn on_paused(&mut self) -> io::Result<()> {
        let now = Instant::now();
        self.pause.forget();
        self.pause.checked_at = Some(now);
        let (Some(since), true) = (self.connection.since, self.client.is_connected()) else {
            return Ok(());
        };
        for device in self.lanes.unable_to_send(since, now) {
            let lane = self.lanes.get_mut(&device);
            self.pause
                .unmoved
                .add_all(lane.accepted.without(lane.restored));
            let reason = Reason::unable_to_send(&device, lane.state());
            for message in self.lanes.take_messages(&device) {
                self.end(message.id, Err(reason.clone())).await?;
            }
        }
        Ok(())
    }

    /// Returns the event of a message that is beyond the limit of a device that cannot send.
    pub(super) fn without_room(&self, request: &Request, device: &DeviceId) -> Option<Event> {
        let lane = self.lanes.get(device)?;
        let now = Instant::now();
        let may_wait = self.settings.overflow == Overflow::DropOldest
            || lane.has_room(request, self.settings.device_queue)
            || !self.client.is_connected()
            || !lane.is_stopped(now);
        if may_wait {
            return None;
        }
        let reason = Reason::unable_to_send(device, lane.state());
        let message = Message::of(request, now);
        Some(Event::failed(request.id.clone(), reason, message))
    }
}
