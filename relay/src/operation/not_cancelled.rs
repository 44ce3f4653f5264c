//! Reasons why a `cancel` changes nothing.

use std::fmt;

use super::{Control, Id, invalid::without_long_words};
use crate::codes::CancelCode;

/// The reason why there is no message to cancel.
#[derive(Debug)]
pub(crate) enum NotCancelled {
    /// The message ended before it could be cancelled.
    TooLate(Id),
    /// No operation with this id is open.
    NotOpen(Id),
    /// The operation with this id is no message.
    NotCancellable(Id, Control),
}

impl NotCancelled {
    /// Returns the id that the `cancel` names.
    pub(crate) fn id(&self) -> &Id {
        let (Self::TooLate(id) | Self::NotOpen(id) | Self::NotCancellable(id, _)) = self;
        id
    }

    pub(crate) fn code(&self) -> CancelCode {
        match self {
            Self::TooLate(_) => CancelCode::TooLate,
            Self::NotOpen(_) => CancelCode::NotOpen,
            Self::NotCancellable(..) => CancelCode::NotCancellable,
        }
    }
}

impl fmt::Display for NotCancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLate(id) => write!(
                f,
                "the message with the id {id} has just ended, and cannot be cancelled: its `done` or `failed` follows"
            ),
            // It may be a misplaced token.
            Self::NotOpen(id) => write!(
                f,
                "no operation with the id {} is open: it has ended, as its `done` or `failed` said, or there was none; \
                 cancel a message by the `id` of its line",
                without_long_words(&id.to_string())
            ),
            Self::NotCancellable(id, control) => {
                let (name, instead) = match control {
                    Control::Attach => ("attach", "`detach` the device"),
                    Control::Detach => ("detach", "`attach` the device again"),
                    Control::Authorize => {
                        ("authorize", "`authorize` the device with another token")
                    }
                };
                write!(
                    f,
                    "the operation with the id {id} is `{name}`, and only `telemetry` and `state` can be cancelled: \
                     {instead} instead"
                )
            }
        }
    }
}
