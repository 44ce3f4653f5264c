//! What every runtime has to do.

pub(crate) mod connecting;
pub(crate) mod devices;
pub(crate) mod endings;
pub(crate) mod messages;
pub(crate) mod outages;
