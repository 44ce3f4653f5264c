//! The speed of a gateway in the calm at the end of a script, when all faults are over: everything asked is done in about
//! the least time and with about the fewest packets that its world allows, and nothing times out.
//!
//! First, what earlier faults owe is paid (see [`finish`](super::finish)). Then all devices are detached, and the user asks
//! for new work, all at once: attaches, subscriptions and publications. From here on nothing is owed, so that the bounds
//! are tight:
//!
//! * time: 1.2 × [`least`](crate::model::least) + one round trip
//! * packets of each kind: 1.05 × what was asked + [`SPARE_PACKETS`]
//! * no operation fails, and no connection ends
//!
//! They hold if the options suit the world: the bridge answers within the timeouts. A token that expires, or was issued
//! with a wrong clock, ends a connection at any time; such sessions are not judged.

use core::time::Duration;

use iotcore_gateway::message::{QoS, Subscription};

use super::broken::Rule;
use super::run::{RECOVERY, Run};
use super::step::{Command, DEVICES, Terms, Tokens};
use crate::bridge::faults::PacketKind;
use crate::bridge::service::ServiceKind;
use crate::bridge::settings::{FailedPuback, ForbiddenSubscribe};
use crate::link::{BOUND, GATEWAY};
use crate::model::{Pace, Work};

/// Packets beyond the fewest that are allowed in any calm, of each kind.
const SPARE_PACKETS: u64 = 2;

/// The length of a payload.
pub(super) const PAYLOAD: u16 = 20;

/// For how long a connection of the calm is not replaced: less than its token's lifetime of an hour.
const LASTING: Duration = Duration::from_secs(2_500);

/// What had arrived at the bridge before the work.
#[derive(Clone, Copy, Debug)]
struct Before {
    attaches: u64,
    subscribes: u64,
    publications: u64,
    connections: u64,
    failures: u64,
    refusals: u64,
}

impl Run {
    /// Asks for new work and checks how long it takes. Returns whether it was judged.
    pub(super) fn check_speed(&mut self) {
        if !self.is_quiet() {
            return;
        }
        self.link.observer.history.stop_counting();
        self.detach_all();
        if self.is_broken() || !self.is_settled() {
            return;
        }
        let world = self.world.clone();
        let options = self.drafted.options.clone();
        let pace = Pace {
            world: &world,
            options: &options,
        };
        let is_judged = pace.answers_in_time();
        if is_judged {
            self.model().expect_answers_in_time();
        }
        let before = self.before();
        let start = self.link.now();
        let is_lasting = self.is_lasting();
        let (work, mut publications) = self.ask(&world);
        let least = pace.least(&work);
        let limit = match is_judged {
            true => least.mul_f64(1.2) + pace.round_trip(),
            false => RECOVERY,
        };
        let end = start + limit;
        while self.is_at_work(&mut publications) && self.link.step(end) && !self.is_broken() {
            self.look();
        }
        let took = self.link.now() - start;
        if self.is_broken() || !is_judged {
            return;
        }
        let now = self.before();
        if !self.has_lasted(before.connections) {
            let was_refused = now.refusals != before.refusals;
            if is_lasting && !(was_refused && self.closes_at_subscribe_of_refused()) {
                let what = format!("a connection ended within {took:?} in the calm");
                self.link.observer.find(Rule::Liveness, &what);
            }
            return;
        }
        if (now.failures, now.refusals) != (before.failures, before.refusals) {
            return;
        }
        if self.is_at_work(&mut publications) {
            let pending: Vec<_> = self.model().pending().collect();
            let what = format!(
                "{work:?} should take {least:?}; after {took:?}, {publications} were not accepted, \
                 and {pending:?} did not end"
            );
            return self.link.observer.find(Rule::Liveness, &what);
        }
        self.check_packets(&work, before);
        self.link.observer.history.brisk();
        self.check_isolation();
    }

    /// Returns whether the gateway is open, nothing is pending, and no packet waits at the bridge.
    fn is_quiet(&mut self) -> bool {
        let traffic = self.link.bridge.traffic();
        let is_idle = ServiceKind::ALL
            .iter()
            .all(|kind| traffic.unanswered(*kind) == 0);
        is_idle && self.link.gateway.is_open() && self.model().pending().next().is_none()
    }

    /// Returns whether it is quiet, and the gateway waits for no answer that was lost before the calm either; and gets the
    /// reports that answer what is refused.
    fn is_settled(&mut self) -> bool {
        let now = self.link.now();
        let errors = format!("/devices/{GATEWAY}/errors");
        let mut filters = self.link.bridge.subscriptions(GATEWAY);
        let gets_reports = filters.any(|(filter, _)| filter == errors);
        drop(filters);
        gets_reports && self.is_quiet() && !self.model().awaits_answers(now)
    }

