//! Attributes an error report or a hang-up to an operation: queries, which change nothing. MQTT 3.1.1 itself has no way
//! for the peer to report this. The bridge's reports arrive at QoS 0, on a topic of their own, before, after or instead
//! of an acknowledgement.

use super::{
    devices::{Feed, Life},
    online::{Online, PacketOwner},
    session::Session,
};
use crate::{
    clock::Moment,
    command::{OpId, Slot},
    error::Certainty,
    error_report::{ErrorReport, ErrorType},
    event::{DisconnectReason, TransportEnd},
    mqtt::{Found, PacketId},
    time::Duration,
};

/// How many of the newest operations in flight are reported with a hang-up.
const MAX_SUSPECTS: usize = 8;

/// A connection that ends sooner than this after its CONNACK may be a quick end.
const QUICK: Duration = Duration::from_secs(10);

/// This many quick ends in a row may be caused by another client with the same client id. Fewer prove nothing: the
/// service closes connections several times in a row when it is rolled out.
const TAKEOVER_AFTER: u32 = 6;

/// The connections in a row that the peer has closed soon after accepting them, although nothing that was sent explains
/// it. An attempt that was not accepted says nothing, nor does a hang-up that an unanswered operation may have caused.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QuickEnds {
    count: u32,
    /// Whether the connection that ended last is the last of them.
    has_ended_so: bool,
}

impl QuickEnds {
    /// Counts the end of a connection, or of an attempt at one. `has_suspects`: an operation may have caused it, or ended
    /// others before.
    pub(super) fn count(
        &mut self,
        online: Option<&Online>,
        reason: &DisconnectReason,
        has_suspects: bool,
        now: Moment,
    ) {
        self.has_ended_so = false;
        let Some(accepted_at) = online.and_then(|online| online.accepted_at) else {
            return;
        };
        let is_hang_up = *reason == DisconnectReason::Transport(TransportEnd::PeerClosed);
        if !is_hang_up || now.since(accepted_at) >= QUICK {
            self.count = 0;
        } else if !has_suspects {
            self.count += 1;
            self.has_ended_so = true;
        }
    }

    /// Returns whether the connection that has just ended may have been taken over by another client.
    pub(super) fn suggest_takeover(self) -> bool {
        self.has_ended_so && self.count >= TAKEOVER_AFTER
    }
}

/// What a report is about.
pub(super) enum About {
    /// An operation in flight, and its packet.
    InFlight(PacketId, PacketOwner),
    /// The attach by which this device is attached.
    Attachment(Slot),
    /// An unanswered attach of this device, which another one with another token followed.
    Superseded(Slot, PacketId),
    /// A publication of this device that has ended, and its packet.
    Ended(Slot, PacketId),
    /// An operation that has already ended, and whose acknowledgement may still arrive: the report changes nothing.
    Past,
    /// The report names a device, and no identifier that is in use.
    Device(Slot),
    Unknown,
}

impl Session {
    /// Returns what a report is about: the packet that it names, or else the device.
    pub(super) fn subject(&self, online: &Online, report: &ErrorReport) -> About {
        let packet_id = report.message().and_then(|message| message.packet_id());
        if let Some(packet_id) = packet_id
            && *report.error_type() == ErrorType::AttachmentError
        {
            return self.subject_of_attachment_error(online, packet_id, report);
        }
        let found = packet_id.map(|packet_id| (packet_id, online.link.find(packet_id)));
        match found {
            Some((_, Found::Quarantined)) => return About::Past,
            Some((packet_id, Found::InFlight(owner))) if !self.owns(packet_id, owner) => {
                return self.subject_of_past(online, packet_id, report);
            }
            Some((packet_id, Found::InFlight(owner))) if self.is_named(owner, report) => {
                return About::InFlight(packet_id, owner);
            }
            Some((_, Found::InFlight(_) | Found::Free)) | None => {}
        }
        let device = report.device_id().and_then(|id| self.devices.find(id));
        device.map_or(About::Unknown, About::Device)
    }

    /// Returns which attach, or detach, an attachment error with an identifier is about: it can be about nothing else,
    /// whatever the identifier stands for by now.
    fn subject_of_attachment_error(
        &self,
        online: &Online,
        packet_id: PacketId,
        report: &ErrorReport,
    ) -> About {
        if let Found::InFlight(owner @ (PacketOwner::Attach(_) | PacketOwner::Detach(_))) =
            online.link.find(packet_id)
            && self.owns(packet_id, owner)
            && self.is_named(owner, report)
        {
            return About::InFlight(packet_id, owner);
        }
        let past = self.subject_of_past(online, packet_id, report);
        if let superseded @ About::Superseded(..) = past {
            return superseded;
        }
        let attached = |slot: Slot| match self.devices.at(slot).life {
            Life::Attached {
                since,
                packet_id: attach,
                ..
            } if attach == packet_id => Some((since, slot)),
            _ => None,
        };
        let last = match report.device_id() {
            Some(id) => self.devices.find(id).and_then(attached),
            None => {
                let devices = self.devices.iter();
                devices.filter_map(|(slot, _)| attached(slot)).max()
            }
        };
        last.map_or(About::Past, |(_, slot)| About::Attachment(slot))
    }

