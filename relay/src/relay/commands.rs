//! Converts operations to commands of the gateway.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use iotcore_gateway_tokio::{Attach, Device, DeviceId, OpId, ReportedState, Subfolder, Telemetry};

use super::{DeviceEntry, Relay};
use crate::{
    failure::Reason,
    operation::{Action, Id, Request},
    sources::Ended,
    token,
};

impl Relay {
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
            Err(reason) if reason.is_queue_full() => Ok(false),
            Err(reason) => {
                self.end(request.id.clone(), Err(reason)).await?;
                Ok(true)
            }
        }
    }

    fn try_command(&mut self, request: &Request) -> Result<(), Reason> {
        let device: DeviceId = match &request.device {
            Some(id) => id.as_str().try_into()?,
            None => self.settings.gateway.clone(),
        };
        let is_detach = matches!(request.action, Action::Detach);
        let handle = match self.devices.get_mut(&device) {
            Some(DeviceEntry::Detaching(waiting)) => {
                waiting.push(request.clone());
                return Ok(());
            }
            Some(DeviceEntry::Attaching(_, waiting)) if is_detach || !waiting.is_empty() => {
                waiting.push(request.clone());
                return Ok(());
            }
            Some(DeviceEntry::Ready(handle) | DeviceEntry::Attaching(handle, _)) => {
                Ok(handle.clone())
            }
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
            Action::Detach => self.detach(id, handle?),
            Action::Authorize { token } => {
                let authorizing = handle?.authorize(token::read(token.clone())?);
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
                let delivery = handle?.try_telemetry(telemetry)?;
                self.await_end(id, Some(delivery.op()), delivery);
            }
            Action::State { qos, payload } => {
                let state = ReportedState::new(payload.clone()).qos(*qos);
                let delivery = handle?.try_report_state(state)?;
                self.await_end(id, Some(delivery.op()), delivery);
            }
        }
        Ok(())
    }

    /// Starts an attach. The gateway accepts it at the first poll, which happens here, so that it precedes later input.
    fn attach(&mut self, id: Id, attach: Attach) {
        let mut attaching = self.client.attach(attach);
        let polled = Pin::new(&mut attaching).poll(&mut Context::from_waker(Waker::noop()));
        self.open.set_op(&id, attaching.op());
        let first = attaching
            .device()
            .filter(|device| !self.devices.contains_key(device.id()));
        let first_attach = first.as_ref().map(|device| device.id().clone());
        if let Some(device) = first {
            self.forward_messages(&device);
            let entry = DeviceEntry::Attaching(device.clone(), Vec::new());
            self.devices.insert(device.id().clone(), entry);
        }
        self.tasks.spawn(async move {
            let attached = match polled {
                Poll::Ready(attached) => attached,
                Poll::Pending => attaching.await,
            };
            Ended::Attached {
                id,
                first_attach,
                result: attached.map(drop),
            }
        });
    }

    fn detach(&mut self, id: Id, device: Device) {
        let entry = DeviceEntry::Detaching(Vec::new());
        self.devices.insert(device.id().clone(), entry);
        let detaching = device.detach();
        self.open.set_op(&id, detaching.op());
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
        self.open.set_op(&id, op);
        let ended = async { Ended::Other(id, operation.await.map_err(Into::into)) };
        self.tasks.spawn(ended);
    }
}
