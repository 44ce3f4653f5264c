//! The devices as the operations left them, each with its own queue of requests.

use std::collections::{BTreeMap, VecDeque};

use iotcore_gateway_tokio::{Device, DeviceId, QueueLimit};

use super::load::Load;
use crate::operation::{Action, Request};

/// The state of a device.
#[derive(Default)]
pub(super) enum Stage {
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
pub(super) struct Lane {
    pub(super) stage: Stage,
    /// Its messages that the gateway has accepted and that have not ended.
    pub(super) accepted: Load,
    /// Requests that wait for the device or for room, in the order in which they are started.
    waiting: VecDeque<Waiting>,
}

/// A request that waits.
pub(super) struct Waiting {
    /// Its place in the input.
    number: u64,
    pub(super) request: Request,
}

impl Lane {
    /// Returns whether the next request may be handed to the gateway now. A message that is too large for any queue may, so
    /// that it is refused.
    fn may_start(&self, may_overflow: bool, limit: QueueLimit) -> bool {
        let Some(next) = self.waiting.front() else {
            return false;
        };
        match self.stage {
            Stage::Accepting(_) | Stage::Detaching => false,
            Stage::Unknown => true,
            Stage::Ready(_) => may_overflow || self.fits(&next.request, limit),
        }
    }

    /// Returns whether the device's own limit leaves room for a request.
    pub(super) fn fits(&self, request: &Request, limit: QueueLimit) -> bool {
        let Some(payload) = request.action.payload() else {
            return true;
        };
        let Load { messages, bytes } = self.accepted;
        let is_too_large = payload.len() > limit.bytes;
        messages < limit.messages && (is_too_large || bytes + payload.len() <= limit.bytes)
    }
}

/// All devices.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<DeviceId, Lane>,
    /// The messages that wait.
    waiting: Load,
    /// Devices whose requests may have become startable.
    due: VecDeque<DeviceId>,
    /// Devices whose next message found no room in what all devices share, longest first.
    crowded: VecDeque<DeviceId>,
}

impl Lanes {
    pub(super) fn get_mut(&mut self, device: &DeviceId) -> &mut Lane {
        self.lanes.entry(device.clone()).or_default()
    }

    /// Changes the state of a device, so that its next request may be due.
    pub(super) fn set_stage(&mut self, device: &DeviceId, stage: Stage) {
        self.get_mut(device).stage = stage;
        push_once(&mut self.due, device);
    }

    /// Queues a request. One that provides a token goes before the messages, because these may wait for it.
    pub(super) fn push(&mut self, device: &DeviceId, number: u64, request: Request) {
        self.waiting.add_request(&request);
        let waiting = &mut self.get_mut(device).waiting;
        let place = match request.action {
            Action::Authorize { .. } => {
                let mut messages = waiting.iter().rev();
                let last_other =
                    messages.position(|waiting| waiting.request.action.payload().is_none());
                waiting.len() - last_other.unwrap_or(waiting.len())
            }
            _ => waiting.len(),
        };
        waiting.insert(place, Waiting { number, request });
        push_once(&mut self.due, device);
    }

    /// Takes a device whose requests are to be started.
    pub(super) fn pop_due(&mut self) -> Option<DeviceId> {
        self.due.pop_front()
    }

    /// Takes the next request of a device that may be handed to the gateway now.
    pub(super) fn pop_startable(
        &mut self,
        device: &DeviceId,
        may_overflow: bool,
        limit: QueueLimit,
    ) -> Option<Waiting> {
        let lane = self.lanes.get_mut(device)?;
        if !lane.may_start(may_overflow, limit) {
            return None;
        }
        let next = lane.waiting.pop_front()?;
        self.waiting.remove_request(&next.request);
        Some(next)
    }

    /// Returns a request for which the gateway had no room, and records which room it waits for.
    pub(super) fn put_back(&mut self, device: &DeviceId, waiting: Waiting, limit: QueueLimit) {
        self.waiting.add_request(&waiting.request);
        let lane = self.get_mut(device);
        let is_crowded = lane.fits(&waiting.request, limit);
        lane.waiting.push_front(waiting);
        if is_crowded {
            push_once(&mut self.crowded, device);
        }
    }

    /// Records that a message that the gateway had accepted has ended: its room may be what another one waits for.
    pub(super) fn on_ended(&mut self, device: &DeviceId, message: &Request) {
        self.get_mut(device).accepted.remove_request(message);
        for crowded in self.crowded.drain(..) {
            push_once(&mut self.due, &crowded);
        }
        push_once(&mut self.due, device);
    }

    /// Forgets a device about which nothing is left to know.
    pub(super) fn tidy(&mut self, device: &DeviceId) {
        let is_left = |lane: &Lane| {
            !matches!(lane.stage, Stage::Unknown)
                || !lane.waiting.is_empty()
                || !lane.accepted.is_empty()
        };
        if !self.lanes.get(device).is_some_and(is_left) {
            self.lanes.remove(device);
        }
    }

    /// Returns how much the messages that wait hold.
    pub(super) fn waiting_load(&self) -> Load {
        self.waiting
    }

    /// Takes all requests that wait, in input order.
    pub(super) fn take_waiting(&mut self) -> Vec<Request> {
        self.waiting = Load::default();
        let lanes = self.lanes.values_mut();
        let mut all: Vec<_> = lanes.flat_map(|lane| lane.waiting.drain(..)).collect();
        all.sort_by_key(|waiting| waiting.number);
        all.into_iter().map(|waiting| waiting.request).collect()
    }

    /// Takes the messages of a device that wait before this request, if it still waits.
    pub(super) fn take_messages_before(&mut self, device: &DeviceId, number: u64) -> Vec<Request> {
        let Some(lane) = self.lanes.get_mut(device) else {
            return Vec::new();
        };
        let mut requests = lane.waiting.iter();
        let Some(place) = requests.position(|waiting| waiting.number == number) else {
            return Vec::new();
        };
        let before: Vec<_> = lane.waiting.drain(..place).collect();
        let (messages, others): (Vec<_>, Vec<_>) = before
            .into_iter()
            .partition(|waiting| waiting.request.action.payload().is_some());
        for other in others.into_iter().rev() {
            lane.waiting.push_front(other);
        }
        for message in &messages {
            self.waiting.remove_request(&message.request);
        }
        push_once(&mut self.due, device);
        messages
            .into_iter()
            .map(|waiting| waiting.request)
            .collect()
    }
}

fn push_once(devices: &mut VecDeque<DeviceId>, device: &DeviceId) {
    if !devices.contains(device) {
        devices.push_back(device.clone());
    }
}
