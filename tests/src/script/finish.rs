//! The end of a script: repairs all faults, waits until everything that can end has ended, and closes.

use core::time::Duration;

use iotcore_gateway::{cause::TransportEnd, device::DeviceState, options::OnRefusal};

use super::World;
use super::broken::Rule;
use super::run::{CLOSING, RECOVERY, ROUND, Run};
use super::step::{Command, DEVICES, NESTED, Tokens};
use crate::bridge::faults::FaultKind;
use crate::bridge::settings::NestedGateway;
use crate::link::GATEWAY;
use crate::model::{OperationKind, Pace};

/// The number of refused attaches of a device after which its user gives up.
const MAX_REFUSALS: u32 = 5;

impl Run {
    /// Repairs all faults, waits until everything that can end has ended, and closes.
    pub(super) fn finish(&mut self) {
        self.heal();
        let recovery = self.recovery();
        let until = self.link.now() + recovery.limit;
        while !self.is_broken() && self.is_busy() && !self.is_poisoned() {
            if self.link.now() >= until {
                let pending: Vec<_> = self.model().pending().collect();
                let what = format!(
                    "{:?} after all was healed, with work for {:?}, {pending:?} did not end",
                    recovery.limit, recovery.least
                );
                let rule = match recovery.limit < RECOVERY {
                    true => Rule::Liveness,
                    false => Rule::Progress,
                };
                return self.link.observer.find(rule, &what);
            }
            self.help();
            self.wait(ROUND);
        }
        if !self.is_poisoned() {
            self.check_room();
            self.check_recovery(&recovery);
            self.check_speed();
        }
        self.command(Command::Close);
        self.wait(CLOSING);
        if self.is_broken() {
            return;
        }
        let ended = self.model().check_end();
        self.check(ended);
        if format!("{:?}", self.link.gateway).contains("eyJ") {
            self.link.observer.find(Rule::Secrecy, "a token in Debug");
        }
    }

    pub(super) fn heal(&mut self) {
        self.link.spare();
        self.link.stall(Duration::ZERO);
        self.link.fail_dials(0, TransportEnd::DialFailed);
        self.link.leave_unpolled(Duration::ZERO);
        self.link.set_clock_error(0);
        self.tell_date();
        self.link.set_token_lifetime(Duration::from_secs(3_600));
        self.model().end_calm();
        self.inject(&FaultKind::Clear);
        self.calm_since = self.link.now();
        self.calm_down();
        let now = self.link.now();
        for device in DEVICES {
            // A device that is in no registry cannot be unblocked either.
            let _ = self.link.bridge.set_blocked(device, false, now);
        }
        if self.model().is_deceived() {
            self.link.cut();
        }
        self.command(Command::Open);
        self.process_outputs();
    }

    /// Sets the world in which the session ends: a kind one if no connection lasts in the drawn one.
    fn calm_down(&mut self) {
        let pace = Pace {
            world: &self.world,
            options: &self.drafted.options,
        };
        if !pace.keeps_connections(self.link.observer.model.largest_packet()) {
            self.world = World::default();
        }
        self.link.network = self.world.network();
        if self.drafted.world.is_slow() {
            let now = self.link.now();
            self.link.bridge.set_service(self.world.service(), now);
        }
    }

    /// Performs the actions of a user that are necessary for progress.
    pub(super) fn help(&mut self) {
        while !self.deliveries.is_empty() {
            self.acknowledge(0);
        }
        self.end_uninformed_connection();
        for device in 1..DEVICES.len() {
            let state = self.keys[device].and_then(|key| self.link.gateway.device_state(key));
            let lifetime = Duration::from_secs(3_600);
            match state {
                Some(DeviceState::TokenNeeded) => {
                    self.command(Command::Authorize { device, lifetime });
                }
                Some(DeviceState::Dormant) => {
                    self.attach(device, lifetime, Tokens::Fixed);
                }
                Some(DeviceState::Refused)
                    if self.drafted.options.on_refusal == OnRefusal::KeepQueue =>
                {
                    self.command(Command::Detach { device });
                }
                _ => {}
            }
            if self.model().refusals(device) > MAX_REFUSALS {
                self.command(Command::Detach { device });
            }
        }
    }

    /// Ends a connection on which the gateway has missed that a device was detached: messages of the device would wait
    /// until the token is refreshed.
    fn end_uninformed_connection(&mut self) {
        let mut connected = self.link.bridge.connected();
        let connection = connected.find(|(client, _)| *client == GATEWAY);
        let connection = connection.map(|(_, connection)| connection);
        drop(connected);
        if connection.is_some_and(|connection| self.model().has_missed_reports(connection)) {
            self.link.cut();
        }
    }

    /// Returns whether something that must end has not ended.
    pub(super) fn is_busy(&mut self) -> bool {
        let mut pending = self.model().pending();
        pending.any(|(_, kind)| kind != OperationKind::Close)
    }

    /// Returns whether a requested device ends the connection with each attach.
    pub(super) fn is_poisoned(&self) -> bool {
        let is_wanted =
            self.keys[NESTED].is_some_and(|key| self.link.gateway.device_id(key).is_some());
        is_wanted && self.drafted.settings.nested_gateway == NestedGateway::Close
    }

    /// Checks that every caller that was refused for lack of room was notified when there was room.
    pub(super) fn check_room(&mut self) {
        for (device, name) in DEVICES.iter().enumerate() {
            let key = self.keys[device];
            let exists = key.is_some_and(|key| self.link.gateway.device_id(key).is_some());
            let is_open = !self.link.gateway.is_closed();
            if exists && is_open && self.model().is_blocked(device) {
                let what = format!("{name} has room, but no Writable event was reported");
                self.link.observer.find(Rule::Progress, &what);
            }
        }
    }
}
