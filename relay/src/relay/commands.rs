//! Converts operations to commands of the gateway.

use std::{io, time::Duration};

use iotcore_gateway_tokio::{
    Attach, Delivery, Device, DeviceId, Failure, OpId, ReportedState, Telemetry,
    error::AttachError,
    message::{QoS, Subfolder, Subscription},
};
use tokio::time::Instant;

use super::{Relay, lanes::Stage, storing};
use crate::{
    failure::Reason,
    operation::{Action, Id, Publication, Request},
    options::Overflow,
    sources::{Accepted, Ended},
    token,
};

impl Relay {
    /// Starts the requests of a device that can be started, in order.
    pub(super) async fn start_requests(&mut self, device: &DeviceId) -> io::Result<()> {
        let limit = self.settings.device_queue;
        let may_overflow = self.settings.overflow == Overflow::DropOldest;
        while let Some((place, request)) = self.lanes.pop_startable(device, may_overflow, limit) {
            if matches!(request.action, Action::Detach) && self.lanes.is_unknown(device) {
                match self.client.device(device) {
                    // Messages of it were found in the store.
                    Some(unclaimed) => self.detach(request.id, unclaimed),
                    // The bridge, too, confirms the detach of a device that is not attached.
                    None => self.end(request.id, Ok(())).await?,
                }
                continue;
            }
            match self.command(device, &request) {
                Ok(()) => {
                    self.supersede_states(device, place, &request.action)
                        .await?;
                }
                Err(reason) if reason.is_queue_full() => {
                    self.lanes.put_back(device, place, request, limit);
                    break;
                }
                Err(reason) => self.end(request.id, Err(reason)).await?,
            }
        }
        self.lanes.tidy(device);
        Ok(())
    }

    /// Hands a request to the gateway.
    fn command(&mut self, device: &DeviceId, request: &Request) -> Result<(), Reason> {
        let handle = match &self.lanes.get_mut(device).stage {
            Stage::Ready(handle) => Ok(handle.clone()),
            _ => Err(Reason::unknown_device(device.as_str())),
        };
        let id = request.id.clone();
        match &request.action {
            Action::Attach {
                token,
                config,
                commands,
            } => {
                // Its subscriptions have events of their own, and so have attempts to connect.
                let attach = Attach::new(device.clone())
                    .config(None)
                    .commands(None)
                    .keep_waiting();
                let attach = match token {
                    Some(token) => attach.token(token::read(token.clone())?),
                    None => attach,
                };
                let subscriptions = [
                    (Subscription::Config, *config),
                    (Subscription::Commands, *commands),
                ];
                self.attach(id, device, attach, subscriptions);
            }
            Action::Detach => self.detach(id, handle?),
            Action::Authorize { token } => {
                let authorizing = handle?.authorize(token::read(token.clone())?);
                self.await_end(id, authorizing.op(), authorizing);
            }
            Action::Telemetry {
                subfolder,
                publication,
            } => {
                let mut telemetry = Telemetry::new(publication.payload.clone())
                    .qos(publication.qos)
                    .priority(publication.priority);
                if let Some(subfolder) = subfolder {
                    telemetry = telemetry.subfolder(Subfolder::try_from(subfolder.clone())?);
                }
                if let Some(left) = time_left(publication)? {
                    telemetry = telemetry.expires_after(left);
                }
                if let Some(tag) = &publication.tag {
                    telemetry = telemetry.tag(tag.clone());
                }
                let delivery = handle?.try_telemetry(telemetry)?;
                self.accepted(device, request, delivery);
            }
            Action::State(publication) => {
                let mut state = ReportedState::new(publication.payload.clone())
                    .qos(publication.qos)
                    .priority(publication.priority);
                if let Some(left) = time_left(publication)? {
                    state = state.expires_after(left);
                }
                if let Some(tag) = &publication.tag {
                    state = state.tag(tag.clone());
                }
                let delivery = handle?.try_report_state(state)?;
                self.accepted(device, request, delivery);
            }
        }
        Ok(())
    }

    /// Starts an attach. Later requests of the device wait until the gateway has accepted it.
    fn attach(
        &mut self,
        id: Id,
        device: &DeviceId,
        attach: Attach,
        subscriptions: [(Subscription, Option<QoS>); 2],
    ) {
        let known = match std::mem::take(&mut self.lanes.get_mut(device).stage) {
            Stage::Ready(handle) => Some(handle),
            _ => None,
        };
        self.lanes.set_stage(device, Stage::Accepting(known));
        let mut accepted = Accepted {
            id,
            device: device.clone(),
            attaching: self.client.attach(attach),
            subscriptions,
            ended: None,
        };
        accepted.begin();
        // Now, because the bridge may close the connection at this attach before its task has run.
        self.open.set_op(&accepted.id, accepted.attaching.op());
        self.tasks
            .spawn(async { Ended::Accepted(accepted.wait().await) });
    }

    /// Handles the acceptance or refusal of an attach.
    pub(super) async fn on_accepted(&mut self, accepted: Accepted) -> io::Result<()> {
        let Accepted {
            id,
            device,
            attaching,
            subscriptions,
            ended,
        } = accepted;
        for (subscription, qos) in subscriptions {
            if let (Some(device), Some(qos)) = (attaching.device(), qos) {
                self.subscribe(&device, subscription, qos);
            }
        }
        let stage = std::mem::take(&mut self.lanes.get_mut(&device).stage);
        let stage = match (stage, attaching.device()) {
            (Stage::Accepting(Some(known)), _) => Stage::Ready(known),
            (Stage::Accepting(None), Some(new)) => {
                self.forward_messages(&new);
                Stage::Ready(new)
            }
            _ => Stage::Unknown,
        };
        self.lanes.set_stage(&device, stage);
        match ended {
            Some(result) => self.end(id, attach_result(result)).await,
            None => {
                self.open.set_op(&id, attaching.op());
                self.tasks.spawn(async {
                    let attached = attaching.await;
                    Ended::Other(id, attach_result(attached.map(drop)))
                });
                Ok(())
            }
        }
    }

    fn detach(&mut self, id: Id, device: Device) {
        self.lanes.set_stage(device.id(), Stage::Detaching);
        let detaching = device.detach();
        self.open.set_op(&id, detaching.op());
        self.tasks.spawn(async move {
            let result = detaching.await;
            Ended::Detached { id, device, result }
        });
    }

    /// Records that the gateway has accepted a message.
    fn accepted(&mut self, device: &DeviceId, request: &Request, delivery: Delivery) {
        self.lanes.on_accepted(device, request);
        match &self.store_recovered {
            Some(recovered) => {
                self.open.set_op(&request.id, Some(delivery.op()));
                let ended =
                    storing::stored_or_ended(request.id.clone(), delivery, recovered.subscribe());
                self.tasks.spawn(ended);
            }
            None => self.await_end(request.id.clone(), Some(delivery.op()), delivery),
        }
    }

    pub(super) fn await_end<E: Into<Reason>>(
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

/// Returns the time until a message expires, if it does.
fn time_left(publication: &Publication) -> Result<Option<Duration>, Failure> {
    let left = publication.time_left(Instant::now());
    match left {
        Some(Duration::ZERO) => Err(Failure::Expired),
        left => Ok(left),
    }
}

fn attach_result(result: Result<(), AttachError>) -> Result<(), Reason> {
    result.map_err(|error| Reason::from(&error))
}
