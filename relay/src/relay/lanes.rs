//! The devices as the operations left them, each with its own queue of requests.

mod crowded;
mod lane;
mod place;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use iotcore_gateway_tokio::DeviceId;
use tokio::time::Instant;

use self::crowded::Crowded;
pub(super) use self::{
    lane::{Lane, PATIENCE, Stage},
    place::Place,
};
use super::load::Load;
use crate::{
    operation::{Action, Request},
    options::DeviceQueue,
};

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
    /// Devices whose next message found no room in what all devices share.
    crowded: Crowded,
    /// Devices of which a message has ended: their own room may be what they wait for.
    ended: VecDeque<DeviceId>,
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
        self.get_mut(device).enter(stage, Instant::now());
        push_once(&mut self.due, device);
    }

    /// Records that the bridge has detached a device.
    pub(super) fn on_detached(&mut self, device: &DeviceId) {
        if let Some(lane) = self.lanes.get_mut(device) {
            lane.on_detached(Instant::now());
        }
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
        self.waiting.add_request(&request);
        if let Some(at) = request.action.expires_at() {
            self.expiring.insert((at, device.clone(), place));
        }
        self.get_mut(device).insert(place, request);
    }

    fn remove(&mut self, device: &DeviceId, place: Place) -> Option<Request> {
        let request = self.lanes.get_mut(device)?.remove(place)?;
        self.waiting.remove_request(&request);
        if let Some(at) = request.action.expires_at() {
            self.expiring.remove(&(at, device.clone(), place));
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

    /// Takes a device whose requests are to be started. Room that has become free is offered to those who wait for it, until
    /// one finds too little, and then in any case to the device whose message has ended.
    pub(super) fn pop_due(&mut self) -> Option<DeviceId> {
        self.crowded.end_offer();
        let due = self.due.pop_front();
        due.or_else(|| self.crowded.next())
            .or_else(|| self.ended.pop_front())
    }

    /// Takes the next request of a device that may be handed to the gateway now.
    pub(super) fn pop_startable(
        &mut self,
        device: &DeviceId,
        may_overflow: bool,
        limit: DeviceQueue,
    ) -> Option<(Place, Request)> {
        let place = self.lanes.get(device)?.startable(may_overflow, limit)?;
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
            self.crowded.add(device, place.is_urgent());
        }
        self.insert(device, place, request);
    }

    /// Records that the gateway has accepted a message.
    pub(super) fn on_accepted(&mut self, device: &DeviceId, message: &Request) {
        self.get_mut(device).accepted.add_request(message);
        self.crowded.end_offer();
    }

    /// Records that the gateway has a message that was found in the store.
    pub(super) fn on_restored(&mut self, device: &DeviceId, message: &Request) {
        let lane = self.get_mut(device);
        lane.accepted.add_request(message);
        lane.restored.add_request(message);
    }

    /// Records that a message that was found in the store has ended.
    pub(super) fn on_restored_ended(&mut self, device: &DeviceId, message: &Request) {
        self.get_mut(device).restored.remove_request(message);
        self.on_ended(device, message);
    }

    /// Returns how many messages were found in the store of devices that the input has not attached.
    pub(super) fn unclaimed(&self) -> usize {
        let lanes = self.lanes.values();
        let unclaimed = lanes.filter(|lane| matches!(lane.stage, Stage::Unknown));
        unclaimed.map(|lane| lane.restored.messages).sum()
    }

    /// Records that a message that the gateway had accepted has ended: its room may be what another one waits for.
    pub(super) fn on_ended(&mut self, device: &DeviceId, message: &Request) {
        self.get_mut(device).accepted.remove_request(message);
        self.crowded.offer_room();
        push_once(&mut self.ended, device);
    }

    /// Forgets a device about which nothing is left to know.
    pub(super) fn tidy(&mut self, device: &DeviceId) {
        if !self.lanes.get(device).is_some_and(Lane::is_left) {
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
        let mut all: Vec<_> = lanes.flat_map(Lane::take_waiting).collect();
        all.sort_by_key(|(place, _)| place.number);
        all.into_iter().map(|(_, request)| request).collect()
    }

    /// Takes the messages of a device that wait before this request, if it still waits.
    pub(super) fn take_messages_before(&mut self, device: &DeviceId, end: Place) -> Vec<Request> {
        let lane = self.lanes.get(device);
        let places = lane.map(|lane| lane.messages_before(end));
        self.take_all(device, places.unwrap_or_default())
    }

    /// Takes all messages of a device that wait.
    pub(super) fn take_messages(&mut self, device: &DeviceId) -> Vec<Request> {
        let places = self.lanes.get(device).map(Lane::messages);
        self.take_all(device, places.unwrap_or_default())
    }

    /// Takes the states of a device that a newer one, at this place, has passed.
    pub(super) fn take_older_states(&mut self, device: &DeviceId, newer: Place) -> Vec<Request> {
        let places = self.lanes.get(device).map(|lane| lane.older_states(newer));
        self.take_all(device, places.unwrap_or_default())
    }

    /// Returns a device, if anything is known about it.
    pub(super) fn get(&self, device: &DeviceId) -> Option<&Lane> {
        self.lanes.get(device)
    }

    /// Returns the devices that cannot send although the gateway has been connected since then.
    pub(super) fn unable_to_send(&self, connected_since: Instant, now: Instant) -> Vec<DeviceId> {
        let lanes = self.lanes.iter();
        let unable = lanes.filter(|(_, lane)| lane.cannot_send(connected_since, now));
        unable.map(|(device, _)| device.clone()).collect()
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
