//! What a close, and other ends, leave in the store.

use std::time::Duration;

use iotcore_gateway::{Options, driver::Delivery};
use iotcore_gateway_testkit::{disk::FaultRates, simulation::JobTime};

use super::{Machine, is_stored, poll_once, restored};

#[test]
fn a_close_keeps_what_is_unsent_and_lists_it() {
    let machine = Machine::new();
    let (process, server) = machine.open(Options::default());
    // It is closed before they are to be stored.
    let _deliveries = ["71", "72", "73"].map(|payload| process.publish(payload));
    machine.world.run_until_idle();
    drop(server.received());
    let closed = machine.close(process);
    let unsent = closed.unsent.iter().map(|unsent| &unsent.payload[..]);
    assert!(unsent.eq([b"71", b"72", b"73"]));
    assert!(closed.unsent.iter().all(|unsent| unsent.is_stored));
    machine.disk.cut_power();

    let mut process = machine.start_offline(Options::default());
    assert_eq!(restored(&machine.changes(&mut process)), 3);
    assert_eq!(process.unsent(), ["71", "72", "73"]);
}

#[test]
fn a_close_on_a_full_disk_does_not_claim_that_anything_is_stored() {
    let machine = Machine::new();
    let mut options = Options::default();
    options.drain_timeout = Duration::from_secs(2);
    let process = machine.start_offline(options);
    let stored = process.publish("71");
    machine.world.run_until_idle();
    let mut rates = FaultRates::default();
    (rates.write, rates.sync) = (100, 100);
    machine.disk.with(|disk| disk.set_rates(rates));
    let lost = process.publish("72");
    let closed = machine.close(process);
    let is_stored = closed.unsent.iter().map(|unsent| unsent.is_stored);
    assert!(is_stored.eq([true, false]));
    let error = |delivery: Delivery| poll_once(delivery).unwrap().unwrap_err().to_string();
    assert!(error(stored).ends_with("do not publish it again"));
    assert!(error(lost).ends_with("it may have arrived"));
}

#[test]
fn a_close_without_time_to_drain_still_stores_what_the_disk_takes() {
    let machine = Machine::new();
    machine
        .world
        .net
        .set_job_time(JobTime::Takes(Duration::from_millis(5)));
    let mut options = Options::default();
    options.drain_timeout = Duration::from_millis(100);
    let (process, _server) = machine.open(options.clone());
    let _delivery = process.publish("71");
    machine.world.run_until_idle();
    let closed = machine.close(process);
    assert_eq!(closed.unsent.len(), 1);
    machine.disk.cut_power();
    let process = machine.start_offline(options);
    assert_eq!(process.unsent(), ["71"]);
}

#[test]
fn what_was_stored_and_then_acknowledged_does_not_come_back_after_a_close() {
    let machine = Machine::new();
    let process = machine.start_offline(Options::default());
    let delivery = process.publish("71");
    machine.world.run_until_idle();
    assert_eq!(is_stored(&delivery), Some(Ok(())));
    machine.kill(process);

    let (process, server) = machine.open(Options::default());
    server.serve(&machine.world);
    assert_eq!(process.unsent(), [""; 0]);
    let client = process.client.clone();
    let closing = machine.world.spawn(async move { client.close().await });
    server.serve(&machine.world);
    server.close(&machine.world);
    machine.world.run_until_idle();
    assert_eq!(closing.ended(), process.driver.ended());
    machine.disk.cut_power();

    let mut process = machine.start_offline(Options::default());
    assert_eq!(restored(&machine.changes(&mut process)), 0);
}

#[test]
fn what_is_acknowledged_is_removed_within_a_second_and_a_half() {
    let machine = Machine::new();
    let process = machine.start_offline(Options::default());
    let _deliveries = Vec::from_iter((0..20).map(|n| process.publish(&n.to_string())));
    machine.world.run_until_idle();
    machine.kill(process);
    let (process, server) = machine.open(Options::default());
    server.serve(&machine.world);
    machine.world.pass(Duration::from_millis(1_500));
    machine.lose_power(process);
    let process = machine.start_offline(Options::default());
    assert_eq!(process.unsent(), [""; 0]);
}

#[test]
fn a_dropped_driver_leaves_what_was_stored() {
    let machine = Machine::new();
    let process = machine.start_offline(Options::default());
    let _delivery = process.publish("71");
    machine.world.run_until_idle();
    machine.world.cancel(process.driver);
    let process = machine.start_offline(Options::default());
    assert_eq!(process.unsent(), ["71"]);
}
