//! Disks that fail, hang, or are full.

use std::time::Duration;

use iotcore_gateway::{
    Failure, Options,
    command_error::PublishErrorKind,
    driver::{
        Status,
        closed::CloseCause,
        error::{AcceptError, StoredError},
    },
    options::OnStoreFailure,
    store::StoreFailureKind,
};
use iotcore_gateway_testkit::{disk::FaultRates, simulation::JobTime};

use super::{Machine, Process, is_stored, poll_once};

/// All that is written fails, or nothing any more.
fn fail_writes(machine: &Machine, is_failing: bool) {
    let mut rates = FaultRates::default();
    if is_failing {
        (rates.write, rates.sync) = (100, 100);
    }
    machine.disk.with(|disk| disk.set_rates(rates));
}

fn memory() -> Options {
    let mut options = Options::default();
    options.durability.on_failure = OnStoreFailure::Memory;
    options
}

/// Returns the changes that are about the store's failures.
fn failures(machine: &Machine, process: &mut Process) -> Vec<Status> {
    let mut changes = machine.changes(process);
    changes.retain(|change| matches!(change, Status::StoreFailed { .. } | Status::StoreRecovered));
    changes
}

#[test]
fn while_the_disk_fails_nothing_is_accepted_and_then_all_is_stored() {
    let machine = Machine::new();
    let mut process = machine.start_offline(Options::default());
    fail_writes(&machine, true);
    let delivery = process.publish("71");
    machine.world.run_until_idle();
    let Some(Err(StoredError::StoreFailed(failure))) = is_stored(&delivery) else {
        panic!("{:?}", is_stored(&delivery));
    };
    match &failures(&machine, &mut process)[..] {
        [Status::StoreFailed { failure: reported }] => assert_eq!(*reported, failure),
        other => panic!("{other:?}"),
    }
    let gateway = process.client.gateway();
    for refused in [
        gateway.try_telemetry("72"),
        poll_once(gateway.telemetry("72")).expect("refused at once"),
    ] {
        let Err(AcceptError::Refused(error)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error.kind, PublishErrorKind::StoreFailed);
    }
    // It is tried again, and fails again, which is reported once.
    machine.world.pass(Duration::from_secs(10));
    assert_eq!(failures(&machine, &mut process).len(), 0);

    fail_writes(&machine, false);
    machine.world.pass(Duration::from_secs(60));
    assert!(matches!(
        failures(&machine, &mut process)[..],
        [Status::StoreRecovered]
    ));
    assert_eq!(is_stored(&delivery), Some(Ok(())));
    let second = Duration::from_secs(1);
    machine.world.net.set_job_time(JobTime::Takes(second));
    let later = process.publish("72");
    assert_eq!(is_stored(&later), None, "the failure is over");
    machine.world.pass(second);
    assert_eq!(is_stored(&later), Some(Ok(())));
    machine.lose_power(process);
    let process = machine.start(Options::default());
    assert_eq!(process.unsent(), ["71", "72"]);
}

#[test]
fn with_memory_messages_are_accepted_and_sent_while_the_disk_fails() {
    let machine = Machine::new();
    let mut options = memory();
    options.durability.linger = Some(Duration::ZERO);
    let (mut process, server) = machine.open(options);
    fail_writes(&machine, true);
    let mut first = process.publish("71");
    machine.world.run_until_idle();
    assert!(matches!(
        failures(&machine, &mut process)[..],
        [Status::StoreFailed { .. }]
    ));
    server.serve(&machine.world);
    assert_eq!(poll_once(&mut first), Some(Ok(())));
    assert_eq!(is_stored(&first), Some(Ok(())), "the bridge has it");
    let second = process.publish("72");
    assert!(matches!(
        is_stored(&second),
        Some(Err(StoredError::StoreFailed(_)))
    ));
    fail_writes(&machine, false);
    machine.world.pass(Duration::from_secs(60));
    assert_eq!(is_stored(&second), Some(Ok(())));
    assert!(matches!(
        failures(&machine, &mut process)[..],
        [Status::StoreRecovered]
    ));
}

