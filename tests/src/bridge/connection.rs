//! One client connection, from the establishment of the transport to its end.

mod attach;
mod connect;
mod deliver;
mod faults;
mod publish;
mod rate;
mod service;
mod subscribe;

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use super::ConnectionId;
use super::close::CloseReason;
use super::codec::{Packet, Reply};
use super::errors::{AboutPacket, ErrorType, Report};
use super::event::EventKind;
use super::faults::{CutMoment, Direction, FaultKind};
use super::service::Backlog;
use super::settings::Settings;
use super::topic::SubscriptionKind;
use super::wire::{Context, MAX_BACKLOG, Wire};
use super::world::World;
use attach::Attachment;
use deliver::InFlight;

pub(crate) use deliver::Message;

/// Assumed: how long a transport may be open without CONNECT; the standard asks for "a reasonable amount of time"
/// (3.1.4).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Documented: the maximum idle time of a client, regardless of its keep-alive. PINGREQ resets it.
const IDLE_LIMIT: Duration = Duration::from_secs(20 * 60);

/// The result of a packet's handler; an error ends the connection.
pub(crate) type Handled = Result<(), CloseReason>;

/// The bridge's side of one client connection.
#[derive(Debug)]
pub(crate) struct BridgeConnection {
    wire: Wire,
    phase: Phase,
    last_packet: Instant,
    backlog: Backlog,
}

#[derive(Debug)]
enum Phase {
    /// The transport is up.
    Opened,
    /// CONNECT was accepted.
    Serving(Box<Client>),
    /// Under a fault: nothing is ever answered.
    Silent,
    /// The remaining bytes are written, then the transport is closed or reset.
    Over { by_reset: bool },
}

/// A device or gateway that has connected.
#[derive(Debug)]
pub(crate) struct Client {
    device: String,
    is_gateway: bool,
    keep_alive: u16,
    /// When its token's expiry ends the connection.
    token_ends: Instant,
    attached: BTreeMap<String, Attachment>,
    /// The granted QoS, by device and kind.
    subscriptions: BTreeMap<(String, SubscriptionKind), u8>,
    in_flight: BTreeMap<u16, InFlight>,
    last_packet_id: u16,
}

impl BridgeConnection {
    pub(crate) fn new(id: ConnectionId, now: Instant) -> Self {
        Self {
            wire: Wire::new(id),
            phase: Phase::Opened,
            last_packet: now,
            backlog: Backlog::default(),
        }
    }

