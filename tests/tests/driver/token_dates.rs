//! Device tokens and the date, against the emulator: a machine that slept, and one that booted in 1970.

use std::time::Duration;

use iotcore_gateway::{
    Algorithm, ClientId,
    auth::{SigningKey, UnixTime},
    driver::{Attach, Client, KeyTokens, Runtime, Security, Setup, Status},
};
use iotcore_gateway_testkit::{
    AuthMethod, Settings,
    link::{BOUND, GATEWAY, registry},
    simulation::{SimRuntime, Simulation},
};

use super::id;

const HOUR: Duration = Duration::from_secs(3_600);

/// Starts a gateway whose devices prove themselves by their tokens, minted from their keys.
fn start(simulation: &Simulation) -> (SimRuntime, Client) {
    let world = simulation.runtime();
    let key = || {
        let pem = include_bytes!("../../src/link/gateway.key.pem");
        SigningKey::from_pem(pem, Algorithm::Es256).unwrap()
    };
    let client_id = ClientId::new(
        "my-project".try_into().unwrap(),
        "us-central1".try_into().unwrap(),
        "my-registry".try_into().unwrap(),
        GATEWAY.try_into().unwrap(),
    );
    let tokens = KeyTokens::new(key()).device_key(id(BOUND[0]), key());
    let setup = Setup::new("localhost", Security::PlainOnLoopback, client_id, tokens).seed(1);
    let (client, driver) = setup.start(world.clone()).unwrap();
    drop(simulation.spawn(driver.run()));
    (world, client)
}

fn with_tokens() -> Simulation {
    let registry = registry(AuthMethod::DeviceAuthTokenOnly);
    Simulation::with_bridge(registry, Settings::default(), None)
}

fn delivered(world: &SimRuntime) -> usize {
    world.with(|bridge, _| bridge.device(BOUND[0]).unwrap().telemetry().len())
}

#[test]
fn after_a_sleep_a_device_is_attached_with_a_fresh_token_and_its_queue_is_delivered() {
    let simulation = with_tokens();
    let (world, client) = start(&simulation);
    let mut status = client.status();
    let device = simulation
        .run(client.attach(Attach::new(id(BOUND[0]))))
        .unwrap();

    world.suspend(2 * HOUR);
    let delivery = simulation.run(device.telemetry("after the sleep")).unwrap();
    simulation.run(delivery).unwrap();
    assert_eq!(delivered(&world), 1);
    while let Some(Some(change)) = super::poll_once(status.next()) {
        let is_trouble = matches!(
            change,
            Status::ErrorReport(_) | Status::TokenNeeded { .. } | Status::TokenFailed { .. }
        );
        assert!(!is_trouble, "{change}");
    }
}

#[test]
fn tokens_minted_in_1970_are_minted_anew_once_the_clock_is_set() {
    let simulation = with_tokens();
    let right = simulation.runtime().unix_now();
    simulation.runtime().set_date(UnixTime::from_secs(60));
    let (world, client) = start(&simulation);
    let attach = Attach::new(id(BOUND[0])).keep_waiting();
    let attaching = simulation.spawn(client.attach(attach));
    simulation.pass(Duration::from_secs(60));
    assert!(!attaching.is_finished(), "the bridge refuses the gateway");

    world.set_date(right.saturating_add(world.elapsed()));
    simulation.pass(Duration::from_secs(40));
    let device = attaching.ended().unwrap();
    let delivery = simulation.run(device.telemetry("after 1970")).unwrap();
    simulation.run(delivery).unwrap();
    assert_eq!(delivered(&world), 1);
}
