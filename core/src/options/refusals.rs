//! What follows a refusal by the bridge.

/// What happens to the publications of a device that the bridge has refused to attach, or at whose attach it closed the
/// connection each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRefusal {
    /// Each ends in [`Failure::DeviceRefused`](crate::Failure::DeviceRefused), or in
    /// [`Failure::Suspected`](crate::Failure::Suspected), which hands it back.
    #[default]
    FailQueue,
    /// They stay in the queue, and are sent once the user has attached or authorized the device again, and the bridge has
    /// attached it; a detach fails them at once. They count against the limits of the queues meanwhile. New ones are
    /// refused.
    KeepQueue,
}
