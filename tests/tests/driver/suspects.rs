//! A message at which the bridge closes the connection each time.

use std::{io, time::Duration};

use iotcore_gateway::{
    Failure, Options,
    driver::{Status, error::DeliveryError},
};
use iotcore_gateway_testkit::packets::Sent;

use super::{Server, World, read, start};

fn is_poison(packet: &Sent) -> bool {
    matches!(packet, Sent::Publish { payload, .. } if payload == b"poison")
}

/// Serves until a connection is reset at the poisonous message, which happens within two minutes.
fn serve_until_reset(world: &World) {
    let mut server = None;
    for _ in 0..120 {
        let new = || Server::dialed(world);
        server = server.or_else(new);
        world.run_until_idle();
        for packet in server.as_ref().map_or_else(Vec::new, Server::received) {
            let Some(server) = &server else { break };
            if is_poison(&packet) {
                return server.break_off(world, io::ErrorKind::ConnectionReset);
            }
            if let Some(answer) = packet.answer() {
                server.send(world, &answer);
            }
        }
        world.pass(Duration::from_secs(1));
    }
    panic!("nothing poisonous was sent for two minutes");
}

#[test]
fn a_message_at_which_the_bridge_resets_each_time_is_handed_back_as_suspected() {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    let gateway = client.gateway();
    let poison = world.spawn(gateway.try_telemetry("poison").unwrap());
    let good = world.spawn(gateway.try_telemetry("good").unwrap());
    for _ in 0..5 {
        serve_until_reset(&world);
    }
    let ended = poison.ended();
    let Err(DeliveryError::Failed { failure, unsent }) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(failure, Failure::Suspected { connections: 5 });
    assert_eq!(unsent.payload, "poison");
    let server = Server::accept_again(&world);
    // Its device is on probation for 30 s.
    for _ in 0..60 {
        server.serve(&world);
        world.pass(Duration::from_secs(1));
    }
    good.ended().unwrap();
    let takeovers = read(&world, &mut status).into_iter().filter(
        |change| matches!(change, Status::Disconnected { ended, .. } if ended.takeover_suspected),
    );
    assert_eq!(takeovers.count(), 0);
}
