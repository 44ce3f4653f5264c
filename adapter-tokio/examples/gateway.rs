//! The whole story of a gateway, on Tokio.
//!
//! `cargo run --release -p iotcore-gateway-tokio --example gateway` needs nothing else: it starts an emulator of the
//! bridge on this machine, with keys and a certificate made on the spot. With `--host` and the ids of a real registry it
//! does the same there, as far as that goes without the cloud's side; `--help` lists the options.
#![forbid(unsafe_code)]

use std::{error::Error, process::ExitCode, time::Duration};

use iotcore_gateway_testkit::demo::{Cloud, Place, Timeline, Trust, ending};
use iotcore_gateway_tokio::{
    Attach, Client, Device, Failure, KeyTokens, Message, MessageKind, Messages, Security, Setup,
    Status, StatusChanges, Telemetry, Tls, connect,
};
use tokio::time::timeout;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// No step takes longer than this, unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ending(run().await)
}

async fn run() -> Outcome {
    let timeline = Timeline::new();
    let place = Place::from_arguments(&timeline)?;
    timeline.begin(&place);

    // Who we are, whom we trust, and how we sign our tokens: a fresh one for every connection.
    let security = match place.trust {
        Trust::Platform => Security::Tls(Tls::platform()?),
        Trust::Certificates(pem) => Security::Tls(Tls::from_pem(&pem)?),
        Trust::Plain => Security::PlainOnLoopback,
    };
    let setup = Setup::new(
        &place.host,
        security,
        place.client_id,
        KeyTokens::new(place.key),
    )
    .port(place.port);

    // The client commands, the driver works. It runs until the gateway is closed.
    let (client, driver) = connect(setup)?;
    let mut status = client.status();
    let driver = tokio::spawn(driver.run());

    let step = timeline.step(format_args!("connect"));
    tokio::select! {
        connected = client.connected() => connected?,
        refused = refusal(&mut status) => return Err(refused),
    }
    step.done(format_args!("connected: CONNACK 0"));

    // Attached, and subscribed to its configs and commands, once this ends.
    let step = timeline.step(format_args!("attach {}", place.device));
    let device = timeout(PATIENCE, client.attach(place.device)).await??;
    step.done(format_args!(
        "attached: PUBACK; config and commands: SUBACK"
    ));
    let mut messages = device.messages();

    // Accepted at once, acknowledged when the bridge says so: the window fills meanwhile.
    let step = timeline.step(format_args!(
        "publish telemetry, and telemetry in a subfolder"
    ));
    let reading = device.telemetry(r#"{"celsius":21.5}"#).await?;
    let alert = device
        .telemetry(Telemetry::new("too warm").subfolder("alerts".try_into()?))
        .await?;
    reading.await?;
    alert.await?;
    step.done(format_args!("both acknowledged: PUBACK"));

    let step = timeline.step(format_args!("publish the state"));
    device.report_state(r#"{"valve":"open"}"#).await?.await?;
    step.done(format_args!("acknowledged: PUBACK"));

    // Taking a message acknowledges it, which tells the cloud that the device has it.
    let step = timeline.step(format_args!("take the current config"));
    match next(&mut messages, MessageKind::Config).await {
        Ok(config) => step.done(format_args!("{} bytes, acknowledged", config.payload.len())),
        Err(error) if place.cloud.is_some() => return Err(error),
        Err(_) => timeline.note(format_args!("none came: this is not the bridge")),
    }

    if let Some(cloud) = &place.cloud {
        let id = device.id().as_str();
        timeline.cloud(format_args!("configure {id}"));
        cloud.configure(id, r#"{"target":20}"#)?;
        let step = timeline.step(format_args!("take the new config"));
        let config = next(&mut messages, MessageKind::Config).await?;
        step.done(format_args!("{}", String::from_utf8_lossy(&config.payload)));

        timeline.cloud(format_args!("send {id} a command"));
        cloud.command(id, "valve", "close")?;
        let step = timeline.step(format_args!("take the command"));
        let command = next(
            &mut messages,
            MessageKind::Command {
                subfolder: Some("valve".into()),
            },
        )
        .await?;
        step.done(format_args!(
            "valve: {}",
            String::from_utf8_lossy(&command.payload)
        ));

        refused(&client, cloud.stranger(), &timeline).await?;

        delivered_after_a_loss(&client, &device, &timeline, cloud).await?;
    }

    let step = timeline.step(format_args!("detach {}", device.id()));
    timeout(PATIENCE, device.detach()).await??;
    step.done(format_args!("detached: PUBACK"));

    let step = timeline.step(format_args!("close"));
    let closed = client.close().await;
    step.done(format_args!(
        "closed; {} messages unsent",
        closed.unsent.len()
    ));
    driver.await?;
    timeline.end();
    Ok(())
}

/// The next message, which is to be of this kind.
async fn next(messages: &mut Messages, kind: MessageKind) -> Outcome<Message> {
    let message = timeout(PATIENCE, messages.next())
        .await?
        .ok_or("the driver ended")?;
    if message.kind == kind {
        Ok(message)
    } else {
        Err(format!("{message:?} came instead").into())
    }
}

/// Why the first attempt to connect failed. The driver would try again for ever; a story does not.
async fn refusal(status: &mut StatusChanges) -> Box<dyn Error> {
    while let Some(change) = status.next().await {
        if let Status::Disconnected { ended, error } = change {
            return match error {
                Some(error) => error.into(),
                None => ended.reason.to_string().into(),
            };
        }
    }
    "the driver ended".into()
}

/// A device that is not ours: the bridge says why, and the connection lives on.
async fn refused(client: &Client, stranger: &str, timeline: &Timeline) -> Outcome {
    let step = timeline.step(format_args!("attach {stranger}, which is not bound to us"));
    let attach = Attach::new(stranger.try_into()?)
        .config(None)
        .commands(None);
    match timeout(PATIENCE, client.attach(attach)).await? {
        Ok(_) => Err("a stranger was attached".into()),
        Err(error) => match error.failure() {
            Some(failure @ Failure::Reported(report)) => {
                let (code, certainty) = (report.error_type(), failure.certainty());
                step.done(format_args!("refused: {code}, {certainty} by a report"));
                Ok(())
            }
            _ => Err(error.into()),
        },
    }
}

/// What is accepted while there is no connection is delivered on the next one.
async fn delivered_after_a_loss(
    client: &Client,
    device: &Device,
    timeline: &Timeline,
    cloud: &Cloud,
) -> Outcome {
    let step = timeline.step(format_args!(
        "publish ten messages while the connection is cut"
    ));
    let mut status = client.status();
    timeline.cloud(format_args!("cut the connection"));
    cloud.cut()?;
    let mut deliveries = Vec::new();
    for n in 0..10 {
        deliveries.push(device.telemetry(n.to_string()).await?);
    }
    loop {
        match timeout(PATIENCE, status.next())
            .await?
            .ok_or("the driver ended")?
        {
            Status::Disconnected { ended, .. } => {
                let wait = ended.retry_in.unwrap_or_default();
                timeline.note(format_args!("{}; next attempt in {wait:.1?}", ended.reason));
            }
            Status::Connected => timeline.note(format_args!("connected again, with a fresh token")),
            Status::Attached { device } => {
                timeline.note(format_args!("{device} is attached again"));
                break;
            }
            _ => {}
        }
    }
    for delivery in deliveries {
        timeout(PATIENCE, delivery).await??;
    }
    step.done(format_args!("all ten acknowledged"));
    Ok(())
}
