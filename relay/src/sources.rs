//! What a session waits for, in the order in which it is to be told.

use std::sync::Arc;

use iotcore_gateway_tokio::{
    AttachError, Device, DeviceId, Message, OperationError, Status, StatusChanges, Subscription,
};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{failure::Reason, input::Line, operation::Id};

/// What a session waits for.
pub(crate) struct Sources {
    /// None: the gateway is closed.
    status: Option<StatusChanges>,
    /// None: nobody is left who could send one.
    messages: Option<mpsc::Receiver<Message>>,
    /// None: it has ended.
    input: Option<mpsc::Receiver<Line>>,
    stop: Arc<Notify>,
}

/// What has come.
pub(crate) enum Next {
    /// A signal asks for the end.
    Stop,
    /// The deadline has passed.
    Overdue,
    Status(Status),
    /// The gateway is closed.
    Closed,
    Ended(Ended),
    Message(Message),
    Line(Line),
    InputEnded,
}

/// An operation that has ended, or the gateway's own subscription.
pub(crate) enum Ended {
    Own(Subscription, Result<(), OperationError>),
    /// A message, or an authorisation.
    Other(Id, Result<(), Reason>),
    Attached {
        id: Id,
        /// The device, if this was its first attach.
        seated: Option<DeviceId>,
        result: Result<(), AttachError>,
    },
    Detached {
        id: Id,
        device: Device,
        result: Result<(), OperationError>,
    },
}

impl Sources {
    pub(crate) fn new(
        status: StatusChanges,
        messages: mpsc::Receiver<Message>,
        input: mpsc::Receiver<Line>,
        stop: Arc<Notify>,
    ) -> Self {
        Self {
            status: Some(status),
            messages: Some(messages),
            input: Some(input),
            stop,
        }
    }

    /// The next that comes, or none when nothing more will. Changes of status go first: what ended because of one comes
    /// after it.
    pub(crate) async fn next(
        &mut self,
        tasks: &mut JoinSet<Ended>,
        is_reading: bool,
        deadline: Option<Instant>,
    ) -> Option<Next> {
        loop {
            if self.status.is_none() && self.messages.is_none() && tasks.is_empty() {
                return None;
            }
            let input = self.input.as_mut().filter(|_| is_reading);
            let traffic = async {
                tokio::select! {
                    message = or_never(self.messages.as_mut().map(mpsc::Receiver::recv)) => Traffic::Message(message),
                    line = or_never(input.map(mpsc::Receiver::recv)) => Traffic::Line(line),
                }
            };
            let next = tokio::select! {
                biased;
                () = self.stop.notified() => return Some(Next::Stop),
                () = or_never(deadline.map(sleep_until)) => return Some(Next::Overdue),
                change = or_never(self.status.as_mut().map(StatusChanges::next)) => match change {
                    Some(change) => Next::Status(change),
                    None => {
                        self.status = None;
                        Next::Closed
                    }
                },
                Some(ended) = tasks.join_next() => {
                    Next::Ended(ended.expect("the tasks here neither panic nor are aborted"))
                }
                traffic = traffic => match traffic {
                    Traffic::Message(Some(message)) => Next::Message(message),
                    Traffic::Line(Some(line)) => Next::Line(line),
                    Traffic::Message(None) => {
                        self.messages = None;
                        continue;
                    }
                    Traffic::Line(None) => {
                        self.input = None;
                        Next::InputEnded
                    }
                },
            };
            return Some(next);
        }
    }
}

/// What comes in any number, from either side.
enum Traffic {
    Message(Option<Message>),
    Line(Option<Line>),
}

async fn or_never<T>(future: Option<impl Future<Output = T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
