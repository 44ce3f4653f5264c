//! The guarantees that can be checked from inputs and outputs.

use std::collections::BTreeMap;

use iotcore_gateway::{DeviceKey, Event, Failure, OpId, Outcome, cause::DetachCause};

use super::{connection::Connection, wire::Packet};

/// The operations that have not ended, what was sent, and what the bridge has answered.
#[derive(Debug, Default)]
pub(crate) struct Referee {
    /// Pending operations. One that has ended is removed, so that a second end is detected.
    pending: BTreeMap<OpId, Kind>,
    newest: Option<OpId>,
    /// The latest keys of the devices.
    keys: [Option<DeviceKey>; 2],
    /// The number of a device's events that were sent at least once.
    begun: [u8; 2],
    connection: Option<Connection>,
    /// The event that was cancelled in this step: only it may end so.
    cancelled: Option<OpId>,
    /// The packet that was answered in this step: only what it asked for may end well.
    answered: Option<Packet>,
    /// Whether time was reported in this step: only then may something time out.
    is_timeout: bool,
    is_closed: bool,
}

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Open,
    Attach(usize),
    Detach(usize),
    Event(Telemetry),
    Subscribe(usize),
    Close,
}

/// An event of a device, numbered from 0 for each device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Telemetry {
    device: usize,
    number: u8,
    /// The identifier of its packet on this connection.
    sent: Option<u16>,
    is_acknowledged: bool,
}

impl Telemetry {
    pub(crate) fn new(device: usize, number: u8) -> Self {
        Self {
            device,
            number,
            sent: None,
            is_acknowledged: false,
        }
    }
}

/// Inputs.
impl Referee {
    /// Begins a step.
    pub(crate) fn begin(&mut self) {
        self.cancelled = None;
        self.answered = None;
        self.is_timeout = false;
    }

    /// Records that the time is reported.
    pub(crate) fn timed(&mut self) {
        self.is_timeout = true;
    }

    /// Records an accepted command. One that repeats a pending command has the same operation.
    pub(crate) fn accepted(&mut self, op: OpId, kind: Kind) {
        if let Some(pending) = self.pending.get(&op) {
            assert_eq!(*pending, kind, "{op} was returned for two commands");
            return;
        }
        assert!(self.newest < Some(op), "{op} was returned before");
        self.newest = Some(op);
        self.pending.insert(op, kind);
    }

    /// Records that an event was cancelled, which must have ended.
    pub(crate) fn cancelled(&mut self, op: OpId) {
        self.cancelled = Some(op);
    }

    /// Records an accepted command to subscribe. Returns its operation if it must have ended.
    pub(crate) fn subscribing(&mut self, op: OpId, device: usize) -> Option<OpId> {
        let is_new = !self.pending.contains_key(&op);
        self.accepted(op, Kind::Subscribe(device));
        let is_held = is_new && self.live()?.subscribing(device);
        is_held.then_some(op)
    }

    pub(crate) fn keyed(&mut self, device: usize, key: DeviceKey) {
        self.keys[device] = Some(key);
    }

    pub(crate) fn connected(&mut self) {
        self.connection = Some(Connection::default());
    }

    pub(crate) fn disconnected(&mut self) {
        self.connection = None;
    }

    /// Records the bridge's answer to a packet. Returns the operation that must have ended because of it.
    pub(crate) fn answered(&mut self, packet: Packet) -> Option<OpId> {
        let counts = self.live()?.answered(packet);
        self.answered = Some(packet);
        match packet {
            Packet::Event {
                id, device, number, ..
            } => {
                let (op, event) = self.event(device, number)?;
                event.is_acknowledged = true;
                (event.sent == Some(id)).then_some(op)
            }
            Packet::Attach { device, .. } if counts => self.op_of(Kind::Attach(device)),
            Packet::SubscribeConfig { device, .. } if counts => self.op_of(Kind::Subscribe(device)),
            _ => None,
        }
    }

    /// Records the bridge's report that a device is not attached.
    pub(crate) fn reported(&mut self, device: usize) {
        if let Some(connection) = self.live() {
            connection.detached(device);
        }
    }

