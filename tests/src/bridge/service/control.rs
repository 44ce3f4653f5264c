//! The operator's control of the service, and the completion of what waits.

use core::time::Duration;
use std::time::Instant;

use super::super::Bridge;
use super::super::faults::{Fault, FaultKind};
use super::{Service, Traffic};

impl Bridge {
    /// Sets how long the bridge takes from now on. What waits is planned anew, as though it had arrived now; a stall
    /// continues, unless it belonged to the service that was set before.
    pub fn set_service(&mut self, service: Service, now: Instant) {
        self.world.service.before_fault = None;
        self.change_service(service, now);
    }

    /// Returns how long the bridge takes.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.world.service.service
    }

    /// Answers nothing for a duration, on any connection; then, all that would have been is answered at once. Of
    /// several stalls, the longest counts.
    pub fn stall(&mut self, duration: Duration, now: Instant) {
        let now = self.world.advance_to(now);
        self.world.service.stall(None, duration, now);
    }

    /// Returns how many packets clients have sent.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.world.service.traffic
    }

    /// Returns the injected service, and the injected stalls with the milliseconds that are left of them.
    #[must_use]
    pub fn slowness(&self, now: Instant) -> Vec<Fault> {
        let state = &self.world.service;
        let service = state.before_fault.as_ref().map(|_| Fault {
            client: None,
            kind: FaultKind::Service {
                service: Box::new(state.service.clone()),
            },
        });
        let stalls = state
            .stalls(self.world.clock(now))
            .map(|(client, left)| Fault {
                client: client.map(str::to_owned),
                kind: FaultKind::Stall { millis: left },
            });
        service.into_iter().chain(stalls).collect()
    }

    /// Completes what is due, in the order of completion, then of arrival.
    pub(crate) fn complete_due(&mut self, now: Instant) {
        while !self.world.service.traffic.is_idle() {
            let state = &self.world.service;
            let connections = self.connections.values_mut();
            let next = connections
                .filter_map(|connection| Some((connection.next_completion(state)?, connection)));
            match next.min_by_key(|(next, _)| *next) {
                Some(((at, ..), connection)) if at <= now => {
                    connection.complete(&mut self.world, now);
                }
                _ => return,
            }
            self.process_notices(now);
        }
    }

    /// Returns when the next packet is completed.
    pub(crate) fn next_completion(&self) -> Option<Instant> {
        let state = &self.world.service;
        if state.traffic.is_idle() {
            return None;
        }
        let connections = self.connections.values();
        let next = connections.filter_map(|connection| connection.next_completion(state));
        next.map(|(at, ..)| at).min()
    }

    /// Sets a service until it is cleared.
    pub(crate) fn inject_service(&mut self, service: &Service, now: Instant) {
        let state = &mut self.world.service;
        if state.before_fault.is_none() {
            state.before_fault = Some(state.service.clone());
        }
        self.change_service(service.clone(), now);
    }

    /// Ends all stalls of a client; without one, of all, and with an injected service and what slow links hold back.
    pub(crate) fn end_slowness(&mut self, client: Option<&str>, now: Instant) {
        let at = self.world.advance_to(now);
        self.world.service.end_stalls(client);
        match self
            .world
            .service
            .before_fault
            .take_if(|_| client.is_none())
        {
            Some(before) => self.change_service(before, now),
            None => self.complete_due(at),
        }
        for connection in self.connections.values_mut() {
            connection.carry(&mut self.world, at);
        }
        self.process_notices(at);
    }

    fn change_service(&mut self, service: Service, now: Instant) {
        let now = self.world.advance_to(now);
        self.complete_due(now);
        self.world.service.set(service, now);
        for connection in self.connections.values_mut() {
            connection.plan_again(&mut self.world.service, now);
        }
        self.complete_due(now);
    }
}
