//! Rules about the bridge's events for a gateway, and about what it sent to its devices.

use iotcore_gateway::{DeliveryId, DeviceKey, options::Acknowledge};

use super::{DEVICES, Delivered, Device, Finding, Model};
use crate::bridge::errors::ErrorType;
use crate::bridge::event::{DetachCause, Event as BridgeEvent, EventKind};
use crate::bridge::faults::{FaultKind, Grant};
use crate::script::Rule;
use crate::{CloseReason, ConnectionId};

/// Returns what identifies a config: its payload.
pub(crate) fn config_mark(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).trim_end().to_owned()
}

/// Returns what identifies a command: its subfolder.
pub(crate) fn command_mark(subfolder: Option<&str>) -> String {
    subfolder.unwrap_or_default().to_owned()
}

impl Model {
    /// Records a new version of a device's config.
    pub(crate) fn configure(&mut self, device: usize, version: u64, payload: &str) {
        let mark = config_mark(payload.as_bytes());
        self.longest_config = self.longest_config.max(payload.len());
        let device = &mut self.devices[device];
        device.configs.insert(version, mark.clone());
        device.sent.insert(mark);
    }

    /// Records a command with this subfolder to a device.
    pub(crate) fn command(&mut self, device: usize, subfolder: &str) {
        self.devices[device].sent.insert(subfolder.to_owned());
    }

    /// Records an error report about a device, without a cause.
    pub(crate) fn report(&mut self, device: usize) {
        self.devices[device].reports += 1;
        self.devices[device].is_slandered = true;
    }

    /// Returns how often the bridge refused a device's attach.
    pub(crate) fn refusals(&self, device: usize) -> u32 {
        self.devices[device].refusals
    }

    /// Returns whether the bridge has detached a device on this connection, and the gateway cannot know: the report was
    /// not delivered. It attaches the device again on the next connection.
    pub(crate) fn has_missed_reports(&self, connection: ConnectionId) -> bool {
        let mut devices = self.devices.iter();
        devices.any(|device| device.unheard_on == Some(connection))
    }

    /// Records that the user has acknowledged a delivery.
    pub(crate) fn acknowledge(&mut self, delivery: DeliveryId) {
        if let Some(delivered) = self.deliveries.remove(&delivery) {
            let device = &mut self.devices[delivered.device];
            device.delivered.insert(delivered.mark);
            device.is_heard = true;
        }
    }

    /// Records that the user keeps a delivery for later: a command is acknowledged, a config is not.
    pub(crate) fn postpone(&mut self, delivery: DeliveryId) {
        if let Some(delivered) = self.deliveries.get(&delivery)
            && delivered.is_command
        {
            let mark = delivered.mark.clone();
            self.devices[delivered.device].delivered.insert(mark);
        }
    }

    /// Records that the gateway acknowledges a device's commands, because they have held up other devices: these, and
    /// those that come until the user acknowledges one.
    pub(super) fn on_overdue(&mut self, key: DeviceKey) {
        if let Some(index) = self.keys.get(&key).copied() {
            self.release(index);
            self.devices[index].is_deaf = true;
        }
    }

    /// Records that the commands of a device need no acknowledgement by the user any more. Its configs still do.
    fn release(&mut self, index: usize) {
        let deliveries = self.deliveries.values();
        let commands =
            deliveries.filter(|delivered| delivered.is_command && delivered.device == index);
        let marks = commands.map(|delivered| delivered.mark.clone());
        self.devices[index].delivered.extend(marks);
    }

    /// Checks that the user has received everything whose acknowledgement the bridge received. Called when all events
    /// were polled.
    pub(crate) fn check_deliveries(&mut self) -> Result<(), Finding> {
        let is_deceived = self.is_deceived;
        for index in 0..DEVICES.len() {
            let device = &self.devices[index];
            if !device.acknowledged.is_empty() && device.was_detached() {
                self.release(index);
            }
        }
        for (name, device) in DEVICES.iter().zip(&mut self.devices) {
            let Device {
                acknowledged,
                delivered,
                is_deaf,
                is_heard,
                ..
            } = device;
            *is_deaf &= !core::mem::take(is_heard);
            acknowledged.retain(|mark| !delivered.contains(mark));
            if let Some(mark) = acknowledged.first().filter(|_| !is_deceived) {
                let what = format!("{mark:?} to {name} was acknowledged, and not delivered");
                return Err(Finding::new(Rule::Delivery, what));
            }
        }
        Ok(())
    }

