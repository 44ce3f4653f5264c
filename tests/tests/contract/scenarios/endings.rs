//! How a gateway ends: by request, or otherwise.

use std::time::Duration;

use iotcore_gateway::{
    Failure,
    driver::{
        Client, Delivery, MessageKind, Telemetry,
        closed::{CloseCause, Closed},
        error::{AcceptError, AttachError, DeliveryError, OperationError},
    },
    message::QoS,
};
use iotcore_gateway_testkit::{CloseReason, EventKind, link::BOUND};

use crate::world::{Plan, Running, World, all, attach, close, count, id, telemetry};

const DEVICE: &str = BOUND[0];

/// The number of unacknowledged messages that have arrived when a scenario continues.
const HELD: [&str; 3] = ["1", "2", "3"];

/// Starts a gateway whose messages have arrived but are not acknowledged.
async fn hold<W: World>(world: &W, plan: &Plan) -> (Client, Running, Vec<Delivery>) {
    let (client, running) = world.start(plan);
    let device = attach(&client, DEVICE).await;
    world.fault("puback hold");
    let mut deliveries = Vec::new();
    for payload in HELD {
        deliveries.push(device.telemetry(payload).await.unwrap());
    }
    world.until(|events| telemetry(events) == HELD).await;
    (client, running, deliveries)
}

/// Returns whether the gateway has sent DISCONNECT.
pub(crate) fn is_left(event: &EventKind) -> bool {
    let reason = CloseReason::Disconnect;
    *event
        == (EventKind::Closed {
            by_bridge: false,
            reason,
        })
}

pub(crate) async fn closes_after_a_drain<W: World>(world: &W, plan: Plan) {
    let (client, running, deliveries) = hold(world, &plan).await;
    let mut status = client.status();
    let both: [LocalBox<'_, Option<Closed>>; 2] = [
        Box::pin(async { Some(client.close().await) }),
        Box::pin(async {
            // The gateway is closing now.
            world.fault("clear");
            None
        }),
    ];
    let closed = all(both).await.into_iter().flatten().next().unwrap();
    assert_eq!(
        (closed.cause, &closed.unsent[..]),
        (CloseCause::Requested, &[][..])
    );
    for delivery in deliveries {
        assert_eq!(delivery.await, Ok(()));
    }
    assert_eq!(running.closed().await, Some(closed));
    while status.next().await.is_some() {}
    world.until(|events| count(events, is_left) == 1).await;
}

type LocalBox<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + 'a>>;

pub(crate) async fn reports_what_a_drain_could_not_send<W: World>(world: &W, mut plan: Plan) {
    plan.options.drain_timeout = Duration::from_millis(200);
    let (client, running, deliveries) = hold(world, &plan).await;
    let closed = client.close().await;
    let unsent = closed.unsent.iter().map(|unsent| &unsent.payload[..]);
    assert!(
        unsent.eq(HELD.iter().map(|payload| payload.as_bytes())),
        "{closed:?}"
    );
    for (delivery, held) in deliveries.into_iter().zip(HELD) {
        let error = delivery.await.unwrap_err();
        assert!(
            matches!(
                error,
                DeliveryError::Failed {
                    failure: Failure::Closed,
                    ..
                }
            ),
            "{error:?}"
        );
        assert_eq!(error.into_unsent().expect("handed back").payload, held);
    }
    assert_eq!(running.closed().await, Some(closed));
    world.until(|events| count(events, is_left) == 1).await;
}

pub(crate) async fn hangs_up_and_loses_nothing<W: World>(world: &W, plan: Plan) {
    const MESSAGES: usize = 100;
    let (client, running) = world.start(&plan);
    client.connected().await.unwrap();
    let gateway = client.gateway();
    for _ in 0..MESSAGES {
        // No PUBACK is sent: data in the socket is lost if the connection is dropped too early.
        let event = Telemetry::new(vec![b'x'; 10_000]).qos(QoS::AtMostOnce);
        drop(gateway.telemetry(event).await.unwrap());
    }
    drop(gateway);
    close(client, running).await;
    world
        .until(|events| telemetry(events).len() == MESSAGES && count(events, is_left) == 1)
        .await;
}

pub(crate) async fn ends_every_future_when_the_driver_is_dropped<W: World>(world: &W, plan: Plan) {
    let (client, running, mut deliveries) = hold(world, &plan).await;
    let device = attach(&client, DEVICE).await;
    let mut messages = device.messages();
    assert_eq!(
        messages.next().await.unwrap().kind,
        MessageKind::Config,
        "kept since the first handle"
    );
    let mut status = client.status();
    let delivery = deliveries.pop().unwrap();
    let pending: [LocalBox<'_, ()>; 5] = [
        Box::pin(async {
            assert_eq!(delivery.await, Err(DeliveryError::DriverStopped));
        }),
        Box::pin(async {
            let error = client.attach(id(BOUND[1])).await.unwrap_err();
            let is_stopped = matches!(error, AttachError::Attach(OperationError::DriverStopped, _));
            assert!(is_stopped, "{error:?}");
        }),
        Box::pin(async { assert!(messages.next().await.is_none()) }),
        Box::pin(async { while status.next().await.is_some() {} }),
        Box::pin(async {
            // The others are waiting now.
            running.stop();
            assert_eq!(client.close().await.unsent.len(), HELD.len());
        }),
    ];
    all(pending).await;
    let refused = device.telemetry("4").await.unwrap_err();
    assert!(
        matches!(refused, AcceptError::DriverStopped(_)),
        "{refused:?}"
    );
    assert_eq!(client.connected().await, Err(OperationError::DriverStopped));
    world
        .until(|events| {
            let is_lost = |event: &_| {
                matches!(
                    event,
                    EventKind::Closed {
                        reason: CloseReason::ConnectionLost,
                        ..
                    }
                )
            };
            count(events, is_lost) == 1
        })
        .await;
}

pub(crate) async fn closes_when_every_handle_is_dropped<W: World>(world: &W, plan: Plan) {
    let (client, running) = world.start(&plan);
    let device = attach(&client, DEVICE).await;
    drop(device.telemetry("last words").await.unwrap());
    drop((client, device));
    let closed = running.closed().await.unwrap();
    assert_eq!(
        (closed.cause, &closed.unsent[..]),
        (CloseCause::Requested, &[][..])
    );
    world
        .until(|events| telemetry(events) == ["last words"] && count(events, is_left) == 1)
        .await;
}
