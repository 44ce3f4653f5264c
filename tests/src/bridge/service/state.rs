//! The service that all connections share: its plan, its stalls, and its counters.

use core::num::NonZeroU32;
use core::time::Duration;
use std::time::Instant;

use super::super::codec::Packet;
use super::super::event::UnservedCause;
use super::super::topic::{PublishKind, PublishTopic, SubscriptionKind};
use super::backlog::{Backlog, Waiting};
use super::random::Random;
use super::{MAX_TIME, Service, ServiceKind, Traffic};

/// The longest stall, and the longest time until one.
const MAX_STALL: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The service, and what has happened since it was set.
#[derive(Debug)]
pub(crate) struct ServiceState {
    pub(super) service: Service,
    /// What an injected service has replaced.
    pub(super) before_fault: Option<Service>,
    since: Instant,
    random: Random,
    /// A stall of the service itself.
    own_stall: Option<Stalled>,
    stalls: Vec<Stalled>,
    last_arrival: u64,
    pub(crate) traffic: Traffic,
}

/// A time at which nothing is answered, on the connections of one client or all.
#[derive(Debug)]
struct Stalled {
    client: Option<String>,
    from: Instant,
    until: Instant,
}

/// What happens to a packet that arrives.
pub(crate) enum Admission {
    /// It is processed at once.
    Now(Packet),
    /// It waits.
    Later,
    /// It is dropped without an answer.
    Never(Packet, UnservedCause),
}

