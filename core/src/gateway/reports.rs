//! The effects of an error report.

use super::{
    devices::{Life, OWN},
    diagnosis::{About, is_about_attach},
    online::{Online, PacketOwner},
    session::Session,
};
use crate::{
    clock::Moment,
    command::Slot,
    error::Failure,
    error_report::{ErrorReport, ErrorType},
    mqtt::PacketId,
    topic,
};

impl Session {
    /// Handles a report about something on this connection.
    pub(super) fn act_on_report(&mut self, online: &mut Online, report: &ErrorReport, now: Moment) {
        match self.subject(online, report) {
            About::InFlight(packet_id, owner) => {
                self.on_report_about(online, packet_id, owner, report, now);
            }
            About::Attachment(device) => self.on_attachment_refused(online, device, report, now),
            About::Device(device) => self.on_report_of_device(online, device, report, now),
            About::Superseded(device, packet_id) => {
                if !is_about_acknowledgement(report) {
                    self.end_superseded(online, device, Some(packet_id), now);
                }
            }
            About::Ended(device, packet_id) => {
                self.on_report_about_ended(online, device, packet_id, report, now);
            }
            About::Past | About::Unknown => {}
        }
    }

    /// Handles a report about a publication that has ended: it was answered, and may show that its device is detached.
    fn on_report_about_ended(
        &mut self,
        online: &mut Online,
        device: Slot,
        packet_id: PacketId,
        report: &ErrorReport,
        now: Moment,
    ) {
        if is_about_acknowledgement(report) || *report.error_type() == ErrorType::Unknown {
            return;
        }
        self.outbox.forget_ended(&mut online.flight, packet_id);
        if device == OWN || !is_detachment(report.error_type()) {
            return online.link.answer_with_report(packet_id, now);
        }
        online.link.quarantine(packet_id);
        if let Life::Attached { .. } = self.devices.at(device).life {
            self.on_detached_by_bridge(online, device, report, now);
        }
    }

    fn on_report_about(
        &mut self,
        online: &mut Online,
        packet_id: PacketId,
        owner: PacketOwner,
        report: &ErrorReport,
        now: Moment,
    ) {
        self.clear_strikes(owner);
        let failure = || Failure::Reported(report.clone());
        match (owner, report.error_type()) {
            _ if is_about_acknowledgement(report) => {}
            (PacketOwner::Attach(device), ErrorType::Unknown) => {
                self.on_attach_failed(online, device, report, now);
            }
            (PacketOwner::Attach(device), _) => {
                self.on_attach_refused(online, device, report, now);
            }
            (PacketOwner::Detach(device), _) => {
                online.link.answer_with_report(packet_id, now);
                self.on_detach_failed(online, device, failure());
            }
            // It may be temporary: the operation ends when it times out, or the publication is sent again.
            (_, ErrorType::Unknown) | (PacketOwner::Nobody, _) => {}
            (owner, error_type) => match self.device_of(owner) {
                Some(device) if device != OWN && is_detachment(error_type) => {
                    self.on_detached_by_bridge(online, device, report, now);
                }
                _ => {
                    online.link.answer_with_report(packet_id, now);
                    self.fail_reported(online, owner, failure(), now);
                }
            },
        }
    }

    /// Ends a publication or a subscription that the bridge has answered with a report.
    fn fail_reported(
        &mut self,
        online: &mut Online,
        owner: PacketOwner,
        failure: Failure,
        now: Moment,
    ) {
        match owner {
            PacketOwner::Publication(key) => self.fail_publication(online, key, failure),
            PacketOwner::Subscription(request) => {
                self.fail_subscription(online, request.key(), failure, now);
            }
            PacketOwner::Attach(_) | PacketOwner::Detach(_) | PacketOwner::Nobody => {}
        }
    }

    fn on_report_of_device(
        &mut self,
        online: &mut Online,
        device: Slot,
        report: &ErrorReport,
        now: Moment,
    ) {
        let is_of_attach = match report.error_type() {
            ErrorType::AttachmentError => true,
            ErrorType::Unknown => is_about_attach(report),
            _ => false,
        };
        if is_of_attach && self.end_superseded(online, device, None, now) {
            return;
        }
        let entry = self.devices.at(device);
        let is_asked = entry.asked.is_some();
        match (report.error_type(), entry.life) {
            (ErrorType::AttachmentError, _) if is_asked => {
                self.on_attach_refused(online, device, report, now);
            }
            (ErrorType::Unknown, _) if is_asked && is_about_attach(report) => {
                self.on_attach_failed(online, device, report, now);
            }
            (
                ErrorType::AttachmentError
                | ErrorType::DetachmentDeviceError
                | ErrorType::DeviceNotFound,
                Life::Attached { .. },
            ) => self.on_detached_by_bridge(online, device, report, now),
            _ => {}
        }
    }
}

/// Returns whether the bridge says that the device of a message is not attached.
fn is_detachment(error_type: &ErrorType) -> bool {
    matches!(
        error_type,
        ErrorType::DeviceNotFound | ErrorType::DetachmentDeviceError
    )
}

/// Returns whether a report of an unexpected packet is about an acknowledgement, whose identifier is the bridge's. If it
/// names a topic on which the bridge sends nothing, it is about a PUBLISH of ours.
fn is_about_acknowledgement(report: &ErrorReport) -> bool {
    let is_unexpected = matches!(
        report.error_type(),
        ErrorType::UnexpectedPacketId | ErrorType::UnexpectedMessageType
    );
    let topic = report.message().and_then(|message| message.topic());
    is_unexpected && topic.is_none_or(|topic| topic::parse(topic).is_some())
}
