//! The clock, the network, and the bridge on it.

use core::task::{Context, Waker};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use rustls::ServerConfig;

use super::clock::MachineClock;
use super::jobs::Jobs;
use super::names::Names;
use super::tls::Layer;
use super::wire::{BridgeEnd, StreamEnd, Wire};
use super::{Network, START};
use crate::Bridge;
use crate::link::Side;
use crate::pipe::{Content, Damage};

/// The maximum number of bytes that the bridge writes at a time.
const CHUNK: usize = 16 * 1024;

/// Everything except the tasks.
pub(super) struct World {
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) clock: MachineClock,
    pub(super) bridge: Bridge,
    pub(super) network: Network,
    pub(super) names: Names,
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) wires: BTreeMap<u64, Wire>,
    last_wire: u64,
    /// Whether the test controls the far end of new connections.
    pub(super) is_bridge_played: bool,
    /// Connections whose far end the test controls and has not accepted yet.
    pub(super) unaccepted: VecDeque<u64>,
    /// By what the monotonic clock of the machine shows.
    timers: BTreeMap<(Instant, u64), Waker>,
    last_timer: u64,
    pub(super) jobs: Jobs,
    /// Pending damage to the bytes of any connection; a cut ends all connections.
    pub(super) damage: Damage,
    /// How often time has advanced.
    pub(super) steps: u64,
    watchers: Vec<Waker>,
    /// The state of the generator of fragment sizes.
    sizes: u64,
    /// Wakers to wake once the lock is released.
    pub(super) woken: Vec<Waker>,
    /// Wakers to drop once the lock is released, because dropping the last waker may drop a task.
    pub(super) retired: Vec<Waker>,
}

impl World {
    pub(super) fn new(bridge: Bridge, tls: Option<Arc<ServerConfig>>, start: Instant) -> Self {
        Self {
            start,
            now: start,
            clock: MachineClock::new(START, start),
            bridge,
            network: Network::default(),
            names: Names::default(),
            tls,
            wires: BTreeMap::new(),
            last_wire: 0,
            is_bridge_played: false,
            unaccepted: VecDeque::new(),
            timers: BTreeMap::new(),
            last_timer: 0,
            jobs: Jobs::default(),
            damage: Damage::default(),
            steps: 0,
            watchers: Vec::new(),
            sizes: 0,
            woken: Vec::new(),
            retired: Vec::new(),
        }
    }

    /// Registers the task to be woken after every change.
    pub(super) fn watch(&mut self, cx: &Context<'_>) {
        if !self
            .watchers
            .iter()
            .any(|waker| waker.will_wake(cx.waker()))
        {
            self.watchers.push(cx.waker().clone());
        }
    }

    pub(super) fn new_timer(&mut self, deadline: Instant) -> (Instant, u64) {
        self.last_timer += 1;
        (deadline, self.last_timer)
    }

    pub(super) fn set_timer(&mut self, timer: (Instant, u64), cx: &Context<'_>) {
        let replaced = self.timers.insert(timer, cx.waker().clone());
        self.retired.extend(replaced);
    }

    pub(super) fn end_timer(&mut self, timer: (Instant, u64)) {
        let ended = self.timers.remove(&timer);
        self.retired.extend(ended);
    }

    pub(super) fn connect(&mut self) -> u64 {
        self.last_wire += 1;
        let tls = self.tls.as_ref().filter(|_| !self.is_bridge_played);
        let mut wire = Wire::new(Layer::new(tls));
        if self.is_bridge_played {
            wire.is_played = true;
            self.unaccepted.push_back(self.last_wire);
        } else if !wire.layer.is_handshaking() {
            wire.connection = Some(self.bridge.accept(self.now));
        }
        self.wires.insert(self.last_wire, wire);
        self.transfer_and_wake();
        self.last_wire
    }

    /// Makes a connection to an address at which nobody answers.
    pub(super) fn connect_to_nobody(&mut self) -> u64 {
        self.last_wire += 1;
        let mut wire = Wire::new(Layer::Plain);
        wire.go_half_open();
        wire.bridge_end = BridgeEnd::Gone;
        self.wires.insert(self.last_wire, wire);
        self.last_wire
    }

