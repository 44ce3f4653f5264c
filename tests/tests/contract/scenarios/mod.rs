//! The scenarios that must succeed on every runtime.

pub(crate) mod addresses;
pub(crate) mod connecting;
pub(crate) mod devices;
pub(crate) mod endings;
pub(crate) mod given_up;
pub(crate) mod isolation;
pub(crate) mod messages;
pub(crate) mod outages;
