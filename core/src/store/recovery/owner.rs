//! Whose a folder is.

use super::OpenError;
use crate::{
    id::ClientId,
    store::format::{HeaderProblem, read_any_header},
};

/// Returns the gateway that a segment belongs to, by its first [`LONGEST_HEADER`](crate::store::LONGEST_HEADER) bytes; `None` if these are damaged or not written yet.
///
/// # Errors
///
/// A newer version wrote it.
pub fn read_owner(bytes: &[u8]) -> Result<Option<ClientId>, OpenError> {
    match read_any_header(bytes) {
        Ok((_, client)) => Ok(ClientId::from_path(client)),
        Err(HeaderProblem::Newer(version)) => Err(OpenError::NewerVersion { version }),
        Err(HeaderProblem::Unreadable | HeaderProblem::OtherClient(_)) => Ok(None),
    }
}
