//! The future of a command.

use core::{
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::Arc;

use crate::{
    command::OpId,
    driver::{completion::Completion, operation_error::OperationError, shared::Shared},
};

/// A command that was handed to the gateway. Awaiting it returns the command's result.
///
/// Dropping it does not affect the command; a later failure is then reported as
/// [`Status::Failed`](crate::driver::Status::Failed).
#[derive(Debug)]
#[must_use = "the command was given, but only awaiting this tells how it ended"]
pub struct Operation {
    accepted: Result<Completion, OperationError>,
}

impl Operation {
    /// Waits for `op`, which [`State`](crate::driver::state::State) has counted as waited for.
    pub(crate) fn new(shared: &Arc<Shared>, op: Result<OpId, OperationError>) -> Self {
        Self {
            accepted: op.map(|op| Completion::new(Arc::clone(shared), op)),
        }
    }

    /// Returns the operation's id, which identifies it in [`Status::Failed`](crate::driver::Status::Failed) and in
    /// [`Disconnected::suspects`](crate::cause::Disconnected::suspects), or `None` if the gateway did not accept the
    /// command.
    pub fn op(&self) -> Option<OpId> {
        self.accepted.as_ref().ok().map(Completion::op)
    }
}

impl Future for Operation {
    type Output = Result<(), OperationError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.accepted {
            Ok(completion) => {
                let ended = Pin::new(completion).poll(cx);
                ended.map(|ended| ended.map(drop).map_err(Into::into))
            }
            Err(error) => Poll::Ready(Err(error.clone())),
        }
    }
}
