//! Attributes an error report or a hang-up to an operation: queries, which change nothing. MQTT 3.1.1 itself has no way
//! for the peer to report this. The bridge's reports arrive at QoS 0, on a topic of their own, before, after or instead
//! of an acknowledgement.

use super::{
    devices::Feed,
    online::{Online, PacketOwner},
    session::Session,
};
use crate::{
    clock::Moment,
    command::{OpId, Slot},
    error::Certainty,
    error_report::ErrorReport,
    event::{DisconnectReason, TransportEnd},
    mqtt::{Found, PacketId},
    time::Duration,
};

/// How many of the newest operations in flight are reported with a hang-up.
const MAX_SUSPECTS: usize = 8;

/// A connection that ends sooner than this after its CONNACK counts as a quick end.
const QUICK: Duration = Duration::from_secs(10);

/// This many quick ends in a row are probably caused by another client with the same client id.
pub(super) const TAKEOVER_AFTER: u32 = 3;

/// What a report is about.
pub(super) enum About {
    /// An operation in flight, and its packet.
    InFlight(PacketId, PacketOwner),
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
        let found = packet_id.map(|packet_id| (packet_id, online.link.find(packet_id)));
        match found {
            Some((_, Found::Quarantined)) => return About::Past,
            Some((packet_id, Found::InFlight(owner))) if !self.owns(packet_id, owner) => {
                return About::Past;
            }
            Some((packet_id, Found::InFlight(owner))) if self.is_named(owner, report) => {
                return About::InFlight(packet_id, owner);
            }
            Some((_, Found::InFlight(_) | Found::Free)) | None => {}
        }
        let device = report.device_id().and_then(|id| self.devices.find(id));
        device.map_or(About::Unknown, About::Device)
    }

    /// Returns whether a report names the device of this operation, or no device.
    fn is_named(&self, owner: PacketOwner, report: &ErrorReport) -> bool {
        let device = match owner {
            PacketOwner::Nobody => return false,
            PacketOwner::Publication(key) => self.outbox.entry(key).device,
            PacketOwner::Attach(device) | PacketOwner::Detach(device) => device,
            PacketOwner::Subscription(request) => match request.key() {
                key if key.feed == Feed::Errors => return false,
                key => key.device,
            },
        };
        report
            .device_id()
            .is_none_or(|id| id == self.devices.at(device).id.as_str())
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
        let packets = online.link.newest_unanswered(usize::MAX).into_iter();
        let ops = packets.filter_map(|(packet_id, owner)| self.op_of(packet_id, owner));
        ops.take(MAX_SUSPECTS).collect()
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

/// Returns how many connections in a row the peer has ended soon after accepting them, including this one. An attempt
/// that was not accepted leaves the number as it was `before`.
pub(super) fn quick_ends(
    before: u32,
    online: Option<&Online>,
    reason: &DisconnectReason,
    now: Moment,
) -> u32 {
    let is_hang_up = matches!(
        reason,
        DisconnectReason::Transport(TransportEnd::PeerClosed | TransportEnd::Broken)
    );
    match online.and_then(|online| online.accepted_at) {
        Some(since) if is_hang_up && now.since(since) < QUICK => before + 1,
        Some(_) => 0,
        None => before,
    }
}

/// Returns whether a report names the topic of an attach, or no topic.
pub(super) fn is_about_attach(report: &ErrorReport) -> bool {
    let topic = report.message().and_then(|message| message.topic());
    topic.is_none_or(|topic| topic.ends_with("/attach"))
}
