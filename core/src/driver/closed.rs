//! How a gateway ended.

use crate::unsent::Unsent;

/// The end of a gateway: its cause, and the messages left unsent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The cause.
    pub cause: CloseCause,
    /// Messages that were accepted but not acknowledged, in the order of acceptance. Send those again with the next gateway
    /// that are not in its store ([`Unsent::is_stored`]): it sends these by itself.
    pub unsent: Vec<Unsent>,
}

/// Why a gateway ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCause {
    /// [`Client::close`](crate::driver::Client::close) was called, or every handle was dropped.
    Requested,
    /// The gateway failed to connect as many times in a row as its options allow. The last
    /// [`Status::Disconnected`](crate::driver::Status::Disconnected) has the reason.
    GaveUp,
    /// The driver was dropped.
    DriverStopped,
}