    /// Advances time to the next event and executes it, unless it is a job; returns `false` without one.
    pub(super) fn advance(&mut self) -> bool {
        let timer = self.timers.keys().next().map(|(at, _)| *at);
        let inside = timer.into_iter().chain(self.jobs.next_due()).min();
        let inside = inside.map(|at| self.clock.when(at));
        let Some(next) = self.next_outside().into_iter().chain(inside).min() else {
            return false;
        };
        self.advance_to(next);
        while let Some(timer) = self.timers.first_entry()
            && timer.key().0 <= self.clock.monotonic(self.now)
        {
            self.woken.push(timer.remove());
        }
        true
    }

    /// Lets this much time pass for the network and the bridge, and for no timer of the machine.
    pub(super) fn suspend(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.next_outside().filter(|next| *next <= end) {
            self.advance_to(next);
        }
        self.now = end;
        self.clock.sleep(time);
    }

    /// Returns when something next happens that is no timer of the machine.
    fn next_outside(&self) -> Option<Instant> {
        let wires = self.wires.values();
        let arrivals = wires.filter_map(|wire| wire.next_arrival(self.now));
        arrivals.chain(self.bridge.poll_timeout()).min()
    }

    /// Advances time, and executes what happens outside of the machine.
    fn advance_to(&mut self, next: Instant) {
        self.now = self.now.max(next);
        self.steps += 1;
        if self.bridge.poll_timeout().is_some_and(|at| at <= self.now) {
            self.bridge.handle_timeout(self.now);
        }
        self.transfer_and_wake();
    }

    /// Executes everything that can happen now, and wakes the tasks concerned.
    pub(super) fn transfer_and_wake(&mut self) {
        let wires: Vec<u64> = self.wires.keys().copied().collect();
        while wires
            .iter()
            .any(|wire| self.receive(*wire) | self.transmit(*wire))
        {}
        self.wires.retain(|_, wire| !wire.is_over());
        for wire in self.wires.values_mut() {
            let is_writable = !self.network.is_stalled && wire.written() < self.network.buffer;
            if is_writable || wire.stream == StreamEnd::Broken {
                self.woken.extend(wire.writer.take());
            }
            if wire.to_gateway.arrived(self.now).is_some() {
                self.woken.extend(wire.reader.take());
            }
        }
        self.woken.append(&mut self.watchers);
    }

    /// Passes what has arrived to the bridge; returns whether there was something.
    fn receive(&mut self, id: u64) -> bool {
        let Some(wire) = self.wires.get_mut(&id) else {
            return false;
        };
        let is_waiting = wire.connection.is_some_and(|connection| {
            self.bridge.wants_transport(connection) && !self.bridge.wants_input(connection)
        });
        if wire.is_played || is_waiting {
            return false;
        }
        let is_open = wire.bridge_end == BridgeEnd::Open;
        let is_handshaking = is_open && wire.connection.is_none();
        match wire.to_bridge.pop(self.now) {
            None => return false,
            Some(Content::Bytes(raw)) if is_open => self.receive_bytes(id, raw),
            Some(Content::Bytes(_)) => {}
            Some(end) => {
                if is_handshaking {
                    let reason = "the client went away during the TLS handshake";
                    self.bridge
                        .handle_failed_transport(reason.to_owned(), self.now);
                }
                if is_open && matches!(end, Content::End) {
                    self.end_stream(id);
                }
                self.forget(id);
            }
        }
        true
    }

