//! Hosts with several addresses: the race, its order, and what is remembered.

mod lookups;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use iotcore_gateway::{
    Options,
    driver::{
        Security, Setup, Status, StatusChanges, Tls,
        error::{DialFailure, TransportError},
    },
};
use iotcore_gateway_testkit::simulation::{Dials, Lookups};

use super::{Server, Tokens, World, client_id, read, setup, start};

const SECOND: Duration = Duration::from_secs(1);
const V6: [IpAddr; 2] = [v6(1), v6(2)];
const V4: [IpAddr; 2] = [v4(1), v4(2)];

const fn v6(last: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last))
}

const fn v4(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

/// A world in which the host has these addresses, each with the result of its dials.
fn world<const N: usize>(addresses: [(IpAddr, Dials); N]) -> World {
    let world = World::new();
    world
        .net
        .set_addresses(addresses.map(|(address, _)| address));
    for (address, dials) in addresses {
        world.net.set_dials(address, dials);
    }
    world
}

/// Returns the addresses dialed since the last call, each with the milliseconds since the first.
fn dialed(world: &World) -> Vec<(u128, IpAddr)> {
    world.run_until_idle();
    let dials = world.net.take_dials();
    let first = dials.first().map_or(Duration::ZERO, |(at, _)| *at);
    let since = dials
        .into_iter()
        .map(|(at, address)| ((at - first).as_millis(), address));
    since.collect()
}

/// Lets time pass until the next attempt begins, at most a minute, and returns what is dialed first.
#[track_caller]
fn next_dialed(world: &World) -> IpAddr {
    for _ in 0..6_000 {
        if let Some((_, address)) = dialed(world).first() {
            return *address;
        }
        world.pass(SECOND / 100);
    }
    panic!("nothing was dialed for a minute");
}

/// Returns why the only attempt that has ended since the last call ended.
#[track_caller]
fn failure(world: &World, status: &mut StatusChanges) -> String {
    match &read(world, status)[..] {
        [
            Status::Disconnected {
                error: Some(error), ..
            },
        ] => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn addresses_are_tried_with_250_ms_in_between_and_their_families_in_turns() {
    let world = world([V6[0], V6[1], V4[0], V4[1]].map(|address| (address, Dials::Hang)));
    let (_client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    world.pass(5 * SECOND);
    let expected = [(0, V6[0]), (250, V4[0]), (500, V6[1]), (750, V4[1])];
    assert_eq!(dialed(&world), expected);
}

#[test]
fn the_next_address_is_tried_at_once_when_one_fails() {
    let world = world([
        (V6[0], Dials::Hang),
        (V4[0], Dials::Fail),
        (V6[1], Dials::Fail),
        (V4[1], Dials::Succeed),
    ]);
    let (client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    world.pass(SECOND);
    let expected = [(0, V6[0]), (250, V4[0]), (250, V6[1]), (250, V4[1])];
    assert_eq!(dialed(&world), expected);
    Server::open(&world);
    assert!(client.is_connected());
}

#[test]
fn the_first_connection_wins_and_the_others_are_dropped() {
    let world = world([V6[0], V4[0]].map(|address| (address, Dials::Succeed)));
    // A dial takes 300 ms.
    world.net.shape(|network| network.latency = 3 * SECOND / 20);
    let (client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    world.pass(SECOND);
    assert_eq!(dialed(&world), [(0, V6[0]), (250, V4[0])]);
    let server = Server::accept(&world);
    server.peer.send(&[0x20, 2, 0, 0]);
    world.pass(SECOND);
    assert!(client.is_connected());
    assert!(Server::dialed(&world).is_none());
}

#[test]
fn a_black_hole_delays_each_connection_by_250_ms_and_no_more() {
    let world = world([(V6[0], Dials::Hang), (V4[0], Dials::Succeed)]);
    let (client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    for _ in 0..3 {
        assert_eq!(next_dialed(&world), V6[0]);
        world.pass(SECOND / 4);
        assert_eq!(dialed(&world), [(0, V4[0])]);
        let server = Server::open(&world);
        assert!(client.is_connected());
        server.close(&world);
    }
}

#[test]
fn an_address_whose_tcp_failed_goes_last_until_it_works_again() {
    let world = world([(V4[0], Dials::Fail), (V4[1], Dials::Fail)]);
    let (_client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    assert_eq!(dialed(&world), [(0, V4[0]), (0, V4[1])]);
    world.net.set_dials(V4[0], Dials::Hang);
    world.net.set_dials(V4[1], Dials::Succeed);
    world.net.set_addresses([V4[1], V4[0]]);
    assert_eq!(next_dialed(&world), V4[0]);
    world.pass(SECOND / 4);
    assert_eq!(dialed(&world), [(0, V4[1])]);
    let server = Server::open(&world);
    server.close(&world);
    assert_eq!(next_dialed(&world), V4[1]);
}

#[test]
fn an_address_that_failed_beside_one_that_works_goes_last() {
    let world = world([(V4[0], Dials::Fail), (V4[1], Dials::Succeed)]);
    let (_client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    assert_eq!(dialed(&world), [(0, V4[0]), (0, V4[1])]);
    let server = Server::open(&world);
    server.close(&world);
    assert_eq!(next_dialed(&world), V4[1]);
    assert_eq!(dialed(&world), []);
}

#[test]
fn an_address_that_stalls_tls_goes_last() {
    let world = world([(V6[0], Dials::Silent), (V4[0], Dials::Silent)]);
    let certificate = include_bytes!("../../../core/tests/keys/certificate.pem");
    let security = Security::Tls(Tls::from_pem(certificate).unwrap());
    let tokens = Tokens::default();
    let setup = Setup::new("localhost", security, client_id(), tokens).dial_timeout(5 * SECOND);
    let (client, driver) = setup.start(world.net.clone()).unwrap();
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    for expected in [V6[0], V4[0], V6[0], V4[0]] {
        assert_eq!(next_dialed(&world), expected);
        world.pass(5 * SECOND);
        assert_eq!(
            failure(&world, &mut status),
            format!(
                "no TLS connection with localhost at {}: no complete handshake within 5s: check that this is a port for \
                 TLS, and that the server and the network are not overloaded",
                SocketAddr::new(expected, 8_883)
            )
        );
        // The other was not tried as well, because TCP had succeeded at once.
        assert_eq!(dialed(&world), []);
    }
}

#[test]
fn an_address_whose_connack_failed_goes_last() {
    let world = world([V6[0], V4[0]].map(|address| (address, Dials::Succeed)));
    let (_client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    let accept = || Server::dialed(&world).expect("connected at once");
    // Refused.
    assert_eq!(next_dialed(&world), V6[0]);
    let server = accept();
    server.send(&world, &[0x20, 2, 0, 5]);
    server.close(&world);
    // Timed out.
    assert_eq!(next_dialed(&world), V4[0]);
    let _silent = accept();
    world.pass(Options::default().connack_timeout);
    // Lost.
    assert_eq!(next_dialed(&world), V6[0]);
    accept().close(&world);
    assert_eq!(next_dialed(&world), V4[0]);
    let server = Server::open(&world);
    server.close(&world);
    // It works, and the other has not worked since.
    assert_eq!(next_dialed(&world), V4[0]);
}

#[test]
fn one_that_accepts_and_fails_does_not_win_against_a_slower_one_that_works() {
    let world = world([(V6[0], Dials::Silent), (V4[0], Dials::Succeed)]);
    let (client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    assert_eq!(next_dialed(&world), V6[0]);
    world.pass(Options::default().connack_timeout);
    // A dial takes 3 s.
    world.net.shape(|network| network.latency = 3 * SECOND / 2);
    assert_eq!(next_dialed(&world), V4[0]);
    world.pass(3 * SECOND);
    assert_eq!(dialed(&world), [(0, V6[0])]);
    let server = Server::dialed(&world).expect("it won");
    server.peer.send(&[0x20, 2, 0, 0]);
    world.pass(3 * SECOND / 2);
    assert!(client.is_connected());
}

#[test]
fn one_that_accepted_and_failed_is_tried_two_seconds_after_the_others() {
    let world = world([(V6[0], Dials::Silent), (V4[0], Dials::Hang)]);
    let (_client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    assert_eq!(next_dialed(&world), V6[0]);
    world.pass(Options::default().connack_timeout);
    world.net.set_dials(V6[0], Dials::Succeed);
    assert_eq!(next_dialed(&world), V4[0]);
    world.pass(2 * SECOND - Duration::from_millis(20));
    assert!(Server::dialed(&world).is_none());
    world.pass(Duration::from_millis(20));
    Server::open(&world);
}

#[test]
fn the_last_of_a_hundred_addresses_is_reached_with_the_fourth_attempt() {
    let world = World::new();
    world.net.set_addresses((1..=100).map(v4));
    world.dials(Dials::Fail);
    world.net.set_dials(v4(100), Dials::Succeed);
    let (client, driver) = start(&world, Options::default());
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    // Waits between the attempts: 2, 3 and 5 s at most.
    world.pass(10 * SECOND);
    assert_eq!(dialed(&world).len(), 100);
    Server::open(&world);
    let failed = read(&world, &mut status);
    assert!(matches!(failed[..], [.., Status::Connected]) && failed.len() == 4);
}

#[test]
fn all_that_were_tried_are_told_with_what_each_did() {
    let world = world([(V6[0], Dials::Hang), (V4[0], Dials::Fail)]);
    let (client, driver) = start(&world, Options::default());
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    world.pass(19_999 * SECOND / 1_000);
    assert!(read(&world, &mut status).is_empty());
    world.pass(SECOND / 1_000);
    assert_eq!(
        failure(&world, &mut status),
        "cannot connect to localhost port 8883: 192.0.2.1:8883: network unreachable; [2001:db8::1]:8883: no answer \
         within 20s"
    );
}

#[test]
fn each_stage_has_its_own_time_limit() {
    let world = world([(V4[0], Dials::Succeed)]);
    let limit = 5 * SECOND;
    world.net.shape(|network| network.lookups = Lookups::Hang);
    // A dial takes 4 s.
    world.net.shape(|network| network.latency = 2 * SECOND);
    let setup = setup(Options::default()).dial_timeout(limit);
    let (client, driver) = setup.start(world.net.clone()).unwrap();
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    world.pass(4 * SECOND);
    world
        .net
        .shape(|network| network.lookups = Lookups::Succeed);
    world.pass(4 * SECOND);
    assert!(read(&world, &mut status).is_empty());
    assert!(Server::dialed(&world).is_some());
}

#[test]
fn the_text_names_a_few_addresses_and_the_error_all() {
    let world = World::new();
    let addresses = (1..=40).map(v4);
    world.net.set_addresses(addresses);
    world.dials(Dials::Fail);
    let (client, driver) = start(&world, Options::default());
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    let changes = read(&world, &mut status);
    let [
        Status::Disconnected {
            error: Some(error), ..
        },
    ] = &changes[..]
    else {
        panic!("{changes:?}");
    };
    let shown = error.to_string();
    assert!(
        shown.ends_with("192.0.2.4:8883: network unreachable; 28 more failed"),
        "{shown}"
    );
    let TransportError::Dial {
        source: DialFailure::Unreachable(tried),
        ..
    } = &**error
    else {
        panic!("{error:?}");
    };
    assert_eq!(tried.len(), 32);
}
