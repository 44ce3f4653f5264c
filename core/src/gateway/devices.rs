//! The devices that the gateway speaks for, itself first: what the user wants of each, and what the bridge has granted.

use std::collections::{BTreeMap, VecDeque};

use slab::Slab;

use super::subscriptions::{Subscriptions, Turn};
use crate::{
    clock::Moment,
    command::{DeviceKey, OpId},
    id::DeviceId,
    mqtt::{PacketId, TopicName},
    options::Options,
    timers::Schedule,
    token::Token,
    topic::{self, Channel},
};

/// Tickets, turns and deadlines of a device end before it is removed, so a slot that is named is in use.
const NAMED_WHILE_HERE: &str = "a slot is named only while its device is here";

/// The slot of the gateway itself.
pub(crate) const OWN: u32 = 0;

/// One device.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    /// Of its telemetry events outside any subfolder.
    pub(crate) events_topic: TopicName,
    generation: u32,
    pub(crate) life: Life,
    /// The attach that has not ended.
    pub(crate) attach_op: Option<OpId>,
    /// The detach that has not ended.
    pub(crate) detach: Option<Detach>,
    pub(crate) token: Option<Token>,
    /// Attempts to attach that failed, or did not last, in a row.
    pub(crate) attempts: u32,
    pub(crate) subscriptions: Subscriptions,
}

/// Where a device is in its life.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Life {
    /// The gateway itself: attached by the connection.
    Own,
    /// Wants to be attached: its turn, or a connection, has yet to come.
    Waiting,
    /// The attach was written.
    Attaching(Awaiting),
    /// Since then.
    Attached(Moment),
    /// The attach failed in a way that may pass; it is tried again then.
    Retrying(Moment),
    /// Its token has expired, and a new one was asked for.
    NeedsToken,
    /// The bridge refused it: nothing is tried, and nothing can be published, until the user says so.
    Refused,
    /// The bridge detached it, and it is not to be attached again until the user says so.
    Dormant,
    /// The detach was written.
    Detaching(Awaiting),
}

impl Life {
    pub(crate) fn state(&self, is_open: bool) -> DeviceState {
        match self {
            Self::Own if is_open => DeviceState::Attached,
            Self::Own | Self::Waiting => DeviceState::Waiting,
            Self::Attaching(_) => DeviceState::Attaching,
            Self::Attached(_) => DeviceState::Attached,
            Self::Retrying(_) => DeviceState::Retrying,
            Self::NeedsToken => DeviceState::TokenNeeded,
            Self::Refused => DeviceState::Refused,
            Self::Dormant => DeviceState::Dormant,
            Self::Detaching(_) => DeviceState::Detaching,
        }
    }
}

/// How a device stands with the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceState {
    /// To be attached: a connection, or its turn, has yet to come.
    Waiting,
    /// The attach was sent, and its PUBACK is due.
    Attaching,
    /// It can publish and subscribe.
    Attached,
    /// An attach failed in a way that may pass, or the bridge detached it: it is tried again with backoff.
    Retrying,
    /// Its token has expired; see [`Event::TokenNeeded`](crate::Event::TokenNeeded).
    TokenNeeded,
    /// The bridge refused to attach it: nothing is tried until it is attached or authorized again.
    Refused,
    /// The bridge detached it, and the options say not to attach it again unasked.
    Dormant,
    /// The detach was sent, and its PUBACK is due.
    Detaching,
}

/// An acknowledgement that is due, in listening time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Awaiting {
    pub(crate) packet_id: PacketId,
    pub(crate) deadline: Moment,
}

/// A detach that the user asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detach {
    pub(crate) op: OpId,
    /// When what is still queued has had its time; runs only while the device is attached.
    pub(crate) deadline: Option<Moment>,
}

impl Device {
    fn new(id: DeviceId, generation: u32, life: Life) -> Self {
        let mut events_topic = TopicName::default();
        topic::make_topic(&mut events_topic, &id, Channel::Events(None));
        Self {
            id,
            events_topic,
            generation,
            life,
            attach_op: None,
            detach: None,
            token: None,
            attempts: 0,
            subscriptions: Subscriptions::default(),
        }
    }

    /// The operations that have not ended, the detach's not among them.
    pub(crate) fn pending_ops(&self) -> impl Iterator<Item = OpId> + '_ {
        let subscriptions = Subscriptions::ALL.into_iter();
        let of_subscriptions = subscriptions.filter_map(|which| self.subscriptions.at(which).op());
        self.attach_op.into_iter().chain(of_subscriptions)
    }

    /// Operations that the bridge has yet to answer, and when each was written.
    pub(crate) fn unanswered(&self, options: &Options) -> impl Iterator<Item = (Moment, OpId)> {
        let of_life = match (self.life, self.attach_op, self.detach) {
            (Life::Attaching(awaiting), Some(op), _) => {
                Some((awaiting.deadline - options.attach_timeout, op))
            }
            (Life::Detaching(awaiting), _, Some(detach)) => {
                Some((awaiting.deadline - options.ack_timeout, detach.op))
            }
            _ => None,
        };
        let subscriptions = Subscriptions::ALL.into_iter();
        let of_subscriptions = subscriptions
            .filter_map(|which| self.subscriptions.at(which).unanswered())
            .map(|(deadline, op)| (deadline - options.ack_timeout, op));
        of_life.into_iter().chain(of_subscriptions)
    }
}

