//! What the operator is told on standard error: status changes that are no events of the protocol.

use iotcore_gateway_tokio::{DeviceId, Failure, Status};

/// Describes a status change in a sentence, with advice; `own` is the id of the gateway itself.
pub(super) fn describe(change: &Status, own: &DeviceId) -> String {
    match change {
        Status::SubscriptionLost {
            device,
            subscription,
            failure: failure @ Failure::Suspected { .. },
        } => {
            let until = match device == own {
                true => "the next start of this program",
                false => "the next `attach` of the device",
            };
            format!(
                "the subscription to {subscription} for {device} is given up until {until}: {failure}"
            )
        }
        Status::SubscriptionLost {
            device,
            subscription,
            failure,
        } => {
            format!("cannot subscribe to {subscription} for {device}, which is retried: {failure}")
        }
        Status::ErrorsTopicUnavailable {
            failure: failure @ Failure::Suspected { .. },
        } => format!("error reports are given up until the next start of this program: {failure}"),
        Status::ErrorsTopicUnavailable { failure } => format!(
            "error reports are unavailable on this connection: {failure}; check that --gateway names a gateway, not a device"
        ),
        // The key mints another token each second.
        Status::TokenUnchanged => {
            "this connection has the token of the last one, because it was minted in the same \
                                   second: it is not refreshed before it expires"
                .to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use iotcore_gateway_tokio::Subscription;

    use super::*;

    #[test]
    fn what_is_given_up_is_not_called_retried() {
        let own: DeviceId = "gateway-1".parse().unwrap();
        let device: DeviceId = "boiler-7".parse().unwrap();
        let lost = |device: &DeviceId, failure| Status::SubscriptionLost {
            device: device.clone(),
            subscription: Subscription::Config,
            failure,
        };
        let suspected = || Failure::Suspected { connections: 5 };
        let refused = || Failure::SubscriptionRefused(Subscription::Config);
        for (change, part) in [
            (lost(&device, refused()), "for boiler-7, which is retried: "),
            (
                lost(&device, suspected()),
                "for boiler-7 is given up until the next `attach` of the device: the bridge closed 5 connections",
            ),
            (
                lost(&own, suspected()),
                "for gateway-1 is given up until the next start of this program: ",
            ),
            (
                Status::ErrorsTopicUnavailable {
                    failure: Failure::ErrorsTopicRefused,
                },
                "unavailable on this connection: ",
            ),
            (
                Status::ErrorsTopicUnavailable {
                    failure: suspected(),
                },
                "given up until the next start of this program: ",
            ),
        ] {
            let note = describe(&change, &own);
            assert!(note.contains(part), "{note}");
        }
    }
}
