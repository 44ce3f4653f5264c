//! A device as the operations left it, with its own queue of requests.

use std::{collections::BTreeMap, time::Duration};

use iotcore_gateway_tokio::{Device, device::DeviceState};
use tokio::time::Instant;

use super::{
    super::load::Load,
    place::{Place, Rank},
};
use crate::{
    codes::StateCode,
    operation::{Action, Request},
    options::DeviceQueue,
    output::device_state,
};

/// How long an attach or a detach may take before the device counts as one that cannot send.
pub(in super::super) const PATIENCE: Duration = Duration::from_secs(1);

/// The state of a device.
#[derive(Default)]
pub(in super::super) enum Stage {
    /// The device was never attached, or has been detached.
    #[default]
    Unknown,
    /// The device accepts commands.
    Ready(Device),
    /// The gateway has yet to accept an attach of the device, which it may know already. Later requests wait for that.
    Accepting(Option<Device>),
    /// The device is being detached; later requests wait for that.
    Detaching,
}

/// A device with its requests.
#[derive(Default)]
pub(in super::super) struct Lane {
    pub(in super::super) stage: Stage,
    /// When that began, or the bridge detached it.
    since: Option<Instant>,
    /// Its messages that the gateway has accepted and that have not ended.
    pub(in super::super) accepted: Load,
    /// Those among them that were found in the store.
    pub(in super::super) restored: Load,
    /// Requests that wait for the device or for room.
    waiting: BTreeMap<Place, Request>,
    /// How much the messages among them hold.
    held: Load,
    /// The number of its latest attach or detach.
    last_barrier: u64,
}

impl Lane {
    pub(super) fn enter(&mut self, stage: Stage, now: Instant) {
        self.stage = stage;
        self.since = Some(now);
    }

    pub(super) fn insert(&mut self, place: Place, request: Request) {
        self.held.add_request(&request);
        self.waiting.insert(place, request);
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Request> {
        let request = self.waiting.remove(&place)?;
        self.held.remove_request(&request);
        Some(request)
    }

    /// Takes all requests that wait.
    pub(super) fn take_waiting(&mut self) -> BTreeMap<Place, Request> {
        self.held = Load::default();
        std::mem::take(&mut self.waiting)
    }

    /// Returns the place of a new request with this number.
    pub(super) fn place(&mut self, number: u64, action: &Action) -> Place {
        let rank = match action {
            Action::Attach { .. } | Action::Detach => {
                self.last_barrier = number;
                Rank::Control
            }
            Action::Authorize { .. } => Rank::Control,
            Action::Telemetry { publication, .. } | Action::State(publication) => {
                match publication.is_urgent() {
                    true => Rank::Urgent,
                    false => Rank::Ordinary,
                }
            }
        };
        Place {
            barrier: self.last_barrier,
            rank,
            number,
        }
    }

    /// Returns the place of the next request if it may be handed to the gateway now.
    pub(super) fn startable(&self, may_overflow: bool, limit: DeviceQueue) -> Option<Place> {
        let (&place, request) = self.waiting.first_key_value()?;
        self.may_start(request, may_overflow, limit)
            .then_some(place)
    }

    /// Returns whether the request may be handed to the gateway now. A message that is too large for any queue may, so that
    /// it is refused.
    fn may_start(&self, request: &Request, may_overflow: bool, limit: DeviceQueue) -> bool {
        match self.stage {
            Stage::Accepting(_) | Stage::Detaching => false,
            Stage::Unknown => true,
            Stage::Ready(_) => may_overflow || self.fits(request, limit),
        }
    }

    /// Returns whether the device's own limit leaves room for a request beside what the gateway has accepted.
    pub(super) fn fits(&self, request: &Request, limit: DeviceQueue) -> bool {
        fits(self.accepted, request, limit)
    }

    /// Returns whether it leaves room for a request beside all messages of the device that are open.
    pub(in super::super) fn has_room(&self, request: &Request, limit: DeviceQueue) -> bool {
        let mut open = self.accepted;
        open.add_all(self.held);
        fits(open, request, limit)
    }

    /// Returns how much its messages that wait hold.
    pub(in super::super) fn held(&self) -> Load {
        self.held
    }

    /// Returns whether anything is left to know about the device.
    pub(super) fn is_left(&self) -> bool {
        !matches!(self.stage, Stage::Unknown)
            || !self.waiting.is_empty()
            || !self.accepted.is_empty()
    }

    /// Returns the places of the messages that wait.
    pub(super) fn messages(&self) -> Vec<Place> {
        messages(self.waiting.iter())
    }

    /// Returns the places of the messages that wait before this request, if it still waits.
    pub(super) fn messages_before(&self, end: Place) -> Vec<Place> {
        match self.waiting.contains_key(&end) {
            true => messages(self.waiting.range(..end)),
            false => Vec::new(),
        }
    }

    /// Returns the places of the states that a newer one, at this place, has passed.
    pub(super) fn older_states(&self, newer: Place) -> Vec<Place> {
        let behind = self.waiting.range(newer..);
        let older = behind.filter(|(place, request)| {
            place.number < newer.number && matches!(request.action, Action::State(_))
        });
        older.map(|(&place, _)| place).collect()
    }

    /// Returns the state of the device on the bridge, by its name.
    pub(in super::super) fn state(&self) -> &'static str {
        match &self.stage {
            Stage::Unknown => "unknown",
            Stage::Ready(device) => device
                .status()
                .map_or("unknown", |state| device_state(state).as_str()),
            Stage::Accepting(_) => StateCode::Waiting.as_str(),
            Stage::Detaching => StateCode::Detaching.as_str(),
        }
    }

    /// Records that the bridge has detached the device.
    pub(super) fn on_detached(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// Returns whether the device cannot send, with or without a connection: until it has a token, or because attaching it
    /// fails.
    pub(in super::super) fn is_stopped(&self, now: Instant) -> bool {
        let Stage::Ready(device) = &self.stage else {
            return false;
        };
        match device.status() {
            Some(DeviceState::TokenNeeded | DeviceState::Refused | DeviceState::Dormant) => true,
            Some(DeviceState::Retrying) => self.since.is_some_and(|since| now >= since + PATIENCE),
            _ => false,
        }
    }

    /// Returns whether the device cannot send although the gateway has been connected since then: because it is stopped, or
    /// because its attach or detach takes longer than [`PATIENCE`].
    pub(super) fn cannot_send(&self, connected_since: Instant, now: Instant) -> bool {
        let is_under_way = match &self.stage {
            Stage::Unknown => false,
            Stage::Ready(device) => device
                .status()
                .is_some_and(|state| state != DeviceState::Attached),
            Stage::Accepting(_) | Stage::Detaching => true,
        };
        let since = self
            .since
            .map_or(connected_since, |since| since.max(connected_since));
        self.is_stopped(now) || (is_under_way && now >= since + PATIENCE)
    }
}

/// Returns whether a request has room beside this load of its device. One that is no message needs none.
fn fits(load: Load, request: &Request, limit: DeviceQueue) -> bool {
    let Some(publication) = request.action.publication() else {
        return true;
    };
    let limit = limit.of(publication);
    let Load { messages, bytes } = load;
    let size = publication.payload.len();
    messages < limit.messages && (size > limit.bytes || bytes + size <= limit.bytes)
}

fn messages<'a>(requests: impl Iterator<Item = (&'a Place, &'a Request)>) -> Vec<Place> {
    let messages = requests.filter(|(_, request)| request.action.publication().is_some());
    messages.map(|(&place, _)| place).collect()
}
