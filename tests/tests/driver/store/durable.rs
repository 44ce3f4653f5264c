//! When a message is stored, and what that costs.

use std::time::Duration;

use iotcore_gateway::{
    Options,
    driver::{Telemetry, error::StoredError},
    message::QoS,
};
use iotcore_gateway_testkit::simulation::JobTime;

use super::{super::open, Machine, is_stored, poll_once};

/// The linger that is used if the options say nothing.
const LINGER: Duration = Duration::from_secs(1);

fn at_once() -> Options {
    let mut options = Options::default();
    options.durability.linger = Some(Duration::ZERO);
    options
}

#[test]
fn a_message_that_is_acknowledged_in_time_is_stored_and_never_written() {
    let machine = Machine::new();
    let (process, server) = machine.open(Options::default());
    let before = machine.counts();
    let delivery = process.publish("71");
    machine.world.pass(LINGER / 2);
    assert_eq!(is_stored(&delivery), None);
    server.serve(&machine.world);
    assert_eq!(is_stored(&delivery), Some(Ok(())));
    machine.world.pass(10 * LINGER);
    assert_eq!(machine.counts(), before);
}

#[test]
fn a_message_that_is_not_acknowledged_is_stored_after_the_linger() {
    let machine = Machine::new();
    let (process, _server) = machine.open(Options::default());
    let mut delivery = process.publish("71");
    let before = machine.counts();
    machine.world.pass(LINGER - Duration::from_millis(1));
    assert_eq!(is_stored(&delivery), None);
    assert_eq!(machine.counts(), before);
    machine.world.pass(Duration::from_millis(1));
    assert_eq!(is_stored(&delivery), Some(Ok(())));
    assert!(machine.counts().syncs > before.syncs);
    assert!(poll_once(&mut delivery).is_none(), "it is only stored");
}

#[test]
fn a_task_that_waits_for_the_store_is_woken() {
    let machine = Machine::new();
    let (process, _server) = machine.open(Options::default());
    let delivery = process.publish("71");
    let storing = machine
        .world
        .spawn(async move { (delivery.stored().await, delivery.stored().await) });
    machine.world.pass(LINGER);
    assert_eq!(storing.ended(), (Ok(()), Ok(())));
}

#[test]
fn a_message_is_awaited_while_others_wait_for_its_store() {
    let machine = Machine::new();
    let (process, server) = machine.open(Options::default());
    let delivery = process.publish("71");
    let both = machine.world.spawn(async move {
        drop(poll_once(delivery.stored()));
        delivery.await
    });
    machine.world.pass(2 * LINGER);
    assert!(!both.is_finished());
    server.serve(&machine.world);
    assert_eq!(both.ended(), Ok(()));
}

#[test]
fn without_a_connection_a_message_is_stored_at_once() {
    let machine = Machine::new();
    let process = machine.start_offline(Options::default());
    let delivery = process.publish("71");
    machine.world.run_until_idle();
    assert_eq!(is_stored(&delivery), Some(Ok(())));
}

#[test]
fn nothing_is_kept_at_qos_0_or_without_a_store() {
    let machine = Machine::new();
    let process = machine.start_offline(Options::default());
    let reading = Telemetry::new("71").qos(QoS::AtMostOnce);
    let delivery = process.client.gateway().try_telemetry(reading).unwrap();
    assert_eq!(is_stored(&delivery), Some(Err(StoredError::NotKept)));

    let without = open(Options::default());
    let delivery = without.client.gateway().try_telemetry("71").unwrap();
    assert_eq!(is_stored(&delivery), Some(Err(StoredError::NotKept)));
}

#[test]
fn a_healthy_link_writes_nothing() {
    let machine = Machine::new();
    let (process, server) = machine.open(Options::default());
    machine.world.run_until_idle();
    let before = machine.counts();
    for reading in 0..600 {
        let delivery = process.publish(&reading.to_string());
        machine.world.pass(Duration::from_millis(100));
        server.serve(&machine.world);
        assert_eq!(is_stored(&delivery), Some(Ok(())));
    }
    machine.world.pass(Duration::from_secs(60));
    assert_eq!(machine.counts(), before);
}

#[test]
fn without_a_linger_what_is_accepted_together_is_stored_with_two_groups() {
    let machine = Machine::new();
    let (process, _server) = machine.open(at_once());
    machine
        .world
        .net
        .set_job_time(JobTime::Takes(Duration::from_millis(5)));
    let before = machine.counts();
    let deliveries = Vec::from_iter((0..100).map(|n| process.publish(&n.to_string())));
    machine.world.pass(Duration::from_millis(10));
    for delivery in &deliveries {
        assert_eq!(is_stored(delivery), Some(Ok(())));
    }
    let syncs = machine.counts().syncs - before.syncs;
    assert!(syncs <= 3, "{syncs} syncs");
}

#[test]
fn a_slow_disk_delays_no_message() {
    let machine = Machine::new();
    let (process, server) = machine.open(at_once());
    machine
        .world
        .net
        .set_job_time(JobTime::Takes(Duration::from_secs(20)));
    for n in 0..50 {
        let mut delivery = process.publish(&n.to_string());
        machine.world.run_until_idle();
        server.serve(&machine.world);
        assert_eq!(poll_once(&mut delivery), Some(Ok(())));
    }
    assert_eq!(machine.world.net.elapsed(), Duration::ZERO);
}

#[test]
fn storing_takes_as_long_as_the_disk() {
    let machine = Machine::new();
    let process = machine.start_offline(Options::default());
    let slow = Duration::from_secs(3);
    machine.world.net.set_job_time(JobTime::Takes(slow));
    let first = process.publish("71");
    machine.world.run_until_idle();
    let second = process.publish("72");
    machine.world.pass(slow - Duration::from_millis(1));
    assert_eq!(is_stored(&first), None);
    machine.world.pass(Duration::from_millis(1));
    assert_eq!(is_stored(&first), Some(Ok(())));
    assert_eq!(is_stored(&second), None, "it is in the next group");
    machine.world.pass(slow);
    assert_eq!(is_stored(&second), Some(Ok(())));
}
