//! Bad devices beside healthy ones, and a box that slept.

use std::time::Duration;

use iotcore_gateway::{
    Failure,
    driver::{Client, Device, error::DeliveryError},
};
use iotcore_gateway_testkit::{EventKind, Service};

use crate::{
    registry::{BAD, BLOCKED, FAILING, FORGETTING, HANGING, IGNORED, METERING, METERS, POISONOUS},
    world::{Plan, World, all, attach, close, count, id, in_time},
};

/// Less than any packet that is overdue keeps the window, even on a slow machine.
const AT_ONCE: Duration = Duration::from_millis(2_500);

/// Less than the quiet before a suspect is tried alone, and than the timeout of a token source.
const SOON: Duration = Duration::from_secs(8);

/// More than a suspect takes: three hang-ups, and twice the quiet and a trial.
const LATER: Duration = Duration::from_secs(50);

const MESSAGES: usize = 20;

/// Attaches the healthy devices, and publishes for each until all is acknowledged.
async fn serve(client: &Client) {
    let served = METERS.iter().map(async |meter| {
        let device = attach(client, meter).await;
        publish(&device).await;
    });
    all(served).await;
}

async fn publish(device: &Device) {
    let mut deliveries = Vec::new();
    for n in 0..MESSAGES {
        deliveries.push(device.telemetry(n.to_string()).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
}

pub(crate) async fn serves_the_others_beside_bad_devices<W: World>(world: &W, mut plan: Plan) {
    plan.gateway = METERING;
    plan.options.drain_timeout = Duration::from_millis(200);
    world.with(|bridge, now| {
        bridge.set_blocked(BLOCKED, true, now).unwrap();
        bridge.set_service(Service::one_queue().ignoring_publications([IGNORED]), now);
    });
    let (client, running) = world.start(&plan);
    for bad in [FAILING, HANGING] {
        let client = client.clone();
        world.spawn(Box::pin(async move {
            let attached = client.attach(id(bad)).await;
            assert!(attached.is_err(), "{bad}");
        }));
    }
    client.attach(id(BLOCKED)).await.unwrap_err();
    let ignored = attach(&client, IGNORED).await;
    for n in 0..MESSAGES * 10 {
        drop(ignored.telemetry(n.to_string()).await.unwrap());
    }
    in_time(&world.runtime(), AT_ONCE, serve(&client)).await;
    world.with(|bridge, _| {
        for meter in METERS {
            assert!(bridge.device(meter).unwrap().telemetry_total() >= MESSAGES as u64);
        }
        assert_eq!(bridge.device(IGNORED).unwrap().telemetry_total(), 0);
    });
    let closed = client.close().await;
    let is_bad = |device: &str| BAD.contains(&device);
    assert!(
        closed
            .unsent
            .iter()
            .all(|unsent| is_bad(unsent.device.as_str()))
    );
    running.closed().await.unwrap();
}

pub(crate) async fn gives_up_a_message_at_which_the_bridge_hangs_up<W: World>(
    world: &W,
    mut plan: Plan,
) {
    plan.gateway = METERING;
    world.fault(&format!("poison telemetry {POISONOUS} 626164"));
    let (client, running) = world.start(&plan);
    let device = attach(&client, POISONOUS).await;
    let before = device.telemetry("good").await.unwrap();
    let bad = device.telemetry("bad").await.unwrap();
    in_time(&world.runtime(), SOON, serve(&client)).await;
    in_time(&world.runtime(), SOON, before).await.unwrap();
    let error = in_time(&world.runtime(), LATER, bad).await.unwrap_err();
    let DeliveryError::Failed { failure, unsent } = error else {
        panic!("{error:?}");
    };
    assert_eq!(failure, Failure::Suspected { connections: 5 });
    assert_eq!(unsent.payload, "bad");
    // The next one may have begun.
    assert!(matches!(client.stats().connections, 5 | 6));
    close(client, running).await;
}

pub(crate) async fn delivers_what_was_queued_before_the_box_slept<W: World>(
    world: &W,
    mut plan: Plan,
) {
    plan.gateway = METERING;
    let (client, running) = world.start(&plan);
    // Its new token never comes, which is no concern of the others.
    let forgetting = attach(&client, FORGETTING).await;
    let meters = all(METERS
        .iter()
        .map(async |meter| attach(&client, meter).await))
    .await;
    world.fault("puback hold");
    let published = all(meters.iter().map(publish));
    let slept = async {
        let has_arrived = |events: &[EventKind]| {
            count(events, |event| matches!(event, EventKind::Telemetry { .. })) >= METERS.len()
        };
        world.until(has_arrived).await;
        world.suspend(Duration::from_secs(2 * 3_600));
        world.fault("clear");
    };
    let both: [LocalBox<'_>; 2] = [Box::pin(async { drop(published.await) }), Box::pin(slept)];
    in_time(&world.runtime(), SOON, all(both)).await;
    let is_report = |event: &_| matches!(event, EventKind::ErrorReport { .. });
    world.until(|events| count(events, is_report) == 0).await;
    drop(forgetting);
    close(client, running).await;
}

type LocalBox<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;
