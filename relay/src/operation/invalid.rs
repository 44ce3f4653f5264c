//! Errors in lines of input.

use std::fmt;

use super::{Control, Id, MAX_LINE};

/// An error in a line of input.
#[derive(Debug)]
pub(crate) enum InvalidLine {
    /// The line is not JSON, or not an operation.
    Json(serde_json::Error),
    /// The line has no payload, or more than one.
    Payload,
    /// The payload is not valid base64.
    Base64(base64::DecodeError),
    /// `qos` is null.
    NoQuality,
    /// The line is longer than [`MAX_LINE`].
    TooLong { len: usize },
    /// The line is UTF-16.
    Utf16,
    /// An operation with this id has not ended yet.
    IdInUse(Id),
    /// No config or command has this delivery number.
    NoDelivery(u64),
    /// No operation with this id is open, to be cancelled.
    NotOpen(Id),
    /// The operation with this id is no message, and cannot be cancelled.
    NotCancellable(Id, Control),
    /// The message with this id ended before it could be cancelled.
    Ended(Id),
}

impl InvalidLine {
    /// Returns the id that the line has, if it was an operation.
    pub(crate) fn id(&self) -> Option<&Id> {
        match self {
            Self::IdInUse(id)
            | Self::NotOpen(id)
            | Self::NotCancellable(id, _)
            | Self::Ended(id) => Some(id),
            Self::Json(_)
            | Self::Payload
            | Self::Base64(_)
            | Self::NoQuality
            | Self::TooLong { .. }
            | Self::Utf16
            | Self::NoDelivery(_) => None,
        }
    }
}

impl fmt::Display for InvalidLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The parser sees one line at a time, so that its line number is always 1.
            Self::Json(error) => f.write_str(
                &without_long_words(&error.to_string())
                    .replace(" at line 1 column ", " at column "),
            ),
            Self::Payload => {
                f.write_str("give either `payload`, a text, or `payload_base64`, and not both")
            }
            Self::Base64(error) => write!(f, "`payload_base64` is not base64: {error}"),
            Self::NoQuality => f.write_str("`qos` must be 0 or 1; the default is 1"),
            Self::TooLong { len } => {
                write!(
                    f,
                    "the line has {len} bytes, and may have at most {MAX_LINE}"
                )
            }
            Self::Utf16 => f.write_str("the input is UTF-16, and must be UTF-8"),
            Self::IdInUse(id) => {
                write!(
                    f,
                    "the operation with the id {id} has not ended yet: use a different id for each"
                )
            }
            Self::NoDelivery(delivery) => {
                write!(f, "no config or command had the delivery number {delivery}")
            }
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
            Self::Ended(id) => write!(
                f,
                "the message with the id {id} has just ended, and cannot be cancelled: its `done` or `failed` follows"
            ),
        }
    }
}

/// Shortens long words in the parser's message, which quotes unknown input. No name in this format is that long, but a
/// misplaced token is.
fn without_long_words(text: &str) -> String {
    const LONGEST: usize = 32;
    let words = text.split_inclusive(['`', '"', ' ']);
    let short = words.map(|word| match word.char_indices().nth(LONGEST) {
        Some(_) => format!(
            "…{}",
            word.trim_start_matches(|c| !['`', '"', ' '].contains(&c))
        ),
        None => word.to_owned(),
    });
    short.collect()
}
