//! How long a gateway takes in a slow world, and with how many packets.
//!
//! ```
//! use core::time::Duration;
//! use iotcore_gateway::Options;
//! use iotcore_gateway_testkit::bridge::service::Service;
//! use iotcore_gateway_testkit::progress::{Workload, run};
//!
//! let workload = Workload::attach(50);
//! let slow = Service::one_queue().attach(Duration::from_millis(400));
//! let progress = run(&workload, Options::default(), |link| {
//!     link.bridge.set_service(slow, link.now());
//! });
//! assert!(progress.elapsed < Duration::from_secs(21));
//! assert_eq!((progress.attaches, progress.failures), (50, 0));
//! ```

use core::time::Duration;
use std::collections::BTreeSet;
use std::time::Instant;

use iotcore_gateway::{
    DeviceAuth, DeviceKey, Event, Failure, OpId, Options, Outcome, Publication,
    message::{QoS, Subscription},
};

use crate::bridge::faults::PacketKind;
use crate::link::{Link, Side, device_id};

/// What a gateway is asked to do, all at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Devices to attach.
    pub devices: usize,
    /// Whether each device subscribes to its configs and commands.
    pub subscribes: bool,
    /// Publications at QoS 1, of the devices in turn, or of the gateway if there are none.
    pub publications: usize,
    /// The length of their payloads, in bytes.
    pub payload: usize,
    /// How many of the devices the bridge ignores, from the first: they are not waited for.
    pub ignored: Vec<usize>,
    /// When to give up.
    pub limit: Duration,
}

/// What it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whether all was done before the limit.
    pub is_done: bool,
    /// The time from the first command until all was done.
    pub elapsed: Duration,
    /// Attaches that arrived at the bridge.
    pub attaches: u64,
    /// SUBSCRIBE packets that arrived at the bridge, not counting one for the errors topic on each connection.
    pub subscribes: u64,
    /// Publications that arrived at the bridge.
    pub publishes: u64,
    /// Operations that ended in a failure, not counting those of ignored devices.
    pub failures: usize,
    /// Connections.
    pub connections: u64,
    /// Bytes that the gateway has yet to send, or that are in the kernel buffer: what is sent too often may be there.
    pub unsent: usize,
}

impl Workload {
    /// Returns the workload of this many attaches.
    #[must_use]
    pub fn attach(devices: usize) -> Self {
        Self {
            devices,
            subscribes: false,
            publications: 0,
            payload: 0,
            ignored: Vec::new(),
            limit: Duration::from_secs(24 * 3_600),
        }
    }

    /// Returns the workload of this many publications of the gateway itself.
    #[must_use]
    pub fn publish(publications: usize, payload: usize) -> Self {
        Self {
            publications,
            payload,
            ..Self::attach(0)
        }
    }

    /// Adds the subscriptions of all devices.
    #[must_use]
    pub fn and_subscribe(mut self) -> Self {
        self.subscribes = true;
        self
    }

    /// Adds this many publications of the devices.
    #[must_use]
    pub fn and_publish(mut self, publications: usize, payload: usize) -> Self {
        self.publications = publications;
        self.payload = payload;
        self
    }

    /// Sets the devices that the bridge ignores, by their numbers from 1: the others' work counts.
    #[must_use]
    pub fn ignored(mut self, devices: impl IntoIterator<Item = usize>) -> Self {
        self.ignored = devices.into_iter().collect();
        self
    }
}

/// Runs a workload in a world that `prepare` sets up, in virtual time.
///
/// # Panics
///
/// If the gateway refuses a command.
pub fn run(workload: &Workload, options: Options, prepare: impl FnOnce(&mut Link)) -> Progress {
    let mut link = Link::with_devices(options, workload.devices);
    prepare(&mut link);
    let start = link.now();
    let mut run = Run::start(workload, &mut link);
    run.publish(workload, &mut link);
    while !run.is_done() && link.now() < start + workload.limit {
        run.publish(workload, &mut link);
        let events = link.events();
        if !events.is_empty() {
            events.iter().for_each(|event| run.observe(event));
            continue;
        }
        link.step(start + workload.limit);
    }
    run.summary(&mut link, start)
}

/// The state of a run.
struct Run {
    pending: BTreeSet<OpId>,
    /// Operations of ignored devices.
    hopeless: BTreeSet<OpId>,
    devices: Vec<DeviceKey>,
    published: usize,
    /// Devices whose attach failed and that are not attached yet.
    unattached: BTreeSet<DeviceKey>,
    failures: usize,
}

impl Run {
    fn start(workload: &Workload, link: &mut Link) -> Self {
        let (now, unix_now) = (link.now(), link.unix_now());
        let mut run = Self {
            pending: BTreeSet::new(),
            hopeless: BTreeSet::new(),
            devices: Vec::new(),
            published: 0,
            unattached: BTreeSet::new(),
            failures: 0,
        };
        link.gateway.open(now).expect("a new gateway opens");
        for number in 1..=workload.devices {
            let id = device_id(number).as_str().try_into().expect("legal");
            let attached = link
                .gateway
                .attach(id, DeviceAuth::ByAssociation, unix_now, now);
            let (device, op) = attached.expect("a known device");
            let is_ignored = workload.ignored.contains(&number);
            let ops = match is_ignored {
                true => &mut run.hopeless,
                false => &mut run.pending,
            };
            ops.insert(op);
            if workload.subscribes {
                for subscription in [Subscription::Config, Subscription::Commands] {
                    let qos = QoS::AtLeastOnce;
                    let op = link.gateway.subscribe(device, subscription, qos, now);
                    ops.insert(op.expect("a known device"));
                }
            }
            if !is_ignored {
                run.devices.push(device);
                run.unattached.insert(device);
            }
        }
        if workload.devices == 0 {
            run.devices.push(link.gateway.own_key());
        }
        run
    }

    /// Publishes as much as the queues take.
    fn publish(&mut self, workload: &Workload, link: &mut Link) {
        let now = link.now();
        while self.published < workload.publications {
            let device = self.devices[self.published % self.devices.len()];
            let publication = Publication::telemetry(device, vec![b'x'; workload.payload]);
            let Ok(op) = link.gateway.publish(publication, now) else {
                return;
            };
            self.pending.insert(op);
            self.published += 1;
        }
    }

    fn observe(&mut self, event: &Event) {
        match event {
            Event::Attached { device } => _ = self.unattached.remove(device),
            Event::Done { op, outcome } if *outcome != Outcome::Opened => {
                self.pending.remove(op);
            }
            Event::Failed { op, failure, .. } if self.pending.remove(op) => {
                assert!(matches!(failure, Failure::TimedOut(_)), "{failure:?}");
                self.failures += 1;
            }
            _ => {}
        }
    }

    fn is_done(&self) -> bool {
        self.pending.is_empty() && self.unattached.is_empty()
    }

    fn summary(&self, link: &mut Link, start: Instant) -> Progress {
        let unsent = link.gateway.poll_transmit().len() + link.buffered(Side::Bridge);
        let traffic = link.bridge.traffic();
        let received = |kind| traffic.received(kind);
        Progress {
            is_done: self.is_done(),
            elapsed: link.now() - start,
            attaches: received(PacketKind::Attach),
            subscribes: received(PacketKind::Subscribe) - traffic.connections(),
            publishes: received(PacketKind::Telemetry),
            failures: self.failures,
            connections: traffic.connections(),
            unsent,
        }
    }
}