#[test]
fn a_full_disk_is_reported_as_full_and_used_again_once_it_has_room() {
    let machine = Machine::new();
    machine.disk.with(|disk| disk.set_limit(1_000));
    let mut process = machine.start_offline(Options::default());
    let delivery = process.publish("71");
    match &failures(&machine, &mut process)[..] {
        [Status::StoreFailed { failure }] => assert_eq!(failure.kind, StoreFailureKind::Full),
        other => panic!("{other:?}"),
    }
    machine.disk.with(|disk| disk.set_limit(u64::MAX));
    machine.world.pass(Duration::from_secs(60));
    assert_eq!(is_stored(&delivery), Some(Ok(())));
}

#[test]
fn a_task_that_waits_for_the_store_learns_of_its_failure() {
    let machine = Machine::new();
    let process = machine.start_offline(Options::default());
    machine
        .world
        .net
        .set_job_time(JobTime::Takes(Duration::from_secs(1)));
    fail_writes(&machine, true);
    let delivery = process.publish("71");
    let storing = machine.world.spawn(async move { delivery.stored().await });
    assert!(!storing.is_finished());
    machine.world.pass(Duration::from_secs(1));
    assert!(matches!(storing.ended(), Err(StoredError::StoreFailed(_))));
}

#[test]
fn a_message_that_ends_otherwise_ends_the_wait_for_the_store() {
    let machine = Machine::new();
    let process = machine.start_offline(Options::default());
    machine.world.net.set_job_time(JobTime::Hangs);
    let cancelled = process.publish("71");
    let stopped = process.publish("72");
    machine.world.run_until_idle();
    cancelled.cancel().unwrap();
    machine.world.run_until_idle();
    let failed = StoredError::Failed(Failure::Cancelled);
    assert_eq!(is_stored(&cancelled), Some(Err(failed)));
    let storing = machine.world.spawn(async move { stopped.stored().await });
    machine.world.cancel(process.driver);
    assert_eq!(storing.ended(), Err(StoredError::DriverStopped));
}

#[test]
fn a_close_does_not_wait_for_a_disk_that_hangs() {
    let machine = Machine::new();
    let process = machine.start_offline(Options::default());
    machine.world.net.set_job_time(JobTime::Hangs);
    let _delivery = process.publish("71");
    let client = process.client.clone();
    let closing = machine.world.spawn(async move { client.close().await });
    // The drain, twice: for the bridge, and for the store.
    machine.world.pass(Duration::from_secs(20));
    let closed = closing.ended();
    assert_eq!(closed.cause, CloseCause::Requested);
    assert_eq!(closed.unsent.len(), 1);
    machine.world.pass(Duration::from_secs(2));
    assert_eq!(process.driver.ended(), closed);
}

#[test]
fn a_disk_that_hangs_delays_no_message() {
    let machine = Machine::new();
    let mut options = Options::default();
    options.durability.linger = Some(Duration::ZERO);
    let (process, server) = machine.open(options);
    machine.world.net.set_job_time(JobTime::Hangs);
    for minute in 0..10 {
        let mut delivery = process.publish(&minute.to_string());
        server.serve(&machine.world);
        assert_eq!(poll_once(&mut delivery), Some(Ok(())));
        machine.world.pass(Duration::from_secs(30));
    }
    let client = process.client.clone();
    let closing = machine.world.spawn(async move { client.close().await });
    server.serve(&machine.world);
    server.close(&machine.world);
    machine.world.pass(Duration::from_secs(12));
    assert_eq!(closing.ended().unsent, []);
}

#[test]
fn a_segment_that_cannot_be_read_any_more_is_reported_and_read_at_the_next_start() {
    let machine = Machine::new();
    let process = machine.start_offline(Options::default());
    let _stored = process.publish("71");
    machine.world.run_until_idle();
    machine.lose_power(process);

    let mut process = machine.start_offline(Options::default());
    // What was written last is written anew, for which it has to be read.
    let unreadable = FaultRates {
        read: 100,
        ..FaultRates::default()
    };
    machine.disk.with(|disk| disk.set_rates(unreadable));
    let delivery = process.publish("72");
    machine.world.run_until_idle();
    machine.world.pass(Duration::from_secs(60));
    assert_eq!(is_stored(&delivery), Some(Ok(())));
    let changes = machine.changes(&mut process);
    let damaged = changes
        .iter()
        .filter(|change| matches!(change, Status::StoreDamaged { .. }));
    assert_eq!(damaged.count(), 1, "{changes:?}");
    machine
        .disk
        .with(|disk| disk.set_rates(FaultRates::default()));
    machine.lose_power(process);

    let process = machine.start_offline(Options::default());
    assert_eq!(process.unsent(), ["71", "72"]);
}
