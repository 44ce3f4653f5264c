//! Connecting through a proxy that the test implements.

use std::{error::Error, net::IpAddr, sync::Arc, time::Duration};

use iotcore_gateway::{
    Options,
    cause::{DisconnectReason, TransportEnd},
    driver::{
        Client, Driver, Security, Setup, Status, StatusChanges, Tls,
        error::{SetupError, TransportError},
        proxy::{Proxy, ProxyError},
    },
};
use iotcore_gateway_testkit::{
    keys::ServerIdentity,
    simulation::{GatewayEnd, SimRuntime},
};

use super::{Dials, Server, Tokens, World, client_id, read, setup};

const CONNECT: &[u8] =
    b"CONNECT mqtt.example.org:8883 HTTP/1.1\r\nHost: mqtt.example.org:8883\r\n\r\n";

/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

fn proxied(world: &World, proxy: Proxy) -> (Client, Driver<SimRuntime, Tokens>) {
    let identity = ServerIdentity::generate().unwrap();
    let security = Security::Tls(Tls::from_pem(identity.ca_pem.as_bytes()).unwrap());
    let setup = Setup::new("mqtt.example.org", security, client_id(), Tokens::default());
    setup.proxy(proxy).start(world.net.clone()).unwrap()
}

fn http() -> Proxy {
    Proxy::http("proxy.example", 3_128).unwrap()
}

/// Returns the error of the only disconnection, which must be one of the proxy.
#[track_caller]
fn proxy_error(world: &World, status: &mut StatusChanges) -> (String, Arc<TransportError>) {
    let changes = read(world, status);
    let Ok([Status::Disconnected { ended, error }]) = <[Status; 1]>::try_from(changes) else {
        panic!("not a disconnection");
    };
    let end = TransportEnd::ProxyFailed;
    assert_eq!(ended.reason, DisconnectReason::Transport(end));
    let error = error.unwrap();
    let shown = error.to_string();
    let told = error.source().unwrap().to_string();
    assert!(shown.ends_with(&told), "{shown}: {told}");
    (shown, error)
}