    /// Records a config of the bridge.
    pub(crate) fn configured(&mut self, id: u16) {
        if let Some(connection) = self.live() {
            connection.configured(id);
        }
    }
}

/// Outputs.
impl Referee {
    /// Checks a packet that the gateway has queued.
    pub(crate) fn queued(&mut self, packet: Packet) {
        self.live().expect("a connection").queued(packet);
        match packet {
            Packet::Detach { device, .. } => {
                let mut events = self.events().filter(|event| event.device == device);
                assert_eq!(events.next(), None, "a detach overtakes an event");
            }
            Packet::Event {
                id,
                device,
                number,
                is_again,
            } => {
                let event = self.event(device, number);
                let (_, event) = event.unwrap_or_else(|| panic!("{packet:?} is not pending"));
                let before = event.sent.replace(id);
                assert!(
                    !is_again || before == Some(id),
                    "{packet:?} repeats {before:?}"
                );
                let begun = &mut self.begun[device];
                assert!(number <= *begun, "{packet:?} overtakes an earlier one");
                *begun = (*begun).max(number + 1);
            }
            _ => {}
        }
    }

    pub(crate) fn told(&mut self, event: &Event) {
        assert!(!self.is_closed, "{event:?} after the last event");
        match event {
            Event::Done { op, outcome } => self.done(*op, *outcome),
            Event::Failed { op, failure, .. } => self.failed(*op, failure),
            Event::Attached { device } => {
                let device = self.device(*device);
                let connection = self.live().expect("a connection");
                connection.told_attached(device);
            }
            Event::Detached { device, cause } => {
                let device = self.device(*device);
                if let Some(connection) = &mut self.connection {
                    connection.detached(device);
                }
                if matches!(cause, DetachCause::Reported(_)) {
                    self.take_back(|of| of == device);
                }
            }
            Event::Disconnected(_) => {
                if let Some(connection) = &mut self.connection {
                    connection.is_over = true;
                }
                self.take_back(|_| true);
            }
            Event::Closed { .. } => self.is_closed = true,
            _ => {}
        }
    }

    fn done(&mut self, op: OpId, outcome: Outcome) {
        let kind = self.end(op);
        if let Some(packet) = self.answered {
            let is_asked = is_asked_by(kind, packet);
            assert!(
                is_asked,
                "{op}, {kind:?}, ends with the answer to {packet:?}"
            );
        }
        let grants = self.connection.as_ref();
        let is_right = match (kind, outcome) {
            (Kind::Open, Outcome::Opened) => self.is_accepted(),
            (Kind::Attach(device), Outcome::Attached) => {
                grants.is_some_and(|of| of.is_attached(device))
            }
            (Kind::Subscribe(device), Outcome::Subscribed(_)) => {
                grants.is_some_and(|of| of.is_subscribed(device))
            }
            (Kind::Event(event), Outcome::Acknowledged) => event.is_acknowledged,
            (Kind::Detach(_), Outcome::Detached) | (Kind::Close, Outcome::Closed) => true,
            _ => false,
        };
        assert!(is_right, "{op}, {kind:?}, ends in {outcome:?}");
        self.forget_detached(kind);
    }

    fn failed(&mut self, op: OpId, failure: &Failure) {
        let kind = self.end(op);
        let is_right = match kind {
            Kind::Event(event) => {
                // It is not sent any more, so a later one does not overtake it.
                let begun = &mut self.begun[event.device];
                *begun = (*begun).max(event.number + 1);
                match failure {
                    Failure::Cancelled => self.cancelled == Some(op),
                    Failure::Detached | Failure::DeviceRefused | Failure::Closed => true,
                    _ => false,
                }
            }
            Kind::Open | Kind::Close => matches!(failure, Failure::Closed),
            Kind::Attach(_) | Kind::Detach(_) | Kind::Subscribe(_) => true,
        };
        assert!(is_right, "{op}, {kind:?}, fails: {failure}");
        let is_timeout = matches!(failure, Failure::TimedOut(_));
        assert!(
            self.is_timeout || !is_timeout,
            "{op}, {kind:?}, times out, but no time was reported"
        );
        self.forget_detached(kind);
    }

