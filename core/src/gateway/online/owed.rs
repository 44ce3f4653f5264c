//! The acknowledgements owed to the bridge, and the deliveries that hold others up because they have none.

mod device_set;
mod given_up;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use self::given_up::GivenUpConfig;
use self::{device_set::DeviceSet, given_up::GivenUpConfigs};
use super::super::fingerprint::Fingerprint;
use crate::{
    clock::Moment,
    command::Slot,
    fifo::Fifo,
    mqtt::{PacketId, Publish},
    time::Duration,
    topic::{self, IncomingTopic},
};

/// How long a delivery that is not acknowledged may hold up others: acknowledgements of other devices that wait behind
/// it, or all reading.
const HOLD_LIMIT: Duration = Duration::from_secs(5);

/// The deliveries of one connection at QoS 1 that are not yet acknowledged, oldest first.
#[derive(Debug)]
pub(crate) struct OwedAcks {
    owed: Fifo<Owed>,
    /// The number of the next delivery.
    next: u64,
    /// Number of deliveries at which reading pauses.
    limit: usize,
    /// Since when there are as many.
    full_since: Option<Moment>,
    /// Deliveries whose acknowledgement was not given.
    waiting: usize,
    given_up: GivenUpConfigs,
}

/// One delivery.
#[derive(Debug)]
struct Owed {
    number: u64,
    /// Since when it waits: for its acknowledgement, or, once that is given, for its turn.
    since: Moment,
    recipient: Option<Recipient>,
    /// The fingerprint of a config.
    fingerprint: Option<Fingerprint>,
    /// The packet to acknowledge; `None` if a later delivery has its identifier, or none is sent.
    packet_id: Option<PacketId>,
    is_given: bool,
}

/// A device that a message was delivered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recipient {
    pub(crate) device: Slot,
    /// Whether the message is a config; otherwise it is a command.
    pub(crate) is_config: bool,
}

impl OwedAcks {
    /// Creates an empty list. The first delivery gets the number `next`; `limit` deliveries pause reading.
    pub(super) fn new(next: u64, limit: usize) -> Self {
        Self {
            owed: Fifo::new(),
            next,
            limit,
            full_since: None,
            waiting: 0,
            given_up: GivenUpConfigs::default(),
        }
    }

