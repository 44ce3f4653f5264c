//! What waits on one connection until the bridge has processed it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::super::codec::Packet;
use super::{Queues, Service, ServiceKind};

/// The maximum number of packets, and of bytes of their payloads, that wait in a queue of a connection.
const MAX_WAITING: usize = 65_536;
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The packets of one connection that wait or are being processed.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// By when they are finished, then by arrival.
    waiting: BTreeMap<(Instant, u64), Waiting>,
    /// By [`queue`]; with one queue for all packets, only the first is used.
    queues: [Queue; ServiceKind::ALL.len()],
}

/// A packet that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) packet: Packet,
    pub(super) kind: ServiceKind,
    queue: usize,
}

#[derive(Debug, Default)]
struct Queue {
    /// When each worker has finished all that it has to do.
    workers: Vec<Instant>,
    packets: usize,
    bytes: usize,
}

impl Backlog {
    /// Returns whether a queue has room for a packet of a kind.
    pub(super) fn has_room(&self, kind: ServiceKind, service: &Service) -> bool {
        let queue = &self.queues[queue(kind, service)];
        let most = service.buffer.map_or(MAX_WAITING, |most| {
            usize::try_from(most.get()).unwrap_or(usize::MAX)
        });
        queue.packets < most.min(MAX_WAITING) && queue.bytes < MAX_BYTES
    }

    /// Returns when the worker that is free first can begin with a packet of a kind, and which one that is.
    pub(super) fn start(
        &mut self,
        kind: ServiceKind,
        service: &Service,
        now: Instant,
    ) -> (Instant, &mut Instant) {
        let workers = &mut self.queues[queue(kind, service)].workers;
        let count = usize::try_from(service.workers.get()).unwrap_or(usize::MAX);
        let is_any_free = workers.iter().any(|free_at| *free_at <= now);
        // Workers who have not worked yet are not listed.
        if !is_any_free && workers.len() < count {
            workers.push(now);
        }
        let first = workers.iter_mut().min_by_key(|free_at| **free_at);
        let worker = first.expect("a queue has a worker");
        ((*worker).max(now), worker)
    }

    /// Adds a packet, which is finished at an instant.
    pub(super) fn add(
        &mut self,
        due: Instant,
        arrival: u64,
        packet: Packet,
        kind: ServiceKind,
        service: &Service,
    ) {
        let queue = queue(kind, service);
        self.queues[queue].packets += 1;
        self.queues[queue].bytes += length(&packet);
        let waiting = Waiting {
            packet,
            kind,
            queue,
        };
        self.waiting.insert((due, arrival), waiting);
    }

    /// Returns when the next packet is finished, and the number of its arrival.
    pub(super) fn next(&self) -> Option<(Instant, u64)> {
        self.waiting.keys().next().copied()
    }

    /// Removes and returns the packet that is finished next.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let (_, waiting) = self.waiting.pop_first()?;
        let queue = &mut self.queues[waiting.queue];
        queue.packets -= 1;
        queue.bytes -= length(&waiting.packet);
        Some(waiting)
    }

    /// Removes everything, and returns it in the order of arrival, with the numbers.
    pub(super) fn take(&mut self) -> Vec<(u64, Waiting)> {
        let waiting = core::mem::take(self).waiting.into_iter();
        let mut waiting: Vec<_> = waiting
            .map(|((_, arrival), waiting)| (arrival, waiting))
            .collect();
        waiting.sort_by_key(|(arrival, _)| *arrival);
        waiting
    }
}

/// Returns the index of a kind's queue.
fn queue(kind: ServiceKind, service: &Service) -> usize {
    match service.queues {
        Queues::One => 0,
        Queues::PerKind => kind as usize,
    }
}

/// Returns how many bytes a packet holds, roughly.
fn length(packet: &Packet) -> usize {
    match packet {
        Packet::Publish(publish) => publish.topic.len() + publish.payload.len(),
        Packet::Subscribe { filters, .. } => filters.iter().map(|(filter, _)| filter.len()).sum(),
        Packet::Unsubscribe { filters, .. } => filters.iter().map(String::len).sum(),
        _ => 0,
    }
}
