//! `iotcore-gateway-tokio`: the driver, and a task that publishes for one device and awaits each delivery.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use iotcore_gateway_tokio::{
    Algorithm, ClientId, Device, DeviceId, KeyTokens, Options, Security, Setup, auth::SigningKey,
    connect, quota::Quota,
};

use crate::{
    Outcome,
    load::{Figures, MESSAGES, PAYLOAD, SINGLES, Stopwatch, WINDOW},
};

/// The broker ignores the token.
const KEY: &[u8] = include_bytes!("../../src/link/gateway.key.pem");

/// The number of deliveries awaited at once: a device's queue limit.
const PENDING: usize = 1_000;

pub(crate) async fn run(port: u16) -> Outcome<Figures> {
    let id = ClientId::new(
        "bench".try_into()?,
        "us-central1".try_into()?,
        "bench".try_into()?,
        "gateway".try_into()?,
    );
    let tokens = KeyTokens::new(SigningKey::from_pem(KEY, Algorithm::Es256)?);
    let mut options = Options::default();
    options.window = WINDOW as u16;
    options.device_window = WINDOW as u16;
    options.quota = Quota::unpaced();
    let setup = Setup::new("127.0.0.1", Security::PlainOnLoopback, id, tokens)
        .port(port)
        .options(options);
    let (client, driver) = connect(setup)?;
    let driver = tokio::spawn(driver.run());
    let device = client.attach("device-1".parse::<DeviceId>()?).await?;
    let figures = tokio::spawn(measure(device)).await??;
    client.close().await;
    driver.await?;
    Ok(figures)
}

/// A separate task from the driver's, because Tokio polls its sockets once more whenever it wakes the future that it
/// blocks on.
async fn measure(device: Device) -> Outcome<Figures> {
    let payload = Bytes::from_static(&PAYLOAD);
    let stopwatch = Stopwatch::start();
    publish(&device, &payload).await?;
    let throughput = stopwatch.stop();

    let mut latencies = Vec::new();
    for _ in 0..SINGLES {
        let begun = Instant::now();
        device.telemetry(payload.clone()).await?.await?;
        latencies.push(begun.elapsed());
    }
    Ok(throughput.figures("iotcore-gateway", latencies))
}

async fn publish(device: &Device, payload: &Bytes) -> Outcome<()> {
    let mut pending = VecDeque::with_capacity(PENDING);
    for _ in 0..MESSAGES {
        if pending.len() == PENDING
            && let Some(oldest) = pending.pop_front()
        {
            oldest.await?;
        }
        pending.push_back(device.telemetry(payload.clone()).await?);
    }
    for delivery in pending {
        delivery.await?;
    }
    Ok(())
}