    /// Returns what a report about a packet is about that its owner does not wait for any more.
    fn subject_of_past(&self, online: &Online, packet_id: PacketId, report: &ErrorReport) -> About {
        if let Some(ended) = online.flight.ended(packet_id)
            && self.is_about_device(ended.device, report)
        {
            return About::Ended(ended.device, packet_id);
        }
        let mut superseded = online.superseded.iter();
        let found = superseded.find(|(_, other)| *other == packet_id);
        match found.and_then(|(device, _)| self.devices.resolve(*device)) {
            Some(slot) => About::Superseded(slot, packet_id),
            None => About::Past,
        }
    }

    /// Returns whether a report names the device of this operation, or no device.
    fn is_named(&self, owner: PacketOwner, report: &ErrorReport) -> bool {
        let device = self.device_of(owner);
        device.is_some_and(|device| self.is_about_device(device, report))
    }

    /// Returns whether a report names this device, or no device.
    fn is_about_device(&self, device: Slot, report: &ErrorReport) -> bool {
        let named = report.device_id();
        named.is_none_or(|id| id == self.devices.at(device).id.as_str())
    }

    /// Returns the device of an operation; `None` for the subscription to error reports, and for an operation that has
    /// ended.
    pub(super) fn device_of(&self, owner: PacketOwner) -> Option<Slot> {
        match owner {
            PacketOwner::Nobody => None,
            PacketOwner::Publication(key) => Some(self.outbox.entry(key).device),
            PacketOwner::Attach(device) | PacketOwner::Detach(device) => Some(device),
            PacketOwner::Subscription(request) => match request.key() {
                key if key.feed == Feed::Errors => None,
                key => Some(key.device),
            },
        }
    }

    /// Returns the operations that may have caused a hang-up without a reason, newest first, and how certain the cause
    /// is.
    pub(super) fn suspects(
        &self,
        online: Option<&Online>,
        reason: &DisconnectReason,
    ) -> (Vec<OpId>, Certainty) {
        match reason {
            DisconnectReason::Transport(TransportEnd::PeerClosed | TransportEnd::Broken) => {
                let suspects =
                    online.map_or_else(Vec::new, |online| self.newest_unanswered(online));
                let certainty = if suspects.is_empty() {
                    Certainty::Confirmed
                } else {
                    Certainty::Suspected
                };
                (suspects, certainty)
            }
            DisconnectReason::ConnAckTimedOut(_)
            | DisconnectReason::PingRespTimedOut(_)
            | DisconnectReason::PacketTimedOut(_)
            | DisconnectReason::WriteStalled(_) => (Vec::new(), Certainty::Inferred),
            _ => (Vec::new(), Certainty::Confirmed),
        }
    }

    fn newest_unanswered(&self, online: &Online) -> Vec<OpId> {
        let cut = online.link.cut();
        let cut = cut.and_then(|end| self.outbox.handed_over_to(&online.flight, end));
        let cut = cut.map(|key| self.outbox.entry(key).op);
        let packets = online.link.newest_handed_over().into_iter();
        let ended = |packet_id| online.flight.ended(packet_id).map(|ended| ended.op);
        let ops = packets.filter_map(|(packet_id, owner)| {
            let op = self.op_of(packet_id, owner);
            op.or_else(|| ended(packet_id))
        });
        cut.into_iter().chain(ops).take(MAX_SUSPECTS).collect()
    }

    /// Returns the operation of an unanswered packet, unless it has ended.
    fn op_of(&self, packet_id: PacketId, owner: PacketOwner) -> Option<OpId> {
        if !self.owns(packet_id, owner) {
            return None;
        }
        match owner {
            PacketOwner::Nobody => None,
            PacketOwner::Publication(key) => Some(self.outbox.entry(key).op),
            PacketOwner::Attach(device) => self.devices.at(device).attach_op,
            PacketOwner::Detach(device) => self.devices.at(device).detach.map(|detach| detach.op),
            PacketOwner::Subscription(request) => self.devices.subscription(request.key()).op,
        }
    }
}

/// Returns whether a report names the topic of an attach, or no topic.
pub(super) fn is_about_attach(report: &ErrorReport) -> bool {
    let topic = report.message().and_then(|message| message.topic());
    topic.is_none_or(|topic| topic.ends_with("/attach"))
}