/// A deadline of one device by the clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    /// The next attempt to attach.
    Attach(u32),
    /// The next attempt to subscribe.
    Subscribe(Turn),
    /// What a detach waits for has had its time.
    Drain(u32),
}

/// All devices, by slot and by id, and whose turn it is.
#[derive(Debug)]
pub(crate) struct Devices {
    devices: Slab<Device>,
    by_id: BTreeMap<DeviceId, u32>,
    generations: u32,
    /// Devices that have yet to be attached in this connection.
    pub(crate) attach_turns: VecDeque<u32>,
    /// Subscriptions that have yet to be made or ended in this connection.
    pub(crate) subscribe_turns: VecDeque<Turn>,
    /// Devices with nothing left to send that are to be detached.
    pub(crate) detach_turns: VecDeque<u32>,
    /// Attaches written and not yet answered.
    pub(crate) attaching: usize,
    /// Deadlines on the peer, in listening time.
    pub(crate) silences: Schedule<PacketId>,
    pub(crate) deadlines: Schedule<Deadline>,
}

impl Devices {
    pub(crate) fn new(gateway: DeviceId) -> Self {
        let mut devices = Self {
            devices: Slab::new(),
            by_id: BTreeMap::new(),
            generations: 0,
            attach_turns: VecDeque::new(),
            subscribe_turns: VecDeque::new(),
            detach_turns: VecDeque::new(),
            attaching: 0,
            silences: Schedule::default(),
            deadlines: Schedule::default(),
        };
        devices.insert(gateway, Life::Own);
        devices
    }

    pub(crate) fn insert(&mut self, id: DeviceId, life: Life) -> u32 {
        self.generations += 1;
        let device = Device::new(id.clone(), self.generations, life);
        let index = self.devices.insert(device) as u32;
        self.by_id.insert(id, index);
        index
    }

    pub(crate) fn remove(&mut self, index: u32) -> Device {
        let device = self.devices.remove(index as usize);
        self.by_id.remove(&device.id);
        device
    }

    /// The slot that a key names, unless its device has been detached.
    pub(crate) fn resolve(&self, key: DeviceKey) -> Option<u32> {
        let device = self.devices.get(key.index as usize)?;
        (device.generation == key.generation).then_some(key.index)
    }

    pub(crate) fn find(&self, id: &str) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn key(&self, index: u32) -> DeviceKey {
        DeviceKey {
            index,
            generation: self.at(index).generation,
        }
    }

    pub(crate) fn at(&self, index: u32) -> &Device {
        self.devices.get(index as usize).expect(NAMED_WHILE_HERE)
    }

    pub(crate) fn at_mut(&mut self, index: u32) -> &mut Device {
        self.devices
            .get_mut(index as usize)
            .expect(NAMED_WHILE_HERE)
    }

    /// The slots in use, the gateway's own first.
    pub(crate) fn slots(&self) -> Vec<u32> {
        self.devices.iter().map(|(index, _)| index as u32).collect()
    }

    /// Devices, the gateway not counted.
    pub(crate) fn len(&self) -> usize {
        self.devices.len() - 1
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Device)> {
        self.devices
            .iter()
            .map(|(index, device)| (index as u32, device))
    }

    /// Takes the operations that have not ended.
    pub(crate) fn take_ops(&mut self) -> Vec<OpId> {
        let mut ops = Vec::new();
        for (_, device) in &mut self.devices {
            ops.extend(device.pending_ops());
            ops.extend(device.detach.map(|detach| detach.op));
        }
        ops.sort_unstable();
        ops
    }

    /// An acknowledgement came, or is no longer waited for.
    pub(crate) fn settle(&mut self, awaiting: Awaiting) {
        self.silences.remove(awaiting.deadline, awaiting.packet_id);
    }

    /// Whether anything has its time.
    pub(crate) fn has_deadlines(&self) -> bool {
        !(self.silences.is_empty() && self.deadlines.is_empty())
    }

    /// Whether anything waits to be attached, subscribed to or detached.
    pub(crate) fn has_turns(&self) -> bool {
        !(self.attach_turns.is_empty()
            && self.subscribe_turns.is_empty()
            && self.detach_turns.is_empty())
    }

    /// A device is gone: it has no turns any more.
    pub(crate) fn forget_turns(&mut self, index: u32) {
        self.attach_turns.retain(|&other| other != index);
        self.subscribe_turns.retain(|turn| turn.device != index);
        self.detach_turns.retain(|&other| other != index);
    }

    /// Forgets whose turn it was and which acknowledgements were due: the connection is gone.
    pub(crate) fn forget_connection(&mut self) {
        self.attach_turns.clear();
        self.subscribe_turns.clear();
        self.detach_turns.clear();
        self.attaching = 0;
        self.silences.clear();
        self.deadlines.clear();
    }
}