#[track_caller]
fn of_proxy(error: &TransportError) -> &ProxyError {
    match error {
        TransportError::Proxy { source, .. } => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_handshake_with_the_bridge_begins_once_the_tunnel_is_open() {
    let world = World::new();
    let (_client, driver) = proxied(&world, http());
    let _driver = world.spawn(driver.run());
    let proxy = Server::accept(&world).peer;
    assert_eq!(proxy.receive(), CONNECT);
    world.pass(Duration::from_secs(19));
    assert!(proxy.receive().is_empty());
    proxy.send(b"HTTP/1.1 200 Connection established\r\n\r\n");
    world.run_until_idle();
    assert_eq!(proxy.receive().first(), Some(&HANDSHAKE));
}

#[test]
fn a_socks5_proxy_is_asked_step_by_step() {
    let world = World::new();
    let socks5 = Proxy::socks5("proxy.example", 1_080).unwrap();
    let socks5 = socks5.credentials("plant", "secret").unwrap();
    let (_client, driver) = proxied(&world, socks5);
    let _driver = world.spawn(driver.run());
    let proxy = Server::accept(&world).peer;
    for (sent, answer) in [
        (&b"\x05\x02\x00\x02"[..], &b"\x05\x02"[..]),
        (b"\x01\x05plant\x06secret", b"\x01\x00"),
        (
            b"\x05\x01\x00\x03\x10mqtt.example.org\x22\xb3",
            b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00",
        ),
    ] {
        assert_eq!(proxy.receive(), sent);
        proxy.send(answer);
        world.run_until_idle();
    }
    assert_eq!(proxy.receive().first(), Some(&HANDSHAKE));
}

#[test]
fn a_refusal_is_told_with_the_proxy_and_the_host_and_tried_again() {
    let world = World::new();
    let with_credentials = http().credentials("plant", "secret").unwrap();
    let (client, driver) = proxied(&world, with_credentials);
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    let proxy = Server::accept(&world).peer;
    assert!(proxy.receive().starts_with(b"CONNECT "));
    proxy.send(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    world.run_until_idle();
    assert_eq!(proxy.gateway_end(), GatewayEnd::Reset);
    let (shown, error) = proxy_error(&world, &mut status);
    let source = of_proxy(&error);
    assert!(
        matches!(source, ProxyError::CredentialsRefused),
        "{source:?}"
    );
    assert_eq!(
        shown,
        "cannot connect to mqtt.example.org port 8883 through the proxy http://proxy.example:3128: \
         it refused the user name or the password: check both"
    );
    assert!(!format!("{client:?}{source:?}").contains("secret"));
    world.pass(Duration::from_secs(2));
    assert!(!Server::accept(&world).peer.receive().is_empty());
}

#[test]
fn a_proxy_that_cannot_be_reached_is_told_apart_from_the_bridge() {
    let world = World::new();
    world.dials(Dials::Fail);
    let (client, driver) = proxied(&world, http());
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    let (shown, error) = proxy_error(&world, &mut status);
    let source = of_proxy(&error);
    assert!(matches!(source, ProxyError::Dial(_)), "{source:?}");
    assert!(shown.contains("the proxy cannot be reached: "), "{shown}");
}

#[test]
fn the_dial_of_a_proxy_and_its_answer_have_a_deadline_each() {
    let world = World::new();
    world.dials(Dials::Hang);
    let (client, driver) = proxied(&world, http());
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    world.pass(Duration::from_secs(20));
    let (_, error) = proxy_error(&world, &mut status);
    let source = of_proxy(&error);
    let ProxyError::Dial(error) = source else {
        panic!("{source:?}");
    };
    assert!(
        error.to_string().ends_with(": no answer within 20s"),
        "{error}"
    );

    world.dials(Dials::Succeed);
    world.pass(Duration::from_secs(2));
    let proxy = Server::accept(&world).peer;
    proxy.send(b"HTTP/1.1 200 Connection established\r\n");
    // It was dialed at some time in the last two seconds.
    world.pass(Duration::from_secs(17));
    assert!(read(&world, &mut status).is_empty());
    world.pass(Duration::from_secs(3));
    let (shown, error) = proxy_error(&world, &mut status);
    let source = of_proxy(&error);
    assert!(matches!(source, ProxyError::TimedOut(_)), "{source:?}");
    let part = "http://proxy.example:3128: no complete answer within 20s: ";
    assert!(shown.contains(part), "{shown}");
}

#[test]
fn the_addresses_of_a_proxy_are_raced_and_one_that_opens_no_tunnel_goes_last() {
    let world = World::new();
    let [silent, closing, good] = [1, 2, 3].map(|last| IpAddr::from([192, 0, 2, last]));
    world.net.set_addresses([silent, closing, good]);
    world.net.set_dials(silent, Dials::Hang);
    let (_client, driver) = proxied(&world, http());
    let _driver = world.spawn(driver.run());
    world.pass(Duration::from_millis(250));
    Server::accept(&world).peer.close();
    assert_eq!(world.net.take_dials().len(), 2);
    world.pass(Duration::from_secs(3));
    let dialed = world.net.take_dials().into_iter();
    let dialed: Vec<_> = dialed.map(|(_, address)| address).collect();
    assert_eq!(dialed, [silent, good]);
    assert_eq!(Server::accept(&world).peer.receive(), CONNECT);
}

#[test]
fn a_handshake_that_fails_in_the_tunnel_is_told_with_the_proxy() {
    let world = World::new();
    let (client, driver) = proxied(&world, http().credentials("plant", "secret").unwrap());
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    let proxy = Server::accept(&world).peer;
    proxy.send(b"HTTP/1.1 200 Connection established\r\n\r\n<html>log in</html>");
    let shown = match &read(&world, &mut status)[..] {
        [
            Status::Disconnected {
                error: Some(error), ..
            },
        ] => error.to_string(),
        other => panic!("{other:?}"),
    };
    let start =
        "no TLS connection with mqtt.example.org through the proxy http://proxy.example:3128 at ";
    assert!(shown.starts_with(start), "{shown}");
}

#[test]
fn a_tunnel_is_abandoned_when_the_gateway_is_closed() {
    let world = World::new();
    let (client, driver) = proxied(&world, http());
    let driver = world.spawn(driver.run());
    let proxy = Server::accept(&world).peer;
    assert_eq!(proxy.receive(), CONNECT);
    let closing = world.spawn(async move { client.close().await });
    assert_eq!(proxy.gateway_end(), GatewayEnd::Reset);
    assert_eq!(closing.ended(), driver.ended());
}

#[test]
fn plain_tcp_through_a_proxy_is_refused_before_dialing() {
    let world = World::new();
    let setup = || setup(Options::default());
    let Err(error) = setup().proxy(http()).start(world.net.clone()) else {
        panic!("started");
    };
    assert_eq!(error, SetupError::PlainThroughProxy);
    assert!(
        error.to_string().contains("use TLS, or no proxy"),
        "{error}"
    );
    assert!(
        setup()
            .proxy(http())
            .proxy(None)
            .start(world.net.clone())
            .is_ok()
    );
}
