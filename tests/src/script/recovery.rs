//! The time limit for what was asked before the calm: see [`owed`](crate::model::owed) for what earlier faults add.

use core::time::Duration;

use super::run::{RECOVERY, ROUND, Run};
use super::step::DEVICES;
use crate::bridge::faults::PacketKind;
use crate::bridge::service::{ServiceKind, Traffic};
use crate::model::{OperationKind, Pace, Work, owed};

/// How often the user looks at what is necessary, at most, until everything has ended: to authorize or attach a device,
/// to acknowledge a delivery, to give up.
const LOOKS: u32 = 10;

/// Publications beyond the fewest that are allowed in the recovery.
const SPARE_PUBLICATIONS: u64 = 5;

/// What is to be done in the calm, and how much of it was done before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recovery {
    /// The longest time for everything.
    pub(super) limit: Duration,
    /// The least time, without what is owed.
    pub(super) least: Duration,
    /// Publications that had not ended, and those that waited at the bridge.
    publications: u64,
    written: u64,
    arrived: u64,
    connections: u64,
    refusals: u64,
    rejected: u64,
    /// How often a publication is overdue while the link carries what is in its buffers.
    overdue: u64,
    is_judged: bool,
}

impl Run {
    /// Returns the limit for everything that has not ended: 1.2 × the least time + one round trip + what is owed.
    pub(super) fn recovery(&mut self) -> Recovery {
        let (options, world) = (self.drafted.options.clone(), self.world.clone());
        let traffic = self.link.bridge.traffic();
        let [attaches, subscribes, waiting] = [
            ServiceKind::Attach,
            ServiceKind::Subscribe,
            ServiceKind::Publish,
        ]
        .map(|kind| traffic.unanswered(kind) as u32);
        let connections = traffic.connections();
        let written = self.link.observer.model.written_publications();
        let arrived = arrivals(traffic);
        let stats = self.link.gateway.stats();
        let pending: Vec<OperationKind> = self.model().pending().map(|(_, kind)| kind).collect();
        let count = |is: fn(&OperationKind) -> bool| pending.iter().filter(|kind| is(kind)).count();
        let publications = count(|kind| matches!(kind, OperationKind::Publish(_))) as u32;
        let devices = stats.devices as u32;
        let work = Work {
            // Each may be attached on a connection that ends, or refused before its user gives up.
            attaches: attaches + 8 * devices,
            has_tokens: self.drafted.needs_device_tokens(),
            subscribes: subscribes + 4 * (devices + 1) + pending.len() as u32 - publications,
            config: self.model().longest_config(),
            // Those in flight are sent again if their answers are lost, or the connection.
            publications: waiting + publications * 2,
            senders: 1,
            payload: stats.queued_bytes / (publications as usize).max(1),
        };
        let pace = Pace {
            world: &world,
            options: &options,
        };
        let least = pace.least(&work);
        let states = options.quota.state_interval * publications;
        let in_buffers = self.link.carries_for();
        let debts = owed(&options)
            + states
            + in_buffers
            + self.quota_debt()
            + self.model().trials()
            + ROUND * LOOKS;
        let is_judged = pace.answers_in_time();
        let limit = match is_judged {
            true => least.mul_f64(1.2) + pace.round_trip() + debts,
            false => RECOVERY,
        };
        Recovery {
            limit,
            least,
            publications: (publications + waiting).into(),
            written,
            arrived,
            connections,
            refusals: self.refusals(),
            rejected: self.model().rejected(),
            overdue: in_buffers.as_secs() / options.ack_timeout.as_secs().max(1),
            is_judged,
        }
    }

    /// Checks the number of publications that were sent in the recovery: 1.05 × those that had not ended, for each
    /// connection, because those in flight are sent again on the next, and once more, because they may be overdue, or as
    /// often as they are while a thin link carries what is in its buffers; and those that the bridge rejects, because it
    /// has detached their device.
    pub(super) fn check_recovery(&mut self, recovery: &Recovery) {
        let traffic = self.link.bridge.traffic();
        let connections = traffic.connections() - recovery.connections;
        let written = self.link.observer.model.written_publications() - recovery.written;
        // What arrives may have been written before, and what is written to a dead connection does not arrive.
        let sent = written.min(arrivals(traffic) - recovery.arrived);
        let refusals = self.refusals() - recovery.refusals;
        let rejected = self.model().rejected() - recovery.rejected;
        let each = recovery.publications * 21 / 20 + SPARE_PUBLICATIONS;
        let most = each * (connections + 2 + recovery.overdue)
            + refusals * recovery.publications
            + rejected;
        if recovery.is_judged && sent > most {
            let what = format!(
                "{sent} publications were sent in the recovery, on {connections} new connections, for {}; {rejected} \
                 were rejected",
                recovery.publications
            );
            self.link.observer.find(super::Rule::Liveness, &what);
        }
    }

    /// Returns how long the quota may hold a device back for what it has sent: the largest message, some times.
    pub(super) fn quota_debt(&mut self) -> Duration {
        let largest = self.model().largest_packet() as f64;
        let rate = self.drafted.options.quota.device_bytes_per_second;
        let seconds = rate.map_or(0.0, |rate| largest * 5.0 / f64::from(rate.get()));
        Duration::from_secs_f64(seconds + 5.0)
    }

    /// Returns how often the bridge refused the attach of any device.
    pub(super) fn refusals(&mut self) -> u64 {
        let devices = 0..DEVICES.len();
        let refusals = devices.map(|device| u64::from(self.model().refusals(device)));
        refusals.sum()
    }
}

fn arrivals(traffic: &Traffic) -> u64 {
    traffic.received(PacketKind::Telemetry) + traffic.received(PacketKind::State)
}
