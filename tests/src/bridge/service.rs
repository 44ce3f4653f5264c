//! How long the bridge takes to process what a client sends, and what it never answers.
//!
//! A [`Service`] is plain data. By default, every packet is processed and answered the moment it arrives. It is
//! formatted as a line of words and parsed from it, see [`text`]; in JSON it is that line as a string:
//!
//! ```
//! use core::time::Duration;
//! use iotcore_gateway_testkit::bridge::service::Service;
//!
//! let service: Service = "per-kind workers=4 attach=400ms publish=2s".parse()?;
//! let same = Service::per_kind()
//!     .workers(4)
//!     .attach(Duration::from_millis(400))
//!     .publish(Duration::from_secs(2));
//! assert_eq!(service, same);
//! # Ok::<(), iotcore_gateway_testkit::bridge::service::ServiceError>(())
//! ```
//!
//! [`Bridge::set_service`](super::Bridge::set_service) accepts it. All of this is Assumed; it is known only that the
//! service can be slow:
//!
//! * Each connection has its own queues and workers, and what waits is lost with the connection, also if it ends with
//!   DISCONNECT.
//! * A packet has its effect, and is answered, when a worker has finished it. A connection's keep alive counts from the
//!   packet's arrival.
//! * CONNECT, DISCONNECT and a client's acknowledgements do not wait. They can overtake packets that do.
//! * Several workers, or several queues, finish packets out of order, also those of one device.
//! * A packet that is not answered has no effect, and is reported as an [event](super::event::EventKind::Unserved). (An
//!   answer that is lost after its packet had its effect is a [fault](super::faults).)

mod backlog;
mod control;
mod random;
mod state;
pub mod text;
pub mod traffic;

use core::num::NonZeroU32;
use core::time::Duration;

pub(crate) use backlog::Backlog;
pub(crate) use state::{Admission, ServiceState};
pub use text::ServiceError;
pub use traffic::Traffic;

/// The longest time: anything that takes longer takes this long.
const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the bridge takes, and what it never answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// Which packets wait for each other.
    pub queues: Queues,
    /// The number of workers of each queue: packets of a queue that are processed at once.
    pub workers: NonZeroU32,
    /// Attach and detach.
    pub attach: Work,
    /// SUBSCRIBE and UNSUBSCRIBE.
    pub subscribe: Work,
    /// Telemetry and state, and a PUBLISH with an illegal topic.
    pub publish: Work,
    /// PINGREQ.
    pub ping: Work,
    /// The distribution of the times; `None` if all packets of a kind take the same time.
    pub tail: Option<Tail>,
    /// If set, packets have their effect and are answered only at multiples of this period since the service was set,
    /// except PINGREQ. At most a day.
    pub burst: Option<Duration>,
    /// The maximum number of packets in a queue, including those being processed and those that wait for a
    /// [burst](Self::burst); further ones are not answered. `None` for 65,536, or 64 MiB of payload.
    pub buffer: Option<NonZeroU32>,
    /// A time at which nothing is answered.
    pub stall: Option<Stall>,
    /// Devices whose attaches are never answered.
    pub ignored: Vec<String>,
    /// Devices whose telemetry and states are never answered.
    pub ignored_publications: Vec<String>,
    /// Devices whose packets are never answered: attaches, detaches, telemetry, states, and each SUBSCRIBE or
    /// UNSUBSCRIBE with one of their topics.
    pub ignored_entirely: Vec<String>,
    /// The seed of everything random.
    pub seed: u64,
}

/// Which packets wait for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Queues {
    /// One queue for all packets.
    #[default]
    One,
    /// One queue for each [`ServiceKind`].
    PerKind,
}

/// How the packets of a kind are processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Work {
    /// How long a worker takes, or the shortest time if there is a [tail](Service::tail). 0 for at once, at most a day.
    pub time: Duration,
    /// How many of a thousand packets are never answered, at random; 1,000 for all.
    pub lost: u16,
}

/// A heavy tail: times have a bounded Pareto distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tail {
    /// The shape in thousandths, at least 1: the smaller, the heavier the tail. With 1,500, one packet of three takes
    /// at least twice the time, and one of thirty ten times.
    pub shape: NonZeroU32,
    /// No packet takes longer than this multiple of the shortest time, or than a day. At least 1.
    pub limit: NonZeroU32,
}

/// A time at which nothing is answered. What would have been is answered at its end, all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stall {
    /// When it begins, from when the service is set; at most a year.
    pub from: Duration,
    /// How long it lasts, at most a year.
    pub duration: Duration,
}

/// A kind of packet that a bridge takes time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceKind {
    /// Attach and detach.
    Attach,
    /// SUBSCRIBE and UNSUBSCRIBE.
    Subscribe,
    /// Every other PUBLISH.
    Publish,
    /// PINGREQ.
    Ping,
}

