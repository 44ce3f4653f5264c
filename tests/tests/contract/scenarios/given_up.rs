//! Messages that are cancelled, expire or overtake others, and what a look at the devices shows.

use std::time::Duration;

use iotcore_gateway::{
    Failure, OpId,
    command_error::CommandError,
    device::{DeviceInfo, DeviceState},
    driver::{
        Client, Delivery, Device, Status, Telemetry,
        error::{DeliveryError, OperationError},
    },
    message::{Priority, Unsent},
};
use iotcore_gateway_testkit::link::BOUND;

use crate::world::{Plan, World, attach, close, disconnection, telemetry};

const DEVICE: &str = BOUND[0];
const OTHER: &str = BOUND[1];

/// Less than any wait of a scenario, and more than it takes to publish.
const SHORT: Duration = Duration::from_millis(300);

/// Loses the connection; no other is accepted until all faults are cleared.
async fn begin_outage<W: World>(world: &W, client: &Client) {
    let mut status = client.status();
    world.fault("refuse close");
    world.cut();
    disconnection(&mut status).await;
}

async fn send(device: &Device, event: impl Into<Telemetry>) -> Delivery {
    device.telemetry(event).await.unwrap()
}

/// Awaits the end of a message that fails.
async fn failure(delivery: Delivery) -> (Failure, Unsent) {
    match delivery.await {
        Err(DeliveryError::Failed { failure, unsent }) => (failure, *unsent),
        other => panic!("{other:?}"),
    }
}

fn not_cancellable(op: OpId) -> Result<(), OperationError> {
    Err(CommandError::NotCancellable(op).into())
}

pub(crate) async fn cancels_what_is_in_flight_and_what_waits_in_an_outage<W: World>(
    world: &W,
    plan: Plan,
) {
    let (client, running) = world.start(&plan);
    let device = attach(&client, DEVICE).await;
    world.fault("puback hold");
    let in_flight = send(&device, "in flight").await;
    world
        .until(|events| telemetry(events) == ["in flight"])
        .await;
    let op = in_flight.op();
    assert_eq!(client.cancel(op), Ok(()));
    assert_eq!(client.cancel(op), not_cancellable(op));
    let (cancelled, unsent) = failure(in_flight).await;
    assert_eq!((cancelled, unsent.op), (Failure::Cancelled, op));
    world.fault("clear");
    send(&device, "next").await.await.unwrap();
    assert_eq!(client.stats().unsolicited, 0, "its late PUBACK is known");

    begin_outage(world, &client).await;
    let tagged = Telemetry::new("waiting").tag("reading 17".parse().unwrap());
    let waiting = send(&device, tagged.clone()).await;
    let kept = send(&device, "kept").await;
    assert_eq!(waiting.cancel(), Ok(()));
    assert_eq!(waiting.cancel(), not_cancellable(waiting.op()));
    let (cancelled, unsent) = failure(waiting).await;
    assert_eq!(cancelled, Failure::Cancelled);
    assert_eq!(Telemetry::try_from(unsent), Ok(tagged));
    world.fault("clear");
    kept.await.unwrap();
    world
        .until(|events| telemetry(events) == ["in flight", "next", "kept"])
        .await;
    close(client, running).await;
}

pub(crate) async fn sends_nothing_that_expires_in_an_outage<W: World>(world: &W, plan: Plan) {
    const READINGS: usize = 100;
    let (client, running) = world.start(&plan);
    let device = attach(&client, DEVICE).await;
    let mut status = client.status();
    begin_outage(world, &client).await;
    let late = |payload: String| Telemetry::new(payload).expires_after(SHORT);
    for n in 0..READINGS {
        drop(send(&device, late(n.to_string())).await);
    }
    let awaited = late("awaited".into()).tag("reading 17".parse().unwrap());
    let awaited = send(&device, awaited).await;
    let kept = send(&device, "kept").await;
    let (expired, unsent) = failure(awaited).await;
    assert_eq!(
        (expired, &unsent.payload[..]),
        (Failure::Expired, &b"awaited"[..])
    );
    assert_eq!(unsent.tag, Some("reading 17".parse().unwrap()));
    let mut told = 0;
    while told < READINGS {
        if let Status::Undelivered {
            device,
            failure,
            messages,
            ..
        } = status.next().await.unwrap()
        {
            assert_eq!((device.as_str(), failure), (DEVICE, Failure::Expired));
            told += messages;
        }
    }
    assert_eq!(told, READINGS);
    world.fault("clear");
    kept.await.unwrap();
    world.until(|events| telemetry(events) == ["kept"]).await;
    close(client, running).await;
}

pub(crate) async fn sends_an_alarm_before_what_waits<W: World>(world: &W, plan: Plan) {
    const READINGS: usize = 50;
    let (client, running) = world.start(&plan);
    let device = attach(&client, DEVICE).await;
    let other = attach(&client, OTHER).await;
    world.fault("puback hold");
    let mut deliveries = Vec::new();
    for n in 0..READINGS {
        deliveries.push(send(&device, n.to_string()).await);
    }
    let share = client.stats().in_flight;
    assert!(share < READINGS, "some wait");
    let mut expected = Vec::from_iter((0..share).map(|n| n.to_string()));
    world.until(|events| telemetry(events) == expected).await;
    for (sender, alarm) in [(&device, "fire"), (&other, "smoke")] {
        let alarm = Telemetry::new(alarm).priority(Priority::Urgent);
        deliveries.push(send(sender, alarm).await);
    }
    expected.extend(["fire".into(), "smoke".into()]);
    world.until(|events| telemetry(events) == expected).await;
    world.fault("clear");
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    expected.extend((share..READINGS).map(|n| n.to_string()));
    world.until(|events| telemetry(events) == expected).await;
    close(client, running).await;
}

/// Returns how the gateway itself and the device are.
fn look(client: &Client) -> [DeviceInfo; 2] {
    client.devices().try_into().unwrap()
}

pub(crate) async fn shows_its_devices_and_how_soon_the_bridge_answers<W: World>(
    world: &W,
    mut plan: Plan,
) {
    plan.options.device_window = 1;
    let (client, running) = world.start(&plan);
    let device = attach(&client, DEVICE).await;
    assert_eq!(client.stats().latency, None);
    world.fault("puback hold");
    let in_flight = send(&device, "1").await;
    world.until(|events| telemetry(events) == ["1"]).await;
    let late = send(&device, Telemetry::new("22").expires_after(SHORT)).await;
    let waiting = send(&device, "333").await;
    let [own, info] = look(&client);
    assert_eq!(&own.id, client.gateway().id());
    assert_eq!((own.queued, own.last_failure), (0, None));
    assert_eq!((&info.id, info.state), (device.id(), DeviceState::Attached));
    assert_eq!((info.queued, info.queued_bytes, info.in_flight), (3, 6, 1));
    assert_eq!(info.last_failure, None);

    let (expired, _) = failure(late).await;
    let [_, info] = look(&client);
    assert_eq!((info.queued, info.queued_bytes, info.in_flight), (2, 4, 1));
    assert_eq!(info.last_failure.unwrap().failure, expired);
    world.fault("clear");
    in_flight.await.unwrap();
    waiting.await.unwrap();
    let [_, info] = look(&client);
    assert_eq!((info.queued, info.in_flight), (0, 0));
    let stats = client.stats();
    assert!(stats.worst_latency >= Some(SHORT), "{stats:?}");
    assert!(stats.latency <= stats.worst_latency, "{stats:?}");
    assert_eq!(client.stats().worst_latency, None, "none since");
    close(client, running).await;
}
