//! What the gateway queues for transmission, as soon as it does so: in which order, and nothing that has ended or expired.

use std::collections::BTreeSet;
use std::time::Instant;

use iotcore_gateway::{
    Gateway,
    device::DeviceState,
    message::{Priority, QoS},
};

use super::publications::{Published, number_in};
use super::terms::is_unsent;
use super::wire::{PUBLISH, Sent, split};
use super::{DEVICES, Finding, Model};
use crate::packets;
use crate::script::Rule;

/// The packets in the transmit buffer, and what is known of those of all connections.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// How many bytes of the transmit buffer were looked at.
    seen: usize,
    /// Publications that were queued on this connection and have not ended.
    queued: BTreeSet<u32>,
    /// Those of them that were queued again.
    again: BTreeSet<u32>,
    /// The newest telemetry that was queued for the first time, by device and priority.
    newest: [[Option<u32>; 2]; DEVICES.len()],
    /// How many bytes of payload were queued for each device.
    bytes: [usize; DEVICES.len()],
    /// The first urgent telemetry of each device, if nothing but the window held it back after the last input.
    ready: [Option<u32>; DEVICES.len()],
}

/// A PUBLISH of a telemetry event or a state.
pub(super) struct Queued<'a> {
    device: &'a str,
    is_again: bool,
    payload: &'a [u8],
}

impl<'a> Queued<'a> {
    /// Reads a packet; `None` if it is another one.
    pub(super) fn read(first: u8, body: &'a [u8]) -> Option<Self> {
        let (length, rest) = body.split_first_chunk()?;
        let (topic, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let (device, kind) = split(core::str::from_utf8(topic).ok()?);
        let is_publication = kind == "state" || kind.starts_with("events");
        let has_id = first & 0b0110 != 0;
        (first >> 4 == PUBLISH && is_publication).then(|| Self {
            device,
            is_again: first & 0b1000 != 0,
            payload: rest.get(if has_id { 2 } else { 0 }..).unwrap_or_default(),
        })
    }
}

impl Outgoing {
    /// Records that a connection has begun or ended.
    pub(super) fn begin_connection(&mut self) {
        self.seen = 0;
        self.queued.clear();
        self.again.clear();
        self.ready = Default::default();
    }

    /// Records that bytes of the buffer are handed over.
    pub(super) fn written(&mut self, bytes: usize) {
        self.seen = self.seen.saturating_sub(bytes);
    }

    /// Forgets a publication that has ended.
    pub(super) fn forget(&mut self, number: u32) {
        self.queued.remove(&number);
        self.again.remove(&number);
    }

    /// Returns whether a publication was queued on this connection.
    pub(super) fn is_queued(&self, number: u32) -> bool {
        self.queued.contains(&number)
    }

    /// Returns whether a publication was queued more than once on this connection.
    pub(super) fn was_sent_again(&self, number: u32) -> bool {
        self.again.contains(&number)
    }
}

impl Model {
    /// Checks what the gateway has queued since the last call. To be called after each input, before what follows from it
    /// is told.
    pub(crate) fn look(&mut self, gateway: &Gateway, now: Instant) -> Result<(), Finding> {
        self.latency.was_paused |= !gateway.wants_input();
        let buffer = gateway.poll_transmit();
        let Some(mut fresh) = buffer.get(self.outgoing.seen..) else {
            // The gateway has ended the connection.
            self.outgoing.begin_connection();
            self.outgoing.seen = buffer.len();
            return Ok(());
        };
        self.outgoing.seen = buffer.len();
        while let Some((first, body, rest)) = packets::split(fresh) {
            if let Some(queued) = Queued::read(first, body) {
                self.on_queued(&queued, gateway, now)?;
            }
            fresh = rest;
        }
        self.note_ready(gateway);
        self.check_next_deadline(gateway)
    }

    /// Returns how many publications of each device are in flight at QoS 1, if none was put back.
    pub(super) fn in_flight(&self) -> [usize; DEVICES.len()] {
        let mut counts = [0; DEVICES.len()];
        for &number in &self.outgoing.queued {
            let published = self.publications.at(number);
            counts[published.device] += usize::from(published.qos == QoS::AtLeastOnce);
        }
        counts
    }

