//! rumqttc on Tokio: its event loop, and a task that publishes.

use std::time::Instant;

use bytes::Bytes;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, QoS};

use crate::{
    Outcome,
    load::{Figures, MESSAGES, PAYLOAD, SINGLES, Stopwatch, TOPIC, WINDOW},
};

/// The limit of requests that wait for the event loop: the same as our own queue's.
const PENDING: usize = 1_000;

pub(crate) async fn run(port: u16) -> Outcome<Figures> {
    let mut options = MqttOptions::new("rumqttc", "127.0.0.1", port);
    options.set_inflight(WINDOW as u16);
    let (client, mut events) = AsyncClient::new(options, PENDING);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    while !matches!(events.poll().await?, Event::Incoming(Packet::ConnAck(_))) {}

    let stopwatch = Stopwatch::start();
    let publisher = tokio::spawn(publish_all(client.clone()));
    acknowledged(&mut events, MESSAGES).await?;
    let throughput = stopwatch.stop();
    publisher.await??;

    let mut latencies = Vec::new();
    for _ in 0..SINGLES {
        let begun = Instant::now();
        publish(&client).await?;
        acknowledged(&mut events, 1).await?;
        latencies.push(begun.elapsed());
    }
    Ok(throughput.figures("rumqttc", latencies))
}

async fn publish_all(client: AsyncClient) -> Result<(), rumqttc::ClientError> {
    for _ in 0..MESSAGES {
        publish(&client).await?;
    }
    Ok(())
}

async fn publish(client: &AsyncClient) -> Result<(), rumqttc::ClientError> {
    let payload = Bytes::from_static(&PAYLOAD);
    client
        .publish_bytes(TOPIC, QoS::AtLeastOnce, false, payload)
        .await
}

/// Polls the event loop until this many PUBACKs have arrived.
async fn acknowledged(events: &mut EventLoop, count: usize) -> Outcome<()> {
    let mut done = 0;
    while done < count {
        let event = events.poll().await?;
        done += usize::from(matches!(event, Event::Incoming(Packet::PubAck(_))));
    }
    Ok(())
}
