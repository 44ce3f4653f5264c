//! The same script with a general MQTT client, rumqttc 0.25.1, and with ours: two devices are attached, 50 messages are
//! accepted, and the connection is lost after the bridge has acknowledged 10 of them.
//!
//! Real sockets, because rumqttc supports nothing else. The network between is simulated: from the moment at which the
//! connection is lost, it reads everything and delivers nothing.
#![forbid(unsafe_code)]

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use iotcore_gateway_testkit::link::{BOUND, GATEWAY, registry};
use iotcore_gateway_testkit::serve::Server;
use iotcore_gateway_testkit::{AuthMethod, Settings};
use iotcore_gateway_tokio::{
    Algorithm, ClientId, DeviceId, KeyTokens, Security, Setup, auth::SigningKey, connect,
};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const KEY: &[u8] = include_bytes!("../src/link/gateway.key.pem");
const BEFORE: usize = 10;
const ALL: usize = 50;
const PATIENCE: Duration = Duration::from_secs(20);

/// A TCP proxy between a client and the bridge, which can drop all data and cut its connections.
struct Line {
    address: SocketAddr,
    state: watch::Sender<LineState>,
}

#[derive(Clone, Copy)]
struct LineState {
    /// Bytes are read and not delivered.
    is_dead: bool,
    /// The number of cuts; connections from before the last one are closed.
    cuts: u32,
}

impl Line {
    async fn to(bridge: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, watched) = watch::channel(LineState {
            is_dead: false,
            cuts: 0,
        });
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(bridge).await.unwrap();
                tokio::spawn(carry(client, server, watched.clone()));
            }
        });
        Self { address, state }
    }

    fn die(&self) {
        self.state.send_modify(|state| state.is_dead = true);
    }

    fn cut(&self) {
        self.state.send_modify(|state| {
            *state = LineState {
                is_dead: false,
                cuts: state.cuts + 1,
            };
        });
    }
}

async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    mut state: watch::Receiver<LineState>,
) {
    let cuts = state.borrow().cuts;
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
        _ = state.wait_for(|state| state.is_dead || state.cuts > cuts) => {}
    }
    let mut sink = tokio::io::sink();
    tokio::select! {
        _ = tokio::io::copy(&mut client, &mut sink) => {}
        _ = state.wait_for(|state| state.cuts > cuts) => {}
    }
}

fn bridge() -> Arc<Server> {
    let registry = registry(AuthMethod::AssociationOnly);
    Arc::new(Server::start(registry, Settings::default(), "127.0.0.1:0", None, |_| {}).unwrap())
}

/// Returns the telemetry that arrived from a device, in order.
fn arrived(bridge: &Server, device: &str) -> Vec<usize> {
    bridge.with(|bridge, _| {
        let events = bridge.device(device).unwrap().telemetry();
        events
            .map(|event| str::from_utf8(&event.payload).unwrap().parse().unwrap())
            .collect()
    })
}

fn total(bridge: &Server) -> usize {
    BOUND[..2]
        .iter()
        .map(|device| arrived(bridge, device).len())
        .sum()
}

fn device(n: usize) -> &'static str {
    BOUND[n % 2]
}

