//! Lookups of the host.

use super::*;

#[test]
fn the_host_is_resolved_anew_for_each_attempt() {
    let world = world([(V4[0], Dials::Fail)]);
    let (_client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    assert_eq!(next_dialed(&world), V4[0]);
    world.net.set_addresses([V4[1]]);
    assert_eq!(next_dialed(&world), V4[1]);
    assert_eq!(world.net.lookups(), 2);
    Server::open(&world);
}

#[test]
fn a_lookup_that_hangs_ends_the_attempt_and_the_next_one_joins_it() {
    let world = world([(V4[0], Dials::Succeed)]);
    world.net.shape(|network| network.lookups = Lookups::Hang);
    let (client, driver) = start(&world, Options::default());
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    world.pass(20 * SECOND);
    assert_eq!(
        failure(&world, &mut status),
        "cannot connect to localhost port 8883: the resolver gave no answer within 20s (check this machine's network \
         and DNS)"
    );
    // Into the second attempt, which began after 2 s at most.
    world.pass(10 * SECOND);
    world
        .net
        .shape(|network| network.lookups = Lookups::Succeed);
    Server::open(&world);
    assert_eq!(world.net.lookups(), 1);
}

#[test]
fn an_answer_that_came_after_its_attempt_is_not_used() {
    let world = world([(V4[0], Dials::Succeed)]);
    world.net.shape(|network| network.lookups = Lookups::Hang);
    let (client, driver) = start(&world, Options::default());
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    world.pass(20 * SECOND);
    failure(&world, &mut status);
    world.net.shape(|network| network.lookups = Lookups::Fail);
    world
        .net
        .shape(|network| network.lookups = Lookups::Succeed);
    next_dialed(&world);
    assert_eq!(world.net.lookups(), 2);
    Server::open(&world);
}

#[test]
fn a_host_that_is_unknown_and_one_without_addresses_are_told_apart() {
    let world = world([]);
    let (client, driver) = start(&world, Options::default());
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    assert_eq!(
        failure(&world, &mut status),
        "cannot connect to localhost port 8883: its name has no address (check the host's name)"
    );
    world.net.shape(|network| network.lookups = Lookups::Fail);
    world.pass(3 * SECOND);
    assert_eq!(
        failure(&world, &mut status),
        "cannot connect to localhost port 8883: its name cannot be resolved: entity not found (check the host's name \
         and this machine's DNS)"
    );
}
