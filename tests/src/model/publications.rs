//! The publications, numbered so that each can be recognised at the bridge.

use iotcore_gateway::{DeviceKey, OpId, Outcome, QoS};

use super::{Finding, Model, OperationKind, PACKET_OVERHEAD};
use crate::script::Rule;

/// All publications of a run, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Publications {
    all: Vec<Published>,
}

/// One publication.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) device: usize,
    pub(super) is_state: bool,
    pub(super) qos: QoS,
    /// Its operation, from its acceptance to its end.
    pub(super) op: Option<OpId>,
    /// Whether it was ever accepted.
    is_accepted: bool,
    arrivals: u32,
}

impl Publications {
    pub(super) fn at(&self, number: u32) -> &Published {
        &self.all[number as usize]
    }

    pub(super) fn at_mut(&mut self, number: u32) -> &mut Published {
        &mut self.all[number as usize]
    }

    /// Returns the newest pending state of a device.
    pub(super) fn newest_state(&self, device: usize) -> Option<u32> {
        let is_newest = |of: &Published| of.device == device && of.is_state && of.op.is_some();
        let at = self.all.iter().rposition(is_newest)?;
        u32::try_from(at).ok()
    }
}

/// Returns the payload of a publication: its number, padded to the requested size.
pub(crate) fn payload(number: u32, size: u16) -> String {
    format!(
        "{:x<width$}",
        format!("p{number}."),
        width = usize::from(size)
    )
}

/// Parses the number of a publication from its payload.
pub(super) fn number_in(payload: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(payload).ok()?;
    let (number, filling) = text.strip_prefix('p')?.split_once('.')?;
    let is_filling = filling.bytes().all(|byte| byte == b'x');
    number.parse().ok().filter(|_| is_filling)
}

impl Model {
    /// Allocates the number of a publication that the user is about to make.
    pub(crate) fn draft(&mut self, device: usize, is_state: bool, qos: QoS) -> u32 {
        self.publications.all.push(Published {
            device,
            is_state,
            qos,
            op: None,
            is_accepted: false,
            arrivals: 0,
        });
        self.publications.all.len() as u32 - 1
    }

    /// Records that the gateway has accepted a publication of this size in bytes.
    pub(crate) fn accept(&mut self, number: u32, op: OpId, size: usize) -> Result<(), Finding> {
        let published = self.publications.at_mut(number);
        published.is_accepted = true;
        published.op = Some(op);
        self.largest_packet = self.largest_packet.max(size + PACKET_OVERHEAD);
        self.ask(op, OperationKind::Publish(number))
    }

    /// Records that the gateway refused a publication for lack of room.
    pub(crate) fn block(&mut self, key: DeviceKey) {
        if let Some(device) = self.device(key) {
            device.is_blocked = true;
        }
    }

    /// Returns the number of an operation's publication.
    pub(crate) fn number_of(&self, op: OpId) -> Option<u32> {
        self.pending().find_map(|(pending, kind)| match kind {
            OperationKind::Publish(number) if pending == op => Some(number),
            _ => None,
        })
    }

    /// Returns whether a device's user still waits for a notification that there is room.
    pub(crate) fn is_blocked(&self, device: usize) -> bool {
        self.devices[device].is_blocked
    }

    pub(super) fn check_published(&mut self, number: u32, outcome: Outcome) -> Result<(), Finding> {
        let published = self.publications.at_mut(number);
        published.op = None;
        let device = &mut self.devices[published.device];
        let finding = |what| {
            Err(Finding::new(
                Rule::Delivery,
                format!("publication {number} {what}"),
            ))
        };
        match (published.qos, outcome) {
            (QoS::AtMostOnce, Outcome::Transmitted) => Ok(()),
            (QoS::AtLeastOnce, Outcome::Acknowledged)
                if published.arrivals > 0 || self.is_deceived =>
            {
                Ok(())
            }
            (QoS::AtLeastOnce, Outcome::Acknowledged) if device.refused_publications > 0 => {
                device.refused_publications -= 1;
                Ok(())
            }
            (QoS::AtLeastOnce, Outcome::Acknowledged) => {
                finding("was acknowledged, and never arrived")
            }
            (qos, outcome) => finding(&format!("at {qos:?} ended in {outcome:?}")),
        }
    }

    /// Records that the bridge received a publication.
    pub(super) fn on_arrival(
        &mut self,
        device: &str,
        is_state: bool,
        qos: u8,
        payload: &[u8],
    ) -> Result<(), Finding> {
        if self.is_deceived {
            return Ok(());
        }
        let finding = |what: String| Err(Finding::new(Rule::Delivery, what));
        let published = number_in(payload).and_then(|number| {
            let published = self.publications.all.get_mut(number as usize)?;
            published.is_accepted.then_some((number, published))
        });
        let Some((number, published)) = published else {
            return finding(format!("an unknown publication arrived for {device}"));
        };
        published.arrivals += 1;
        let is_first = published.arrivals == 1;
        let as_asked = (
            super::DEVICES[published.device],
            published.is_state,
            published.qos as u8,
        );
        if as_asked != (device, is_state, qos) {
            return finding(format!(
                "publication {number} arrived for {device} at QoS {qos}, state {is_state}"
            ));
        }
        if qos == 0 && !is_first {
            return finding(format!("publication {number} arrived twice at QoS 0"));
        }
        let known = &mut self.devices[published.device];
        if is_state
            && self.is_calm
            && known
                .newest_state
                .replace(number)
                .is_some_and(|newest| newest > number)
        {
            return finding(format!(
                "state {number} arrived after a newer one of {device}"
            ));
        }
        let newest = &mut known.newest_arrival;
        let is_orderly =
            self.is_orderly && is_first && !is_state && !self.hang_ups.may_be_late(number);
        if is_orderly && newest.replace(number).is_some_and(|newest| newest > number) {
            return finding(format!(
                "publication {number} arrived after a later one of {device}"
            ));
        }
        Ok(())
    }
}
