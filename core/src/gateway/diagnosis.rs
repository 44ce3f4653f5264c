//! Which operation an error report or a hang-up is about. No peer of MQTT 3.1.1 tells: the bridge's reports come at
//! QoS 0, on a topic of their own, before or after an acknowledgement or instead of it.

use super::{Gateway, Ticket, devices::Life};
use crate::{
    clock::Moment,
    command::OpId,
    error::{Certainty, Failure},
    error_report::{ErrorReport, ErrorType},
    event::{DisconnectReason, Event, TransportEnd},
    mqtt::Found,
    time::Duration,
};

/// How many of the newest operations in flight a hang-up names.
const MAX_SUSPECTS: usize = 8;

/// A connection that ends sooner than this after its CONNACK was killed quickly.
const QUICK: Duration = Duration::from_secs(10);

/// So many quick ends in a row are probably another client with the same client id.
const TAKEOVER_AFTER: u32 = 3;

/// What a report is about.
enum About {
    /// An operation that is in flight.
    InFlight(Ticket),
    /// One that has ended otherwise already, and whose acknowledgement may still come: the report is old news.
    Past,
    /// It does not say, or names an identifier that is not in use.
    Unknown,
}

impl Gateway {
    /// Acts on a report, and tells the user of it in any case.
    pub(super) fn on_error_report(&mut self, report: ErrorReport, now: Moment) {
        let device = report.device_id().and_then(|id| self.devices.find(id));
        match self.subject(&report) {
            About::InFlight(ticket) => self.on_report_about(ticket, &report, now),
            About::Past => {}
            About::Unknown => {
                if let Some(device) = device {
                    self.on_report_of_device(device, &report, now);
                }
            }
        }
        self.emit(Event::ErrorReport(report));
    }

    fn subject(&self, report: &ErrorReport) -> About {
        let packet_id = report.message().and_then(|message| message.packet_id());
        let (Some(packet_id), Some(link)) = (packet_id, &self.link) else {
            return About::Unknown;
        };
        match link.find(packet_id) {
            Found::InFlight(_, ticket) if self.is_named(ticket, report) => About::InFlight(ticket),
            Found::InFlight(..) | Found::Free => About::Unknown,
            Found::Quarantined => About::Past,
        }
    }

    /// Whether a report names the device of this operation, or none at all.
    fn is_named(&self, ticket: Ticket, report: &ErrorReport) -> bool {
        let device = match ticket {
            Ticket::Publication(key) => self.outbox.entry(key).device,
            Ticket::Attach(device) | Ticket::Detach(device) => device,
            Ticket::Subscription(turn) => turn.device,
            Ticket::Errors => return false,
        };
        report
            .device_id()
            .is_none_or(|id| id == self.devices.at(device).id.as_str())
    }

    fn on_report_about(&mut self, ticket: Ticket, report: &ErrorReport, now: Moment) {
        match (ticket, report.error_type()) {
            (_, ErrorType::UnexpectedPacketId | ErrorType::UnexpectedMessageType) => {}
            (Ticket::Attach(device), ErrorType::Unknown) => self.on_attach_failed(device, now),
            (Ticket::Attach(device), _) => self.on_attach_refused(device, report),
            (Ticket::Detach(device), _) => {
                self.on_detach_failed(device, Failure::Reported(report.clone()));
            }
            (Ticket::Publication(key), ErrorType::InvalidMqttTopic) => {
                self.fail_reported(key, report)
            }
            (
                Ticket::Publication(key),
                ErrorType::DeviceNotFound | ErrorType::DetachmentDeviceError,
            ) => {
                let device = self.outbox.entry(key).device;
                self.on_detached_by_bridge(device, report, now);
            }
            (
                Ticket::Subscription(turn),
                ErrorType::DeviceNotFound | ErrorType::DetachmentDeviceError,
            ) => self.on_detached_by_bridge(turn.device, report, now),
            (Ticket::Subscription(turn), ErrorType::InvalidMqttTopic) => {
                let failure = Failure::Reported(report.clone());
                self.fail_subscription(turn, failure, now);
            }
            // The rest says nothing final: silence ends the operation, or sends the publication again.
            _ => {}
        }
    }

    fn on_report_of_device(&mut self, device: u32, report: &ErrorReport, now: Moment) {
        match (report.error_type(), self.devices.at(device).life) {
            (ErrorType::AttachmentError, Life::Attaching(_)) => {
                self.on_attach_refused(device, report)
            }
            (ErrorType::Unknown, Life::Attaching(_)) if is_about_attach(report) => {
                self.on_attach_failed(device, now);
            }
            (
                ErrorType::AttachmentError
                | ErrorType::DetachmentDeviceError
                | ErrorType::DeviceNotFound,
                Life::Attached(_),
            ) => self.on_detached_by_bridge(device, report, now),
            _ => {}
        }
    }

    fn fail_reported(&mut self, key: u32, report: &ErrorReport) {
        self.fail_publication(key, Failure::Reported(report.clone()));
    }

    /// The operations that a hang-up without a reason may be about, newest first, and how surely the reason is known.
    pub(super) fn suspects(&self, reason: &DisconnectReason) -> (Vec<OpId>, Certainty) {
        match reason {
            DisconnectReason::Transport(TransportEnd::PeerClosed | TransportEnd::Broken) => {
                let suspects = self.newest_unanswered();
                let certainty = if suspects.is_empty() {
                    Certainty::Confirmed
                } else {
                    Certainty::Suspected
                };
                (suspects, certainty)
            }
            DisconnectReason::ConnAckTimedOut(_)
            | DisconnectReason::PingRespTimedOut(_)
            | DisconnectReason::WriteStalled(_) => (Vec::new(), Certainty::Inferred),
            _ => (Vec::new(), Certainty::Confirmed),
        }
    }

    fn newest_unanswered(&self) -> Vec<OpId> {
        let devices = self.devices.iter();
        let mut unanswered: Vec<_> = devices
            .flat_map(|(_, device)| device.unanswered(&self.options))
            .chain(self.outbox.newest_in_flight(MAX_SUSPECTS))
            .collect();
        unanswered.sort_unstable_by(|one, other| other.cmp(one));
        let newest = unanswered.into_iter().take(MAX_SUSPECTS);
        newest.map(|(_, op)| op).collect()
    }

    /// Whether connections end so soon after they were accepted, and so often in a row, that another client probably
    /// uses the same client id.
    pub(super) fn suspects_takeover(&mut self, reason: &DisconnectReason, now: Moment) -> bool {
        let is_hang_up = matches!(
            reason,
            DisconnectReason::Transport(TransportEnd::PeerClosed | TransportEnd::Broken)
        );
        match self.lifecycle.open_since {
            Some(since) if is_hang_up && now.since(since) < QUICK => {
                self.lifecycle.quick_ends += 1;
            }
            Some(_) => self.lifecycle.quick_ends = 0,
            None => {}
        }
        self.lifecycle.quick_ends >= TAKEOVER_AFTER
    }
}

fn is_about_attach(report: &ErrorReport) -> bool {
    let topic = report.message().and_then(|message| message.topic());
    topic.is_none_or(|topic| topic.ends_with("/attach"))
}