    pub(crate) fn handle_input(&mut self, bytes: &[u8], world: &mut World, now: Instant) {
        if !self.is_listening() {
            return;
        }
        let rate = self.rate(Direction::Up, world);
        self.wire.receive(bytes, rate, now);
        while self.is_listening() {
            if self.strike_limit(world) {
                return self.end(CloseReason::Fault, world);
            }
            let handled = match self.wire.next_packet() {
                Ok(None) => break,
                Ok(Some(packet)) => self.handle_arrival(packet, world, now),
                Err(malformed) => Err(CloseReason::Malformed(malformed)),
            };
            if let Err(reason) = handled.and_then(|()| self.check_backlog()) {
                self.end(reason, world);
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, world: &mut World, now: Instant) {
        match self.closing() {
            Some((due, reason)) if due <= now => self.end(reason, world),
            _ => self.serve(world, now, |client, cx| {
                client.detach_expired(cx);
                client.redeliver(cx);
                cx.release_due();
                Ok(())
            }),
        }
    }

    /// Calls a function with the client, if one has connected.
    pub(crate) fn serve(
        &mut self,
        world: &mut World,
        now: Instant,
        act: impl FnOnce(&mut Client, &mut Context<'_>) -> Handled,
    ) {
        let Phase::Serving(client) = &mut self.phase else {
            return;
        };
        let wire = &mut self.wire;
        let handled = act(client, &mut Context { wire, world, now });
        if let Err(reason) = handled.and_then(|()| self.check_backlog()) {
            self.end(reason, world);
        }
    }

    /// Ends the connection; bytes that were queued before are still written.
    pub(crate) fn end(&mut self, reason: CloseReason, world: &mut World) {
        if self.is_over() {
            return;
        }
        world.service.abandon(&mut self.backlog);
        let id = self.wire.id;
        match core::mem::replace(&mut self.phase, Phase::Over { by_reset: false }) {
            Phase::Opened | Phase::Silent | Phase::Over { .. } => {}
            Phase::Serving(client) => {
                for device in client.attached.keys() {
                    world.remove_attachment(device, id);
                }
                // After a takeover, the entry is that of the new connection.
                if world.connected.get(&client.device) == Some(&id) {
                    world.connected.remove(&client.device);
                }
            }
        }
        let kind = EventKind::Closed {
            by_bridge: reason.is_by_bridge(),
            reason,
        };
        world.log(Some(id), self.wire.client.clone(), kind);
    }

    pub(crate) fn unwritten(&self) -> &[u8] {
        self.wire.unwritten()
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over { .. })
    }

    pub(crate) fn is_reset(&self) -> bool {
        matches!(self.phase, Phase::Over { by_reset: true })
    }

    /// Returns the connected device, once CONNECT was accepted.
    pub(crate) fn client_name(&self) -> Option<&str> {
        self.wire.client.as_deref()
    }

    pub(crate) fn wants_input(&self) -> bool {
        self.wire.is_comfortable()
    }

    pub(crate) fn client(&self) -> Option<&Client> {
        match &self.phase {
            Phase::Serving(client) => Some(client),
            Phase::Opened | Phase::Silent | Phase::Over { .. } => None,
        }
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn deadline(&self, settings: &Settings) -> Option<Instant> {
        let closing = self.closing().map(|(due, _)| due);
        let serving = self.client().and_then(|client| client.deadline(settings));
        let withheld = self.client().and_then(|_| self.wire.deadline());
        closing.into_iter().chain(serving).chain(withheld).min()
    }

    /// Returns when and why the connection ends if nothing more arrives.
    fn closing(&self) -> Option<(Instant, CloseReason)> {
        let client = match &self.phase {
            Phase::Silent | Phase::Over { .. } => return None,
            Phase::Opened => {
                let due = self.last_packet + CONNECT_TIMEOUT;
                return Some((due, CloseReason::ConnectTimeout));
            }
            Phase::Serving(client) => client,
        };
        let seconds = client.keep_alive;
        let silence = Duration::from_millis(u64::from(seconds) * 1500);
        let keep_alive = (seconds > 0).then_some((
            self.last_packet + silence,
            CloseReason::KeepAlive { seconds },
        ));
        let idle = (self.last_packet + IDLE_LIMIT, CloseReason::Idle);
        // Documented: both ten minutes after `exp` and "a few seconds". Assumed: at once.
        let token = (client.token_ends, CloseReason::TokenExpired);
        let all = [idle, token].into_iter().chain(keep_alive);
        all.min_by_key(|(due, _)| *due)
    }

    fn handle_packet(&mut self, packet: Packet, world: &mut World, now: Instant) -> Handled {
        match self.strike_cut(&packet, world) {
            None => self.process(packet, world, now),
            Some(CutMoment::Before) => Err(CloseReason::Fault),
            Some(CutMoment::Instead) => {
                let mark = self.wire.mark();
                let handled = self.process(packet, world, now);
                self.wire.rewind(mark);
                handled.and(Err(CloseReason::Fault))
            }
            Some(CutMoment::After) => {
                let handled = self.process(packet, world, now);
                handled.and(Err(CloseReason::Fault))
            }
        }
    }

    fn process(&mut self, packet: Packet, world: &mut World, now: Instant) -> Handled {
        match &mut self.phase {
            Phase::Opened => match self.strike_refusal(&packet, world) {
                Some(by) => self.refuse(packet, by, world, now),
                None => {
                    let wire = &mut self.wire;
                    let client = connect::admit(packet, &mut Context { wire, world, now })?;
                    self.phase = Phase::Serving(Box::new(client));
                    Ok(())
                }
            },
            Phase::Serving(client) => {
                let wire = &mut self.wire;
                client.handle_packet(packet, &mut Context { wire, world, now })
            }
            Phase::Silent | Phase::Over { .. } => Ok(()),
        }
    }

    fn is_listening(&self) -> bool {
        matches!(self.phase, Phase::Opened | Phase::Serving(_))
    }

    fn check_backlog(&self) -> Handled {
        match self.wire.unwritten().len() {
            waiting if waiting > MAX_BACKLOG => Err(CloseReason::NotReading { waiting }),
            _ => Ok(()),
        }
    }
}

impl Client {
    pub(crate) fn is_gateway(&self) -> bool {
        self.is_gateway
    }

    /// Returns the attached devices, in order.
    pub(crate) fn attached(&self) -> impl Iterator<Item = &str> {
        self.attached.keys().map(String::as_str)
    }

    /// Returns the subscribed topic filters and the granted QoS, in order.
    pub(crate) fn subscriptions(&self) -> impl Iterator<Item = (String, u8)> {
        self.subscriptions
            .iter()
            .map(|((device, kind), qos)| (kind.filter(device), *qos))
    }

    /// Returns whether this connection carries messages of the device: it is the client itself or attached.
    pub(crate) fn speaks_for(&self, device: &str) -> bool {
        self.device == device || self.attached.contains_key(device)
    }

    fn handle_packet(&mut self, packet: Packet, cx: &mut Context<'_>) -> Handled {
        match packet {
            Packet::Connect(_) | Packet::UnsupportedConnect { .. } => {
                Err(CloseReason::SecondConnect)
            }
            Packet::Publish(publish) => self.handle_publish(publish, cx),
            Packet::Puback { packet_id } => {
                self.handle_puback(packet_id, cx);
                Ok(())
            }
            Packet::QosTwo { name, packet_id } => self.handle_qos_two(name, packet_id, cx),
            Packet::Subscribe { packet_id, filters } => {
                self.handle_subscribe(packet_id, filters, cx)
            }
            Packet::Unsubscribe { packet_id, filters } => {
                self.handle_unsubscribe(packet_id, filters, cx);
                Ok(())
            }
            Packet::Pingreq => {
                cx.log(EventKind::Ping);
                cx.send(&Reply::Pingresp);
                Ok(())
            }
            Packet::Disconnect => Err(CloseReason::Disconnect),
        }
    }

    /// Documented: a gateway is informed of PUBREC and the like. Assumed: a device's connection ends.
    fn handle_qos_two(
        &mut self,
        name: &'static str,
        packet_id: u16,
        cx: &mut Context<'_>,
    ) -> Handled {
        if !self.is_gateway {
            return Err(CloseReason::QosTwo { packet: name });
        }
        let about = AboutPacket {
            message_type: name,
            topic: String::new(),
            packet_id,
        };
        self.report(
            Report {
                error_type: ErrorType::GatewayUnexpectedMessageType,
                device: self.device.clone(),
                description: format!("The gateway sent an unsupported message of type {name}."),
                about: Some(about),
            },
            cx,
        );
        Ok(())
    }

    /// Sends an error report. Documented: with QoS 0, on the gateway's own errors topic; only logged if that is not
    /// subscribed to.
    fn report(&mut self, report: Report, cx: &mut Context<'_>) {
        let errors = (self.device.clone(), SubscriptionKind::Errors);
        let mut delivered = self.subscriptions.contains_key(&errors);
        if delivered {
            let lost =
                |kind: &FaultKind| matches!(kind, FaultKind::LoseReports { .. }).then_some(());
            let name = || report.error_type.to_string();
            delivered = cx.strike(name, lost).is_none();
        }
        if delivered {
            cx.send(&Reply::Publish {
                topic: SubscriptionKind::Errors.filter(&self.device),
                packet_id: None,
                dup: false,
                payload: report.to_json(&cx.world.settings),
            });
        }
        cx.log(EventKind::ErrorReport {
            error_type: report.error_type,
            device: report.device,
            description: report.description,
            delivered,
        });
    }

    fn deadline(&self, settings: &Settings) -> Option<Instant> {
        let redelivery = self.redelivery_deadline();
        let expiry = self.expiry_deadline(settings);
        redelivery.into_iter().chain(expiry).min()
    }
}