    pub(super) fn on_attached(&mut self, key: DeviceKey) -> Result<(), Finding> {
        let is_deceived = self.is_deceived;
        let Some(device) = self.device(key) else {
            return Ok(());
        };
        device.attached_by_gateway += 1;
        let most = device.attached_by_bridge + device.refused_attaches;
        match device.attached_by_gateway <= most || is_deceived {
            true => Ok(()),
            false => Err(Finding::new(
                Rule::Attachment,
                format!("{key:?} is attached, unlike at the bridge"),
            )),
        }
    }

    pub(super) fn on_delivery(
        &mut self,
        key: DeviceKey,
        mark: String,
        is_command: bool,
        delivery: DeliveryId,
    ) -> Result<(), Finding> {
        let Some(index) = self.keys.get(&key).copied() else {
            return Ok(());
        };
        let device = &mut self.devices[index];
        if !device.sent.contains(&mark) && !self.is_deceived {
            let what = format!(
                "{mark:?} was delivered to {}, and never sent",
                DEVICES[index]
            );
            return Err(Finding::new(Rule::Delivery, what));
        }
        match self.options.acknowledge {
            Acknowledge::Automatic => {
                device.delivered.insert(mark);
            }
            Acknowledge::Manual => {
                if is_command && device.is_deaf {
                    device.delivered.insert(mark.clone());
                }
                let delivered = Delivered {
                    device: index,
                    mark,
                    is_command,
                };
                self.deliveries.insert(delivery, delivered);
            }
        }
        Ok(())
    }

    /// Records an unrequested message, which is acknowledged at once and still reported.
    pub(super) fn on_unrequested(&mut self, topic: &str, payload: &[u8]) {
        let mut parts = topic.splitn(5, '/').skip(2);
        let device = parts.next().and_then(|name| self.by_name(name));
        let mark = match (parts.next(), parts.next()) {
            (Some("config"), None) => config_mark(payload),
            (Some("commands"), subfolder) => command_mark(subfolder),
            _ => return,
        };
        if let Some(device) = device {
            device.delivered.insert(mark);
        }
    }

    fn by_name(&mut self, name: &str) -> Option<&mut Device> {
        let index = DEVICES.iter().position(|device| *device == name)?;
        self.devices.get_mut(index)
    }

    pub(super) fn on_bridge_event(&mut self, event: &BridgeEvent) -> Result<(), Finding> {
        match &event.kind {
            EventKind::Telemetry {
                device,
                qos,
                payload,
                ..
            } => self.on_arrival(device, false, *qos, &payload.0),
            EventKind::State {
                device,
                qos,
                payload,
                ..
            } => self.on_arrival(device, true, *qos, &payload.0),
            EventKind::Attached { device, .. } => {
                if let Some(device) = self.by_name(device) {
                    device.attached_by_bridge += 1;
                    device
                        .lost_on
                        .retain(|lost| Some(*lost) != event.connection);
                    device.unheard_on = None;
                }
                Ok(())
            }
            EventKind::Detached { device, cause } => {
                self.on_bridge_detached(device, *cause, event.connection)
            }
            EventKind::ErrorReport {
                error_type,
                device,
                delivered,
                ..
            } => {
                let checked = self.on_bridge_report(*error_type, device, event.connection);
                if let Some(device) = self.by_name(device)
                    && device.is_lost(event.connection)
                    && !delivered
                {
                    device.unheard_on = event.connection;
                }
                checked
            }
            EventKind::FaultStruck { fault, .. } => {
                if let FaultKind::Grant { grant, .. } = fault.kind {
                    self.refused_filters += u32::from(grant == Grant::Failure);
                }
                Ok(())
            }
            EventKind::Subscribed { code: 0x80, .. } if self.refused_filters > 0 => {
                self.refused_filters -= 1;
                Ok(())
            }
            EventKind::Subscribed { filter, code: 0x80 } => {
                self.on_refused_filter(filter, event.connection)
            }
            EventKind::ConfigAcknowledged { device, version } => {
                if let Some(device) = self.by_name(device)
                    && let Some(mark) = device.configs.get(version)
                {
                    device.acknowledged.insert(mark.clone());
                }
                Ok(())
            }
            EventKind::CommandAcknowledged { device, subfolder } => {
                let mark = command_mark(subfolder.as_deref());
                if let Some(device) = self.by_name(device) {
                    device.acknowledged.insert(mark);
                }
                Ok(())
            }
            EventKind::Dropped { reason, .. } => self.check_pace(reason),
            EventKind::Closed { reason, .. } => self.on_bridge_closed(reason, event.connection),
            _ => Ok(()),
        }
    }

