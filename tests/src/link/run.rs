//! The run loop around gateway and bridge: delivers what has arrived, sends what is pending, and fires timers.

use core::time::Duration;
use std::io;
use std::time::Instant;

use iotcore_gateway::{Answer, Event, Input, cause::TransportEnd};

use super::network::Transport;
use super::{Disturbance, Link, Observation, Observer, Side};
use crate::bridge::event::Event as BridgeEvent;
use crate::pipe::Content;

/// Advancing virtual time.
impl<O: Observer> Link<O> {
    /// Advances virtual time: bytes arrive and timers fire, in order.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
    }

    /// Advances virtual time until the condition holds; returns whether it did before the limit.
    pub fn run_until(&mut self, limit: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        self.process_outputs();
        while !condition(self) {
            match self.next_wake_up().filter(|next| *next <= end) {
                Some(next) => self.run(next.saturating_duration_since(self.now)),
                None => return false,
            }
        }
        true
    }

    /// Advances virtual time to the next event, at most to `limit`; returns whether there was one.
    pub fn step(&mut self, limit: Instant) -> bool {
        self.process_outputs();
        let next = self.next_wake_up().filter(|next| *next <= limit);
        self.report_early_timeout(next.unwrap_or(limit));
        self.now = self.now.max(next.unwrap_or(limit));
        if next.is_some() {
            self.deliver();
            self.run_timers();
            self.process_outputs();
        }
        next.is_some()
    }

    /// Applies an input or a command to the gateway, now.
    pub fn apply(&mut self, input: Input<'_>) -> Answer {
        self.gateway.apply(input, self.now)
    }

    /// Returns the gateway's events since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        self.process_outputs();
        core::mem::take(&mut self.events)
    }

    /// Returns the bridge's events since the last call.
    pub fn bridge_events(&mut self) -> Vec<BridgeEvent> {
        self.process_outputs();
        core::mem::take(&mut self.bridge_events)
    }

    /// Dials, hangs up, and sends what both sides have to send.
    pub(crate) fn process_outputs(&mut self) {
        if self.gateway.wants_transport() && self.transport.is_none() {
            self.dial();
        }
        self.transmit();
        if !self.gateway.wants_transport() {
            self.hang_up();
        }
        self.poll_events();
    }

    fn dial(&mut self) {
        if self.failing_dials > 0 {
            self.failing_dials -= 1;
            self.observe(Observation::Struck(Disturbance::DialFailed));
            self.disconnected(self.dial_failure);
            return;
        }
        let connection = self.bridge.accept(self.world_now());
        let transport = Transport::new(connection, &self.closing, self.stalled_until);
        self.transport = Some(transport);
        let token = self.token(self.token_lifetime);
        let unix_now = self.unix_now();
        self.apply(Input::Connected { token, unix_now });
        self.observe(Observation::Dialed(connection));
        self.make_redundant_calls();
    }

    /// Hangs up for the gateway: the bridge still receives what was sent before.
    fn hang_up(&mut self) {
        if let Some(transport) = self.transport.take() {
            let now = self.world_now();
            self.closing.push(transport.close(&self.network, now));
            self.disconnected(TransportEnd::HungUp);
        }
    }

    fn transmit(&mut self) {
        loop {
            let sent = self.transmit_to_bridge();
            let answered = self.transmit_to_gateway();
            if sent + answered == 0 {
                break;
            }
        }
    }

    fn transmit_to_bridge(&mut self) -> usize {
        let now = self.world_now();
        let Some(transport) = &mut self.transport else {
            return 0;
        };
        let bytes = self.gateway.poll_transmit();
        let sent = transport.send(Side::Bridge, bytes, &self.network, now);
        if transport.is_newly_full(sent < bytes.len()) {
            let observation = Observation::Struck(Disturbance::ShortWrite);
            self.observer.observe(observation, &self.gateway, self.now);
        }
        if sent > 0 {
            let observation = Observation::Transmitted(&self.gateway.poll_transmit()[..sent]);
            self.observer.observe(observation, &self.gateway, self.now);
            self.apply(Input::Transmitted(sent));
            self.make_redundant_calls();
        }
        sent
    }

    pub(super) fn transmit_to_gateway(&mut self) -> usize {
        let now = self.world_now();
        let Some(transport) = &mut self.transport else {
            return 0;
        };
        let connection = transport.connection;
        let bytes = self.bridge.poll_transmit(connection);
        let sent = transport.send(Side::Gateway, bytes, &self.network, now);
        let is_empty = bytes.is_empty();
        self.bridge.handle_transmitted(connection, sent, now);
        if is_empty && !self.bridge.wants_transport(connection) {
            let end = match self.bridge.wants_reset(connection) {
                true => Content::Broken(io::ErrorKind::ConnectionReset),
                false => Content::End,
            };
            transport.end_by_bridge(end, &self.network, now);
        }
        sent
    }

    /// Delivers what has arrived.
    fn deliver(&mut self) {
        self.deliver_to_bridge();
        self.deliver_to_gateway();
    }

    pub(super) fn deliver_to_bridge(&mut self) {
        let now = self.world_now();
        if now < self.stalled_until {
            return;
        }
        self.deliver_last_bytes();
        while let Some(transport) = &mut self.transport
            && let Some(content) = transport.arrived(Side::Bridge, now)
        {
            let connection = transport.connection;
            if let Content::Bytes(bytes) = content {
                let bytes = self.damaged(Side::Bridge, bytes);
                self.bridge.handle_input(connection, &bytes, now);
                self.cut_if_reached();
            }
        }
    }

    fn deliver_to_gateway(&mut self) {
        let now = self.world_now();
        if now < self.stalled_until {
            return;
        }
        while self.gateway.wants_input()
            && let Some(transport) = &mut self.transport
            && let Some(content) = transport.arrived(Side::Gateway, now)
        {
            match content {
                Content::Bytes(bytes) => {
                    let bytes = self.damaged(Side::Gateway, bytes);
                    self.read(&bytes);
                    self.cut_if_reached();
                }
                Content::End => self.end_of_stream(TransportEnd::PeerClosed),
                Content::Broken(_) => self.end_of_stream(TransportEnd::Broken),
            }
            self.poll_events();
        }
    }

    /// Delivers what was sent before the gateway hung up.
    fn deliver_last_bytes(&mut self) {
        let now = self.world_now();
        let bridge = &mut self.bridge;
        self.closing.retain_mut(|transport| {
            let connection = transport.connection;
            while let Some(content) = transport.arrived(Side::Bridge, now) {
                match content {
                    Content::Bytes(bytes) => bridge.handle_input(connection, &bytes, now),
                    Content::End | Content::Broken(_) => {
                        bridge.handle_closed(connection, now);
                        return false;
                    }
                }
            }
            let is_kept = bridge.wants_transport(connection);
            if !is_kept {
                bridge.handle_closed(connection, now);
            }
            is_kept
        });
    }

    fn read(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.call_pattern.split.max(1)) {
            self.apply(Input::Received(piece));
            self.make_redundant_calls();
        }
        self.observe(Observation::Received(bytes));
    }

    fn damaged(&mut self, at: Side, mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.truncate(self.damage.reach(at));
        if self.damage.strike(at, &mut bytes) {
            self.observe(Observation::Struck(Disturbance::Flipped));
        }
        bytes
    }

    fn end_of_stream(&mut self, end: TransportEnd) {
        if let Some(transport) = self.transport.take() {
            let now = self.world_now();
            self.bridge.handle_closed(transport.connection, now);
            self.disconnected(end);
        }
    }

    pub(super) fn disconnected(&mut self, end: TransportEnd) {
        self.apply(Input::Disconnected(end));
        self.observe(Observation::Disconnected(end));
        self.make_redundant_calls();
    }

    fn run_timers(&mut self) {
        if self.gateway.poll_timeout().is_some_and(|at| at <= self.now) {
            self.apply(Input::Timeout);
            self.observe(Observation::TimedOut);
        }
        self.run_timers_of_bridge();
    }

    pub(super) fn run_timers_of_bridge(&mut self) {
        let now = self.world_now();
        if self.bridge.poll_timeout().is_some_and(|at| at <= now) {
            self.bridge.handle_timeout(now);
        }
    }

    /// Polls the events, the bridge's first because they are the cause of the gateway's.
    fn poll_events(&mut self) {
        while let Some(event) = self.bridge.poll_event() {
            self.observe(Observation::Bridge(&event));
            self.bridge_events.push(event);
        }
        if self.is_polled() {
            while let Some(event) = self.apply(Input::PollEvent).event() {
                self.observe(Observation::Event(&event));
                self.events.push(event);
            }
        }
    }

    pub(super) fn observe(&mut self, observation: Observation<'_>) {
        self.observer.observe(observation, &self.gateway, self.now);
    }

    /// Polls all outputs, and reports a timeout that is not due.
    fn make_redundant_calls(&mut self) {
        if !self.call_pattern.makes_redundant_calls {
            return;
        }
        let gateway = &self.gateway;
        let _ = (gateway.poll_transmit(), gateway.unsent().count());
        let _ = (gateway.wants_transport(), gateway.wants_input());
        if gateway.poll_timeout().is_none_or(|at| at > self.now) {
            self.apply(Input::Timeout);
        }
    }

    /// Reports a time at which nothing is due, before the next event.
    fn report_early_timeout(&mut self, next: Instant) {
        if self.call_pattern.makes_redundant_calls {
            let between = self.now + next.saturating_duration_since(self.now) / 2;
            if self.gateway.poll_timeout().is_none_or(|at| at > between) {
                self.gateway.apply(Input::Timeout, between);
            }
        }
    }

    fn next_wake_up(&self) -> Option<Instant> {
        let now = self.world_now();
        let to_gateway = self.transport.iter().filter(|_| self.gateway.wants_input());
        let to_gateway = to_gateway.filter_map(|up| up.next_arrival(Side::Gateway));
        let arrivals = to_gateway.map(|at| at.max(self.stalled_until));
        let in_world = arrivals
            .chain(self.next_room(Side::Bridge))
            .chain(self.next_of_bridge());
        let own = in_world.map(|at| self.now + at.saturating_duration_since(now));
        let poll = (!self.is_polled()).then_some(self.unpolled_until);
        own.chain(self.gateway.poll_timeout()).chain(poll).min()
    }

    /// Returns when something happens next that needs nothing of the gateway, by the clock of the bridge.
    pub(super) fn next_of_bridge(&self) -> Option<Instant> {
        let up = self.transport.iter().chain(&self.closing);
        let arrivals = up.filter_map(|up| up.next_arrival(Side::Bridge));
        let arrivals = arrivals.map(|at| at.max(self.stalled_until));
        arrivals
            .chain(self.next_room(Side::Gateway))
            .chain(self.bridge.poll_timeout())
            .min()
    }

    /// Returns when the buffer towards a side has room for more of what is to be sent to it.
    fn next_room(&self, to: Side) -> Option<Instant> {
        let up = self.transport.as_ref()?;
        let unsent = match to {
            Side::Bridge => self.gateway.poll_transmit(),
            Side::Gateway => self.bridge.poll_transmit(up.connection),
        };
        up.next_room(to).filter(|_| !unsent.is_empty())
    }
}