/// Waits for an event that satisfies the condition.
async fn poll(events: &mut EventLoop, mut is_done: impl FnMut(&Event) -> bool) {
    let polled = tokio::time::timeout(PATIENCE, async {
        loop {
            match events.poll().await {
                Ok(event) if is_done(&event) => return,
                Ok(_) => {}
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    polled.await.expect("rumqttc reports the event in time");
}

fn is_puback(event: &Event) -> bool {
    matches!(event, Event::Incoming(Packet::PubAck(_)))
}

/// Returns how many of the accepted messages arrived at the bridge.
async fn with_rumqttc(bridge: &Server) -> usize {
    let line = Line::to(bridge.local_addr()).await;
    let id = client_id();
    let key = SigningKey::from_pem(KEY, Algorithm::Es256).unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "a token contains its time of issue"
    )]
    let unix_now = std::time::SystemTime::now();
    let token = key
        .mint(id.project(), unix_now.try_into().unwrap(), PATIENCE * 100)
        .unwrap();
    let mut options = MqttOptions::new(
        id.to_string(),
        line.address.ip().to_string(),
        line.address.port(),
    );
    options
        .set_credentials("unused", token)
        .set_clean_session(true);
    let (client, mut events) = AsyncClient::new(options, 100);

    for device in &BOUND[..2] {
        client
            .publish(
                format!("/devices/{device}/attach"),
                QoS::AtLeastOnce,
                false,
                "{}",
            )
            .await
            .unwrap();
        poll(&mut events, is_puback).await;
    }
    let publish = async |n: usize| {
        let topic = format!("/devices/{}/events", device(n));
        client
            .publish(topic, QoS::AtLeastOnce, false, n.to_string())
            .await
            .unwrap();
    };
    for n in 0..BEFORE {
        publish(n).await;
        poll(&mut events, is_puback).await;
    }
    line.die();
    for n in BEFORE..ALL {
        publish(n).await;
    }
    let mut written = 0;
    poll(&mut events, |event| {
        written += usize::from(matches!(event, Event::Outgoing(Outgoing::Publish(_))));
        written == ALL - BEFORE
    })
    .await;
    line.cut();
    poll(&mut events, |event| {
        matches!(event, Event::Incoming(Packet::ConnAck(_)))
    })
    .await;

    // Everything pending is sent before this one, which needs no attached device.
    client
        .publish(
            format!("/devices/{GATEWAY}/events"),
            QoS::AtLeastOnce,
            false,
            "0",
        )
        .await
        .unwrap();
    poll(&mut events, is_puback).await;
    total(bridge)
}

async fn with_us(bridge: &Server) -> usize {
    let line = Line::to(bridge.local_addr()).await;
    let key = SigningKey::from_pem(KEY, Algorithm::Es256).unwrap();
    let host = line.address.ip().to_string();
    let setup = Setup::new(
        host,
        Security::PlainOnLoopback,
        client_id(),
        KeyTokens::new(key),
    )
    .port(line.address.port());
    let (client, driver) = connect(setup).unwrap();
    let driver = tokio::spawn(driver.run());
    let mut devices = Vec::new();
    for id in &BOUND[..2] {
        devices.push(
            client
                .attach(DeviceId::try_from(*id).unwrap())
                .await
                .unwrap(),
        );
    }
    for n in 0..BEFORE {
        devices[n % 2]
            .telemetry(n.to_string())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    line.die();
    let mut deliveries = Vec::new();
    for n in BEFORE..ALL {
        deliveries.push(devices[n % 2].telemetry(n.to_string()).await.unwrap());
    }
    line.cut();
    for delivery in deliveries {
        tokio::time::timeout(PATIENCE, delivery)
            .await
            .expect("acknowledged in time")
            .unwrap();
    }
    client.close().await;
    driver.await.unwrap();
    total(bridge)
}

fn client_id() -> ClientId {
    ClientId::new(
        "my-project".try_into().unwrap(),
        "us-central1".try_into().unwrap(),
        "my-registry".try_into().unwrap(),
        GATEWAY.try_into().unwrap(),
    )
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the test prints its figures")]
async fn rumqttc_loses_accepted_messages_and_we_do_not() {
    let theirs = bridge();
    let forgotten = with_rumqttc(&theirs).await;
    let ours = bridge();
    let kept = with_us(&ours).await;
    println!(
        "accepted messages that arrived at the bridge, of {ALL}: rumqttc 0.25.1 {forgotten}, iotcore-gateway {kept}"
    );
    assert_eq!(
        forgotten, BEFORE,
        "as observed: no message that was in flight is retransmitted"
    );
    assert_eq!(kept, ALL);
    for (n, device) in BOUND[..2].iter().enumerate() {
        let expected: Vec<_> = (n..ALL).step_by(2).collect();
        assert_eq!(arrived(&ours, device), expected, "each once, in order");
    }
}
