//! What is known of the connection with the bridge.

use tokio::time::Instant;

use crate::{
    codes::{CertaintyCode, DisconnectCode},
    output::PastDisconnect,
};

/// The connection that is open, and how the last one ended.
#[derive(Default)]
pub(super) struct Connection {
    /// When the bridge accepted the one that is open.
    pub(super) since: Option<Instant>,
    /// The end of the last one, or of the last attempt.
    pub(super) last_end: Option<ConnectionEnd>,
}

/// Why and when a connection ended.
pub(super) struct ConnectionEnd {
    pub(super) reason: DisconnectCode,
    pub(super) detail: String,
    pub(super) certainty: CertaintyCode,
    pub(super) at: Instant,
}

impl ConnectionEnd {
    pub(super) fn seen_at(&self, now: Instant) -> PastDisconnect {
        PastDisconnect::new(
            self.reason,
            self.detail.clone(),
            self.certainty,
            now.saturating_duration_since(self.at),
        )
    }
}
