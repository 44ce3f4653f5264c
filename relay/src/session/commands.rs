//! Converts operations to commands of the gateway.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use iotcore_gateway_tokio::{Attach, Device, DeviceId, OpId, ReportedState, Subfolder, Telemetry};

use super::{Seat, Session};
use crate::{
    failure::Reason,
    operation::{Action, Id, Request},
    sources::Ended,
    token,
};

impl Session {
    /// Executes a request; returns false if the gateway has no room for it now.
    pub(super) async fn start(&mut self, request: &Request) -> io::Result<bool> {
        self.open.add(request);
        let has_room = self.command(request).await?;
        if !has_room {
            self.open.remove(&request.id);
        }
        Ok(has_room)
    }

    /// Executes a request that is already recorded as open.
    pub(super) async fn command(&mut self, request: &Request) -> io::Result<bool> {
        match self.try_command(request) {
            Ok(()) => Ok(true),
            Err(reason) if reason.is_lack_of_room() => Ok(false),
            Err(reason) => {
                self.end(request.id.clone(), Err(reason)).await?;
                Ok(true)
            }
        }
    }

    fn try_command(&mut self, request: &Request) -> Result<(), Reason> {
        let device: DeviceId = match &request.device {
            Some(id) => id.as_str().try_into()?,
            None => self.manner.gateway.clone(),
        };
        let is_detach = matches!(request.action, Action::Detach);
        let seated = match self.seats.get_mut(&device) {
            Some(Seat::Detaching(waiting)) => {
                waiting.push(request.clone());
                return Ok(());
            }
            Some(Seat::Attaching(_, waiting)) if is_detach || !waiting.is_empty() => {
                waiting.push(request.clone());
                return Ok(());
            }
            Some(Seat::Ready(handle) | Seat::Attaching(handle, _)) => Ok(handle.clone()),
            None => Err(Reason::unknown_device(device.as_str())),
        };
        let id = request.id.clone();
        match &request.action {
            Action::Attach {
                token,
                config,
                commands,
            } => {
                let attach = Attach::new(device).config(*config).commands(*commands);
                let attach = match token {
                    Some(token) => attach.token(token::read(token.clone())?),
                    None => attach,
                };
                self.attach(id, attach);
            }
            Action::Detach => self.detach(id, seated?),
            Action::Authorize { token } => {
                let authorizing = seated?.authorize(token::read(token.clone())?);
                self.await_end(id, authorizing.op(), authorizing);
            }
            Action::Telemetry {
                subfolder,
                qos,
                payload,
            } => {
                let mut telemetry = Telemetry::new(payload.clone()).qos(*qos);
                if let Some(subfolder) = subfolder {
                    telemetry = telemetry.subfolder(Subfolder::try_from(subfolder.clone())?);
                }
                let delivery = seated?.try_telemetry(telemetry)?;
                self.await_end(id, Some(delivery.op()), delivery);
            }
            Action::State { qos, payload } => {
                let state = ReportedState::new(payload.clone()).qos(*qos);
                let delivery = seated?.try_report_state(state)?;
                self.await_end(id, Some(delivery.op()), delivery);
            }
        }
        Ok(())
    }

    /// Starts an attach. The gateway accepts it at the first poll, which happens here, so that it precedes later input.
    fn attach(&mut self, id: Id, attach: Attach) {
        let mut attaching = self.client.attach(attach);
        let polled = Pin::new(&mut attaching).poll(&mut Context::from_waker(Waker::noop()));
        self.open.name(&id, attaching.op());
        let first = attaching
            .device()
            .filter(|device| !self.seats.contains_key(device.id()));
        let seated = first.as_ref().map(|device| device.id().clone());
        if let Some(device) = first {
            self.give_out_messages(&device);
            let seat = Seat::Attaching(device.clone(), Vec::new());
            self.seats.insert(device.id().clone(), seat);
        }
        self.tasks.spawn(async move {
            let attached = match polled {
                Poll::Ready(attached) => attached,
                Poll::Pending => attaching.await,
            };
            Ended::Attached {
                id,
                seated,
                result: attached.map(drop),
            }
        });
    }

    fn detach(&mut self, id: Id, device: Device) {
        let seat = Seat::Detaching(Vec::new());
        self.seats.insert(device.id().clone(), seat);
        let detaching = device.detach();
        self.open.name(&id, detaching.op());
        self.tasks.spawn(async move {
            let result = detaching.await;
            Ended::Detached { id, device, result }
        });
    }

    fn await_end<E: Into<Reason>>(
        &mut self,
        id: Id,
        op: Option<OpId>,
        operation: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.open.name(&id, op);
        let ended = async { Ended::Other(id, operation.await.map_err(Into::into)) };
        self.tasks.spawn(ended);
    }
}
