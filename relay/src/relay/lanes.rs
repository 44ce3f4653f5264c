//! The devices as the operations left them, each with its own queue of requests.

mod place;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use iotcore_gateway_tokio::{Device, DeviceId};
use tokio::time::Instant;

pub(super) use self::place::Place;
use self::place::Rank;
use super::load::Load;
use crate::{
    operation::{Action, Request},
    options::DeviceQueue,
};

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
    /// Requests that wait for the device or for room.
    waiting: BTreeMap<Place, Request>,
    /// The number of its latest attach or detach.
    last_barrier: u64,
}

impl Lane {
    /// Returns the place of a new request with this number.
    fn place(&mut self, number: u64, action: &Action) -> Place {
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

    /// Returns whether the request may be handed to the gateway now. A message that is too large for any queue may, so that
    /// it is refused.
    fn may_start(&self, request: &Request, may_overflow: bool, limit: DeviceQueue) -> bool {
        match self.stage {
            Stage::Accepting(_) | Stage::Detaching => false,
            Stage::Unknown => true,
            Stage::Ready(_) => may_overflow || self.fits(request, limit),
        }
    }

    /// Returns whether the device's own limit leaves room for a request.
    fn fits(&self, request: &Request, limit: DeviceQueue) -> bool {
        let Some(publication) = request.action.publication() else {
            return true;
        };
        let limit = limit.of(publication);
        let Load { messages, bytes } = self.accepted;
        let size = publication.payload.len();
        messages < limit.messages && (size > limit.bytes || bytes + size <= limit.bytes)
    }

    /// Returns whether its next request is an urgent message.
    fn is_urgent(&self) -> bool {
        let next = self.waiting.first_key_value();
        next.is_some_and(|(place, _)| place.rank == Rank::Urgent)
    }
}

/// All devices.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<DeviceId, Lane>,
    /// The number of the latest request.
    last: u64,
    /// The messages that wait.
    waiting: Load,
    /// When messages that wait expire.
    expiring: BTreeSet<(Instant, DeviceId, Place)>,
    /// Devices whose requests may have become startable.
    due: VecDeque<DeviceId>,
    /// Devices whose next message found no room in what all devices share, longest first.
    crowded: VecDeque<DeviceId>,
}

impl Lanes {
    pub(super) fn get_mut(&mut self, device: &DeviceId) -> &mut Lane {
        self.lanes.entry(device.clone()).or_default()
    }

    /// Returns whether the device was never attached, or has been detached.
    pub(super) fn is_unknown(&self, device: &DeviceId) -> bool {
        let lane = self.lanes.get(device);
        lane.is_none_or(|lane| matches!(lane.stage, Stage::Unknown))
    }

    /// Changes the state of a device, so that its next request may be due.
    pub(super) fn set_stage(&mut self, device: &DeviceId, stage: Stage) {
        self.get_mut(device).stage = stage;
        push_once(&mut self.due, device);
    }

    /// Returns the place of the next request, which is for this device.
    pub(super) fn next_place(&mut self, device: &DeviceId, action: &Action) -> Place {
        self.last += 1;
        let number = self.last;
        self.get_mut(device).place(number, action)
    }

    /// Queues a request at its place.
    pub(super) fn push(&mut self, device: &DeviceId, place: Place, request: Request) {
        self.insert(device, place, request);
        push_once(&mut self.due, device);
    }

    fn insert(&mut self, device: &DeviceId, place: Place, request: Request) {
        if let Some(publication) = request.action.publication() {
            self.waiting.add(publication.payload.len());
            if let Some(at) = publication.expires_at {
                self.expiring.insert((at, device.clone(), place));
            }
        }
        self.get_mut(device).waiting.insert(place, request);
    }

    fn remove(&mut self, device: &DeviceId, place: Place) -> Option<Request> {
        let request = self.lanes.get_mut(device)?.waiting.remove(&place)?;
        if let Some(publication) = request.action.publication() {
            self.waiting.remove(publication.payload.len());
            if let Some(at) = publication.expires_at {
                self.expiring.remove(&(at, device.clone(), place));
            }
        }
        Some(request)
    }

    /// Takes a request that waits; the one behind it may be startable.
    pub(super) fn take(&mut self, device: &DeviceId, place: Place) -> Option<Request> {
        push_once(&mut self.due, device);
        self.remove(device, place)
    }

    /// Takes the requests of a device at these places.
    fn take_all(&mut self, device: &DeviceId, places: Vec<Place>) -> Vec<Request> {
        let requests = places
            .into_iter()
            .filter_map(|place| self.take(device, place));
        requests.collect()
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
        limit: DeviceQueue,
    ) -> Option<(Place, Request)> {
        let lane = self.lanes.get(device)?;
        let (&place, request) = lane.waiting.first_key_value()?;
        if !lane.may_start(request, may_overflow, limit) {
            return None;
        }
        Some((place, self.remove(device, place)?))
    }

    /// Returns a request for which the gateway had no room, and records which room it waits for.
    pub(super) fn put_back(
        &mut self,
        device: &DeviceId,
        place: Place,
        request: Request,
        limit: DeviceQueue,
    ) {
        if self.get_mut(device).fits(&request, limit) {
            push_once(&mut self.crowded, device);
        }
        self.insert(device, place, request);
    }

    /// Records that a message that the gateway had accepted has ended: its room may be what another one waits for. Devices
    /// whose next message is urgent are first.
    pub(super) fn on_ended(&mut self, device: &DeviceId, message: &Request) {
        self.get_mut(device).accepted.remove_request(message);
        let mut candidates: Vec<_> = self.crowded.drain(..).chain([device.clone()]).collect();
        candidates
            .sort_by_cached_key(|device| !self.lanes.get(device).is_some_and(Lane::is_urgent));
        for candidate in candidates {
            push_once(&mut self.due, &candidate);
        }
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
        self.expiring.clear();
        let lanes = self.lanes.values_mut();
        let mut all: Vec<_> = lanes
            .flat_map(|lane| std::mem::take(&mut lane.waiting))
            .collect();
        all.sort_by_key(|(place, _)| place.number);
        all.into_iter().map(|(_, request)| request).collect()
    }

