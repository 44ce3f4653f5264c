//! The least time that work takes in a calm world, and what the gateway's options demand of such a world.
//!
//! A calm world answers everything at a constant rate. What is asked of it at once is done in three stages, each of which
//! waits for the answer to the one before: attaches; what the attached devices send; the last answers. In a stage, the
//! slowest of these decides: the workers, the link in each direction, the window (a full window is answered once in a
//! round trip), and the quota.
//!
//! With one queue for all packets the stages of SUBSCRIBE and of publications add up, with one for each kind they overlap.

use core::num::NonZeroU32;
use core::time::Duration;

use iotcore_gateway::Options;

use crate::bridge::service::{Queues, ServiceKind};
use crate::link::Network;
use crate::script::World;

/// The length of the packets of all scripts, rounded up, without payloads and tokens.
const PACKET: usize = 90;
const ANSWER: usize = 5;
/// A device's token, with what encloses it.
const TOKEN: usize = 1_000;
/// The rate at which the gateway's deadlines allow for bytes that are under way.
const ALLOWED_RATE: u32 = 2_000;

/// What is asked at once, of devices that are not attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) attaches: u32,
    /// Whether each has a token.
    pub(crate) has_tokens: bool,
    pub(crate) subscribes: u32,
    /// The longest config that a SUBSCRIBE causes.
    pub(crate) config: usize,
    pub(crate) publications: u32,
    /// Their senders, each of which has about as many.
    pub(crate) senders: u32,
    pub(crate) payload: usize,
}

/// A calm world and the options of a gateway in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace<'a> {
    pub(crate) world: &'a World,
    pub(crate) options: &'a Options,
}

impl Pace<'_> {
    fn network(&self) -> Network {
        self.world.network()
    }

    fn time(&self, kind: ServiceKind) -> Duration {
        self.world.service.work(kind).time
    }

    /// Returns the longest time without an answer of this kind while the bridge works.
    fn gap(&self, kind: ServiceKind) -> Duration {
        let all = ServiceKind::ALL.map(|kind| self.time(kind));
        match self.world.service.queues {
            Queues::One => all.into_iter().max().unwrap_or_default(),
            Queues::PerKind => self.time(kind),
        }
    }

    /// Without a rate, the buffer holds what has not arrived.
    fn up(&self, bytes: usize) -> Duration {
        let Network {
            capacity, latency, ..
        } = self.network();
        let by_buffer = latency.mul_f64(bytes as f64 / capacity as f64);
        match self.world.rate.to_bridge {
            None => by_buffer,
            rate => carried(bytes, rate),
        }
    }

    fn down(&self, bytes: usize) -> Duration {
        carried(bytes, self.world.rate.to_gateway)
    }

    /// Returns the time from the sending of a fragment to the arrival of an answer that was not delayed.
    pub(crate) fn round_trip(&self) -> Duration {
        let fragment = self.network().fragment;
        self.network().latency * 2 + self.up(fragment) + self.down(fragment)
    }

    /// Returns whether a connection lasts in this world, with packets of at most so many bytes: an answer comes within
    /// the timeout of PINGREQ, and bytes leave and whole packets arrive within the keep alive.
    pub(crate) fn keeps_connections(&self, largest: usize) -> bool {
        let Options {
            keep_alive,
            connack_timeout,
            ..
        } = *self.options;
        let largest = largest.max(TOKEN + PACKET);
        let allowed = carried(largest, Some(ALLOWED_RATE));
        let slowness = self.up(largest).saturating_sub(allowed);
        let silence = self.gap(ServiceKind::Ping) + self.round_trip() + slowness;
        silence < keep_alive.min(connack_timeout)
            && self.up(self.network().fragment) < keep_alive.min(connack_timeout)
            && self.up(largest) < keep_alive
    }

    /// Returns whether the bridge answers within the timeouts of the gateway, which start again with each answer.
    pub(crate) fn answers_in_time(&self) -> bool {
        let in_time = |kind, timeout| self.gap(kind) + self.round_trip() * 2 < timeout;
        in_time(ServiceKind::Attach, self.options.attach_timeout)
            && in_time(ServiceKind::Attach, self.options.ack_timeout)
            && in_time(ServiceKind::Subscribe, self.options.ack_timeout)
            && in_time(ServiceKind::Publish, self.options.ack_timeout)
    }

    /// Returns the least time for all the work.
    pub(crate) fn least(&self, work: &Work) -> Duration {
        let options = self.options;
        let token = if work.has_tokens { TOKEN } else { 0 };
        let attaches = Stage {
            count: work.attaches,
            kind: ServiceKind::Attach,
            window: options.attach_window,
            up: PACKET + token,
            down: ANSWER,
        };
        let subscribes = Stage {
            count: work.subscribes,
            kind: ServiceKind::Subscribe,
            window: options.subscribe_window,
            up: PACKET + ANSWER,
            down: ANSWER + PACKET + work.config,
        };
        let of_device = options.device_window.into();
        let of_device = options.device_queue.messages.min(of_device);
        let of_device = of_device.min(options.device_queue.bytes / work.payload.max(1));
        let window = of_device.saturating_mul(work.senders as usize);
        let window = window.min(options.total_queue.messages);
        let window = u16::try_from(window).unwrap_or(u16::MAX);
        let is_window_full = work.publications > options.window.min(window).into();
        let publications = Stage {
            count: work.publications,
            kind: ServiceKind::Publish,
            window: options.window.min(window),
            up: PACKET + work.payload,
            down: ANSWER,
        };
        let [attaches, subscribes, publications] =
            [attaches, subscribes, publications].map(|stage| self.stage(&stage));
        let publications = publications.max(self.by_quota(work));
        let rest = match self.world.service.queues {
            Queues::One => subscribes + publications,
            Queues::PerKind => subscribes.max(publications),
        };
        // A full window leaves the quota unused, also while the devices are attached.
        let by_messages = self.by_messages(work);
        let least = match is_window_full {
            true => attaches + rest + by_messages,
            false => attaches + rest.max(by_messages),
        };
        let least = least.mul_f64(self.share_of_pings());
        // The answer to the attach of a device, then that to what it sends.
        least + self.round_trip() * 2
    }

    fn stage(&self, stage: &Stage) -> Duration {
        if stage.count == 0 {
            return Duration::ZERO;
        }
        let (time, workers) = (self.time(stage.kind), self.world.service.workers.get());
        let by_workers = time * stage.count.div_ceil(workers);
        let link = self.up(stage.up) + self.down(stage.down);
        let window = u32::from(stage.window).min(stage.count).max(1);
        let waiting = (self.network().latency * 2 + time) * stage.count.div_ceil(window);
        let by_link = self.up(stage.up).max(self.down(stage.down)) * stage.count;
        by_workers.max(by_link).max(waiting + link * stage.count)
    }

    fn by_quota(&self, work: &Work) -> Duration {
        let each = work.publications.div_ceil(work.senders.max(1));
        let bytes = each as usize * work.payload;
        let rate = self.options.quota.device_bytes_per_second;
        carried(bytes, rate.map(NonZeroU32::get))
    }

    /// Returns how long the quota of the connection holds all packets back.
    fn by_messages(&self, work: &Work) -> Duration {
        let packets = work.attaches + work.subscribes + work.publications;
        let rate = self.options.quota.messages_per_second;
        carried(packets as usize, rate.map(NonZeroU32::get))
    }

    /// Returns the factor by which PINGREQs in the same queue slow the rest down.
    fn share_of_pings(&self) -> f64 {
        let ping = match self.world.service.queues {
            Queues::One => self.time(ServiceKind::Ping).as_secs_f64(),
            Queues::PerKind => 0.0,
        };
        1.0 + 2.0 * ping / self.options.keep_alive.as_secs_f64().max(1.0)
    }
}