    /// Detaches all devices, and waits until nothing holds the gateway back that was sent before.
    fn detach_all(&mut self) {
        for device in 1..DEVICES.len() {
            let key = self.keys[device];
            if key.is_some_and(|key| self.link.gateway.device_id(key).is_some()) {
                self.command(Command::Detach { device });
            }
        }
        // The answer proves that the connection is alive.
        self.command(Command::Telemetry {
            device: 0,
            qos: QoS::AtLeastOnce,
            size: PAYLOAD,
            terms: Terms::default(),
        });
        for device in BOUND {
            // It is already bound unless a step has unbound it.
            let _ = self.link.bridge.bind(GATEWAY, device);
        }
        let end = self.link.now() + RECOVERY;
        while !self.is_settled() && self.link.step(end) && !self.is_broken() {
            self.look();
        }
        let debt = self.quota_debt() + self.model().trials();
        self.wait(debt);
        while !self.deliveries.is_empty() {
            self.acknowledge(0);
        }
    }

    fn before(&mut self) -> Before {
        let refusals = self.refusals();
        let traffic = self.link.bridge.traffic();
        Before {
            attaches: traffic.received(PacketKind::Attach),
            subscribes: traffic.received(PacketKind::Subscribe),
            publications: traffic.received(PacketKind::Telemetry),
            connections: traffic.connections(),
            failures: self.link.observer.model.failures(),
            refusals,
        }
    }

    /// Asks for attaches and subscriptions. Returns the work, and the number of publications to be made.
    fn ask(&mut self, world: &super::World) -> (Work, u32) {
        let mut work = Work {
            has_tokens: self.drafted.needs_device_tokens(),
            config: self.model().longest_config(),
            payload: usize::from(PAYLOAD),
            senders: 1,
            publications: if world.is_slow() { 40 } else { 12 },
            ..Work::default()
        };
        for device in 1..=BOUND.len() {
            let lifetime = Duration::from_secs(3_600);
            let tokens = Tokens::Fixed;
            self.command(Command::Attach {
                device,
                lifetime,
                tokens,
            });
            let key = self.keys[device];
            if key.is_none_or(|key| self.link.gateway.device_id(key).is_none()) {
                continue;
            }
            work.attaches += 1;
            work.senders += 1;
            for subscription in [Subscription::Config, Subscription::Commands] {
                let qos = QoS::AtLeastOnce;
                self.command(Command::Subscribe {
                    device,
                    subscription,
                    qos,
                });
                work.subscribes += 1;
            }
        }
        (work, work.publications)
    }

    /// Publishes as much as there is room for, acknowledges what was delivered, and returns whether work is left.
    fn is_at_work(&mut self, publications: &mut u32) -> bool {
        while !self.deliveries.is_empty() {
            self.acknowledge(0);
        }
        let senders: Vec<usize> = (0..=BOUND.len())
            .filter(|device| {
                let key = self.keys[*device];
                key.is_some_and(|key| self.link.gateway.device_id(key).is_some())
            })
            .collect();
        self.publish_for(publications, &senders);
        *publications > 0 || self.model().pending().next().is_some()
    }

    /// Publishes for these devices in turn, as much as there is room for.
    pub(super) fn publish_for(&mut self, publications: &mut u32, senders: &[usize]) {
        while *publications > 0 {
            let mut next = senders.iter().cycle().skip(*publications as usize);
            let next = next.by_ref().take(senders.len());
            let mut next = next.filter(|device| !self.link.observer.model.is_blocked(**device));
            let Some(&device) = next.next() else {
                return;
            };
            let qos = QoS::AtLeastOnce;
            self.command(Command::Telemetry {
                device,
                qos,
                size: PAYLOAD,
                terms: Terms::default(),
            });
            *publications -= u32::from(!self.model().is_blocked(device));
        }
    }

    /// Returns whether the connection began in the calm, and its token is valid for a long time.
    fn is_lasting(&self) -> bool {
        let age = self.link.now() - self.link.observer.dialed;
        self.link.observer.dialed > self.calm_since && age < LASTING
    }

    /// Returns whether the bridge acknowledges an attach before it reports that it has refused it, and closes at the SUBSCRIBE
    /// that may be sent in between.
    fn closes_at_subscribe_of_refused(&self) -> bool {
        let settings = &self.drafted.settings;
        settings.failed_puback == FailedPuback::BeforeReport
            && settings.forbidden_subscribe != ForbiddenSubscribe::Refuse
    }

    /// Returns whether the connection of the calm is still open, since there had been so many.
    pub(super) fn has_lasted(&self, connections: u64) -> bool {
        self.link.gateway.is_open() && self.link.bridge.traffic().connections() == connections
    }

    fn check_packets(&mut self, work: &Work, before: Before) {
        let now = self.before();
        for (what, sent, asked) in [
            ("attaches", now.attaches - before.attaches, work.attaches),
            (
                "SUBSCRIBE packets",
                now.subscribes - before.subscribes,
                work.subscribes,
            ),
            (
                "publications",
                now.publications - before.publications,
                work.publications,
            ),
        ] {
            let most = u64::from(asked) * 21 / 20 + SPARE_PACKETS;
            if sent > most {
                let what = format!("{sent} {what} for {asked}");
                self.link.observer.find(Rule::Liveness, &what);
            }
        }
    }
}
