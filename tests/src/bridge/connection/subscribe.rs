//! SUBSCRIBE and UNSUBSCRIBE.

use super::super::codec::Reply;
use super::super::event::EventKind;
use super::super::faults::{FaultKind, Grant};
use super::super::settings::ForbiddenSubscribe;
use super::super::topic::SubscriptionKind;
use super::super::wire::Context;
use super::{Client, CloseReason, Handled};

/// The SUBACK return code of a filter that was refused.
const FAILURE: u8 = 0x80;

impl Client {
    /// Answers all filters of a SUBSCRIBE in one SUBACK [MQTT-3.8.4-4], then delivers the configs that were subscribed
    /// to.
    ///
    /// Documented: config is delivered immediately after SUBACK.
    pub(super) fn handle_subscribe(
        &mut self,
        packet_id: u16,
        filters: Vec<(String, u8)>,
        cx: &mut Context<'_>,
    ) -> Handled {
        let answer = cx.world.settings.forbidden_subscribe;
        let forbidden = filters
            .iter()
            .find(|(filter, _)| self.allowed(filter).is_none());
        let forbidden = forbidden.map(|(filter, _)| filter.clone());
        if let (Some(filter), ForbiddenSubscribe::Close) = (&forbidden, answer) {
            let filter = filter.clone();
            return Err(CloseReason::ForbiddenSubscribe { filter });
        }
        let (mut codes, mut configs) = (Vec::new(), Vec::new());
        for (filter, qos) in filters {
            let code = match self.allowed(&filter) {
                None => FAILURE,
                Some((device, kind)) => match strike_grant(granted(kind, qos), cx) {
                    FAILURE => FAILURE,
                    granted => {
                        let device = device.to_owned();
                        if kind == SubscriptionKind::Config {
                            configs.push(device.clone());
                        }
                        self.subscriptions.insert((device, kind), granted);
                        granted
                    }
                },
            };
            codes.push(code);
            cx.log(EventKind::Subscribed { filter, code });
        }
        cx.send(&Reply::Suback { packet_id, codes });
        if let (Some(filter), ForbiddenSubscribe::RefuseAndClose) = (forbidden, answer) {
            return Err(CloseReason::ForbiddenSubscribe { filter });
        }
        for device in configs {
            self.deliver_config(&device, cx)?;
        }
        Ok(())
    }

    /// Handles UNSUBSCRIBE. Assumed: UNSUBACK regardless of the existing subscriptions, as in the standard
    /// [MQTT-3.10.4-5].
    pub(super) fn handle_unsubscribe(
        &mut self,
        packet_id: u16,
        filters: Vec<String>,
        cx: &mut Context<'_>,
    ) {
        let count = filters.len();
        for filter in filters {
            if let Some((device, kind)) = SubscriptionKind::parse(&filter) {
                self.subscriptions.remove(&(device.to_owned(), kind));
            }
            cx.log(EventKind::Unsubscribed { filter });
        }
        cx.send(&Reply::Unsuback {
            packet_id,
            filters: count,
        });
    }

    /// Returns the device and kind of a filter that the client may subscribe to.
    ///
    /// Documented: config and commands of the client itself and, through a gateway, of attached devices. Inferred:
    /// errors likewise, including those of devices, as clients in production do.
    fn allowed<'a>(&self, filter: &'a str) -> Option<(&'a str, SubscriptionKind)> {
        SubscriptionKind::parse(filter).filter(|(device, _)| self.speaks_for(device))
    }
}

/// Returns the granted QoS. Documented: QoS 2 is granted as 1, and errors are sent with QoS 0. Assumed: SUBACK grants
/// QoS 0 for errors, regardless of the requested QoS.
fn granted(kind: SubscriptionKind, qos: u8) -> u8 {
    match kind {
        SubscriptionKind::Errors => 0,
        SubscriptionKind::Config | SubscriptionKind::Commands => qos.min(1),
    }
}

/// Returns the return code of a filter that would be granted a QoS, unless a fault changes it.
fn strike_grant(qos: u8, cx: &mut Context<'_>) -> u8 {
    let grant = cx.strike(
        || "a topic filter".to_owned(),
        |kind| match kind {
            FaultKind::Grant { grant, .. } if *grant == Grant::Failure || qos > 0 => Some(*grant),
            _ => None,
        },
    );
    match grant {
        None => qos,
        Some(Grant::QosZero) => 0,
        Some(Grant::Failure) => FAILURE,
    }
}