    fn on_bridge_detached(
        &mut self,
        name: &str,
        cause: DetachCause,
        on: Option<ConnectionId>,
    ) -> Result<(), Finding> {
        if let Some(device) = self.by_name(name)
            && cause != DetachCause::Requested
        {
            device.lost_on.extend(on);
            device.reports += 1;
        }
        match cause {
            DetachCause::StateTooFast => self.check_pace(name),
            _ => Ok(()),
        }
    }

    /// Checks that states were not sent too fast, which can only happen if the network changes their spacing.
    fn check_pace(&self, what: &str) -> Result<(), Finding> {
        let is_paced =
            self.options.quota.state_interval >= iotcore_gateway::quota::MIN_STATE_INTERVAL;
        match is_paced && self.is_calm && !self.is_deceived {
            true => Err(Finding::new(
                Rule::Delivery,
                format!("a state arrived too early: {what}"),
            )),
            false => Ok(()),
        }
    }

    fn on_bridge_report(
        &mut self,
        error_type: ErrorType,
        name: &str,
        on: Option<ConnectionId>,
    ) -> Result<(), Finding> {
        let (is_deceived, may_acknowledge) = (self.is_deceived, self.refusals_are_acknowledged);
        let is_orderly = self.is_orderly;
        self.rejected += u64::from(error_type == ErrorType::GatewayDeviceNotFound);
        let Some(device) = self.by_name(name) else {
            return Ok(());
        };
        device.reports += 1;
        device.refusals += u32::from(error_type == ErrorType::GatewayAttachmentError);
        match error_type {
            ErrorType::GatewayAttachmentError if may_acknowledge => {
                device.refused_attaches += 1;
                device.lost_on.extend(on);
                Ok(())
            }
            // A message may be overtaken by the detach that follows it.
            ErrorType::GatewayDeviceNotFound
                if device.is_lost(on) || is_deceived || !is_orderly =>
            {
                device.refused_publications += u32::from(may_acknowledge);
                Ok(())
            }
            ErrorType::GatewayDeviceNotFound => {
                let what = format!("a message for {name}, which the bridge has not attached");
                Err(Finding::new(Rule::Attachment, what))
            }
            ErrorType::GatewayInvalidMqttTopic | ErrorType::GatewayUnexpectedMessageType
                if !is_deceived =>
            {
                Err(Finding::new(Rule::Wire, format!("{error_type} for {name}")))
            }
            _ => Ok(()),
        }
    }

    fn on_refused_filter(&mut self, filter: &str, on: Option<ConnectionId>) -> Result<(), Finding> {
        let (is_deceived, is_orderly) = (self.is_deceived, self.is_orderly);
        let name = filter.split('/').nth(2).unwrap_or_default();
        match self.by_name(name) {
            Some(device) if device.is_lost(on) => Ok(()),
            _ if is_deceived || !is_orderly => Ok(()),
            _ => Err(Finding::new(
                Rule::Attachment,
                format!("SUBSCRIBE to {filter}, which the bridge refused"),
            )),
        }
    }

    /// Checks the end of a connection for reasons that only a faulty gateway causes.
    fn on_bridge_closed(
        &mut self,
        reason: &CloseReason,
        on: Option<ConnectionId>,
    ) -> Result<(), Finding> {
        if self.is_deceived {
            return Ok(());
        }
        match reason {
            CloseReason::StateTooFast => self.check_pace("the gateway's own"),
            CloseReason::ForbiddenSubscribe { filter } => self.on_refused_filter(filter, on),
            CloseReason::KeepAlive { .. } | CloseReason::TokenExpired
                if !self.is_calm || !self.is_heard =>
            {
                Ok(())
            }
            CloseReason::Malformed(_)
            | CloseReason::NotConnected { .. }
            | CloseReason::SecondConnect
            | CloseReason::KeepAlive { .. }
            | CloseReason::TokenExpired
            | CloseReason::IllegalTopic { .. }
            | CloseReason::NotGateway { .. }
            | CloseReason::QosTwo { .. }
            | CloseReason::Oversize { .. }
            | CloseReason::Retain
            | CloseReason::AttachSelf => Err(Finding::new(
                Rule::Wire,
                format!("the bridge hung up, for {reason}"),
            )),
            _ => Ok(()),
        }
    }
}