impl ServiceState {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            service: Service::default(),
            before_fault: None,
            since: now,
            random: Random::new(0),
            own_stall: None,
            stalls: Vec::new(),
            last_arrival: 0,
            traffic: Traffic::default(),
        }
    }

    /// Replaces the service; its times and its random numbers begin anew.
    pub(super) fn set(&mut self, service: Service, now: Instant) {
        self.random = Random::new(service.seed);
        self.own_stall = service.stall.map(|stall| {
            let from = now + stall.from.min(MAX_STALL);
            Stalled {
                client: None,
                from,
                until: from + stall.duration.min(MAX_STALL),
            }
        });
        self.since = now;
        self.service = service;
    }

    /// Stalls the connections of a client, or all.
    pub(crate) fn stall(&mut self, client: Option<&str>, duration: Duration, now: Instant) {
        self.stalls.retain(|stall| stall.until > now);
        self.stalls.push(Stalled {
            client: client.map(str::to_owned),
            from: now,
            until: now + duration.min(MAX_STALL),
        });
    }

    /// Ends the stalls that were limited to a client, or all that do not belong to the service itself.
    pub(super) fn end_stalls(&mut self, client: Option<&str>) {
        self.stalls
            .retain(|stall| client.is_some() && stall.client.as_deref() != client);
    }

    /// Returns the stalls that have not ended: whom they concern, and how many milliseconds are left, rounded up.
    pub(super) fn stalls(&self, now: Instant) -> impl Iterator<Item = (Option<&str>, NonZeroU32)> {
        self.stalls.iter().filter_map(move |stall| {
            let left = stall.until.saturating_duration_since(now).as_nanos();
            let millis = u32::try_from(left.div_ceil(1_000_000)).unwrap_or(u32::MAX);
            Some((stall.client.as_deref(), NonZeroU32::new(millis)?))
        })
    }

    /// Returns when a packet that is finished at an instant is answered.
    pub(super) fn answered_at(&self, finished: Instant, client: Option<&str>) -> Instant {
        let mut at = finished;
        // The end of a stall may lie in another.
        while let Some(stall) = self.stalls.iter().chain(&self.own_stall).find(|stall| {
            let is_meant = stall.client.is_none() || stall.client.as_deref() == client;
            is_meant && stall.from <= at && at < stall.until
        }) {
            at = stall.until;
        }
        at
    }

    /// Decides what happens to a packet that has arrived, and adds it to the backlog if it has to wait.
    pub(crate) fn admit(
        &mut self,
        packet: Packet,
        kind: ServiceKind,
        backlog: &mut Backlog,
        client: Option<&str>,
        now: Instant,
    ) -> Admission {
        let cause = if self.service.ignores(&packet) {
            Some(UnservedCause::Ignored)
        } else if self.random.is_one_of(self.service.work(kind).lost) {
            Some(UnservedCause::Lost)
        } else if !backlog.has_room(kind, &self.service) {
            Some(UnservedCause::BufferFull)
        } else {
            None
        };
        if let Some(cause) = cause {
            self.traffic.count_unserved(kind);
            return Admission::Never(packet, cause);
        }
        self.traffic.count_accepted(kind);
        let due = self.plan(kind, backlog, now);
        if self.answered_at(due, client) == now {
            self.traffic.count_completed(kind, now);
            return Admission::Now(packet);
        }
        self.last_arrival += 1;
        backlog.add(due, self.last_arrival, packet, kind, &self.service);
        Admission::Later
    }

    /// Plans what waits on a connection anew, as though it had arrived now.
    pub(crate) fn plan_again(&mut self, backlog: &mut Backlog, now: Instant) {
        for (arrival, Waiting { packet, kind, .. }) in backlog.take() {
            let due = self.plan(kind, backlog, now);
            backlog.add(due, arrival, packet, kind, &self.service);
        }
    }

    /// Forgets what waits on a connection that has ended.
    pub(crate) fn abandon(&mut self, backlog: &mut Backlog) {
        for (_, waiting) in backlog.take() {
            self.traffic.count_abandoned(waiting.kind);
        }
    }

    /// Removes the packet of a connection that is finished next.
    pub(crate) fn pop(&mut self, backlog: &mut Backlog, now: Instant) -> Option<Packet> {
        let Waiting { packet, kind, .. } = backlog.pop()?;
        self.traffic.count_completed(kind, now);
        Some(packet)
    }

    /// Returns when and after which other packets the next packet of a connection is answered.
    pub(crate) fn next(
        &self,
        backlog: &Backlog,
        client: Option<&str>,
    ) -> Option<(Instant, Instant, u64)> {
        let (due, arrival) = backlog.next()?;
        Some((self.answered_at(due, client), due, arrival))
    }

    /// Gives a packet of a kind to a worker, and returns when it is finished.
    fn plan(&mut self, kind: ServiceKind, backlog: &mut Backlog, now: Instant) -> Instant {
        let service = &self.service;
        let (start, worker) = backlog.start(kind, service, now);
        let time = self.random.time(service.work(kind).time, service.tail);
        let finished = start + time.min(MAX_TIME);
        *worker = finished;
        match service.burst {
            Some(period) if kind != ServiceKind::Ping => {
                self.next_burst(period.min(MAX_TIME), finished)
            }
            _ => finished,
        }
    }

    fn next_burst(&self, period: Duration, finished: Instant) -> Instant {
        let nanos = (finished - self.since).as_nanos();
        let beyond = nanos % period.as_nanos().max(1);
        match u64::try_from(beyond) {
            Ok(0) | Err(_) => finished,
            Ok(beyond) => finished + (period - Duration::from_nanos(beyond)),
        }
    }
}

impl Service {
    /// Returns whether a packet is never answered because of the device that it names.
    fn ignores(&self, packet: &Packet) -> bool {
        let all = [
            &self.ignored,
            &self.ignored_publications,
            &self.ignored_entirely,
        ];
        if all.iter().all(|devices| devices.is_empty()) {
            return false;
        }
        let is_in = |devices: &[String], device: &str| devices.iter().any(|one| one == device);
        let has_ignored = |filter: &str| {
            SubscriptionKind::parse(filter)
                .is_some_and(|(device, _)| is_in(&self.ignored_entirely, device))
        };
        match packet {
            Packet::Publish(publish) => PublishTopic::parse(&publish.topic).is_ok_and(|topic| {
                let of_kind = match topic.kind {
                    PublishKind::Attach => &self.ignored[..],
                    PublishKind::Detach => &[],
                    PublishKind::Data(_) => &self.ignored_publications,
                };
                is_in(&self.ignored_entirely, topic.device) || is_in(of_kind, topic.device)
            }),
            Packet::Subscribe { filters, .. } => {
                filters.iter().any(|(filter, _)| has_ignored(filter))
            }
            Packet::Unsubscribe { filters, .. } => filters.iter().any(|filter| has_ignored(filter)),
            _ => false,
        }
    }
}