/// Packets of one kind.
struct Stage {
    count: u32,
    kind: ServiceKind,
    window: u16,
    up: usize,
    down: usize,
}

fn carried(bytes: usize, rate: Option<u32>) -> Duration {
    rate.map_or(Duration::ZERO, |rate| {
        Duration::from_secs_f64(bytes as f64 / f64::from(rate.max(1)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Service;
    use crate::link::Rate;

    const SECOND: Duration = Duration::from_secs(1);

    fn work() -> Work {
        Work {
            attaches: 10,
            subscribes: 20,
            publications: 100,
            senders: 11,
            payload: 10,
            ..Work::default()
        }
    }

    fn least(world: &World, options: &Options) -> Duration {
        Pace { world, options }.least(&work())
    }

    #[test]
    fn the_workers_decide_in_one_queue_or_in_several() {
        let options = Options::default();
        let service = Service::one_queue()
            .attach(SECOND)
            .subscribe(SECOND)
            .publish(SECOND);
        let mut world = World {
            service,
            ..World::default()
        };
        let round_trips = 2 * Duration::from_millis(40);
        assert_eq!(least(&world, &options), 130 * SECOND + round_trips);
        world.service.queues = Queues::PerKind;
        // Of 100 publications that are sent at once, the first answer takes a second, and so does each of the rest.
        assert_eq!(least(&world, &options), 110 * SECOND + round_trips);
        world.service = world.service.workers(4);
        assert_eq!(least(&world, &options), 28 * SECOND + round_trips);
    }

    #[test]
    fn the_window_the_link_and_the_quota_decide_if_they_are_slower() {
        let mut options = Options::default();
        let mut world = World::default();
        let fast = least(&world, &options);
        assert!(fast < SECOND / 4, "{fast:?}");
        options.window = 1;
        let by_window = least(&world, &options);
        assert!(
            (4 * SECOND..5 * SECOND).contains(&by_window),
            "{by_window:?}"
        );
        options.quota.messages_per_second = NonZeroU32::new(2);
        let by_quota = least(&world, &options);
        assert!(
            (69 * SECOND..71 * SECOND).contains(&by_quota),
            "{by_quota:?}"
        );
        world.rate = Rate::both(100);
        let by_link = least(&world, &options);
        assert!(by_link > 110 * SECOND, "{by_link:?}");
    }

    #[test]
    fn a_world_suits_the_options_or_not() {
        let options = Options::default();
        let mut world = World::default();
        let suits = |world: &World| {
            let options = &options;
            let pace = Pace { world, options };
            (pace.keeps_connections(1_000), pace.answers_in_time())
        };
        assert_eq!(suits(&world), (true, true));
        world.service = Service::one_queue().publish(25 * SECOND);
        assert_eq!(suits(&world), (false, true), "PINGRESP within 20 s");
        world.service = Service::per_kind().publish(35 * SECOND);
        assert_eq!(suits(&world), (true, false), "PUBACK within 30 s");
        world.service = Service::default();
        world.rate = Rate::both(20);
        assert_eq!(suits(&world), (false, false), "a fragment takes 70 s");
    }
}
