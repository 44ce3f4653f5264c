//! When the token of a connection is refreshed.

use crate::{backoff::Jitter, time::Duration, token::Token};

/// A token is refreshed when a fifth of its lifetime remains, but within these limits, and up to a tenth of that earlier,
/// as jitter, so that the gateways of a fleet do not refresh at the same time. The lower one is at most half of the
/// lifetime.
const MIN_MARGIN: Duration = Duration::from_secs(10);
const MAX_MARGIN: Duration = Duration::from_secs(300);

/// Returns how long after CONNACK a token that is valid for `life` is refreshed.
pub(super) fn refresh_after(life: Duration, jitter: &mut Jitter) -> Duration {
    let margin = (life / 5).clamp(MIN_MARGIN, MAX_MARGIN).min(life / 2);
    let spread = jitter.up_to(margin / 10);
    life.saturating_sub(margin + spread)
}

/// The token of the last accepted connection.
#[derive(Debug, Default)]
pub(crate) struct LastToken {
    token: Option<Token>,
    /// Whether it was reported that it came again.
    is_told: bool,
}

/// How the token of a connection compares with that of the connection before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Novelty {
    New,
    /// It is the same, for the first time.
    Unchanged,
    /// It is the same once more.
    UnchangedAgain,
}

impl LastToken {
    /// Records the token of a connection that was accepted.
    pub(super) fn observe(&mut self, token: &Token) -> Novelty {
        let last = self.token.replace(token.clone());
        if last.is_none_or(|last| last.expose() != token.expose()) {
            self.is_told = false;
            return Novelty::New;
        }
        match core::mem::replace(&mut self.is_told, true) {
            false => Novelty::Unchanged,
            true => Novelty::UnchangedAgain,
        }
    }
}