    /// Returns the number of deliveries not yet acknowledged.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.owed.len()
    }

    /// Returns whether there are so many deliveries that reading pauses.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.owed.len() >= self.limit
    }

    /// Returns the number of the next delivery. The numbering continues with the next connection.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Records a delivery, and returns its number. At QoS 0 there is nothing else to record. Without a recipient, or in
    /// any case with `is_given`, it is acknowledged in its turn.
    pub(crate) fn deliver(
        &mut self,
        publish: &Publish,
        recipient: Option<Recipient>,
        is_given: bool,
        now: Moment,
    ) -> u64 {
        let number = self.next;
        self.next += 1;
        let Some(packet_id) = publish.packet_id else {
            return number;
        };
        if publish.dup
            && let Some(earlier) = self.with_id(packet_id)
        {
            // One PUBACK for both, once both are given: that of the later one comes last.
            earlier.packet_id = None;
        }
        let config = recipient.filter(|recipient| recipient.is_config);
        if let Some(Recipient { device, .. }) = config {
            self.given_up.remove(device);
        }
        let is_given = is_given || recipient.is_none();
        self.owed.push_back(Owed {
            number,
            since: now,
            recipient,
            fingerprint: config.map(|_| Fingerprint::of(publish)),
            packet_id: Some(packet_id),
            is_given,
        });
        self.waiting += usize::from(!is_given);
        if self.is_full() {
            self.full_since.get_or_insert(now);
        }
        number
    }

    fn with_id(&mut self, packet_id: PacketId) -> Option<&mut Owed> {
        let mut owed = self.owed.values_mut().iter_mut();
        owed.find(|owed| owed.packet_id == Some(packet_id))
    }

    /// Returns whether this is a duplicate of a delivery that is not acknowledged: its identifier still waits, and a
    /// config has the same payload.
    pub(crate) fn is_copy(&self, publish: &Publish) -> bool {
        if !publish.dup || publish.packet_id.is_none() {
            return false;
        }
        let mut owed = self.owed.values().iter();
        match owed.find(|owed| owed.packet_id == publish.packet_id) {
            Some(owed) if is_config(publish) => owed.fingerprint == Some(Fingerprint::of(publish)),
            Some(_) => true,
            None => self.given_up.have_copy(publish),
        }
    }

    /// Returns whether [`give`](Self::give) has an effect on the delivery with this number.
    pub(crate) fn awaits(&self, number: u64) -> bool {
        let owed = self
            .position(number)
            .and_then(|at| self.owed.values().get(at));
        owed.is_some_and(|owed| !owed.is_given) || self.given_up.find(number).is_some()
    }

    /// Records the user's acknowledgement of the delivery with this number. If it is the newest config of a device, and
    /// was given up, returns it: only a new subscription brings a packet that can be acknowledged. One for an earlier
    /// connection changes nothing.
    pub(crate) fn give(&mut self, number: u64, now: Moment) -> Option<GivenUpConfig> {
        let owed = self
            .position(number)
            .and_then(|at| self.owed.values_mut().get_mut(at));
        if let Some(owed) = owed.filter(|owed| !owed.is_given) {
            owed.give(now);
            self.waiting -= 1;
            return None;
        }
        let config = self.given_up.find(number)?;
        self.given_up.remove(config.device);
        Some(config)
    }

    fn position(&self, number: u64) -> Option<usize> {
        self.owed
            .values()
            .binary_search_by_key(&number, |owed| owed.number)
            .ok()
    }

    /// Returns whether to acknowledge the oldest delivery: acknowledgements are sent in the order of the messages
    /// [MQTT-4.6.0-2].
    #[inline]
    pub(crate) fn has_given(&self) -> bool {
        self.owed.values().front().is_some_and(|owed| owed.is_given)
    }

    pub(crate) fn pop_given(&mut self) -> Option<PacketId> {
        let owed = self.owed.pop_front()?;
        if !self.is_full() {
            self.full_since = None;
        }
        owed.packet_id
    }

    /// Releases the delivery with this number: a command is acknowledged, a config given up.
    pub(crate) fn postpone(&mut self, number: u64, now: Moment) {
        let Some(at) = self.position(number) else {
            return;
        };
        self.release(at, |owed, _| owed.number == number, now);
    }

    /// Releases the deliveries of a device whose attachment has ended: its commands are acknowledged, its configs are
    /// not, because the device does not have them. It gets its config with its next attachment.
    pub(crate) fn release_detached(&mut self, device: Slot, now: Moment) {
        self.release(0, |_, other| other == device, now);
        self.given_up.remove(device);
    }

    /// Releases the deliveries of each device that has held up others for too long: its commands are acknowledged, its
    /// configs given up. Returns these devices, each with the number of its deliveries.
    pub(crate) fn release_overdue(&mut self, now: Moment) -> BTreeMap<Slot, usize> {
        if self.deadline().is_none_or(|at| at > now) {
            return BTreeMap::new();
        }
        let devices = self.overdue(now);
        self.release(0, |_, device| devices.contains(&device), now)
    }

    /// Releases the deliveries that are to be, from a position on. Returns their devices, each with the number of its
    /// deliveries.
    fn release(
        &mut self,
        from: usize,
        is_released: impl Fn(&Owed, Slot) -> bool,
        now: Moment,
    ) -> BTreeMap<Slot, usize> {
        let mut released = BTreeMap::new();
        let mut have_newer_config = BTreeSet::new();
        for owed in self.owed.values_mut().range_mut(from..).rev() {
            let device = owed.waits_for();
            if let Some(device) = device.filter(|device| is_released(owed, *device)) {
                *released.entry(device).or_default() += 1;
                owed.give(now);
                if let Some(config) = owed.give_up()
                    && !have_newer_config.contains(&device)
                {
                    self.given_up.add(config);
                }
            }
            let recipient = owed.recipient.filter(|recipient| recipient.is_config);
            have_newer_config.extend(recipient.map(|recipient| recipient.device));
        }
        self.waiting -= released.values().sum::<usize>();
        released
    }
    /// Returns when [`release_overdue`](Self::release_overdue) releases something.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        if self.waiting == 0 {
            return None;
        }
        let since = [self.holds_others_since(), self.holds_reading_since()];
        since.into_iter().flatten().min().map(|at| at + HOLD_LIMIT)
    }

    /// Returns since when an acknowledgement that was given waits for one of another device.
    fn holds_others_since(&self) -> Option<Moment> {
        if self.waiting == self.owed.len() {
            return None;
        }
        let mut ahead = DeviceSet::None;
        let held = self
            .owed
            .values()
            .iter()
            .filter_map(|owed| match owed.waits_for() {
                Some(device) => {
                    ahead.add(Some(device));
                    None
                }
                None => owed.is_held(ahead).then_some(owed.since),
            });
        held.min()
    }

    /// Returns since when a delivery that waits for its acknowledgement, and the number of deliveries, pause reading.
    fn holds_reading_since(&self) -> Option<Moment> {
        let full_since = self.full_since?;
        let mut owed = self.owed.values().iter();
        let oldest = owed.find(|owed| owed.waits_for().is_some())?;
        Some(full_since.max(oldest.since))
    }

    /// Returns the devices that have held up others for too long.
    fn overdue(&self, now: Moment) -> BTreeSet<Slot> {
        let is_late = |since: Moment| since + HOLD_LIMIT <= now;
        let is_reading_late = self.full_since.is_some_and(is_late);
        let mut behind = DeviceSet::None;
        let mut overdue = BTreeSet::new();
        for owed in self.owed.values().iter().rev() {
            let Some(device) = owed.waits_for() else {
                if owed.packet_id.is_some() && is_late(owed.since) {
                    behind.add(owed.device());
                }
                continue;
            };
            if behind.has_other_than(Some(device)) || is_reading_late && is_late(owed.since) {
                overdue.insert(device);
            }
        }
        overdue
    }

    /// Returns the device with the most deliveries that wait for their acknowledgement.
    pub(crate) fn most_waiting(&self) -> Option<Slot> {
        let mut counts = BTreeMap::<_, usize>::new();
        for device in self.owed.values().iter().filter_map(Owed::waits_for) {
            *counts.entry(device).or_default() += 1;
        }
        let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
        most.map(|(device, _)| device)
    }
}

impl Owed {
    fn give(&mut self, now: Moment) {
        self.is_given = true;
        self.since = now;
    }

    /// Leaves the packet of a config unacknowledged; `None` for a command.
    fn give_up(&mut self) -> Option<GivenUpConfig> {
        let recipient = self.recipient.filter(|recipient| recipient.is_config)?;
        Some(GivenUpConfig {
            number: self.number,
            packet_id: self.packet_id.take()?,
            device: recipient.device,
            fingerprint: self.fingerprint?,
        })
    }

    fn device(&self) -> Option<Slot> {
        self.recipient.map(|recipient| recipient.device)
    }

    /// Returns the device whose user has yet to acknowledge it.
    fn waits_for(&self) -> Option<Slot> {
        self.device().filter(|_| !self.is_given)
    }

    /// Returns whether its PUBACK waits for another device than its own, one of those `ahead`.
    fn is_held(&self, ahead: DeviceSet) -> bool {
        self.packet_id.is_some() && ahead.has_other_than(self.device())
    }
}

fn is_config(publish: &Publish) -> bool {
    matches!(
        topic::parse(&publish.topic),
        Some(IncomingTopic::Config { .. })
    )
}
