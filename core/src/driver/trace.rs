//! Spans and events for `tracing` (feature `tracing`): a span for the gateway, one in it for each connection, and one
//! in that for each attached device. They contain no token and no payload.

#[cfg(not(feature = "tracing"))]
pub(crate) use self::off::Trace;
#[cfg(feature = "tracing")]
pub(crate) use self::on::Trace;

#[cfg(not(feature = "tracing"))]
mod off {
    use std::sync::Arc;

    use crate::{driver::shared::Shared, id::ClientId};

    /// Records nothing.
    pub(crate) struct Trace;

    impl Trace {
        pub(crate) fn new(_: &Arc<Shared>, _: &ClientId) -> Self {
            Self
        }

        pub(crate) fn follow(&mut self) {}
    }
}

#[cfg(feature = "tracing")]
mod on {
    use core::{
        pin::Pin,
        task::{Context, Poll, Waker},
    };
    use std::{collections::BTreeMap, sync::Arc};

    use futures_core::Stream;
    use tracing::{Span, info, info_span, warn};

    use crate::{
        driver::{shared::Shared, status::Status, status_changes::StatusChanges},
        error_report::ErrorReport,
        event::DetachCause,
        id::{ClientId, DeviceId},
    };

    /// Reads the changes of status as any other reader does, and records them.
    pub(crate) struct Trace {
        changes: StatusChanges,
        gateway: Span,
        connection: Option<Span>,
        devices: BTreeMap<DeviceId, Span>,
    }

    impl Trace {
        pub(crate) fn new(shared: &Arc<Shared>, client_id: &ClientId) -> Self {
            Self {
                changes: StatusChanges::new(Arc::clone(shared)),
                gateway: info_span!("gateway", client_id = %client_id),
                connection: None,
                devices: BTreeMap::new(),
            }
        }

        /// Records what has happened since the last call.
        pub(crate) fn follow(&mut self) {
            let mut cx = Context::from_waker(Waker::noop());
            while let Poll::Ready(Some(change)) = Pin::new(&mut self.changes).poll_next(&mut cx) {
                self.record(change);
            }
        }

        fn record(&mut self, change: Status) {
            let span = self.connection.as_ref().unwrap_or(&self.gateway);
            match change {
                Status::Connected => {
                    let span = info_span!(parent: &self.gateway, "connection");
                    info!(parent: &span, "connected");
                    self.connection = Some(span);
                }
                Status::Disconnected { ended, error } => {
                    let (reason, certainty) = (ended.reason, ended.certainty);
                    let error = error.map(|error| error.to_string());
                    let (retry_in, takeover) = (ended.retry_in, ended.takeover_suspected);
                    warn!(parent: span, %reason, %certainty, error, ?retry_in, takeover, "disconnected");
                    self.devices.clear();
                    self.connection = None;
                }
                Status::Attached { device } => {
                    let span = info_span!(parent: span, "device", id = %device);
                    info!(parent: &span, "attached");
                    self.devices.insert(device, span);
                }
                Status::Detached { device, cause } => {
                    let span = self.devices.remove(&device);
                    let span = span.as_ref().unwrap_or(&self.gateway);
                    match cause {
                        DetachCause::Requested => info!(parent: span, "detached"),
                        DetachCause::Suspected { connections } => {
                            warn!(parent: span, connections, "attached no more");
                        }
                        DetachCause::Reported(report) => {
                            let error_type = report.error_type();
                            warn!(parent: span, %error_type, "detached by the bridge");
                        }
                    }
                }
                Status::ErrorReport(report) => self.record_report(&report),
                change => record_problem(span, change),
            }
        }

        fn record_report(&self, report: &ErrorReport) {
            let device = report.device_id().and_then(|id| self.devices.get(id));
            let span = device.or(self.connection.as_ref()).unwrap_or(&self.gateway);
            let (error_type, device) = (report.error_type(), report.device_id());
            let packet_id = report.message().and_then(|message| message.packet_id());
            warn!(parent: span, %error_type, device, ?packet_id, "error report");
        }
    }

    fn record_problem(span: &Span, change: Status) {
        match change {
            Status::UnreadableErrorReport { error, .. } => {
                warn!(parent: span, %error, "unreadable error report");
            }
            Status::Unrequested { topic, .. } => warn!(parent: span, topic, "unrequested message"),
            Status::SubscriptionDowngraded {
                device,
                subscription,
            } => {
                warn!(parent: span, %device, %subscription, "subscription granted at QoS 0");
            }
            Status::SubscriptionLost {
                device,
                subscription,
                failure,
            } => {
                warn!(parent: span, %device, %subscription, %failure, "subscription lost");
            }
            Status::ErrorsTopicUnavailable { failure } => {
                warn!(parent: span, %failure, "errors topic unavailable");
            }
            Status::TokenNeeded { device } => warn!(parent: span, %device, "token needed"),
            Status::TokenUnchanged => warn!(parent: span, "token unchanged"),
            Status::TokenWarning { device, error } => {
                warn!(parent: span, %device, %error, "the token source warns");
            }
            Status::TokenFailed { device, error } => {
                warn!(parent: span, %device, %error, "token failed");
            }
            Status::Failed {
                op,
                device,
                failure,
            } => warn!(parent: span, %op, %device, %failure, "operation failed"),
            Status::Undelivered {
                device,
                failure,
                messages,
                op,
                tag,
            } => {
                let tag = tag.map(|tag| tag.to_string());
                warn!(parent: span, %device, %failure, messages, %op, tag, "messages undelivered");
            }
            Status::ReadingPaused { device } => {
                let device = device.map(|device| device.to_string());
                warn!(parent: span, device, "reading paused");
            }
            Status::AcknowledgementsOverdue { device, messages } => {
                warn!(parent: span, %device, messages, "acknowledgements overdue");
            }
            Status::Dropped { device, messages } => {
                warn!(parent: span, %device, messages, "messages dropped");
            }
            #[cfg(feature = "store")]
            change @ (Status::Restored { .. }
            | Status::StoreDamaged { .. }
            | Status::Unclaimed { .. }
            | Status::StoreFailed { .. }
            | Status::StoreRecovered
            | Status::StoreFull { .. }) => warn!(parent: span, "{change}"),
            Status::Missed(count) => warn!(parent: span, count, "changes missed"),
            Status::Connected
            | Status::Disconnected { .. }
            | Status::Attached { .. }
            | Status::Detached { .. }
            | Status::ErrorReport(_) => {}
        }
    }
}
