//! The run loop around gateway and bridge: delivers what has arrived, sends what is pending, and fires timers.

use core::time::Duration;
use std::io;
use std::time::Instant;

use iotcore_gateway::{Answer, Event, Input, TransportEnd};

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
        let connection = self.bridge.accept(self.now);
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
            self.closing.push(transport.close(&self.network, self.now));
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
        let Some(transport) = &mut self.transport else {
            return 0;
        };
        let bytes = self.gateway.poll_transmit();
        let sent = transport.send(Side::Bridge, bytes, &self.network, self.now);
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

    fn transmit_to_gateway(&mut self) -> usize {
        let Some(transport) = &mut self.transport else {
            return 0;
        };
        let connection = transport.connection;
        let bytes = self.bridge.poll_transmit(connection);
        let sent = transport.send(Side::Gateway, bytes, &self.network, self.now);
        let is_empty = bytes.is_empty();
        self.bridge.handle_transmitted(connection, sent, self.now);
        if is_empty && !self.bridge.wants_transport(connection) {
            let end = match self.bridge.wants_reset(connection) {
                true => Content::Broken(io::ErrorKind::ConnectionReset),
                false => Content::End,
            };
            transport.end_by_bridge(end, &self.network, self.now);
        }
        sent
    }

    /// Delivers what has arrived.
    fn deliver(&mut self) {
        if self.now < self.stalled_until {
            return;
        }
        self.deliver_last_bytes();
        while let Some(transport) = &mut self.transport
            && let Some(content) = transport.arrived(Side::Bridge, self.now)
        {
            let connection = transport.connection;
            if let Content::Bytes(bytes) = content {
                let bytes = self.damaged(Side::Bridge, bytes);
                self.bridge.handle_input(connection, &bytes, self.now);
                self.cut_if_reached();
            }
        }
        while self.gateway.wants_input()
            && let Some(transport) = &mut self.transport
            && let Some(content) = transport.arrived(Side::Gateway, self.now)
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
        let (bridge, now) = (&mut self.bridge, self.now);
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
            self.bridge.handle_closed(transport.connection, self.now);
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
        if self.bridge.poll_timeout().is_some_and(|at| at <= self.now) {
            self.bridge.handle_timeout(self.now);
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
        let to_gateway = self.transport.iter().filter(|_| self.gateway.wants_input());
        let to_gateway = to_gateway.filter_map(|up| up.next_arrival(Side::Gateway));
        let to_bridge = self.transport.iter().chain(&self.closing);
        let to_bridge = to_bridge.filter_map(|up| up.next_arrival(Side::Bridge));
        let arrivals = to_gateway.chain(to_bridge);
        let arrivals = arrivals.map(|at| at.max(self.stalled_until));
        let timers = [self.gateway.poll_timeout(), self.bridge.poll_timeout()];
        let poll = (!self.is_polled()).then_some(self.unpolled_until);
        arrivals
            .chain(self.next_room())
            .chain(timers.into_iter().flatten())
            .chain(poll)
            .min()
    }

    /// Returns when a buffer has room for more of what a side has to send.
    fn next_room(&self) -> Option<Instant> {
        let up = self.transport.as_ref()?;
        let sides = [
            (Side::Bridge, self.gateway.poll_transmit()),
            (Side::Gateway, self.bridge.poll_transmit(up.connection)),
        ];
        let unsent = sides.into_iter().filter(|(_, bytes)| !bytes.is_empty());
        unsent.filter_map(|(to, _)| up.next_room(to)).min()
    }
}
