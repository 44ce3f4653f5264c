//! From operations to commands of the gateway.

use std::{
    io,
    task::{Context, Poll, Waker},
};

use iotcore_gateway_tokio::{
    Attach, Delivery, Device, DeviceId, QoS, ReportedState, Subfolder, Telemetry,
};

use super::{Seat, Session};
use crate::{
    failure::Reason,
    input::{Action, Id, Request},
    sources::Ended,
    token,
};

impl Session {
    pub(super) async fn start(&mut self, request: Request) -> io::Result<()> {
        self.open.add(&request);
        self.command(request).await
    }

    pub(super) async fn command(&mut self, request: Request) -> io::Result<()> {
        let id = request.id.clone();
        match self.try_command(request) {
            Ok(()) => Ok(()),
            Err(reason) => self.end(id, Err(reason)).await,
        }
    }

    fn try_command(&mut self, request: Request) -> Result<(), Reason> {
        let device: DeviceId = match &request.device {
            Some(id) => id.as_str().try_into()?,
            None => self.manner.gateway.clone(),
        };
        match (self.seats.get_mut(&device), &request.action) {
            (Some(Seat::Ready(handle)), _) => {
                let handle = handle.clone();
                self.command_ready(handle, request)
            }
            (Some(Seat::Attaching(_)), Action::Authorize { token }) => {
                let token = token::read(token.clone())?;
                let attach = Attach::new(device.clone()).token(token);
                self.attach(
                    request.id,
                    device,
                    attach.config(None).commands(None),
                    false,
                );
                Ok(())
            }
            (Some(Seat::Attaching(waiting) | Seat::Detaching(waiting)), _) => {
                waiting.push(request);
                Ok(())
            }
            (
                None,
                Action::Attach {
                    token,
                    config,
                    commands,
                },
            ) => {
                let attach = wanted(&device, token.clone(), *config, *commands)?;
                self.seats
                    .insert(device.clone(), Seat::Attaching(Vec::new()));
                self.attach(request.id, device, attach, true);
                Ok(())
            }
            (None, _) => Err(Reason::unknown_device(device.as_str())),
        }
    }

    fn command_ready(&mut self, device: Device, request: Request) -> Result<(), Reason> {
        let Request { id, action, .. } = request;
        match action {
            Action::Attach {
                token,
                config,
                commands,
            } => {
                let attach = wanted(device.id(), token, config, commands)?;
                self.attach(id, device.id().clone(), attach, false);
            }
            Action::Detach => {
                let seat = Seat::Detaching(Vec::new());
                self.seats.insert(device.id().clone(), seat);
                self.spawn(async move {
                    let result = device.detach().await;
                    Ended::Detached { id, device, result }
                });
            }
            Action::Authorize { token } => {
                let token = token::read(token)?;
                self.spawn(async move {
                    let result = device.authorize(token).await;
                    Ended::Other(id, result.map_err(Into::into))
                });
            }
            Action::Telemetry {
                subfolder,
                qos,
                payload,
            } => {
                let mut telemetry = Telemetry::new(payload).qos(qos);
                if let Some(subfolder) = subfolder {
                    telemetry = telemetry.subfolder(Subfolder::try_from(subfolder)?);
                }
                let delivery = device.try_telemetry(telemetry)?;
                self.await_delivery(id, delivery);
            }
            Action::State { qos, payload } => {
                let delivery = device.try_state(ReportedState::new(payload).qos(qos))?;
                self.await_delivery(id, delivery);
            }
        }
        Ok(())
    }

    fn attach(&mut self, id: Id, device: DeviceId, attach: Attach, is_first: bool) {
        let attached = self.client.attach(attach);
        self.spawn(async move {
            Ended::Attached {
                id,
                device,
                is_first,
                result: attached.await,
            }
        });
    }

    fn await_delivery(&mut self, id: Id, delivery: Delivery) {
        self.spawn(async { Ended::Other(id, delivery.await.map_err(Into::into)) });
    }

    /// Awaits the end of a command in a task. The gateway takes the command in at the first poll, which is here: what
    /// the input says next comes after it.
    fn spawn(&mut self, command: impl Future<Output = Ended> + Send + 'static) {
        let mut command = Box::pin(command);
        let polled = command
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        match polled {
            Poll::Ready(ended) => self.tasks.spawn(async { ended }),
            Poll::Pending => self.tasks.spawn(command),
        };
    }
}

fn wanted(
    device: &DeviceId,
    token: Option<String>,
    config: Option<QoS>,
    commands: Option<QoS>,
) -> Result<Attach, Reason> {
    let attach = Attach::new(device.clone())
        .config(config)
        .commands(commands);
    match token {
        Some(token) => Ok(attach.token(token::read(token)?)),
        None => Ok(attach),
    }
}
