//! The state machine alone against a scripted peer, in virtual time: one file per subject.
#![forbid(unsafe_code)]

mod apply;
mod attachment;
mod attempts;
mod cancelling;
mod cases;
mod closing;
mod connection;
mod deaf;
mod detachment;
mod device_tokens;
mod error_texts;
mod expiring;
mod given_up;
mod identifiers;
mod insight;
mod keep_alive;
mod late_subscriptions;
mod leaving;
mod messages;
mod options;
#[path = "../peer/mod.rs"]
mod peer;
mod progress;
mod publishing;
mod quota;
mod reattachment;
mod refresh;
mod refused;
mod refused_subscriptions;
mod renewal;
mod replay;
mod reports;
mod reserves;
mod retries;
mod room;
mod shares;
mod states;
#[cfg(feature = "store")]
mod store;
mod strikes;
mod subscriptions;
mod suspects;
mod unacknowledged;
mod unsent;
mod urgent;
mod wall_time;
