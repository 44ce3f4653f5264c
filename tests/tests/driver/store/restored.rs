//! What a restart finds in the store.

use std::time::Duration;

use iotcore_gateway::{
    DeviceId, Failure, Options,
    auth::UnixTime,
    device::DeviceState,
    driver::{Attach, ReportedState, Status, Telemetry},
    message::{Priority, PublicationTopic},
};

use super::{super::id, Machine, Process, Server, is_stored, poll_once, restored};

fn attach(machine: &Machine, process: &Process, server: &Server, device: &str) {
    let attaching = machine.world.spawn(process.client.attach(id(device)));
    server.serve(&machine.world);
    drop(attaching.ended().unwrap());
}

/// Leaves messages of devices in the store of a machine whose power is lost then.
fn left_by(machine: &Machine, messages: &[(&str, &str)]) {
    let process = machine.start_offline(Options::default());
    for (device, payload) in messages {
        let attach = Attach::new(id(device)).keep_waiting();
        let mut attaching = process.client.attach(attach);
        let device = poll_once(attaching.accepted()).unwrap().unwrap();
        let delivery = device.try_telemetry((*payload).to_owned()).unwrap();
        machine.world.run_until_idle();
        assert_eq!(is_stored(&delivery), Some(Ok(())));
    }
    machine.lose_power(process);
}

fn payloads(received: Vec<(String, u16)>) -> Vec<String> {
    received.into_iter().map(|(payload, _)| payload).collect()
}

fn unclaimed(changes: &[Status]) -> Vec<(DeviceId, usize)> {
    let unclaimed = changes.iter().filter_map(|change| match change {
        Status::Unclaimed { device, messages } => Some((device.clone(), *messages)),
        _ => None,
    });
    unclaimed.collect()
}

#[test]
fn what_was_stored_is_reported_and_goes_out_first_in_its_order() {
    let machine = Machine::new();
    let process = machine.start_offline(Options::default());
    let stored = Vec::from_iter((0..5).map(|n| process.publish(&format!("old {n}"))));
    machine.world.run_until_idle();
    assert!(
        stored
            .iter()
            .all(|delivery| is_stored(delivery) == Some(Ok(())))
    );
    machine.lose_power(process);

    let mut process = machine.start_offline(Options::default());
    assert_eq!(restored(&machine.changes(&mut process)), 5);
    let _new = process.publish("new");
    machine.world.dials(super::Dials::Succeed);
    let server = Server::accept_again(&machine.world);
    let expected = ["old 0", "old 1", "old 2", "old 3", "old 4", "new"];
    assert_eq!(payloads(server.received_payloads()), expected);
    // Nothing of it was acknowledged: all of it comes again, and in its order.
    machine.lose_power(process);
    let process = machine.start_offline(Options::default());
    assert_eq!(process.unsent(), expected);
}

#[test]
fn what_was_restored_is_stored_and_stays_so_when_the_gateway_closes() {
    let machine = Machine::new();
    let process = machine.start_offline(Options::default());
    let _old = process.publish("old");
    machine.world.run_until_idle();
    machine.lose_power(process);

    let process = machine.start_offline(Options::default());
    let restored = process.client.restored();
    let [(_, old)] = &restored[..] else {
        panic!("{restored:?}");
    };
    assert_eq!(is_stored(old), Some(Ok(())));
    let new = process.publish("new");
    drop(poll_once(process.client.close()));
    machine.world.pass(Duration::from_secs(20));
    assert_eq!(is_stored(&new), Some(Ok(())), "it is kept");
}

#[test]
fn an_empty_store_is_not_reported() {
    let machine = Machine::new();
    let (mut process, _server) = machine.open(Options::default());
    assert!(matches!(
        machine.changes(&mut process)[..],
        [Status::Connected]
    ));
}

#[test]
fn a_message_is_restored_as_what_it_was() {
    let machine = Machine::new();
    let process = machine.start_offline(Options::default());
    let attach = Attach::new(id("boiler")).keep_waiting();
    let boiler = poll_once(process.client.attach(attach).accepted()).unwrap();
    let boiler = boiler.unwrap();
    let reading = Telemetry::new("21.5")
        .subfolder("alerts".parse().unwrap())
        .priority(Priority::Urgent)
        .expires_after(Duration::from_secs(3_600))
        .tag("reading 17".parse().unwrap());
    let _reading = boiler.try_telemetry(reading).unwrap();
    let _old = boiler.try_report_state(ReportedState::new("open")).unwrap();
    let _state = boiler
        .try_report_state(ReportedState::new("closed"))
        .unwrap();
    machine.world.run_until_idle();
    let left = process.client.unsent();
    machine.world.net.suspend(Duration::from_secs(600));
    machine.lose_power(process);

    let process = machine.start_offline(Options::default());
    let again = process.client.unsent();
    assert_eq!(again.len(), 2);
    for (left, again) in left.iter().zip(&again) {
        assert_eq!(left.device, again.device);
        assert_eq!(left.topic, again.topic);
        assert_eq!(left.payload, again.payload);
        assert_eq!((left.priority, &left.tag), (again.priority, &again.tag));
    }
    assert!(matches!(again[1].topic, PublicationTopic::State));
    // The time that it was off counts.
    assert_eq!(again[0].expires_after, Some(Duration::from_secs(3_000)));
}