    fn receive_bytes(&mut self, id: u64, mut raw: Vec<u8>) {
        raw.truncate(self.damage.reach(Side::Bridge));
        self.damage.strike(Side::Bridge, &mut raw);
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        let opened = wire.layer.open(&raw);
        let records = wire.layer.records();
        if wire.connection.is_none() && !wire.layer.is_handshaking() && opened.is_ok() {
            wire.connection = Some(self.bridge.accept(self.now));
        }
        let connection = wire.connection;
        self.send(id, &records);
        match (opened, connection) {
            (Ok(plain), Some(connection)) => {
                self.bridge.handle_input(connection, &plain, self.now);
            }
            (Ok(_), None) => {}
            (Err(reason), connection) => {
                match connection {
                    Some(connection) => self.bridge.handle_closed(connection, self.now),
                    None => {
                        let reason = format!("TLS handshake failed: {reason}");
                        self.bridge.handle_failed_transport(reason, self.now);
                    }
                }
                self.end_stream(id);
            }
        }
        self.cut_if_reached();
    }

    /// Sends the bridge's output to one connection; returns whether there was something.
    fn transmit(&mut self, id: u64) -> bool {
        let Some(wire) = self.wires.get_mut(&id) else {
            return false;
        };
        let Some(connection) = wire
            .connection
            .filter(|_| wire.bridge_end == BridgeEnd::Open)
        else {
            return false;
        };
        let bytes = self.bridge.poll_transmit(connection);
        if !bytes.is_empty() {
            if wire.to_gateway.len() >= self.network.buffer {
                return false;
            }
            let chunk = bytes.get(..CHUNK).unwrap_or(bytes);
            let (sealed, length) = (wire.layer.seal(chunk), chunk.len());
            self.bridge.handle_transmitted(connection, length, self.now);
            self.send(id, &sealed);
            return true;
        }
        if self.bridge.wants_transport(connection) {
            return false;
        }
        if wire.is_half_open() {
            self.forget(id);
        } else if self.bridge.wants_reset(connection) {
            let reset = Content::Broken(io::ErrorKind::ConnectionReset);
            wire.sever(reset, self.now + self.network.latency);
            self.bridge.handle_closed(connection, self.now);
        } else {
            self.end_stream(id);
        }
        true
    }

    /// Returns when data that is sent now arrives.
    pub(super) fn arrival(&self) -> Instant {
        self.now + self.network.latency
    }

    /// Sends bytes to the gateway, in fragments.
    pub(super) fn send(&mut self, id: u64, mut bytes: &[u8]) {
        let arrives = self.arrival();
        while !bytes.is_empty() {
            let length = self.fragment(bytes.len());
            let (fragment, rest) = bytes.split_at(length);
            if let Some(wire) = self.wires.get_mut(&id)
                && wire.stream != StreamEnd::Dropped
            {
                wire.to_gateway
                    .push(arrives, Content::Bytes(fragment.to_vec()));
            }
            bytes = rest;
        }
    }

    /// Ends the stream from the bridge, or from the test that acts as it.
    pub(super) fn end_stream(&mut self, id: u64) {
        let arrives = self.arrival();
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        wire.bridge_end = BridgeEnd::Finished;
        let records = wire.layer.close();
        self.send(id, &records);
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.to_gateway.end(arrives, Content::End);
        }
    }

    /// Releases the bridge's end of a connection.
    fn forget(&mut self, id: u64) {
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.bridge_end = BridgeEnd::Gone;
            if let Some(connection) = wire.connection {
                self.bridge.handle_closed(connection, self.now);
            }
        }
    }

    /// Ends all connections: both sides receive nothing more than this.
    pub(super) fn sever(&mut self, last: fn() -> Content) {
        for wire in self.wires.values_mut() {
            if let Some(connection) = wire.connection {
                self.bridge.handle_closed(connection, self.now);
            }
            wire.sever(last(), self.now);
        }
        self.transfer_and_wake();
    }

    pub(super) fn cut_if_reached(&mut self) {
        if self.damage.is_cut_due() && !self.wires.is_empty() {
            self.damage.cut = None;
            self.sever(|| Content::End);
        }
    }

    /// Returns the size of the next fragment: between 1 and the limit, the same at the same place in each run (this is
    /// splitmix64).
    pub(super) fn fragment(&mut self, available: usize) -> usize {
        self.sizes = self.sizes.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.sizes;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let most = self.network.fragment.max(1) as u64;
        let length = usize::try_from(mixed % most).unwrap_or(0) + 1;
        length.min(available)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }
}
