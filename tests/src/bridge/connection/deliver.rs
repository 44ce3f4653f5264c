//! Delivery of configs and commands to a client, until their PUBACK.

use core::time::Duration;
use std::time::Instant;

use bytes::Bytes;

use super::super::codec::Reply;
use super::super::errors::{AboutPacket, ErrorType, Report};
use super::super::event::EventKind;
use super::super::settings::ConfigRedelivery;
use super::super::topic::{self, SubscriptionKind};
use super::super::wire::Context;
use super::{Client, CloseReason, Handled};

/// Assumed: how long the bridge waits for a PUBACK before it retransmits.
const REDELIVERY: Duration = Duration::from_secs(10);

/// The maximum number of messages waiting for a client's PUBACK; ten times what 1,000 devices' configs need.
const MAX_IN_FLIGHT: usize = 10_000;

/// The maximum number of bytes of commands waiting for a client's PUBACK.
const MAX_IN_FLIGHT_BYTES: usize = 16 * 1024 * 1024;

/// A message for a device.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// A version of its config.
    Config {
        device: String,
        version: u64,
        payload: Bytes,
    },
    /// A command.
    Command {
        device: String,
        subfolder: Option<String>,
        payload: Bytes,
    },
}

/// A packet identifier waiting for its PUBACK.
#[derive(Debug)]
pub(super) struct InFlight {
    /// `None` once there is a newer config or the device was detached: the identifier stays in use until its PUBACK
    /// [MQTT-2.3.1-4], which then has no effect.
    message: Option<Message>,
    /// The time of its retransmission, if there is one.
    due: Option<Instant>,
}

impl Client {
    /// Sends the newest config of a device, if it is subscribed to.
    ///
    /// Documented: an older version that is not acknowledged is abandoned.
    pub(crate) fn deliver_config(&mut self, device: &str, cx: &mut Context<'_>) -> Handled {
        let Some(qos) = self.subscribed(device, SubscriptionKind::Config) else {
            return Ok(());
        };
        for in_flight in self.in_flight.values_mut() {
            if matches!(&in_flight.message, Some(Message::Config { device: of, .. }) if of == device)
            {
                in_flight.withdraw();
            }
        }
        let record = cx.world.record(device);
        let message = Message::Config {
            device: device.to_owned(),
            version: record.config_version,
            payload: record.config.clone(),
        };
        self.deliver(message, qos, cx)
    }

    /// Sends a message, with QoS 1 repeatedly until its PUBACK.
    pub(crate) fn deliver(&mut self, message: Message, qos: u8, cx: &mut Context<'_>) -> Handled {
        let packet_id = match qos {
            0 => None,
            _ => Some(self.free_packet_id()?),
        };
        send(&message, packet_id, false, cx);
        if let Some(packet_id) = packet_id {
            let again = match (&message, cx.world.settings.config_redelivery) {
                (Message::Config { .. }, ConfigRedelivery::OnResubscribe) => None,
                _ => Some(cx.now + REDELIVERY),
            };
            let in_flight = InFlight {
                message: Some(message),
                due: again,
            };
            self.in_flight.insert(packet_id, in_flight);
        }
        Ok(())
    }

    /// Returns the QoS of a device's messages of a kind, if they are subscribed to.
    pub(crate) fn subscribed(&self, device: &str, kind: SubscriptionKind) -> Option<u8> {
        let granted = self.subscriptions.get(&(device.to_owned(), kind)).copied();
        granted.filter(|_| self.speaks_for(device))
    }

    /// Returns whether there is room for another command until its PUBACK.
    pub(crate) fn has_room_for_command(&self) -> bool {
        let payloads = self
            .in_flight
            .values()
            .filter_map(|in_flight| match &in_flight.message {
                Some(Message::Command { payload, .. }) => Some(payload.len()),
                _ => None,
            });
        self.in_flight.len() < MAX_IN_FLIGHT && payloads.sum::<usize>() < MAX_IN_FLIGHT_BYTES
    }

