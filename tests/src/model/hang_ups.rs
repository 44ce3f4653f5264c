//! How often in a row the peer hung up while a packet was unanswered. Nothing else ends an operation as suspected.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use iotcore_gateway::{
    Event, Failure,
    cause::{DetachCause, Disconnected, TransportEnd},
};

use super::publications::number_in;
use super::wire::{Answer, Cut, Sent};
use super::{DEVICES, Finding, Model, OperationKind};
use crate::link::GATEWAY;
use crate::script::Rule;

/// The number of hang-ups after which a packet waits until all others are sent.
const SUSPECT: u32 = 3;

/// The number of hang-ups after which a packet is given up.
const GUILTY: u32 = 5;

/// The number of hang-ups after which a packet is given up whose device had one given up before: it is sent alone at once.
const GUILTY_ON_PROBATION: u32 = 2;

/// The shortest and the longest time until the next trial of a device that had publications given up.
const PROBATION: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3_600));

/// The time for trials: others are held back after 30 s, then there are 10 s of quiet, and as much until the answers.
const TRIALS: Duration = Duration::from_secs(50);

/// What the peer may have hung up for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Packet {
    Publication(u32),
    Attach(usize),
    /// By its topic filter.
    Subscribe(String),
}

/// The hang-ups of a gateway, by packet.
#[derive(Debug, Default)]
pub(super) struct HangUps {
    in_a_row: BTreeMap<Packet, u32>,
    /// Publications that have waited for a trial, and may be sent after later ones from then on.
    late: BTreeSet<u32>,
    /// Devices whose attach may have been given up.
    without_attach: BTreeSet<usize>,
    /// Devices whose publications were given up, and how many in a row.
    given_up: BTreeMap<usize, u32>,
    /// Devices whose publications were ever given up, or have left enough hang-ups.
    ever_given_up: BTreeSet<usize>,
    /// How many hang-ups publications of a device have left that were cancelled or have expired.
    left: BTreeMap<usize, u32>,
    /// Hang-ups that no pending operation explains.
    unexplained: u32,
}

impl Packet {
    fn of(sent: &Sent) -> Option<Self> {
        let (device, kind) = super::wire::split(&sent.topic);
        match (sent.answer, kind) {
            (Answer::Suback, _) => Some(Self::Subscribe(sent.topic.clone())),
            (Answer::Puback, "attach") => DEVICES
                .iter()
                .position(|id| *id == device)
                .map(Self::Attach),
            (Answer::Puback, _) => number_in(&sent.rest).map(Self::Publication),
            (Answer::Unsuback, _) => None,
        }
    }

    /// Returns what a packet may be of which so little was written that nothing is known of it.
    fn any(pending: &[OperationKind]) -> impl Iterator<Item = Self> {
        let publications = pending.iter().filter_map(|kind| match kind {
            OperationKind::Publish(number) => Some(Self::Publication(*number)),
            _ => None,
        });
        let of_devices = DEVICES.iter().enumerate().flat_map(|(device, id)| {
            let filters = ["config", "commands/#", "errors"];
            let filters = filters.map(|name| Self::Subscribe(format!("/devices/{id}/{name}")));
            filters.into_iter().chain([Self::Attach(device)])
        });
        publications.chain(of_devices)
    }

    /// Returns whether this is the packet of an operation.
    fn is_of(&self, kind: OperationKind) -> bool {
        match (kind, self) {
            (OperationKind::Publish(number), Self::Publication(of)) => number == *of,
            (
                OperationKind::Attach(device) | OperationKind::Authorize(device),
                Self::Attach(of),
            ) => device == *of,
            (OperationKind::Subscribe(device), Self::Subscribe(filter)) => {
                super::wire::split(filter).0 == DEVICES[device]
            }
            _ => false,
        }
    }
}

impl HangUps {
    /// Records a new gateway, to which the publications of the old one may be given again.
    pub(super) fn restart(&mut self) {
        *self = Self {
            late: core::mem::take(&mut self.late),
            ..Self::default()
        };
    }

