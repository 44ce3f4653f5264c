//! A box that sleeps, loses its power, and comes back with the date of 1970, at the emulated bridge.

use std::{collections::BTreeSet, time::Duration};

use iotcore_gateway::{
    auth::UnixTime,
    driver::{
        Attach, Client, Delivery, Driver, KeyTokens, Runtime, Status, Telemetry,
        store::SegmentStore,
    },
};
use iotcore_gateway_testkit::simulation::{SimDisk, SimRuntime, Simulation};

use super::{super::id, Dials, is_stored};

/// How many readings each of its lives publishes.
const READINGS: usize = 40;

struct Field {
    simulation: Simulation,
    net: SimRuntime,
    disk: SimDisk,
}

impl Field {
    fn start(&self) -> (Client, Driver<SimRuntime, KeyTokens>) {
        let store = SegmentStore::on(self.disk.clone());
        let setup = self.simulation.setup().store(store);
        setup.start(self.net.clone()).unwrap()
    }

    /// Publishes readings of a sensor, one each second.
    fn publish(&self, client: &Client, life: &str) -> Vec<Delivery> {
        let attach = Attach::new(id("sensor-1")).keep_waiting();
        let sensor = self
            .simulation
            .run(client.attach(attach).accepted())
            .unwrap();
        let publish = |reading| {
            self.simulation.pass(Duration::from_secs(1));
            sensor.try_telemetry(format!("{life} {reading}")).unwrap()
        };
        (0..READINGS).map(publish).collect()
    }

    fn arrived(&self) -> BTreeSet<String> {
        self.net.with(|bridge, _| {
            let sensor = bridge.device("sensor-1").expect("in the registry");
            let payloads = sensor.telemetry().map(|reading| reading.payload.to_vec());
            payloads
                .map(|payload| String::from_utf8(payload).unwrap())
                .collect()
        })
    }
}

#[test]
fn a_box_that_comes_back_in_1970_delivers_what_was_stored_once_it_knows_the_date() {
    let simulation = Simulation::new();
    let net = simulation.runtime();
    let field = Field {
        simulation,
        net,
        disk: SimDisk::new(7),
    };
    let hour = Duration::from_secs(3_600);
    let started = field.net.unix_now();

    let (client, driver) = field.start();
    let driver = field.simulation.spawn(driver.run());
    field.simulation.run(client.connected()).unwrap();
    // The link is dead, and nobody has noticed yet.
    field.net.half_open();
    field.net.shape(|network| network.dials = Dials::Fail);
    let first = field.publish(&client, "before the sleep");
    field.net.suspend(3 * hour);
    let second = field.publish(&client, "after the sleep");
    field.simulation.pass(Duration::from_secs(2));
    let all = first.iter().chain(&second);
    assert!(
        all.clone()
            .all(|delivery| is_stored(delivery) == Some(Ok(())))
    );
    driver.cancel();
    field.net.drop_jobs();
    drop(client);
    field.disk.cut_power();
    field.net.suspend(10 * hour);

    // It boots without the date, and goes on publishing.
    field.net.set_date(UnixTime::from_secs(0));
    field.net.shape(|network| network.dials = Dials::Succeed);
    let (client, driver) = field.start();
    let mut status = client.status();
    let driver = field.simulation.spawn(driver.run());
    let restored = field.simulation.run(status.next());
    assert!(
        matches!(restored, Some(Status::Restored { messages }) if messages == 2 * READINGS),
        "{restored:?}"
    );
    let third = field.publish(&client, "in 1970");
    field.simulation.pass(hour);
    assert!(!client.is_connected(), "the bridge refuses tokens of 1970");
    assert_eq!(field.arrived(), BTreeSet::new());
    assert!(
        third
            .iter()
            .all(|delivery| is_stored(delivery) == Some(Ok(())))
    );

    field
        .net
        .set_date(started.saturating_add(field.net.elapsed()));
    field.simulation.pass(Duration::from_secs(60));
    assert!(client.unsent().is_empty());
    let lives = ["before the sleep", "after the sleep", "in 1970"];
    let expected = lives
        .iter()
        .flat_map(|life| (0..READINGS).map(move |n| format!("{life} {n}")));
    assert_eq!(field.arrived(), expected.collect());
    drop(driver);
}

#[test]
fn a_deadline_is_kept_by_the_date_of_when_it_is_stored() {
    let simulation = Simulation::new();
    let net = simulation.runtime();
    let field = Field {
        simulation,
        net,
        disk: SimDisk::new(7),
    };
    let today = field.net.unix_now();
    field.net.shape(|network| network.dials = Dials::Fail);
    let day = Duration::from_secs(86_400);
    // It boots three days behind, and is set while there is no connection.
    field
        .net
        .set_date(UnixTime::from_secs(today.as_secs() - 3 * day.as_secs()));
    let (client, driver) = field.start();
    let driver = field.simulation.spawn(driver.run());
    field.simulation.pass(Duration::from_secs(1));
    field.net.set_date(today);
    let reading = Telemetry::new("valid for a day").expires_after(day);
    let delivery = client.gateway().try_telemetry(reading).unwrap();
    field.simulation.pass(Duration::from_secs(2));
    assert_eq!(is_stored(&delivery), Some(Ok(())));
    driver.cancel();
    field.net.drop_jobs();
    drop((client, delivery));

    let (client, driver) = field.start();
    let driver = field.simulation.spawn(driver.run());
    field.simulation.pass(Duration::from_secs(60));
    let left: Vec<_> = client.unsent();
    let left = left.first().expect("it has not expired").expires_after;
    let spent = Duration::from_secs(120);
    assert!(left.is_some_and(|left| left > day - spent), "{left:?}");
    drop(driver);
}