    /// Once a detach has ended, nothing that was sent for the device before counts any more.
    fn forget_detached(&mut self, kind: Kind) {
        if let (Kind::Detach(device), Some(connection)) = (kind, self.live()) {
            connection.detached(device);
        }
    }

    fn end(&mut self, op: OpId) -> Kind {
        let ended = self.pending.remove(&op);
        ended.unwrap_or_else(|| panic!("{op} ends twice, or was never started"))
    }

    /// Records that what was sent for these devices will be sent again, in new packets.
    fn take_back(&mut self, is_of: impl Fn(usize) -> bool) {
        for kind in self.pending.values_mut() {
            if let Kind::Event(event) = kind
                && is_of(event.device)
            {
                event.sent = None;
            }
        }
    }

    fn device(&self, key: DeviceKey) -> usize {
        let found = self.keys.iter().position(|known| *known == Some(key));
        found.expect("an event of a device that was attached")
    }

    fn op_of(&self, wanted: Kind) -> Option<OpId> {
        let mut pending = self.pending.iter();
        pending.find_map(|(op, kind)| (*kind == wanted).then_some(*op))
    }

    fn event(&mut self, device: usize, number: u8) -> Option<(OpId, &mut Telemetry)> {
        self.pending.iter_mut().find_map(|(op, kind)| match kind {
            Kind::Event(event) if (event.device, event.number) == (device, number) => {
                Some((*op, event))
            }
            _ => None,
        })
    }

    fn events(&self) -> impl Iterator<Item = Telemetry> + '_ {
        self.pending().filter_map(|kind| match kind {
            Kind::Event(event) => Some(event),
            _ => None,
        })
    }

    fn live(&mut self) -> Option<&mut Connection> {
        self.connection
            .as_mut()
            .filter(|connection| !connection.is_over)
    }
}

/// The current state.
impl Referee {
    pub(crate) fn key(&self, device: usize) -> Option<DeviceKey> {
        self.keys[device]
    }

    pub(crate) fn pending(&self) -> impl Iterator<Item = Kind> + '_ {
        self.pending.values().copied()
    }

    /// Returns the oldest event of a device that has not ended.
    pub(crate) fn oldest(&self, device: usize) -> Option<OpId> {
        let mut pending = self.pending.iter();
        pending.find_map(|(op, kind)| match kind {
            Kind::Event(event) if event.device == device => Some(*op),
            _ => None,
        })
    }

    /// Returns whether the gateway may have something to send.
    pub(crate) fn is_live(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| !connection.is_over)
    }

    /// Returns whether the bridge has accepted the connection.
    pub(crate) fn is_accepted(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| connection.is_accepted)
    }

    /// Checks after each step that an answer has ended its operation, that no more is in flight than the window and probes allow,
    /// and the rules of the connection.
    pub(crate) fn check(
        &self,
        ended: Option<OpId>,
        window: usize,
        is_attached: impl Fn(DeviceKey) -> bool,
    ) {
        if let Some(op) = ended {
            assert!(
                !self.pending.contains_key(&op),
                "{op} is acknowledged, but has not ended"
            );
        }
        let in_flight = self.events().filter(|event| event.sent.is_some()).count();
        assert!(in_flight <= window, "{in_flight} in flight");
        if self.is_live()
            && let Some(connection) = &self.connection
        {
            connection.check(|device| self.keys[device].is_some_and(&is_attached));
        }
    }
}

/// Returns whether the answer to a packet may end an operation of this kind well. It may be the last one that a close
/// waits for.
fn is_asked_by(kind: Kind, packet: Packet) -> bool {
    match (kind, packet) {
        (Kind::Close, _) | (Kind::Open, Packet::Connect) => true,
        (Kind::Attach(of), Packet::Attach { device, .. })
        | (Kind::Detach(of), Packet::Detach { device, .. })
        | (Kind::Subscribe(of), Packet::SubscribeConfig { device, .. }) => of == device,
        (Kind::Event(event), Packet::Event { device, number, .. }) => {
            (event.device, event.number) == (device, number)
        }
        _ => false,
    }
}
