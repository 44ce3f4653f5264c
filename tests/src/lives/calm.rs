//! The calm at the end: everything that is stored is delivered, and the store is empty and small.

use core::time::Duration;

use iotcore_gateway::message::QoS;

use super::{
    DEVICES,
    life::Death,
    message::{Draft, Lane, payload},
    world::World,
};
use crate::{
    Fault, Service,
    bridge::faults::FaultKind,
    link::{BOUND, GATEWAY, Network},
};

/// Within this time everything is delivered: a publication that was lost is sent again after 30 s, and an attempt to connect
/// waits for up to 32 s.
const CALM: Duration = Duration::from_secs(20 * 60);

/// The number of messages that a healthy link delivers without a write.
const HEALTHY: usize = 5;

impl World {
    /// Ends all faults, and checks that what is stored is delivered.
    pub(super) fn calm_down(&mut self) {
        if self.model.is_broken() {
            return;
        }
        self.make_calm();
        self.begin(self.setup.calm_options(Duration::ZERO));
        self.connect_if(true);
        let is_over = self.run_until(CALM, |world| world.model.live().is_empty());
        if !is_over {
            self.model.check_ended();
        }
        // An operation may still fail once.
        self.run_until(Duration::from_secs(60), |world| {
            world.log.stats().records == 0
        });
        self.run(Duration::from_secs(3));
        self.check_empty();
        self.stay_healthy();
        if self.model.is_broken() {
            return;
        }
        self.die(Death::PowerCut);
        self.begin(self.setup.calm_options(Duration::ZERO));
        self.model.check_ended();
    }

    fn make_calm(&mut self) {
        let now = self.link.now();
        self.mend_disk();
        self.setup.flips = false;
        self.disk.set_unreadable(|_| false);
        self.disk.fail_nothing();
        self.model.is_calm = true;
        self.link.network = Network::default();
        self.link.stall(Duration::ZERO);
        self.link
            .fail_dials(0, iotcore_gateway::cause::TransportEnd::DialFailed);
        self.link.set_clock_error(0);
        let clear = Fault {
            client: None,
            kind: FaultKind::Clear,
        };
        self.link.bridge.inject(clear, now).expect("it is for all");
        self.link.bridge.set_service(Service::default(), now);
        for device in BOUND {
            let unblocked = self.link.bridge.set_blocked(device, false, now);
            unblocked.expect("it is registered");
        }
    }

    /// Claims all devices, and opens the gateway if it has a connection.
    pub(super) fn connect_if(&mut self, is_reachable: bool) {
        for device in 1..DEVICES.len() {
            self.attach_device(device);
        }
        if is_reachable {
            self.open();
        }
    }

    /// Checks that the store holds nothing any more.
    fn check_empty(&mut self) {
        let stats = self.link.gateway.stats();
        if (stats.stored, stats.stored_bytes) != (0, 0) {
            self.model
                .find(format!("something is still stored: {stats:?}"));
        }
        let stats = self.log.stats();
        // After an operation that failed, the rest is done with the next Commit.
        let is_small = stats.files - stats.set_aside <= 5 || self.has_failed();
        if stats.records != 0 || !is_small {
            self.model
                .find(format!("the folder is not empty: {stats:?}"));
        }
    }

    /// Checks that nothing is written while the link is healthy.
    fn stay_healthy(&mut self) {
        if !self.is_alive() {
            return;
        }
        self.die(Death::Killed);
        self.begin(self.setup.calm_options(Duration::from_secs(1)));
        self.connect_if(true);
        self.run(Duration::from_secs(40));
        let before = self.disk.counts().operations;
        for _ in 0..HEALTHY {
            let number = self.model.next_number();
            self.publish_draft(Draft {
                device: DEVICES.iter().position(|id| *id == GATEWAY).unwrap_or(0),
                lane: Lane::Ordinary,
                qos: QoS::AtLeastOnce,
                payload: payload(number, 50),
                has_subfolder: false,
                is_tagged: false,
                expires_after: None,
            });
            self.run(Duration::from_millis(300));
        }
        self.run(Duration::from_secs(3));
        let operations = self.disk.counts().operations - before;
        if operations > 0 {
            self.model
                .find(format!("{operations} operations on a healthy link"));
        }
        self.model.check_ended();
    }
}
