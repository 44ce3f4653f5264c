//! Errors in lines of input.

use std::fmt;

use serde::de::IgnoredAny;
use serde_json::error::Category;

use super::{Id, MAX_LINE};
use crate::codes::InvalidCode;

/// An error in a line of input.
#[derive(Debug)]
pub(crate) enum InvalidLine {
    /// The line is UTF-16.
    Utf16,
    /// The line is not UTF-8, from this byte on, counted from 1.
    NotUtf8 { column: usize },
    /// The line is not JSON.
    NotJson(serde_json::Error),
    /// The line is JSON, but not an object.
    NotAnObject,
    /// The line is an object, but not an operation.
    NotAnOperation(serde_json::Error),
    /// The line has no payload, or more than one.
    Payload,
    /// The payload is not valid base64.
    Base64(base64::DecodeError),
    /// `qos` is null.
    NoQuality,
    /// The line is longer than [`MAX_LINE`].
    TooLong { len: usize },
    /// An operation with this id has not ended yet.
    IdInUse(Id),
    /// No config or command has this delivery number.
    NoDelivery(u64),
}

impl InvalidLine {
    /// Returns what is wrong with a line that does not begin as an object.
    pub(super) fn no_object(line: &[u8]) -> Self {
        match serde_json::from_slice::<IgnoredAny>(line) {
            Ok(_) => Self::NotAnObject,
            Err(error) => Self::unparsed(line, error),
        }
    }

    /// Returns what is wrong with a line at which the parser fails.
    pub(super) fn unparsed(line: &[u8], error: serde_json::Error) -> Self {
        match (str::from_utf8(line), error.classify()) {
            (Err(error), _) => Self::NotUtf8 {
                column: error.valid_up_to() + 1,
            },
            (Ok(_), Category::Data) => Self::NotAnOperation(error),
            (Ok(_), _) => Self::NotJson(error),
        }
    }

    pub(crate) fn code(&self) -> InvalidCode {
        match self {
            Self::Utf16 | Self::NotUtf8 { .. } => InvalidCode::NotUtf8,
            Self::NotJson(_) => InvalidCode::NotJson,
            Self::NotAnObject
            | Self::NotAnOperation(_)
            | Self::Payload
            | Self::Base64(_)
            | Self::NoQuality => InvalidCode::IllegalOperation,
            Self::TooLong { .. } => InvalidCode::LineTooLong,
            Self::IdInUse(_) => InvalidCode::IdInUse,
            Self::NoDelivery(_) => InvalidCode::UnknownDelivery,
        }
    }
}

impl fmt::Display for InvalidLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utf16 => f.write_str("the input is UTF-16, and must be UTF-8"),
            Self::NotUtf8 { column } => {
                write!(f, "the line is not UTF-8, from its byte {column} on")
            }
            Self::NotJson(error) if error.is_eof() => f.write_str(
                "the line is not JSON: it ends too early; an operation is one JSON object on one line",
            ),
            Self::NotJson(error) => write!(f, "the line is not JSON: {}", message(error)),
            Self::NotAnObject => f.write_str(
                "the line is JSON, but not an object: an operation is one such as {\"op\":\"stats\"}",
            ),
            Self::NotAnOperation(error) => f.write_str(&message(error)),
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
            Self::IdInUse(id) => {
                write!(
                    f,
                    "the operation with the id {id} has not ended yet: use a different id for each"
                )
            }
            Self::NoDelivery(delivery) => {
                write!(f, "no config or command had the delivery number {delivery}")
            }
        }
    }
}

/// Returns the parser's message, without its line number: it sees one line at a time.
fn message(error: &serde_json::Error) -> String {
    let position = format!(" at line {} column {}", error.line(), error.column());
    let column = format!(" at column {}", error.column());
    without_long_words(&error.to_string()).replace(&position, &column)
}

/// Shortens long words in a message that quotes unknown input. No name in this format is that long, but a misplaced token is.
pub(super) fn without_long_words(text: &str) -> String {
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
