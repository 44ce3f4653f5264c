//! The end of a connection, as it is reported.

use core::fmt;

use super::DisconnectReason;
use crate::{command::OpId, error::Certainty, time::Duration};

/// How a connection, or an attempt at one, ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disconnected {
    /// What ended it.
    pub reason: DisconnectReason,
    /// How certain the reason is.
    pub certainty: Certainty,
    /// The delay until the next attempt; `None` if no other attempt follows.
    pub retry_in: Option<Duration>,
    /// After a hang-up without a reason: the commands handed over to the transport last and not yet answered, newest
    /// first, at most 8. One of them may have made the bridge close the connection.
    pub suspects: Vec<OpId>,
    /// The peer has closed this connection and at least five before it within 10 s of accepting them, each time with
    /// no suspects: another client may be using the same client id. An attempt that was not accepted, and a hang-up with
    /// suspects, neither count nor break the row. CONNACK 2 can be a hint of the same.
    pub takeover_suspected: bool,
}

/// One sentence: the reason, what follows, and the suspected causes.
impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        match self.retry_in {
            Some(Duration::ZERO) => f.write_str("; connecting again at once")?,
            Some(wait) => write!(f, "; connecting again in {wait:?}")?,
            None => f.write_str("; not connecting again")?,
        }
        if let Some((newest, others)) = self.suspects.split_first() {
            write!(f, "; the cause may be {newest}")?;
            for op in others {
                write!(f, ", {op}")?;
            }
        }
        if self.takeover_suspected {
            f.write_str("; another client may be using the same client id")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TransportEnd;

    #[test]
    fn an_end_says_why_what_follows_and_what_is_suspected() {
        let ended = Disconnected {
            reason: DisconnectReason::Transport(TransportEnd::PeerClosed),
            certainty: Certainty::Suspected,
            retry_in: Some(Duration::from_millis(1_250)),
            suspects: vec![OpId::after(2), OpId::after(1)],
            takeover_suspected: true,
        };
        assert_eq!(
            ended.to_string(),
            "the peer closed the connection; connecting again in 1.25s; the cause may be #3, #2; another client may be \
             using the same client id"
        );
        let closed = Disconnected {
            reason: DisconnectReason::Closed,
            certainty: Certainty::Confirmed,
            retry_in: None,
            suspects: Vec::new(),
            takeover_suspected: false,
        };
        assert_eq!(closed.to_string(), "closed; not connecting again");
    }
}
