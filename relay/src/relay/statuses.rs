//! Converts status changes to events for the program and notes for the operator.

use iotcore_gateway_tokio::{
    DeviceId, Failure, Status, error::OperationError, message::Subscription,
    store::StoreFailureKind,
};

use crate::{
    codes::StoreCode,
    failure::{Reason, detach_cause},
    notes::note,
    output::Event,
};

/// Returns the event of a status change that does not concern the connection; one without an event becomes a note. `own` is
/// the id of the gateway itself.
pub(super) fn event(change: Status, own: &DeviceId) -> Option<Event> {
    Some(match change {
        Status::Attached { device } => Event::Attached {
            device: device.to_string(),
        },
        Status::Detached { device, cause } => Event::Detached {
            device: device.to_string(),
            cause: detach_cause(&cause),
        },
        Status::ErrorReport(report) => Event::ErrorReport((&report).into()),
        Status::UnreadableErrorReport { payload, error } => Event::UnreadableErrorReport {
            detail: error.to_string(),
            payload: (&payload).into(),
        },
        Status::TokenNeeded { device } => Event::TokenNeeded {
            device: device.to_string(),
        },
        Status::TokenUnchanged => {
            // The key mints another token each second.
            note("two connections in one second have the same token");
            Event::TokenUnchanged
        }
        Status::SubscriptionLost {
            device,
            subscription,
            failure,
        } => Event::SubscriptionLost {
            subscription: subscription.to_string(),
            reason: lost(failure, device == *own),
            device: device.to_string(),
        },
        Status::SubscriptionDowngraded {
            device,
            subscription,
        } => Event::SubscriptionDowngraded {
            device: device.to_string(),
            subscription: subscription.to_string(),
        },
        Status::ErrorsTopicUnavailable { failure } => Event::ErrorsTopicUnavailable {
            reason: without_reports(failure),
        },
        Status::ReadingPaused { device } => Event::ReadingPaused {
            device: device.map(|device| device.to_string()),
        },
        Status::AcknowledgementsOverdue { device, messages } => Event::AcknowledgementsOverdue {
            device: device.to_string(),
            messages,
        },
        Status::Dropped { device, messages } => Event::Dropped {
            device: device.to_string(),
            messages,
        },
        Status::StoreDamaged { damage } => Event::StoreDamaged {
            places: damage.places,
            bytes: damage.bytes,
            detail: Status::StoreDamaged { damage }.to_string(),
        },
        Status::Unclaimed { device, messages } => Event::Unclaimed {
            device: device.to_string(),
            messages,
        },
        Status::StoreFailed { failure } => Event::StoreFailed {
            error: match failure.kind {
                StoreFailureKind::Full => StoreCode::Full,
                StoreFailureKind::ReadOnly => StoreCode::ReadOnly,
                StoreFailureKind::Exhausted => StoreCode::Exhausted,
                StoreFailureKind::Unreachable => StoreCode::Unreachable,
                _ => StoreCode::Broken,
            },
            detail: failure.to_string(),
        },
        Status::StoreRecovered => Event::StoreRecovered,
        full @ Status::StoreFull {
            reserved,
            unclaimed,
        } => Event::StoreFull {
            stored_bytes: reserved,
            unclaimed_bytes: unclaimed,
            detail: full.to_string(),
        },
        // Each of them has had its event.
        Status::Restored { .. } => return None,
        // With a budget of its own: a bridge may send any number of them, and a program cannot do anything about it.
        change @ Status::Unrequested { .. } => {
            note(change);
            return None;
        }
        change => {
            note(change);
            return None;
        }
    })
}

/// Returns the event of a subscription that was asked for once; `None` if the gateway is closing. `own` is the id of the
/// gateway itself.
pub(super) fn subscription(
    device: &DeviceId,
    subscription: Subscription,
    result: Result<(), OperationError>,
    own: &DeviceId,
) -> Option<Event> {
    let reason = match result {
        Ok(()) => {
            return Some(Event::Subscribed {
                device: device.to_string(),
                subscription: subscription.to_string(),
            });
        }
        Err(OperationError::Failed(
            failure @ (Failure::SubscriptionRefused(_)
            | Failure::TimedOut(_)
            | Failure::Suspected { .. }),
        )) => lost(failure, device == own),
        Err(error) => Reason::from(error),
    };
    (!reason.is_unsent()).then(|| Event::SubscriptionFailed {
        device: device.to_string(),
        subscription: subscription.to_string(),
        reason,
    })
}

/// Returns why a subscription is lost, and until when.
fn lost(failure: Failure, is_own: bool) -> Reason {
    let advice = match (&failure, is_own) {
        (Failure::Suspected { .. }, true) => "it is given up until the next start of this program",
        (Failure::Suspected { .. }, false) => {
            "it is given up until the next `attach` of the device"
        }
        _ => "it is asked for again",
    };
    Reason::from(failure).advise(advice)
}

/// Returns why there are no error reports, and what to do.
fn without_reports(failure: Failure) -> Reason {
    let advice = match &failure {
        Failure::Suspected { .. } => "it is given up until the next start of this program",
        _ => "it is asked for again; check that --gateway names a gateway, not a device",
    };
    Reason::from(failure).advise(advice)
}

#[cfg(test)]
mod tests {
    use iotcore_gateway_tokio::message::Subscription;
    use serde_json::{Value, json};

    use super::*;

    /// Returns the event of a change, as a program reads it.
    fn written(change: Status) -> Value {
        let own = "gateway-1".parse().unwrap();
        serde_json::to_value(event(change, &own).unwrap()).unwrap()
    }

    fn lost_by(device: &str, failure: Failure) -> Value {
        written(Status::SubscriptionLost {
            device: device.parse().unwrap(),
            subscription: Subscription::Config,
            failure,
        })
    }

    #[test]
    fn what_is_given_up_is_not_called_asked_for_again() {
        let suspected = || Failure::Suspected { connections: 5 };
        let refused = Failure::SubscriptionRefused(Subscription::Config);
        let unavailable = |failure| written(Status::ErrorsTopicUnavailable { failure });
        for (event, part) in [
            (lost_by("boiler-7", refused), "; it is asked for again"),
            (
                lost_by("boiler-7", suspected()),
                "; it is given up until the next `attach` of the device",
            ),
            (
                lost_by("gateway-1", suspected()),
                "; it is given up until the next start of this program",
            ),
            (
                unavailable(Failure::ErrorsTopicRefused),
                "; it is asked for again; check that --gateway names",
            ),
            (
                unavailable(suspected()),
                "; it is given up until the next start of this program",
            ),
        ] {
            assert!(event["detail"].as_str().unwrap().contains(part), "{event}");
        }
    }

    #[test]
    fn a_lost_subscription_names_its_device_and_the_reason_by_codes() {
        let lost = lost_by(
            "gateway-1",
            Failure::SubscriptionRefused(Subscription::Config),
        );
        assert_eq!(
            lost,
            json!({"event": "subscription_lost", "device": "gateway-1", "subscription": "config",
                   "error": "subscription_refused", "detail": lost["detail"], "certainty": "confirmed",
                   "retry": lost["retry"]})
        );
    }

    #[test]
    fn dropped_commands_and_a_pause_without_a_device_are_events() {
        let device = "boiler-7".parse().unwrap();
        let dropped = Status::Dropped {
            device,
            messages: 3,
        };
        assert_eq!(
            written(dropped),
            json!({"event": "dropped", "device": "boiler-7", "messages": 3})
        );
        assert_eq!(
            written(Status::ReadingPaused { device: None }),
            json!({"event": "reading_paused", "device": null})
        );
    }
}