impl Default for Service {
    /// Processes everything at once, and answers everything.
    fn default() -> Self {
        Self {
            queues: Queues::One,
            workers: NonZeroU32::MIN,
            attach: Work::default(),
            subscribe: Work::default(),
            publish: Work::default(),
            ping: Work::default(),
            tail: None,
            burst: None,
            buffer: None,
            stall: None,
            ignored: Vec::new(),
            ignored_publications: Vec::new(),
            ignored_entirely: Vec::new(),
            seed: 0,
        }
    }
}

/// Constructors, and a setter for each field.
impl Service {
    /// Returns a service with one queue for all packets and one worker, which takes no time.
    #[must_use]
    pub fn one_queue() -> Self {
        Self::default()
    }

    /// Returns a service with one queue for each kind of packet; each queue has one worker, which takes no time.
    #[must_use]
    pub fn per_kind() -> Self {
        Self {
            queues: Queues::PerKind,
            ..Self::default()
        }
    }

    /// Sets the number of workers of each queue; 0 is taken as 1.
    #[must_use]
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = at_least_one(workers);
        self
    }

    /// Sets the time for an attach or detach.
    #[must_use]
    pub fn attach(mut self, time: Duration) -> Self {
        self.attach.time = time;
        self
    }

    /// Sets the time for a SUBSCRIBE or UNSUBSCRIBE.
    #[must_use]
    pub fn subscribe(mut self, time: Duration) -> Self {
        self.subscribe.time = time;
        self
    }

    /// Sets the time for telemetry or a state.
    #[must_use]
    pub fn publish(mut self, time: Duration) -> Self {
        self.publish.time = time;
        self
    }

    /// Sets the time for a PINGREQ.
    #[must_use]
    pub fn ping(mut self, time: Duration) -> Self {
        self.ping.time = time;
        self
    }

    /// Gives the times a heavy tail: a [shape](Tail::shape) of 0.001 or more, in steps of that, and a maximum factor of
    /// 1 or more. Smaller values are taken as these.
    #[must_use]
    pub fn heavy_tail(mut self, shape: f64, limit: u32) -> Self {
        self.tail = Some(Tail {
            shape: at_least_one((shape * 1_000.0).round() as u32),
            limit: at_least_one(limit),
        });
        self
    }

    /// Answers only at multiples of this period; 0 for at any time. See [`burst`](Self::burst).
    #[must_use]
    pub fn bursts(mut self, period: Duration) -> Self {
        self.burst = (!period.is_zero()).then_some(period);
        self
    }

    /// Drops what a queue has no room for; 0 is taken as 1. See [`buffer`](Self::buffer).
    #[must_use]
    pub fn buffer(mut self, packets: u32) -> Self {
        self.buffer = Some(at_least_one(packets));
        self
    }

    /// Answers nothing for a duration, which begins some time after the service is set.
    #[must_use]
    pub fn stall(mut self, from: Duration, duration: Duration) -> Self {
        self.stall = Some(Stall { from, duration });
        self
    }

    /// Never answers so many of a thousand packets of a kind, at random.
    #[must_use]
    pub fn losing(mut self, kind: ServiceKind, per_thousand: u16) -> Self {
        self.work_mut(kind).lost = per_thousand.min(1_000);
        self
    }

    /// Never answers the attaches of these devices.
    #[must_use]
    pub fn ignoring<D: Into<String>>(mut self, devices: impl IntoIterator<Item = D>) -> Self {
        self.ignored.extend(devices.into_iter().map(Into::into));
        self
    }

    /// Never answers the telemetry and states of these devices.
    #[must_use]
    pub fn ignoring_publications<D: Into<String>>(
        mut self,
        devices: impl IntoIterator<Item = D>,
    ) -> Self {
        let devices = devices.into_iter().map(Into::into);
        self.ignored_publications.extend(devices);
        self
    }

    /// Never answers anything that these devices' topics are in.
    #[must_use]
    pub fn ignoring_entirely<D: Into<String>>(
        mut self,
        devices: impl IntoIterator<Item = D>,
    ) -> Self {
        let devices = devices.into_iter().map(Into::into);
        self.ignored_entirely.extend(devices);
        self
    }

    /// Sets the seed of everything random.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Returns how the packets of a kind are processed.
    #[must_use]
    pub fn work(&self, kind: ServiceKind) -> Work {
        match kind {
            ServiceKind::Attach => self.attach,
            ServiceKind::Subscribe => self.subscribe,
            ServiceKind::Publish => self.publish,
            ServiceKind::Ping => self.ping,
        }
    }

    /// Returns whether this is the default service.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn work_mut(&mut self, kind: ServiceKind) -> &mut Work {
        match kind {
            ServiceKind::Attach => &mut self.attach,
            ServiceKind::Subscribe => &mut self.subscribe,
            ServiceKind::Publish => &mut self.publish,
            ServiceKind::Ping => &mut self.ping,
        }
    }
}

impl ServiceKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Attach, Self::Subscribe, Self::Publish, Self::Ping];

    /// Returns its word in a service's text form.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Ping => "ping",
        }
    }
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}
