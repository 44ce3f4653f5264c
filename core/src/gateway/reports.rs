//! The effects of an error report.

use super::{
    devices::Life,
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
};

impl Session {
    /// Handles a report about something on this connection.
    pub(super) fn act_on_report(&mut self, online: &mut Online, report: &ErrorReport, now: Moment) {
        match self.subject(online, report) {
            About::InFlight(packet_id, owner) => {
                self.on_report_about(online, packet_id, owner, report, now);
            }
            About::Device(device) => self.on_report_of_device(online, device, report, now),
            About::Past | About::Unknown => {}
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
        match (owner, report.error_type()) {
            (_, ErrorType::UnexpectedPacketId | ErrorType::UnexpectedMessageType) => {}
            (PacketOwner::Attach(device), ErrorType::Unknown) => {
                self.on_attach_failed(online, device, now);
            }
            (PacketOwner::Attach(device), _) => {
                self.on_attach_refused(online, device, report, now);
            }
            (PacketOwner::Detach(device), _) => {
                online.link.answer_with_report(packet_id, now);
                self.on_detach_failed(online, device, Failure::Reported(report.clone()));
            }
            (PacketOwner::Publication(key), ErrorType::InvalidMqttTopic) => {
                online.link.answer_with_report(packet_id, now);
                self.fail_publication(online, key, Failure::Reported(report.clone()));
            }
            (
                PacketOwner::Publication(key),
                ErrorType::DeviceNotFound | ErrorType::DetachmentDeviceError,
            ) => {
                let device = self.outbox.entry(key).device;
                self.on_detached_by_bridge(online, device, report, now);
            }
            (
                PacketOwner::Subscription(request),
                ErrorType::DeviceNotFound | ErrorType::DetachmentDeviceError,
            ) => self.on_detached_by_bridge(online, request.key().device, report, now),
            (PacketOwner::Subscription(request), ErrorType::InvalidMqttTopic) => {
                let key = request.key();
                online.link.answer_with_report(packet_id, now);
                let failure = Failure::Reported(report.clone());
                self.fail_subscription(online, key, failure, now);
            }
            // Other reports are not final: the operation ends when it times out, or the publication is sent again.
            _ => {}
        }
    }

    fn on_report_of_device(
        &mut self,
        online: &mut Online,
        device: Slot,
        report: &ErrorReport,
        now: Moment,
    ) {
        let entry = self.devices.at(device);
        let is_asked = entry.asked.is_some();
        match (report.error_type(), entry.life) {
            (ErrorType::AttachmentError, _) if is_asked => {
                self.on_attach_refused(online, device, report, now);
            }
            (ErrorType::Unknown, _) if is_asked && is_about_attach(report) => {
                self.on_attach_failed(online, device, now);
            }
            (
                ErrorType::AttachmentError
                | ErrorType::DetachmentDeviceError
                | ErrorType::DeviceNotFound,
                Life::Attached(_),
            ) => self.on_detached_by_bridge(online, device, report, now),
            _ => {}
        }
    }
}