    /// Takes the messages of a device that wait before this request, if it still waits.
    pub(super) fn take_messages_before(&mut self, device: &DeviceId, end: Place) -> Vec<Request> {
        let waiting = self.lanes.get(device).map(|lane| &lane.waiting);
        let waiting = waiting.filter(|waiting| waiting.contains_key(&end));
        let before = waiting.into_iter().flat_map(|waiting| waiting.range(..end));
        let messages = before.filter(|(_, request)| request.action.publication().is_some());
        let places = messages.map(|(&place, _)| place).collect();
        self.take_all(device, places)
    }

    /// Takes the states of a device that a newer one, at this place, has passed.
    pub(super) fn take_older_states(&mut self, device: &DeviceId, newer: Place) -> Vec<Request> {
        let waiting = self.lanes.get(device).map(|lane| &lane.waiting);
        let behind = waiting
            .into_iter()
            .flat_map(|waiting| waiting.range(newer..));
        let older = behind.filter(|(place, request)| {
            place.number < newer.number && matches!(request.action, Action::State(_))
        });
        let places = older.map(|(&place, _)| place).collect();
        self.take_all(device, places)
    }

    /// Returns when the next message that waits expires.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiring.first().map(|(at, ..)| *at)
    }

    /// Takes a message that has expired while it waited.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<Request> {
        let (at, device, place) = self.expiring.first()?;
        if *at > now {
            return None;
        }
        let (device, place) = (device.clone(), *place);
        self.take(&device, place)
    }
}

fn push_once(devices: &mut VecDeque<DeviceId>, device: &DeviceId) {
    if !devices.contains(device) {
        devices.push_back(device.clone());
    }
}

#[cfg(test)]
mod tests {
    use iotcore_gateway_tokio::QueueLimit;

    use super::*;
    use crate::operation::{Id, Operation};

    /// Queues the operations of these lines.
    fn queue(lanes: &mut Lanes, lines: &[&str]) {
        for line in lines {
            let operation = Operation::parse(line.as_bytes(), Instant::now());
            let Ok(Operation::Request(request)) = operation else {
                panic!("{line}: {operation:?}");
            };
            let device = id(request.device.as_deref().unwrap());
            let place = lanes.next_place(&device, &request.action);
            lanes.push(&device, place, request);
        }
    }

    fn limit() -> DeviceQueue {
        let limit = QueueLimit {
            messages: 9,
            bytes: 9,
        };
        DeviceQueue {
            ordinary: limit,
            urgent: limit,
        }
    }

    fn id(device: &str) -> DeviceId {
        device.parse().unwrap()
    }

    #[test]
    fn urgent_messages_pass_ordinary_ones_and_tokens_pass_both_but_nothing_an_attach_or_detach() {
        let mut lanes = Lanes::default();
        queue(
            &mut lanes,
            &[
                r#"{"op":"telemetry","id":3,"device":"d-1","payload":""}"#,
                r#"{"op":"state","id":4,"device":"d-1","payload":""}"#,
                r#"{"op":"telemetry","id":1,"device":"d-1","payload":"","priority":"urgent"}"#,
                r#"{"op":"state","id":2,"device":"d-1","payload":"","priority":"urgent"}"#,
                r#"{"op":"authorize","id":0,"device":"d-1","token":""}"#,
                r#"{"op":"detach","id":5,"device":"d-1"}"#,
                r#"{"op":"attach","id":6,"device":"d-1"}"#,
                r#"{"op":"telemetry","id":9,"device":"d-1","payload":""}"#,
                r#"{"op":"telemetry","id":8,"device":"d-1","payload":"","priority":"urgent"}"#,
                r#"{"op":"authorize","id":7,"device":"d-1","token":""}"#,
            ],
        );
        let limit = limit();
        let device = id("d-1");
        let next = || lanes.pop_startable(&device, true, limit);
        let started: Vec<_> = std::iter::from_fn(next)
            .map(|(_, request)| request.id)
            .collect();
        assert_eq!(started, (0..10).map(Id::Number).collect::<Vec<_>>());
    }

    #[test]
    fn room_that_becomes_free_is_offered_first_to_devices_whose_next_message_is_urgent() {
        let mut lanes = Lanes::default();
        let devices = ["d-1", "d-2", "d-3", "d-4"].map(id);
        for (device, priority) in devices
            .iter()
            .zip(["ordinary", "ordinary", "urgent", "urgent"])
        {
            let line = format!(
                r#"{{"op":"telemetry","id":0,"device":"{device}","payload":"","priority":"{priority}"}}"#
            );
            queue(&mut lanes, &[&line]);
        }
        let limit = limit();
        // The gateway has none for the messages of the first three, and a message of the last one ends.
        let mut ended = None;
        while let Some(device) = lanes.pop_due() {
            let (place, request) = lanes.pop_startable(&device, true, limit).unwrap();
            if device == devices[3] {
                lanes.get_mut(&device).accepted.add_request(&request);
                ended = Some(request.clone());
            }
            lanes.put_back(&device, place, request, limit);
        }
        lanes.on_ended(&devices[3], &ended.unwrap());
        let due = std::iter::from_fn(|| lanes.pop_due());
        assert_eq!(
            due.collect::<Vec<_>>(),
            [2, 3, 0, 1].map(|n| devices[n].clone())
        );
    }
}