    /// Records that a publication of a device was given up.
    pub(super) fn give_up(&mut self, device: usize) {
        *self.given_up.entry(device).or_default() += 1;
        self.ever_given_up.insert(device);
    }

    /// Records that a publication of a device was cancelled, or has expired: its hang-ups remain with the device.
    pub(super) fn end(&mut self, number: u32, device: usize) {
        if let Some(hang_ups) = self.in_a_row.get(&Packet::Publication(number)) {
            self.leave(device, *hang_ups);
        }
    }

    fn leave(&mut self, device: usize, hang_ups: u32) {
        let left = self.left.entry(device).or_default();
        *left += hang_ups;
        if *left >= SUSPECT {
            self.give_up(device);
        }
    }

    /// Records that a publication of a device was acknowledged.
    pub(super) fn acknowledge(&mut self, device: usize) {
        self.given_up.remove(&device);
    }

    /// Returns how long a device may have to wait for its next trial.
    fn longest_probation(&self) -> Duration {
        let (shortest, longest) = PROBATION;
        let of = |given_up: &u32| shortest.saturating_mul(2u32.saturating_pow(given_up - 1));
        let most = self.given_up.values().map(of).max();
        most.unwrap_or_default().min(longest)
    }

    /// Records that a state has replaced another one, and takes over its hang-ups.
    pub(super) fn replace(&mut self, old: u32, new: u32) {
        if let Some(hang_ups) = self.in_a_row.remove(&Packet::Publication(old)) {
            let newer = self.in_a_row.entry(Packet::Publication(new)).or_default();
            *newer = hang_ups.max(*newer);
            if *newer >= SUSPECT {
                self.late.insert(new);
            }
        }
    }

    /// Records the answer to a packet.
    pub(super) fn answer(&mut self, sent: &Sent) {
        if let Some(packet) = Packet::of(sent) {
            self.in_a_row.remove(&packet);
        }
    }

    /// Records that the peer hung up while these packets were unanswered, or written in part, and these operations pending.
    fn add(
        &mut self,
        unanswered: impl Iterator<Item = Packet>,
        pending: &[OperationKind],
        device_of: impl Fn(u32) -> usize,
    ) {
        let mut is_explained = false;
        for packet in unanswered {
            if let Packet::Publication(number) = packet
                && !pending.iter().any(|kind| packet.is_of(*kind))
            {
                self.leave(device_of(number), 1);
            }
            // Not every SUBSCRIBE is of an operation.
            let is_operation = !matches!(packet, Packet::Subscribe(_));
            is_explained |= is_operation && pending.iter().any(|kind| packet.is_of(*kind));
            self.count(packet);
        }
        self.unexplained += u32::from(!is_explained);
    }

    fn count(&mut self, packet: Packet) {
        let hang_ups = self.in_a_row.entry(packet.clone()).or_default();
        *hang_ups += 1;
        match (packet, *hang_ups) {
            (Packet::Attach(device), GUILTY..) => {
                self.without_attach.insert(device);
            }
            (Packet::Publication(number), SUSPECT..) => {
                self.late.insert(number);
            }
            _ => {}
        }
    }

    /// Returns whether a publication may be sent after later ones.
    pub(super) fn may_be_late(&self, number: u32) -> bool {
        self.late.contains(&number)
    }

    /// Returns whether publications of a device may be sent alone, in their own order.
    pub(super) fn may_be_on_trial(&self, device: usize) -> bool {
        self.ever_given_up.contains(&device)
    }

    /// Returns whether a device's attach may have been given up.
    pub(super) fn may_be_without_attach(&self, device: usize) -> bool {
        self.without_attach.contains(&device)
    }

    /// Returns whether packets may wait for a trial.
    fn may_have_suspects(&self) -> bool {
        self.in_a_row.values().any(|hang_ups| *hang_ups >= SUSPECT)
    }

