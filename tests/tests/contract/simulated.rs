//! The world of the simulated runtime.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use iotcore_gateway_testkit::{
    Bridge, EventKind, Settings,
    link::Side,
    simulation::{Dials, SimRuntime, Simulation},
};

use super::{
    registry::registry,
    tls,
    world::{At, BoxFuture, Log, Plan, Secured, World, in_time},
};

/// Time limit of a scenario, in virtual time.
const LIMIT: Duration = Duration::from_secs(600);

pub(crate) struct Simulated {
    simulation: Simulation,
    runtime: SimRuntime,
    log: Log,
}

impl World for Simulated {
    type Runtime = SimRuntime;

    fn play(secured: Secured, scenario: impl AsyncFnOnce(&Self, Plan)) {
        let (config, security) = tls::secure(&secured);
        let simulation = Simulation::with_bridge(registry(), Settings::default(), config);
        let world = Self {
            runtime: simulation.runtime(),
            simulation,
            log: Log::default(),
        };
        let scenario = scenario(&world, Plan::new(security, 8_883));
        world
            .simulation
            .run(in_time(&world.runtime, LIMIT, scenario));
    }

    fn runtime(&self) -> SimRuntime {
        self.runtime.clone()
    }

    fn spawn(&self, task: BoxFuture<()>) {
        drop(self.simulation.spawn(task));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Bridge, Instant) -> T) -> T {
        self.runtime.with(act)
    }

    async fn until(&self, condition: impl Fn(&[EventKind]) -> bool) {
        let happened = |bridge: &mut Bridge| {
            while let Some(event) = bridge.poll_event() {
                self.log.add(&event);
            }
            self.log.holds(&condition)
        };
        self.runtime.until(happened).await;
    }

    fn one_byte_per_segment(&self) {
        self.runtime.shape(|network| network.fragment = 1);
    }

    fn cut(&self) {
        self.runtime.cut();
    }

    fn close_after(&self, bytes: usize) {
        self.runtime.cut_after(Side::Gateway, bytes);
    }

    fn half_open(&self) {
        self.runtime.half_open();
    }

    fn suspend(&self, duration: Duration) {
        self.runtime.suspend(duration);
    }

    fn stall(&self, is_stalled: bool) {
        self.runtime
            .shape(|network| network.is_stalled = is_stalled);
    }

    fn resolve_to(&self, addresses: &[At]) {
        let addresses = (1..).zip(addresses).map(|(n, at)| {
            let address = IpAddr::from([192, 0, 2, n]);
            let dials = match at {
                At::Bridge => Dials::Succeed,
                At::Nothing => Dials::Hang,
                At::Refusing => Dials::Fail,
                At::Silent => Dials::Silent,
            };
            self.runtime.set_dials(address, dials);
            address
        });
        let addresses: Vec<_> = addresses.collect();
        self.runtime.set_addresses(addresses);
    }
}