    pub(super) fn on_queued(
        &mut self,
        queued: &Queued<'_>,
        gateway: &Gateway,
        now: Instant,
    ) -> Result<(), Finding> {
        let finding = |what: String| Err(Finding::new(Rule::Delivery, what));
        let number = number_in(queued.payload);
        let Some(number) = number.filter(|number| self.publications.is_known(*number)) else {
            return finding(format!(
                "an unknown publication is sent for {}",
                queued.device
            ));
        };
        let published = self.publications.at(number).clone();
        if published.op.is_none() || published.is_cancelled {
            return finding(format!("publication {number} is sent, and has ended"));
        }
        if published.expires_at.is_some_and(|at| at <= now) {
            return finding(format!("publication {number} is sent, and has expired"));
        }
        self.outgoing.bytes[published.device] += queued.payload.len();
        if queued.is_again {
            self.outgoing.again.insert(number);
            return Ok(());
        }
        self.check_order(number, &published)?;
        self.check_urgent_first(number, &published, gateway)?;
        self.outgoing.queued.insert(number);
        self.publications.at_mut(number).is_begun = true;
        Ok(())
    }

    /// Checks that first transmissions of telemetry keep the order of their device and priority.
    fn check_order(&mut self, number: u32, published: &Published) -> Result<(), Finding> {
        if published.is_begun || published.is_state || self.hang_ups.may_be_late(number) {
            return Ok(());
        }
        let priority = published.terms.priority as usize;
        let newest = &mut self.outgoing.newest[published.device][priority];
        match newest.replace(number) {
            Some(newest) if newest > number => Err(Finding::new(
                Rule::Delivery,
                format!("publication {number} is sent for the first time after {newest}"),
            )),
            _ => Ok(()),
        }
    }

    /// Checks that no ordinary publication is sent while an urgent one could be.
    fn check_urgent_first(
        &self,
        number: u32,
        ordinary: &Published,
        gateway: &Gateway,
    ) -> Result<(), Finding> {
        let may_be_on_trial = |number, published: &Published| {
            self.hang_ups.may_be_late(number) || self.hang_ups.may_be_on_trial(published.device)
        };
        if ordinary.terms.priority == Priority::Urgent || may_be_on_trial(number, ordinary) {
            return Ok(());
        }
        for (waiting, urgent) in self.waiting_urgent() {
            let needs_no_window = urgent.qos == QoS::AtMostOnce;
            let is_possible = ordinary.qos == QoS::AtLeastOnce || needs_no_window;
            let is_free = match urgent.device == ordinary.device {
                true => !may_be_on_trial(waiting, urgent),
                false => {
                    self.outgoing.ready[urgent.device] == Some(waiting)
                        && self.is_ready(urgent.device, gateway)
                }
            };
            let is_pending = || urgent.op.is_some_and(|op| is_unsent(gateway, op));
            if is_possible && is_free && is_pending() {
                return Err(Finding::new(
                    Rule::Delivery,
                    format!("publication {number} is sent before {waiting}, which is urgent"),
                ));
            }
        }
        Ok(())
    }

    /// Returns the first urgent telemetry of each device that was not queued on this connection.
    fn waiting_urgent(&self) -> impl Iterator<Item = (u32, &Published)> {
        let mut seen = [false; DEVICES.len()];
        let urgent = self.publications.urgent();
        let waiting = urgent.filter(|(number, _)| !self.outgoing.is_queued(*number));
        waiting.filter(move |(_, published)| !core::mem::replace(&mut seen[published.device], true))
    }

    /// Records which urgent telemetry nothing holds back but the window.
    fn note_ready(&mut self, gateway: &Gateway) {
        let mut ready = [None; DEVICES.len()];
        for (number, published) in self.waiting_urgent() {
            if self.is_ready(published.device, gateway) {
                ready[published.device] = Some(number);
            }
        }
        self.outgoing.ready = ready;
    }

    /// Returns whether a device can send, if the window has room: it is attached, has less in flight than it may have at
    /// first, and its pace cannot hold it back.
    fn is_ready(&self, device: usize, gateway: &Gateway) -> bool {
        let options = &self.options;
        let share = (options.window / 10).max(1).min(options.device_window);
        let rate = options.quota.device_bytes_per_second;
        let bytes = self.outgoing.bytes[device];
        let is_paced = rate.is_some_and(|rate| bytes > rate.get() as usize / 4);
        let mut devices = gateway.devices();
        let info = devices.find(|info| info.id.as_str() == DEVICES[device]);
        // What has ended in flight counts in the share of its device.
        let is_of_device = |sent: &&Sent| {
            number_in(&sent.rest).is_some() && split(&sent.topic).0 == DEVICES[device]
        };
        let unanswered = self.wire.unanswered().filter(is_of_device).count();
        let may_send = info.is_some_and(|info| {
            info.state == DeviceState::Attached
                && info.suspected == 0
                && info.in_flight.max(unanswered) < usize::from(share)
        });
        may_send && !is_paced
    }
}
