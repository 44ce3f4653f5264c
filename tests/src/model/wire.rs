//! The rules of the wire, checked from its bytes alone, with a parser that is independent of the gateway's and of the
//! emulator's.

mod frame;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use self::frame::Frame;
use super::Finding;
use crate::link::GATEWAY;
use crate::script::Rule;

const CONNECT: u8 = 1;
const CONNACK: u8 = 2;
pub(super) const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const SUBSCRIBE: u8 = 8;
const SUBACK: u8 = 9;
const UNSUBSCRIBE: u8 = 10;
const UNSUBACK: u8 = 11;
const PINGREQ: u8 = 12;
const DISCONNECT: u8 = 14;

/// The traffic of one connection.
#[derive(Debug, Default)]
pub(super) struct Wire {
    written: Vec<u8>,
    read: Vec<u8>,
    phase: Phase,
    /// Identifiers that the gateway has used and whose acknowledgement has not arrived, with the packet.
    outstanding: BTreeMap<u16, Sent>,
    /// Packets whose acknowledgement has arrived, until they are taken.
    answered: Vec<Answered>,
    /// The last packet of each identifier, because its copies may be in transit when it is acknowledged.
    used: BTreeMap<u16, Sent>,
    /// Devices whose attach was acknowledged on this connection.
    attached: BTreeSet<String>,
    /// The bridge's identifiers that wait for a PUBACK, in the order of their packets.
    owed: VecDeque<Owed>,
    /// Whether the user acknowledges. A config that it does not acknowledge is given up in the end, without a PUBACK.
    is_manual: bool,
    /// When and as which one the packet of each identifier was written for the first time.
    handed: BTreeMap<u16, (Instant, u64)>,
    /// How many packets with an identifier were written.
    count: u64,
    /// The latest of each kind that was answered.
    latest: BTreeMap<Kind, u64>,
    /// How many publications were written, on this connection and those before it.
    publications: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Opened,
    Connecting,
    Open,
    Left,
}

/// A packet with an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// Its acknowledgement.
    pub(super) answer: Answer,
    /// Its topic or filter.
    pub(super) topic: String,
    /// The rest of the packet.
    pub(super) rest: Vec<u8>,
}

/// What packets are answered in the order of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Control,
    Subscription,
    Publication,
}

impl Sent {
    fn kind(&self) -> Kind {
        match (self.answer, split(&self.topic).1) {
            (Answer::Puback, "attach" | "detach") => Kind::Control,
            (Answer::Puback, _) => Kind::Publication,
            (Answer::Suback | Answer::Unsuback, _) => Kind::Subscription,
        }
    }
}

/// A packet that was answered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) sent: Sent,
    /// When its last byte was written for the first time.
    pub(super) handed: Instant,
}

/// A packet of which a part was written, and not all.
#[derive(Debug)]
pub(super) enum Cut {
    /// Its topic was written, and the rest as far as it is here. At QoS 0 nothing answers it.
    At(Sent),
    /// So little that it may be any packet.
    Anywhere,
}

/// A packet with which the bridge answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Puback = PUBACK as isize,
    Suback = SUBACK as isize,
    Unsuback = UNSUBACK as isize,
}

/// A packet from the bridge that must be acknowledged. A copy may be covered by the first one's acknowledgement, and a
/// config may be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owed {
    id: u16,
    is_copy: bool,
    is_config: bool,
}

impl Wire {
    pub(super) fn new(is_manual: bool) -> Self {
        Self {
            is_manual,
            ..Self::default()
        }
    }

    /// Returns a new connection after this one.
    pub(super) fn next(&self) -> Self {
        Self {
            publications: self.publications,
            ..Self::new(self.is_manual)
        }
    }