#[test]
fn what_nobody_claims_is_reported_on_each_connection_and_kept() {
    let machine = Machine::new();
    left_by(
        &machine,
        &[("boiler", "71"), ("valve", "1"), ("boiler", "72")],
    );
    for _ in 0..2 {
        let (mut process, mut server) = machine.open(Options::default());
        for _ in 0..2 {
            let changes = machine.changes(&mut process);
            assert_eq!(unclaimed(&changes), [(id("boiler"), 2), (id("valve"), 1)]);
            server.close(&machine.world);
            server = Server::accept_again(&machine.world);
            machine.world.run_until_idle();
            assert!(server.received_payloads().is_empty());
        }
        let boiler = process.client.device(&id("boiler")).unwrap();
        assert_eq!(boiler.status(), Some(DeviceState::Unclaimed));
        machine.lose_power(process);
    }
}

#[test]
fn an_attach_claims_what_was_stored_for_a_device() {
    let machine = Machine::new();
    left_by(
        &machine,
        &[("boiler", "71"), ("valve", "1"), ("boiler", "72")],
    );
    let (process, server) = machine.open(Options::default());
    attach(&machine, &process, &server, "boiler");
    assert_eq!(process.unsent(), ["1"]);
    machine.world.pass(Duration::from_secs(2));
    machine.lose_power(process);
    let process = machine.start_offline(Options::default());
    assert_eq!(process.unsent(), ["1"]);
}

#[test]
fn a_detach_drops_what_nobody_claims() {
    let machine = Machine::new();
    left_by(&machine, &[("boiler", "71"), ("valve", "1")]);
    let mut process = machine.start_offline(Options::default());
    let boiler = process.client.device(&id("boiler")).unwrap();
    let detaching = machine.world.spawn(boiler.detach());
    assert_eq!(detaching.ended(), Ok(()));
    assert!(process.client.device(&id("boiler")).is_none());
    assert_eq!(process.unsent(), ["1"]);
    let dropped = machine
        .changes(&mut process)
        .into_iter()
        .find_map(|change| match change {
            Status::Undelivered {
                device,
                failure,
                messages,
                ..
            } => Some((device, failure, messages)),
            _ => None,
        });
    assert_eq!(dropped, Some((id("boiler"), Failure::Detached, 1)));
    machine.world.pass(Duration::from_secs(2));
    machine.lose_power(process);
    let process = machine.start_offline(Options::default());
    assert_eq!(process.unsent(), ["1"]);
}

#[test]
fn what_has_expired_meanwhile_is_reported_although_nobody_claims_it() {
    let machine = Machine::new();
    let process = machine.start_offline(Options::default());
    let mut attaching = process
        .client
        .attach(Attach::new(id("boiler")).keep_waiting());
    let boiler = poll_once(attaching.accepted()).unwrap().unwrap();
    let minute = Telemetry::new("71").expires_after(Duration::from_secs(60));
    let _delivery = boiler.try_telemetry(minute).unwrap();
    machine.world.run_until_idle();
    machine.lose_power(process);
    machine.world.net.suspend(Duration::from_secs(120));

    let mut process = machine.start_offline(Options::default());
    let changes = machine.changes(&mut process);
    let expired = changes.iter().find_map(|change| match change {
        Status::Undelivered {
            device, failure, ..
        } => Some((device.clone(), failure.clone())),
        _ => None,
    });
    assert_eq!(expired, Some((id("boiler"), Failure::Expired)));
    assert_eq!(process.unsent(), [""; 0]);
}

#[test]
fn a_reader_that_comes_before_the_driver_runs_misses_nothing() {
    let machine = Machine::new();
    left_by(&machine, &[("boiler", "71")]);
    let (client, driver) = machine
        .setup(Options::default())
        .start(machine.world.net.clone())
        .unwrap();
    let _delivery = client.gateway().try_telemetry("72").unwrap();
    let mut status = client.status();
    let _driver = machine.world.spawn(driver.run());
    let changes = super::read(&machine.world, &mut status);
    assert_eq!(restored(&changes), 1);
}

#[test]
fn a_message_whose_deadline_was_stored_survives_a_boot_in_1970() {
    let machine = Machine::new();
    let process = machine.start_offline(Options::default());
    let hour = Telemetry::new("71").expires_after(Duration::from_secs(3_600));
    let _delivery = process.client.gateway().try_telemetry(hour).unwrap();
    machine.world.run_until_idle();
    let date = iotcore_gateway::driver::Runtime::unix_now(&machine.world.net);
    machine.lose_power(process);
    machine.world.net.set_date(UnixTime::from_secs(10));
    let process = machine.start_offline(Options::default());
    machine.world.pass(Duration::from_secs(60));
    assert_eq!(process.unsent(), ["71"]);
    machine.lose_power(process);
    machine.world.net.set_date(date);
    let process = machine.start_offline(Options::default());
    assert_eq!(process.unsent(), ["71"]);
}

/// Without a date there is no deadline that a later process could tell. It is delivered late rather than dropped in time.
#[test]
fn a_message_that_was_accepted_in_1970_has_no_deadline_after_a_restart() {
    let machine = Machine::new();
    let date = iotcore_gateway::driver::Runtime::unix_now(&machine.world.net);
    machine.world.net.set_date(UnixTime::from_secs(10));
    let process = machine.start_offline(Options::default());
    let minute = Telemetry::new("71").expires_after(Duration::from_secs(60));
    let _delivery = process.client.gateway().try_telemetry(minute).unwrap();
    machine.world.run_until_idle();
    machine.lose_power(process);
    machine.world.net.set_date(date);
    let process = machine.start_offline(Options::default());
    machine.world.pass(Duration::from_secs(3_600));
    let left = process.client.unsent();
    assert_eq!(process.unsent(), ["71"]);
    assert_eq!(left[0].expires_after, None);
}