    /// Returns whether an operation of a device may end as suspected after this many hang-ups: at its own packet, or at the
    /// attach that it waits for.
    fn suffice(&self, kind: OperationKind, device: usize, connections: u32) -> bool {
        let is_for = |packet: &Packet| packet.is_of(kind) || *packet == Packet::Attach(device);
        let packets = self.in_a_row.iter();
        let of_it = packets.filter(|(packet, _)| is_for(packet));
        let most = of_it.map(|(_, hang_ups)| *hang_ups).max();
        let least = match self.given_up.contains_key(&device) {
            true => GUILTY_ON_PROBATION,
            false => GUILTY,
        };
        (least..=most.unwrap_or_default()).contains(&connections)
    }
}

impl Model {
    /// Returns how long it may take until all suspects were tried at a peer that answers.
    pub(crate) fn trials(&self) -> Duration {
        let probation = self.hang_ups.longest_probation();
        match self.hang_ups.may_have_suspects() || !probation.is_zero() {
            true => TRIALS + probation,
            false => Duration::ZERO,
        }
    }

    /// Records the end of a transport, if the peer hung up.
    pub(super) fn note_hang_up(&mut self, end: TransportEnd) {
        if end == TransportEnd::PeerClosed {
            let pending: Vec<_> = self.pending().map(|(_, kind)| kind).collect();
            let device_of = |number| self.publications.at(number).device;
            let unanswered = self.wire.unanswered().filter_map(Packet::of);
            let cut = self.wire.cut();
            let known = match &cut {
                Some(Cut::At(sent)) => Packet::of(sent),
                _ => None,
            };
            let is_unknown = cut.is_some() && known.is_none();
            self.hang_ups
                .add(unanswered.chain(known), &pending, device_of);
            if is_unknown {
                Packet::any(&pending).for_each(|packet| self.hang_ups.count(packet));
            }
        }
    }

    /// Checks that an operation of this kind may end as suspected.
    pub(super) fn may_be_suspected(&self, kind: OperationKind, connections: u32) -> bool {
        let device = match kind {
            OperationKind::Publish(number) => self.publications.at(number).device,
            OperationKind::Attach(device)
            | OperationKind::Authorize(device)
            | OperationKind::Subscribe(device) => device,
            _ => return false,
        };
        self.is_deceived || self.hang_ups.suffice(kind, device, connections)
    }

    /// Checks what an event says of hang-ups.
    pub(super) fn check_suspicion(&self, event: &Event) -> Result<(), Finding> {
        let device = |key| self.keys.get(&key).copied();
        let told = match event {
            Event::SubscriptionLost {
                device: key,
                failure: Failure::Suspected { connections },
                ..
            } => device(*key).map(|device| (OperationKind::Subscribe(device), *connections)),
            Event::ErrorsTopicUnavailable {
                failure: Failure::Suspected { connections },
            } => Some((OperationKind::Subscribe(0), *connections)),
            Event::Detached {
                device: key,
                cause: DetachCause::Suspected { connections },
            } => device(*key).map(|device| (OperationKind::Attach(device), *connections)),
            Event::Disconnected(Disconnected {
                takeover_suspected: true,
                ..
            }) => return self.check_takeover(),
            _ => None,
        };
        match told {
            Some((kind, connections)) if !self.may_be_suspected(kind, connections) => Err(
                Finding::new(Rule::Delivery, format!("{event:?}, of {kind:?}")),
            ),
            _ => Ok(()),
        }
    }

    /// Checks that a takeover is only reported after six hang-ups that nothing explains.
    fn check_takeover(&self) -> Result<(), Finding> {
        let unexplained = self.hang_ups.unexplained;
        match unexplained < 6 && !self.is_deceived {
            true => Err(Finding::new(
                Rule::Delivery,
                format!(
                    "a takeover of {GATEWAY} was told after {unexplained} hang-ups that nothing explains"
                ),
            )),
            false => Ok(()),
        }
    }
}
