//! Setups with a store that cannot be used, or was used already.

use std::time::Duration;

use iotcore_gateway::{
    ClientId, Options,
    driver::{
        Setup, Status,
        error::{SetupError, StoreError},
    },
    store::OpenError,
};

use super::{
    super::{Security, Tokens, setup},
    Machine, restored,
};

#[track_caller]
fn refusal(machine: &Machine, setup: Setup<Tokens>) -> SetupError {
    let started = setup.start(machine.world.net.clone());
    started.map(drop).expect_err("the setup is wrong")
}

/// Leaves this many messages in the store.
fn leave(machine: &Machine, messages: usize) {
    let process = machine.start_offline(Options::default());
    let _deliveries = Vec::from_iter((0..messages).map(|n| process.publish(&n.to_string())));
    machine.world.run_until_idle();
    machine.lose_power(process);
}

#[test]
fn a_store_of_another_gateway_is_refused_and_left_alone() {
    let machine = Machine::new();
    leave(&machine, 3);
    let other = ClientId::new(
        "plant".parse().unwrap(),
        "us-central1".parse().unwrap(),
        "sensors".parse().unwrap(),
        "gw-2".parse().unwrap(),
    );
    let setup = Setup::new(
        "localhost",
        Security::PlainOnLoopback,
        other,
        Tokens::default(),
    );
    let setup = setup.store(machine.store());
    match refusal(&machine, setup) {
        SetupError::Store(StoreError::Unsuitable(OpenError::OtherClient { client })) => {
            assert!(client.ends_with("gw-1"), "{client}");
        }
        other => panic!("{other:?}"),
    }
    let mut process = machine.start_offline(Options::default());
    assert_eq!(restored(&machine.changes(&mut process)), 3);
}

#[test]
fn a_store_is_started_with_one_of_the_clones_of_a_setup() {
    let machine = Machine::new();
    let setup = machine.setup(Options::default());
    let _process = machine.run(setup.clone());
    let refused = refusal(&machine, setup);
    assert_eq!(refused, SetupError::Store(StoreError::Taken));
    assert!(refused.to_string().contains("clone"), "{refused}");
}

#[test]
fn a_setup_that_is_refused_for_another_reason_keeps_its_store() {
    let machine = Machine::new();
    let mut wrong = Options::default();
    wrong.window = 0;
    let setup = machine.setup(wrong);
    assert!(matches!(
        refusal(&machine, setup.clone()),
        SetupError::Options(_)
    ));
    let _process = machine.run(setup.options(Options::default()));
}

#[test]
fn a_linger_without_a_store_is_refused() {
    let machine = Machine::new();
    let mut options = Options::default();
    options.durability.linger = Some(Duration::from_secs(1));
    assert_eq!(refusal(&machine, setup(options)), SetupError::NoStore);
}

#[test]
fn a_disk_that_cannot_be_listed_is_refused() {
    let machine = Machine::new();
    leave(&machine, 1);
    machine.disk.lose_power_after(1);
    let process = machine.start_offline(Options::default());
    assert!(!machine.disk.has_power());
    machine.kill(process);
    let refused = refusal(&machine, machine.setup(Options::default()));
    assert!(
        matches!(refused, SetupError::Store(StoreError::Unreadable(_))),
        "{refused:?}"
    );
}

#[test]
fn damage_is_reported_and_costs_one_message() {
    let machine = Machine::new();
    let process = machine.start_offline(Options::default());
    let publish = |n| {
        machine.world.run_until_idle();
        process.publish(&format!("reading {n}"))
    };
    let _deliveries = Vec::from_iter((0..900).map(publish));
    machine.world.run_until_idle();
    machine.lose_power(process);

    // In the first segment, which was complete before the last one was begun.
    let files = machine.disk.with(|disk| disk.files());
    let (first, _) = files.into_iter().min().expect("there are segments");
    machine.disk.with(|disk| {
        let mut windows = disk.bytes(first).windows(10);
        let payload = windows.position(|window| window == b"reading 13");
        disk.flip_bit(first, payload.expect("it is there") as u64, 0);
    });
    let mut process = machine.start_offline(Options::default());
    let changes = machine.changes(&mut process);
    assert_eq!(restored(&changes), 899);
    let damage = changes.iter().find_map(|change| match change {
        Status::StoreDamaged { damage } => Some(*damage),
        _ => None,
    });
    assert_eq!(damage.map(|damage| damage.places), Some(1), "{changes:?}");
    assert!(!process.unsent().contains(&"reading 13".to_owned()));
}