    /// Returns the packets that were written and not answered.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = &Sent> {
        self.outstanding.values()
    }

    /// Returns the packet of which a part was written, and not all, if the bridge answers its kind.
    pub(super) fn cut(&self) -> Option<Cut> {
        let frame = Frame::peek(&self.written)?;
        let (at, behind, answer) = match (frame.kind, frame.flags & 0b110) {
            (PUBLISH, 0) => (0, 0, Answer::Puback),
            (PUBLISH, _) => (0, 2, Answer::Puback),
            (SUBSCRIBE, _) => (2, 0, Answer::Suback),
            (UNSUBSCRIBE, _) => (2, 0, Answer::Unsuback),
            _ => return None,
        };
        let topic = frame.text(at);
        let end = at + 2 + usize::from(frame.number(at)) + behind;
        Some(match frame.body.len() > end {
            true => Cut::At(Sent {
                answer,
                topic,
                rest: frame.rest(end),
            }),
            false => Cut::Anywhere,
        })
    }

    /// Returns whether a packet that was written after `since` is not answered, nor any later one of its kind: the gateway
    /// may still take the peer for busy with it.
    pub(super) fn awaits(&self, since: Instant) -> bool {
        self.outstanding.iter().any(|(id, sent)| {
            let latest = self.latest.get(&sent.kind()).copied().unwrap_or_default();
            let handed = self.handed.get(id);
            handed.is_some_and(|(at, count)| *at > since && *count > latest)
        })
    }

    /// Returns the packets that were answered since the last call.
    pub(super) fn take_answered(&mut self) -> Vec<Answered> {
        core::mem::take(&mut self.answered)
    }

    pub(super) fn publications(&self) -> u64 {
        self.publications
    }

    /// Checks bytes that the gateway has written.
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        is_deceived: bool,
        now: Instant,
    ) -> Result<(), Finding> {
        self.written.extend(bytes);
        while let Some(frame) = Frame::take(&mut self.written) {
            self.on_written(&frame, is_deceived, now)?;
        }
        if self.phase == Phase::Left && !self.written.is_empty() {
            return Err(Finding::new(
                Rule::Wire,
                "bytes after DISCONNECT".to_owned(),
            ));
        }
        Ok(())
    }

    /// Processes bytes that the gateway has read.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        self.read.extend(bytes);
        while let Some(frame) = Frame::take(&mut self.read) {
            self.on_read(&frame);
        }
    }

    fn on_written(
        &mut self,
        frame: &Frame,
        is_deceived: bool,
        now: Instant,
    ) -> Result<(), Finding> {
        match (self.phase, frame.kind) {
            (Phase::Opened, CONNECT) => {
                self.phase = Phase::Connecting;
                return Ok(());
            }
            (Phase::Open, PUBLISH | PUBACK | SUBSCRIBE | UNSUBSCRIBE | PINGREQ) => {}
            (Phase::Open, DISCONNECT) => {
                self.phase = Phase::Left;
                return Ok(());
            }
            (phase, kind) => {
                let what = format!("a packet of type {kind} while {phase:?}");
                return Err(Finding::new(Rule::Wire, what));
            }
        }
        match frame.kind {
            PUBLISH => self.on_publish(frame, now),
            SUBSCRIBE => self.on_subscribe(frame, Answer::Suback, now),
            UNSUBSCRIBE => self.on_subscribe(frame, Answer::Unsuback, now),
            PUBACK if !is_deceived => self.on_puback(frame.number(0)),
            _ => Ok(()),
        }
    }

    fn on_publish(&mut self, frame: &Frame, now: Instant) -> Result<(), Finding> {
        let topic = frame.text(0);
        let (device, kind) = split(&topic);
        let end = 2 + topic.len();
        match kind {
            "attach" => {}
            "detach" => {
                self.attached.remove(device);
            }
            _ => {
                self.publications += 1;
                self.check_attached(device, &topic)?;
            }
        }
        let is_copy = frame.flags & 0b1000 != 0;
        match (frame.flags >> 1) & 0b11 {
            0 if is_copy => Err(Finding::new(Rule::Wire, format!("DUP at QoS 0 on {topic}"))),
            0 => Ok(()),
            1 => {
                let sent = Sent {
                    answer: Answer::Puback,
                    rest: frame.rest(end + 2),
                    topic,
                };
                self.use_id(frame.number(end), sent, is_copy, now)
            }
            qos => Err(Finding::new(Rule::Wire, format!("QoS {qos} on {topic}"))),
        }
    }

    fn on_subscribe(&mut self, frame: &Frame, answer: Answer, now: Instant) -> Result<(), Finding> {
        let filter = frame.text(2);
        if answer == Answer::Suback {
            self.check_attached(split(&filter).0, &filter)?;
        }
        let rest = frame.rest(4 + filter.len());
        let sent = Sent {
            answer,
            topic: filter,
            rest,
        };
        self.use_id(frame.number(0), sent, false, now)
    }

    fn check_attached(&self, device: &str, topic: &str) -> Result<(), Finding> {
        match device == GATEWAY || self.attached.contains(device) {
            true => Ok(()),
            false => Err(Finding::new(
                Rule::Attachment,
                format!("{topic}, before the PUBACK of its attach"),
            )),
        }
    }

    fn use_id(&mut self, id: u16, sent: Sent, is_copy: bool, now: Instant) -> Result<(), Finding> {
        let finding = |what: &str| {
            Err(Finding::new(
                Rule::PacketIds,
                format!("identifier {id}: {what}"),
            ))
        };
        match (self.outstanding.get(&id), is_copy) {
            _ if id == 0 => finding("not allowed"),
            (Some(_), false) => finding("used again before its acknowledgement"),
            // Its acknowledgement may have arrived while the copy was waiting to be written.
            (_, true) if self.used.get(&id) != Some(&sent) => finding("a copy of nothing"),
            (_, true) => Ok(()),
            (None, false) => {
                self.used.insert(id, sent.clone());
                self.outstanding.insert(id, sent);
                self.count += 1;
                self.handed.insert(id, (now, self.count));
                Ok(())
            }
        }
    }

    /// Checks that PUBACKs are sent in the order of the packets [MQTT-4.6.0-2].
    fn on_puback(&mut self, id: u16) -> Result<(), Finding> {
        let may_be_left = |owed: &Owed| owed.is_copy || owed.is_config && self.is_manual;
        while self
            .owed
            .front()
            .is_some_and(|owed| may_be_left(owed) && owed.id != id)
        {
            self.owed.pop_front();
        }
        match self.owed.pop_front() {
            Some(oldest) if oldest.id == id => Ok(()),
            oldest => Err(Finding::new(
                Rule::Wire,
                format!("PUBACK {id}, while the oldest that is owed is {oldest:?}"),
            )),
        }
    }

    fn on_read(&mut self, frame: &Frame) {
        match frame.kind {
            CONNACK if frame.body.get(1) == Some(&0) && self.phase == Phase::Connecting => {
                self.phase = Phase::Open;
            }
            PUBACK | SUBACK | UNSUBACK => {
                let id = frame.number(0);
                let sent = self.outstanding.get(&id);
                if let Some(sent) = sent.filter(|sent| sent.answer as u8 == frame.kind) {
                    if let (device, "attach") = split(&sent.topic) {
                        self.attached.insert(device.to_owned());
                    }
                    let kind = sent.kind();
                    if let Some((handed, count)) = self.handed.remove(&id)
                        && let Some(sent) = self.outstanding.remove(&id)
                    {
                        let latest = self.latest.entry(kind).or_default();
                        *latest = count.max(*latest);
                        self.answered.push(Answered { sent, handed });
                    }
                }
            }
            PUBLISH if frame.flags & 0b0110 != 0 => {
                let topic = frame.text(0);
                self.owed.push_back(Owed {
                    id: frame.number(2 + topic.len()),
                    is_copy: frame.flags & 0b1000 != 0,
                    is_config: split(&topic).1 == "config",
                });
            }
            _ => {}
        }
    }
}

/// Splits a topic or filter into its device and the rest.
pub(super) fn split(topic: &str) -> (&str, &str) {
    let path = topic.strip_prefix("/devices/").unwrap_or(topic);
    path.split_once('/').unwrap_or((path, ""))
}
