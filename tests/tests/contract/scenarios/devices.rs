//! Attaching devices, and its failures.

use std::time::Duration;

use iotcore_gateway::{
    Failure,
    driver::{
        Attach, Status,
        error::{AttachError, OperationError},
    },
    error_report::ErrorType,
};
use iotcore_gateway_testkit::{
    EventKind,
    link::{BOUND, GATEWAY, UNBOUND},
};

use crate::{
    registry::DEVICES,
    world::{Plan, World, all, attach, close, id},
};

pub(crate) async fn attaches_a_device<W: World>(world: &W, plan: Plan) {
    let (client, running) = world.start(&plan);
    let device = attach(&client, BOUND[0]).await;
    let subscriptions = world.with(|bridge, _| {
        assert!(bridge.attached(GATEWAY).eq([BOUND[0]]));
        bridge.subscriptions(GATEWAY).count()
    });
    assert_eq!(subscriptions, 3, "errors, config and commands");
    device.detach().await.unwrap();
    assert!(world.with(|bridge, _| bridge.attached(GATEWAY).next().is_none()));
    close(client, running).await;
}

pub(crate) async fn reports_a_refused_attach<W: World>(world: &W, plan: Plan) {
    let (client, running) = world.start(&plan);
    let error = client.attach(id(UNBOUND)).await.unwrap_err();
    match error.failure() {
        Some(Failure::Reported(report)) => {
            assert_eq!(*report.error_type(), ErrorType::AttachmentError);
        }
        other => panic!("{other:?}"),
    }
    // Other devices are not affected.
    attach(&client, BOUND[0]).await;
    close(client, running).await;
}

pub(crate) async fn reports_an_attach_that_is_not_answered<W: World>(world: &W, mut plan: Plan) {
    let limit = Duration::from_millis(300);
    plan.options.attach_timeout = limit;
    world.fault("puback hold 1");
    let (client, running) = world.start(&plan);
    let mut status = client.status();
    let error = client.attach(id(BOUND[0])).await.unwrap_err();
    match error {
        AttachError::Attach(OperationError::Failed(Failure::TimedOut(after)), Some(_)) => {
            assert_eq!(after, limit);
        }
        other => panic!("{other:?}"),
    }
    // The device remains requested and is retried after each timeout, and the connection stays up.
    while !matches!(status.next().await.unwrap(), Status::Attached { .. }) {}
    attach(&client, BOUND[0]).await;
    assert_eq!(client.stats().connections, 1);
    close(client, running).await;
}

pub(crate) async fn attaches_a_thousand_devices<W: World>(world: &W, plan: Plan) {
    let (client, running) = world.start(&plan);
    let attaches = (0..DEVICES).map(|n| {
        let device = Attach::new(id(&format!("device-{n}")))
            .config(None)
            .commands(None);
        client.attach(device)
    });
    let mut deliveries = Vec::new();
    for device in all(attaches).await {
        let device = device.unwrap();
        deliveries.push(device.telemetry("here").await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    world.with(|bridge, _| {
        assert_eq!(bridge.attached(GATEWAY).count(), DEVICES);
        for n in 0..DEVICES {
            let record = bridge.device(&format!("device-{n}")).unwrap();
            assert_eq!(record.telemetry_total(), 1, "device-{n}");
        }
    });
    world
        .until(|events| {
            let is_again = |event: &_| matches!(event, EventKind::Attached { again: true, .. });
            !events.iter().any(is_again)
        })
        .await;
    close(client, running).await;
}
