//! The lifecycle of a gateway as a timeline on the terminal. It depends only on the [`Runtime`] that is passed to it,
//! so that it is the same on each runtime: the examples of the adapters connect, spawn the driver, and run it.

mod cloud;
#[path = "../ending.rs"]
mod ending;
mod place;
mod timeline;

use std::{error::Error, future::poll_fn, pin::pin, task::Poll, time::Duration};

use clap::Parser;
use iotcore_gateway::{
    DeviceId, Failure,
    driver::{
        Attach, Client, Device, KeyTokens, Message, MessageKind, Messages, Runtime, Security,
        Setup, Status, StatusChanges, Telemetry, Tls,
    },
};

pub(crate) use self::ending::ending;
use self::{
    cloud::Cloud,
    place::{Arguments, Place, Trust},
    timeline::Timeline,
};

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The time limit of each step; exceeding it is an error.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running example.
pub(crate) struct Story<R> {
    runtime: R,
    timeline: Timeline,
    /// A device that the gateway may attach.
    device: DeviceId,
    /// The cloud's side, if it is our own emulator.
    cloud: Option<Cloud>,
}

impl<R: Runtime> Story<R> {
    /// Sets the example up on this runtime, with the target from the command line and the environment, and returns the
    /// setup for the gateway's connection. Without a host, it starts an emulator and connects to it.
    ///
    /// Prints and exits if the options are invalid or help was requested.
    pub(crate) fn begin(runtime: R) -> Outcome<(Self, Setup<KeyTokens>)> {
        let timeline = Timeline::new();
        let (place, cloud) = match Arguments::parse().place()? {
            Some(place) => (place, None),
            None => {
                let (place, cloud) = Cloud::start(&timeline)
                    .map_err(|error| format!("the emulator cannot start: {error}"))?;
                (place, Some(cloud))
            }
        };
        timeline.begin(&place, cloud.is_some());
        let story = Self {
            runtime,
            timeline,
            device: place.device.clone(),
            cloud,
        };
        Ok((story, setup(place)?))
    }

    /// Runs the example to the end of the gateway. `status` is the client's from before the driver was first polled.
    pub(crate) async fn tell(&self, client: Client, mut status: StatusChanges) -> Outcome {
        let timeline = &self.timeline;
        let step = timeline.step(format_args!("connect"));
        let connected = async { Ok(client.connected().await?) };
        first(connected, async { Err(refusal(&mut status).await) }).await?;
        step.done(format_args!("connected: CONNACK 0"));

        // When this completes, the device is attached and subscribed to its configs and commands.
        let step = timeline.step(format_args!("attach {}", self.device));
        let device = self.within(client.attach(self.device.clone())).await??;
        step.done(format_args!(
            "attached: PUBACK; config and commands: SUBACK"
        ));
        let mut messages = device.messages();

        // Messages are accepted at once and acknowledged later by the bridge: meanwhile, the window fills.
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

        // Receiving a message acknowledges it, which informs the cloud that the device has it.
        let step = timeline.step(format_args!("take the current config"));
        match self.next(&mut messages, MessageKind::Config).await {
            Ok(config) => step.done(format_args!("{} bytes, acknowledged", config.payload.len())),
            Err(error) if self.cloud.is_some() => return Err(error),
            Err(_) => timeline.note(format_args!("none received: this is not the bridge")),
        }

        if let Some(cloud) = &self.cloud {
            let id = device.id().as_str();
            timeline.cloud(format_args!("configure {id}"));
            cloud.configure(id, r#"{"target":20}"#)?;
            let step = timeline.step(format_args!("take the new config"));
            let config = self.next(&mut messages, MessageKind::Config).await?;
            step.done(format_args!("{}", String::from_utf8_lossy(&config.payload)));

            timeline.cloud(format_args!("send {id} a command"));
            cloud.command(id, "valve", "close")?;
            let step = timeline.step(format_args!("take the command"));
            let command = self
                .next(
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

            self.refused(&client, cloud.stranger()).await?;

            self.delivered_after_a_loss(&client, &device, cloud).await?;
        }

        let step = timeline.step(format_args!("detach {}", device.id()));
        self.within(device.detach()).await??;
        step.done(format_args!("detached: PUBACK"));

        let step = timeline.step(format_args!("close"));
        let closed = client.close().await;
        step.done(format_args!(
            "closed; {} messages unsent",
            closed.unsent.len()
        ));
        Ok(())
    }

    /// Prints that the example succeeded.
    pub(crate) fn end(self) {
        self.timeline.end();
    }

    /// Attaches a device that is not bound to this gateway: the bridge reports the reason, and the connection stays open.
    async fn refused(&self, client: &Client, stranger: &str) -> Outcome {
        let step = self
            .timeline
            .step(format_args!("attach {stranger}, which is not bound to us"));
        let attach = Attach::new(stranger.try_into()?)
            .config(None)
            .commands(None);
        match self.within(client.attach(attach)).await? {
            Ok(_) => Err("an unbound device was attached".into()),
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

    /// Shows that a message accepted without a connection is delivered on the next one.
    async fn delivered_after_a_loss(
        &self,
        client: &Client,
        device: &Device,
        cloud: &Cloud,
    ) -> Outcome {
        let timeline = &self.timeline;
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
            match self
                .within(status.next())
                .await?
                .ok_or("the driver ended")?
            {
                Status::Disconnected { ended, .. } => {
                    let wait = ended.retry_in.unwrap_or_default();
                    timeline.note(format_args!(
                        "{}; connecting again in {wait:.1?}",
                        ended.reason
                    ));
                }
                Status::Connected => {
                    timeline.note(format_args!("connected again, with a fresh token"));
                }
                Status::Attached { device } => {
                    timeline.note(format_args!("{device} is attached again"));
                    break;
                }
                _ => {}
            }
        }
        for delivery in deliveries {
            self.within(delivery).await??;
        }
        step.done(format_args!("all ten acknowledged"));
        Ok(())
    }

    /// Returns the next message, which must be of this kind.
    async fn next(&self, messages: &mut Messages, kind: MessageKind) -> Outcome<Message> {
        let message = self
            .within(messages.next())
            .await?
            .ok_or("the driver ended")?;
        if message.kind == kind {
            Ok(message)
        } else {
            Err(format!("received {message:?} instead").into())
        }
    }

    /// Returns the future's output, or an error if it takes too long.
    async fn within<T>(&self, future: impl Future<Output = T>) -> Outcome<T> {
        first(async { Ok(future.await) }, async {
            self.runtime
                .sleep_until(self.runtime.now() + PATIENCE)
                .await;
            Err(format!("timed out after {PATIENCE:?}").into())
        })
        .await
    }
}

/// Returns the gateway's setup: its identity, the trusted certificates, and the key that signs a fresh token for every
/// connection.
fn setup(place: Place) -> Outcome<Setup<KeyTokens>> {
    let security = match place.trust {
        Trust::Platform => Security::Tls(Tls::platform()?),
        Trust::Certificates(pem) => Security::Tls(Tls::from_pem(&pem)?),
        Trust::Plain => Security::PlainOnLoopback,
    };
    let tokens = KeyTokens::new(place.key);
    Ok(Setup::new(place.host, security, place.client_id, tokens).port(place.port))
}

/// Returns the reason why the first connection attempt failed. The driver would retry for ever; the example does not.
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

/// Returns the output of the future that completes first.
async fn first<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Pending => other.as_mut().poll(cx),
        ready => ready,
    })
    .await
}
