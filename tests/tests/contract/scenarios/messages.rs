//! Messages in both directions.

use std::sync::atomic::{AtomicUsize, Ordering};

use iotcore_gateway::driver::{Device, MessageKind, Messages, Status};
use iotcore_gateway_testkit::{EventKind, bridge::operator::OperatorError, link::BOUND};

use crate::world::{Plan, World, attach, close, count, telemetry};

const DEVICE: &str = BOUND[0];
const OTHER: &str = BOUND[1];

pub(crate) async fn publishes_and_is_acknowledged<W: World>(world: &W, plan: Plan) {
    let (client, running) = world.start(&plan);
    let device = attach(&client, DEVICE).await;
    publish(world, &device, 300).await;
    device.report_state("on").await.unwrap().await.unwrap();
    let states = world.with(|bridge, _| bridge.device(DEVICE).unwrap().states_total());
    assert_eq!(states, 1);
    close(client, running).await;
}

/// Fills the window with numbered messages; all arrive once, in order.
async fn publish<W: World>(world: &W, device: &Device, messages: usize) {
    let payloads = Vec::from_iter((0..messages).map(|n| n.to_string()));
    let mut deliveries = Vec::new();
    for payload in &payloads {
        deliveries.push(device.telemetry(payload.clone()).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    world.until(|events| telemetry(events) == payloads).await;
}

pub(crate) async fn streams_configs_and_commands<W: World>(world: &W, plan: Plan) {
    let (client, running) = world.start(&plan);
    let device = attach(&client, DEVICE).await;
    let mut messages = device.messages();
    exchange(world, &mut messages).await;
    close(client, running).await;
}

/// Receives the first config, another one, and a command, each acknowledged.
async fn exchange<W: World>(world: &W, messages: &mut Messages) {
    let first = messages.next().await.unwrap();
    assert_eq!(
        (first.kind, &first.payload[..]),
        (MessageKind::Config, &b""[..])
    );
    world
        .with(|bridge, now| bridge.send_config(DEVICE, "rate=5", now))
        .unwrap();
    let config = messages.next().await.unwrap();
    assert_eq!(
        (config.kind, &config.payload[..]),
        (MessageKind::Config, &b"rate=5"[..])
    );
    command(world, Some("valve"), "open").unwrap();
    let command = messages.next().await.unwrap();
    let subfolder = Some("valve".to_owned());
    assert_eq!(command.kind, MessageKind::Command { subfolder });
    assert_eq!(command.payload, "open");
    world
        .until(|events| {
            let configured =
                |event: &_| matches!(event, EventKind::ConfigAcknowledged { version: 2, .. });
            count(events, configured) == 1 && count(events, is_acknowledged) == 1
        })
        .await;
}

fn command<W: World>(
    world: &W,
    subfolder: Option<&str>,
    payload: impl Into<String>,
) -> Result<(), OperatorError> {
    let payload = payload.into();
    world.with(|bridge, now| bridge.send_command(DEVICE, subfolder, payload, now))
}

fn is_acknowledged(event: &EventKind) -> bool {
    matches!(event, EventKind::CommandAcknowledged { .. })
}

pub(crate) async fn acknowledges_no_faster_than_a_slow_consumer_reads<W: World>(
    world: &W,
    mut plan: Plan,
) {
    const COMMANDS: usize = 40;
    plan.options.max_unacknowledged = 4;
    let (client, running) = world.start(&plan);
    let device = attach(&client, DEVICE).await;
    let mut messages = device.messages();
    messages.next().await.unwrap();
    for n in 0..COMMANDS {
        command(world, None, n.to_string()).unwrap();
    }
    let acknowledged = AtomicUsize::new(0);
    for n in 0..COMMANDS {
        let message = messages.next().await.unwrap();
        assert_eq!(message.payload, n.to_string());
        world
            .until(|events| {
                acknowledged.store(count(events, is_acknowledged), Ordering::Relaxed);
                acknowledged.load(Ordering::Relaxed) > n
            })
            .await;
        assert_eq!(acknowledged.load(Ordering::Relaxed), n + 1);
    }
    close(client, running).await;
}

pub(crate) async fn stops_no_device_for_messages_that_nobody_reads<W: World>(
    world: &W,
    plan: Plan,
) {
    const COMMANDS: usize = 1_100;
    let (client, running) = world.start(&plan);
    let mut status = client.status();
    let unread = attach(&client, DEVICE).await;
    let other = attach(&client, OTHER).await;
    let mut messages = other.messages();
    messages.next().await.unwrap();
    for n in 0..COMMANDS {
        command(world, None, n.to_string()).unwrap();
    }
    world
        .with(|bridge, now| bridge.send_command(OTHER, None, "open", now))
        .unwrap();
    publish(world, &other, 300).await;
    assert_eq!(messages.next().await.unwrap().payload, "open");
    world
        .until(|events| {
            count(events, |event| match event {
                EventKind::CommandAcknowledged { device, .. } => device == OTHER,
                _ => false,
            }) == 1
        })
        .await;
    let mut dropped = 0;
    while dropped < COMMANDS - 64 {
        if let Status::Dropped { device, messages } = status.next().await.unwrap() {
            assert_eq!(device.as_str(), DEVICE);
            dropped += messages;
        }
    }
    world
        .with(|bridge, now| bridge.send_config(DEVICE, "rate=5", now))
        .unwrap();
    let acknowledged =
        || world.with(|bridge, _| bridge.device(DEVICE).unwrap().config_acknowledged());
    assert_eq!(acknowledged(), None);
    let mut messages = unread.messages();
    while messages.next().await.unwrap().payload != "rate=5" {}
    // The first config had been given up: taking it has made the gateway subscribe again, which brings the newest again.
    world.spawn(Box::pin(
        async move { while messages.next().await.is_some() {} },
    ));
    world
        .until(|events| {
            count(events, |event| match event {
                EventKind::ConfigAcknowledged { device, .. } => device == DEVICE,
                _ => false,
            }) > 0
        })
        .await;
    assert_eq!(acknowledged(), Some(2));
    close(client, running).await;
}

pub(crate) async fn carries_256_kilobytes_in_both_directions<W: World>(world: &W, plan: Plan) {
    let payload = "x".repeat(256 * 1024);
    let (client, running) = world.start(&plan);
    let device = attach(&client, DEVICE).await;
    device
        .telemetry(payload.clone())
        .await
        .unwrap()
        .await
        .unwrap();
    world.with(|bridge, _| {
        let taken = bridge.device(DEVICE).unwrap().telemetry().last().unwrap();
        assert!(taken.payload == payload);
    });
    let mut messages = device.messages();
    messages.next().await.unwrap();
    command(world, None, payload.clone()).unwrap();
    assert!(messages.next().await.unwrap().payload == payload);
    close(client, running).await;
}

pub(crate) async fn works_with_one_byte_per_segment_in_both_directions<W: World>(
    world: &W,
    plan: Plan,
) {
    world.one_byte_per_segment();
    let (client, running) = world.start(&plan);
    let device = attach(&client, DEVICE).await;
    publish(world, &device, 20).await;
    exchange(world, &mut device.messages()).await;
    close(client, running).await;
}
