//! The inputs of the relay, in the order in which they are reported.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use iotcore_gateway_tokio::{
    Delivery, Device, DeviceId, Message, Status, StatusChanges,
    error::{AttachError, OperationError},
    message::{QoS, Subscription},
    pending::Attaching,
};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    failure::Reason,
    input::{Input, Line},
    operation::Id,
};

/// The inputs of the relay.
pub(crate) struct Sources {
    /// The status changes; `None` once the gateway is closed.
    status: Option<StatusChanges>,
    /// The devices' messages; `None` once there is no sender.
    messages: Option<mpsc::Receiver<Message>>,
    /// The lines of the input; `None` once it has ended.
    input: Option<Input>,
    stop: Arc<Notify>,
}

/// The next input of the relay.
pub(crate) enum Next {
    /// A signal requested a shutdown.
    Signal,
    /// The deadline has passed.
    DeadlinePassed,
    Status(Status),
    /// The gateway is closed.
    Closed,
    /// Reading the input still pauses at the time of the check.
    StillPaused,
    Ended(Ended),
    Message(Message),
    Line(Line),
    /// The input has ended, or cannot be read any more.
    InputEnded(io::Result<()>),
}

/// An operation that has ended or made its first step, or a subscription.
pub(crate) enum Ended {
    /// A subscription of a device or of the gateway itself, asked for once.
    Subscription {
        device: DeviceId,
        subscription: Subscription,
        result: Result<(), OperationError>,
    },
    /// A message, an authorisation, or an attach that the gateway had accepted.
    Other(Id, Result<(), Reason>),
    Accepted(Accepted),
    /// A message that is stored, and goes on or has failed since.
    Stored(Id, Result<Delivery, Reason>),
    Detached {
        id: Id,
        device: Device,
        result: Result<(), OperationError>,
    },
}

/// An attach that the gateway has accepted, or refused, in which case it has no device.
pub(crate) struct Accepted {
    pub(crate) id: Id,
    pub(crate) device: DeviceId,
    pub(crate) attaching: Attaching,
    /// What is to be subscribed.
    pub(crate) subscriptions: [(Subscription, Option<QoS>); 2],
    /// The result, if the attach has ended already.
    pub(crate) ended: Option<Result<(), AttachError>>,
}

impl Accepted {
    /// Makes the first step of an attach, after which it is accepted unless a token is fetched.
    pub(crate) fn begin(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(result) = Pin::new(&mut self.attaching).poll(&mut cx) {
            self.ended = Some(result.map(drop));
        }
    }

    /// Waits until the gateway has accepted or refused the attach.
    pub(crate) async fn wait(mut self) -> Self {
        if self.ended.is_none() {
            let attaching = &mut self.attaching;
            self.ended = poll_fn(|cx| match Pin::new(&mut *attaching).poll(cx) {
                Poll::Ready(result) => Poll::Ready(Some(result.map(drop))),
                Poll::Pending if attaching.op().is_some() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
            .await;
        }
        self
    }
}

impl Sources {
    pub(crate) fn new(
        status: StatusChanges,
        messages: mpsc::Receiver<Message>,
        input: Input,
        stop: Arc<Notify>,
    ) -> Self {
        Self {
            status: Some(status),
            messages: Some(messages),
            input: Some(input),
            stop,
        }
    }

    /// Returns the next input, or `None` if there are no more. Status changes come first, so that operations that ended
    /// because of one are reported after it.
    pub(crate) async fn next(
        &mut self,
        tasks: &mut JoinSet<Ended>,
        is_reading: bool,
        deadline: Option<Instant>,
        check: Option<Instant>,
    ) -> Option<Next> {
        loop {
            let input = self.input.as_mut().filter(|_| is_reading);
            if self.status.is_none()
                && self.messages.is_none()
                && tasks.is_empty()
                && input.is_none()
            {
                return None;
            }
            let traffic = async {
                tokio::select! {
                    message = or_never(self.messages.as_mut().map(mpsc::Receiver::recv)) => Traffic::Message(message),
                    line = or_never(input.map(Input::next)) => Traffic::Line(line),
                }
            };
            let next = tokio::select! {
                biased;
                () = self.stop.notified() => return Some(Next::Signal),
                () = or_never(deadline.map(sleep_until)) => return Some(Next::DeadlinePassed),
                change = or_never(self.status.as_mut().map(StatusChanges::next)) => match change {
                    Some(change) => Next::Status(change),
                    None => {
                        self.status = None;
                        Next::Closed
                    }
                },
                // After the status, so that it is known since when there has been a connection.
                () = or_never(check.map(sleep_until)) => Next::StillPaused,
                Some(ended) = tasks.join_next() => {
                    Next::Ended(ended.expect("tasks neither panic nor are aborted"))
                }
                traffic = traffic => match traffic {
                    Traffic::Message(Some(message)) => Next::Message(message),
                    Traffic::Line(Some(Ok(line))) => Next::Line(line),
                    Traffic::Message(None) => {
                        self.messages = None;
                        continue;
                    }
                    Traffic::Line(ended) => {
                        self.input = None;
                        Next::InputEnded(ended.map_or(Ok(()), |ended| ended.map(drop)))
                    }
                },
            };
            return Some(next);
        }
    }
}

/// Inputs that can arrive without limit, from either side.
enum Traffic {
    Message(Option<Message>),
    Line(Option<io::Result<Line>>),
}

async fn or_never<T>(future: Option<impl Future<Output = T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