    /// Handles a PUBACK. Documented: the cloud regards the PUBACK of a config as the device's acknowledgement.
    pub(super) fn handle_puback(&mut self, packet_id: u16, cx: &mut Context<'_>) {
        match self.in_flight.remove(&packet_id) {
            None => self.reject_puback(packet_id, cx),
            Some(InFlight { message: None, .. }) => {}
            Some(InFlight {
                message:
                    Some(Message::Config {
                        device, version, ..
                    }),
                ..
            }) => {
                let record = cx.world.record(&device);
                record.config_acknowledged = record.config_acknowledged.max(Some(version));
                cx.log(EventKind::ConfigAcknowledged { device, version });
            }
            Some(InFlight {
                message:
                    Some(Message::Command {
                        device, subfolder, ..
                    }),
                ..
            }) => cx.log(EventKind::CommandAcknowledged { device, subfolder }),
        }
    }

    /// Abandons the messages in flight to a device.
    pub(super) fn withdraw(&mut self, device: &str) {
        for in_flight in self.in_flight.values_mut() {
            if in_flight
                .message
                .as_ref()
                .is_some_and(|message| message.device() == device)
            {
                in_flight.withdraw();
            }
        }
    }

    /// Retransmits what has waited too long, with DUP [MQTT-3.3.1-1].
    pub(super) fn redeliver(&mut self, cx: &mut Context<'_>) {
        // A client that has not read the last packets does not need another copy.
        let is_reading = cx.wire.unwritten().is_empty();
        for (packet_id, in_flight) in &mut self.in_flight {
            if in_flight.due.is_none_or(|due| due > cx.now) {
                continue;
            }
            in_flight.due = Some(cx.now + REDELIVERY);
            if let Some(message) = &in_flight.message
                && is_reading
            {
                send(message, Some(*packet_id), true, cx);
            }
        }
    }

    pub(super) fn redelivery_deadline(&self) -> Option<Instant> {
        self.in_flight
            .values()
            .filter_map(|in_flight| in_flight.due)
            .min()
    }

    /// Rejects a PUBACK without a matching message. Documented: a gateway receives an error report. Assumed: a device's
    /// PUBACK is ignored.
    fn reject_puback(&mut self, packet_id: u16, cx: &mut Context<'_>) {
        if !self.is_gateway {
            return;
        }
        let report = Report {
            error_type: ErrorType::GatewayUnexpectedPacketId,
            device: self.device.clone(),
            description: format!("No message with packet ID {packet_id} awaits a PUBACK."),
            about: Some(AboutPacket {
                message_type: "PUBACK",
                topic: String::new(),
                packet_id,
            }),
        };
        self.report(report, cx);
    }

    fn free_packet_id(&mut self) -> Result<u16, CloseReason> {
        let count = self.in_flight.len();
        if count >= MAX_IN_FLIGHT {
            return Err(CloseReason::NotAcknowledging { count });
        }
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if !self.in_flight.contains_key(&self.last_packet_id) {
                return Ok(self.last_packet_id);
            }
        }
    }
}

impl Message {
    fn device(&self) -> &str {
        match self {
            Self::Config { device, .. } | Self::Command { device, .. } => device,
        }
    }
}

impl InFlight {
    fn withdraw(&mut self) {
        self.message = None;
        self.due = None;
    }
}

fn send(message: &Message, packet_id: Option<u16>, dup: bool, cx: &mut Context<'_>) {
    let qos = u8::from(packet_id.is_some());
    let (topic, payload, event) = match message.clone() {
        Message::Config {
            device,
            version,
            payload,
        } => {
            let topic = SubscriptionKind::Config.filter(&device);
            let length = payload.len();
            let event = EventKind::ConfigSent {
                device,
                version,
                qos,
                dup,
                length,
            };
            (topic, payload, event)
        }
        Message::Command {
            device,
            subfolder,
            payload,
        } => {
            let topic = topic::command(&device, subfolder.as_deref());
            let length = payload.len();
            let event = EventKind::CommandSent {
                device,
                subfolder,
                qos,
                dup,
                length,
            };
            (topic, payload, event)
        }
    };
    cx.log(event);
    cx.send(&Reply::Publish {
        topic,
        packet_id,
        dup,
        payload,
    });
}
