//! Connections that end unexpectedly.

use std::time::Duration;

use iotcore_gateway::{
    cause::DisconnectReason,
    driver::{Client, Delivery, Device, StatusChanges},
};
use iotcore_gateway_testkit::{CloseReason, EventKind, link::BOUND};

use crate::world::{Plan, Running, World, attach, close, count, disconnection, in_time, telemetry};

const DEVICE: &str = BOUND[0];
const SECOND: Duration = Duration::from_secs(1);

/// More than the buffers of any network between the peers hold.
const LARGE: usize = 256 * 1024;
const MANY: usize = 40;

pub(crate) async fn reconnects_when_the_peer_closes_in_the_middle_of_a_packet<W: World>(
    world: &W,
    plan: Plan,
) {
    let (client, running) = world.start(&plan);
    let device = attach(&client, DEVICE).await;
    let mut messages = device.messages();
    messages.next().await.unwrap();
    let mut status = client.status();
    let config = "x".repeat(10_000);
    world.close_after(5_000);
    world
        .with(|bridge, now| bridge.send_config(DEVICE, config.clone(), now))
        .unwrap();
    // Immediately, not only when the next keep alive is due.
    let ending = disconnection(&mut status);
    let (ended, _) = in_time(&world.runtime(), 20 * SECOND, ending).await;
    assert!(
        matches!(ended.reason, DisconnectReason::Transport(_)),
        "{ended:?}"
    );
    assert!(messages.next().await.unwrap().payload == config);
    assert_eq!(client.stats().connections, 2);
    let configured = |event: &_| matches!(event, EventKind::ConfigAcknowledged { version: 2, .. });
    world.until(|events| count(events, configured) == 1).await;
    close(client, running).await;
}

pub(crate) async fn detects_a_half_open_peer_by_keep_alive<W: World>(world: &W, mut plan: Plan) {
    plan.options.keep_alive = SECOND;
    let (client, running) = world.start(&plan);
    let device = attach(&client, DEVICE).await;
    let mut status = client.status();
    world.half_open();
    let (ended, _) = disconnection(&mut status).await;
    assert!(
        matches!(ended.reason, DisconnectReason::PingRespTimedOut(_)),
        "{ended:?}"
    );
    device.telemetry("still here").await.unwrap().await.unwrap();
    close(client, running).await;
}

pub(crate) async fn gives_up_on_stalled_writes<W: World>(world: &W, plan: Plan) {
    let (client, mut status, running, deliveries) = stall(world, plan).await;
    let (ended, _) = disconnection(&mut status).await;
    assert_eq!(ended.reason, DisconnectReason::WriteStalled(SECOND));
    world.stall(false);
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    world.with(|bridge, _| {
        assert!(bridge.device(DEVICE).unwrap().telemetry_total() >= MANY as u64);
    });
    close(client, running).await;
}

pub(crate) async fn is_rarely_polled_while_the_peer_stalls<W: World>(world: &W, plan: Plan) {
    let (client, mut status, running, deliveries) = stall(world, plan).await;
    let before = running.polls();
    disconnection(&mut status).await;
    let polls = running.polls() - before;
    assert!(polls < 1_000, "{polls} polls while the peer read nothing");
    world.stall(false);
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    close(client, running).await;
}

/// Stalls the peer, with more data to write than any buffer holds.
async fn stall<W: World>(
    world: &W,
    mut plan: Plan,
) -> (Client, StatusChanges, Running, Vec<Delivery>) {
    plan.options.keep_alive = SECOND;
    plan.options.device_queue.bytes = MANY * LARGE;
    let (client, running) = world.start(&plan);
    let device = attach(&client, DEVICE).await;
    let status = client.status();
    world.stall(true);
    let mut deliveries = Vec::new();
    for _ in 0..MANY {
        deliveries.push(device.telemetry(vec![b'x'; LARGE]).await.unwrap());
    }
    (client, status, running, deliveries)
}

pub(crate) async fn loses_nothing_over_reconnects<W: World>(world: &W, plan: Plan) {
    const CUTS: usize = 4;
    const MESSAGES: usize = 50;
    let (client, running) = world.start(&plan);
    let device = attach(&client, DEVICE).await;
    let mut deliveries = Vec::new();
    for cut in 1..=CUTS {
        deliveries.extend(publish(&device, (cut - 1) * MESSAGES..cut * MESSAGES).await);
        let last = (cut * MESSAGES - 1).to_string();
        world
            .until(|events| telemetry(events).contains(&last))
            .await;
        let mut status = client.status();
        world.cut();
        disconnection(&mut status).await;
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    client.connected().await.unwrap();
    assert_eq!(client.stats().connections, CUTS as u64 + 1);
    world
        .until(|events| {
            let taken = telemetry(events);
            (0..CUTS * MESSAGES).all(|n| taken.contains(&n.to_string()))
        })
        .await;
    close(client, running).await;
}

async fn publish(device: &Device, numbers: std::ops::Range<usize>) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for n in numbers {
        deliveries.push(device.telemetry(n.to_string()).await.unwrap());
    }
    deliveries
}

pub(crate) async fn refreshes_its_token<W: World>(world: &W, mut plan: Plan) {
    plan.first_token = 3 * SECOND;
    let (client, running) = world.start(&plan);
    let mut status = client.status();
    let device = attach(&client, DEVICE).await;
    let (ended, _) = disconnection(&mut status).await;
    assert_eq!(ended.reason, DisconnectReason::TokenRefresh);
    device.telemetry("still here").await.unwrap().await.unwrap();
    assert_eq!(client.stats().connections, 2);
    world
        .until(|events| {
            let left = |event: &_| {
                matches!(
                    event,
                    EventKind::Closed {
                        by_bridge: false,
                        reason: CloseReason::Disconnect
                    }
                )
            };
            count(events, left) == 1
        })
        .await;
    close(client, running).await;
}
