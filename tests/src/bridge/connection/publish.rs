//! Handles a client's PUBLISH: telemetry, state, and violations.

use super::super::codec::{Publish, Reply};
use super::super::errors::{AboutPacket, ErrorType, Report};
use super::super::event::{DetachCause, EventKind, Payload};
use super::super::quotas::{MAX_EVENT, MAX_STATE, StateVerdict};
use super::super::settings::{FailedPuback, OversizePayload, Retain};
use super::super::topic::{Data, IllegalTopic, PublishKind, PublishTopic};
use super::super::wire::Context;
use super::{Client, CloseReason, Handled};

impl Client {
    pub(super) fn handle_publish(&mut self, publish: Publish, cx: &mut Context<'_>) -> Handled {
        // Documented: QoS 2 ends the connection.
        if publish.qos == 2 {
            return Err(CloseReason::QosTwo { packet: "PUBLISH" });
        }
        if publish.retain && cx.world.settings.retain == Retain::Close {
            return Err(CloseReason::Retain);
        }
        let topic = match PublishTopic::parse(&publish.topic) {
            Ok(topic) => topic,
            // Documented for gateways, by the error's description: a topic that is ill-formatted or contains an invalid
            // device id. Inferred: a topic outside /devices/ still ends the connection.
            Err(IllegalTopic::IllFormed { device }) if self.is_gateway => {
                let description = format!("The topic {:?} could not be parsed.", publish.topic);
                self.fail(
                    ErrorType::GatewayInvalidMqttTopic,
                    device,
                    description,
                    &publish,
                    cx,
                );
                return Ok(());
            }
            // Documented: any other topic ends the connection, without PUBACK.
            Err(_) => {
                let topic = publish.topic;
                return Err(CloseReason::IllegalTopic { topic });
            }
        };
        match topic.kind {
            // Documented: control messages are for gateways.
            PublishKind::Attach | PublishKind::Detach if !self.is_gateway => {
                let topic = publish.topic;
                Err(CloseReason::NotGateway { topic })
            }
            PublishKind::Attach => self.attach(topic.device, &publish, cx),
            PublishKind::Detach => {
                self.detach(topic.device, &publish, cx);
                Ok(())
            }
            PublishKind::Data(data) => self.relay(topic.device, data, &publish, cx),
        }
    }

    /// Processes a message from the client itself or an attached device.
    fn relay(
        &mut self,
        device: &str,
        data: Data<'_>,
        publish: &Publish,
        cx: &mut Context<'_>,
    ) -> Handled {
        if !self.speaks_for(device) {
            // Inferred: for a device, another device's topic is as illegal as any other.
            if !self.is_gateway {
                let topic = publish.topic.clone();
                return Err(CloseReason::IllegalTopic { topic });
            }
            // Documented: the connection stays open.
            let description =
                format!("The specified device with ID '{device}' is not attached to the gateway.");
            let error_type = ErrorType::GatewayDeviceNotFound;
            self.fail(error_type, device, description, publish, cx);
            return Ok(());
        }
        let limit = match data {
            Data::State => MAX_STATE,
            Data::Events { .. } => MAX_EVENT,
        };
        let length = publish.payload.len();
        if length > limit {
            return match cx.world.settings.oversize_payload {
                OversizePayload::Close => Err(CloseReason::Oversize {
                    topic: publish.topic.clone(),
                    length,
                    limit,
                }),
                OversizePayload::Drop => {
                    drop_silently(publish, "above the size limit", cx);
                    Ok(())
                }
            };
        }
        match data {
            Data::State => self.take_state(device, publish, cx),
            Data::Events { subfolder } => take_telemetry(device, subfolder, publish, cx),
        }
    }

    fn take_state(&mut self, device: &str, publish: &Publish, cx: &mut Context<'_>) -> Handled {
        let rate = cx.world.settings.state_rate;
        match cx.world.record(device).pace.judge(rate, cx.now) {
            StateVerdict::Take => {}
            StateVerdict::Ignore => {
                drop_silently(publish, "states less than a second apart", cx);
                return Ok(());
            }
            // Documented: a direct connection ends, a proxied device is detached.
            StateVerdict::TooFast if device == self.device => {
                return Err(CloseReason::StateTooFast);
            }
            StateVerdict::TooFast => {
                self.lose(device, DetachCause::StateTooFast, cx);
                return Ok(());
            }
        }
        let payload = publish.payload.clone();
        cx.world.record(device).add_state(payload.clone());
        cx.log(EventKind::State {
            device: device.to_owned(),
            qos: publish.qos,
            dup: publish.dup,
            payload: Payload(payload),
        });
        acknowledge(publish, cx);
        Ok(())
    }

    /// Reports a failed PUBLISH. Documented: without a PUBACK if errors are not subscribed to; otherwise, whether there
    /// is a PUBACK is a setting.
    pub(super) fn fail(
        &mut self,
        error_type: ErrorType,
        device: &str,
        description: String,
        publish: &Publish,
        cx: &mut Context<'_>,
    ) {
        let puback = cx.world.settings.failed_puback;
        if puback == FailedPuback::BeforeReport {
            acknowledge(publish, cx);
        }
        let report = Report {
            error_type,
            device: device.to_owned(),
            description,
            about: Some(AboutPacket {
                message_type: "PUBLISH",
                topic: publish.topic.clone(),
                packet_id: publish.packet_id,
            }),
        };
        self.report(report, cx);
        if puback == FailedPuback::AfterReport {
            acknowledge(publish, cx);
        }
    }
}

fn take_telemetry(
    device: &str,
    subfolder: Option<&str>,
    publish: &Publish,
    cx: &mut Context<'_>,
) -> Handled {
    // Documented: without a topic to forward telemetry to, the connection ends.
    if !cx.world.registry.has_telemetry_topic() {
        return Err(CloseReason::NoTelemetryTopic);
    }
    let subfolder = subfolder.map(str::to_owned);
    let payload = publish.payload.clone();
    let record = cx.world.record(device);
    record.add_telemetry(subfolder.clone(), payload.clone());
    cx.log(EventKind::Telemetry {
        device: device.to_owned(),
        subfolder,
        qos: publish.qos,
        dup: publish.dup,
        payload: Payload(payload),
    });
    acknowledge(publish, cx);
    Ok(())
}

fn drop_silently(publish: &Publish, reason: &'static str, cx: &mut Context<'_>) {
    let topic = publish.topic.clone();
    cx.log(EventKind::Dropped { topic, reason });
}

/// Answers a PUBLISH with QoS 1 with its PUBACK [MQTT-3.3.4-1].
pub(super) fn acknowledge(publish: &Publish, cx: &mut Context<'_>) {
    if publish.qos == 1 {
        let packet_id = publish.packet_id;
        cx.send(&Reply::Puback { packet_id });
    }
}
