//! Back-pressure from the user to the bridge: when reading pauses, who is notified, and what ends it. A delivery that nobody
//! acknowledges holds up the other devices for a limited time only.

use super::{online::Online, session::Session};
use crate::{
    clock::Moment,
    command::{DeliveryId, Slot},
    event::Event,
    time::{Duration, Instant},
};

/// How long reading may be paused before it is reported.
const PAUSE_LIMIT: Duration = Duration::from_secs(5);

impl Session {
    /// Returns whether to read from the peer now.
    #[inline]
    pub(super) fn wants_input(&self, online: &Online) -> bool {
        self.has_room_for_events() && !online.owed.is_full()
    }

    /// Returns since when reading was paused, if it is to resume and the connection does not know yet: the user has
    /// taken the events that had paused reading, and taking events reports no time.
    pub(super) fn reading_resumed(&self, online: &Online) -> Option<Moment> {
        let since = online.link.peer_clock().paused_since()?;
        self.wants_input(online).then_some(since)
    }

    /// Returns since when reading has been paused.
    pub(super) fn reading_paused_since(&self, online: &Online) -> Option<Instant> {
        let since = online.link.peer_clock().paused_since()?;
        let paused_since = Some(since).filter(|_| !self.wants_input(online));
        self.clock.instant(paused_since?)
    }

    /// Records the user's acknowledgement: its device is not deaf, on whatever connection it came. A config that was
    /// given up is asked for again.
    pub(super) fn acknowledge(
        &mut self,
        online: Option<&mut Online>,
        delivery: DeliveryId,
        now: Moment,
    ) {
        if let Some(device) = self.devices.resolve(delivery.device) {
            self.devices.at_mut(device).is_deaf = false;
        }
        if let Some(online) = online
            && let Some(config) = online.owed.give(delivery.number, now)
        {
            self.renew_config(online, config.device, config.fingerprint);
        }
    }

    /// Reports a pause of reading that is too long, and releases the deliveries that have held up others for too long.
    pub(super) fn judge_back_pressure(&mut self, online: &mut Online, now: Moment) {
        if let Some(at) = pause_deadline(online)
            && at <= now
        {
            online.reported_pause = online.link.peer_clock().paused_since();
            let most = online.owed.most_waiting();
            let device = most.filter(|_| online.owed.is_full());
            let device = device.map(|device| self.devices.key(device));
            self.emit(Event::ReadingPaused { device });
        }
        for (device, messages) in online.owed.release_overdue(now) {
            self.devices.at_mut(device).is_deaf = true;
            let device = self.devices.key(device);
            self.emit(Event::AcknowledgementsOverdue { device, messages });
        }
    }

    /// Releases the deliveries of a device whose attachment has ended: they hold up nobody.
    pub(super) fn release_deliveries(&mut self, online: &mut Online, device: Slot) {
        online.owed.release_detached(device, self.clock.now());
    }

    /// Returns when to call [`judge_back_pressure`](Self::judge_back_pressure) next.
    pub(super) fn back_pressure_deadline(&self, online: &Online) -> Option<Moment> {
        let deadlines = [pause_deadline(online), online.owed.deadline()];
        deadlines.into_iter().flatten().min()
    }
}

/// Returns when to report that reading is paused; `None` if it was reported.
fn pause_deadline(online: &Online) -> Option<Moment> {
    let since = online.link.peer_clock().paused_since();
    let unreported = since.filter(|_| since != online.reported_pause);
    unreported.map(|since| since + PAUSE_LIMIT)
}
