//! The steps of the search.

/// One step. A device is an index into [`DEVICES`](super::wire::DEVICES).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Attach(usize),
    Detach(usize),
    Publish(usize),
    /// Cancels the oldest event of a device that has not ended.
    Cancel(usize),
    Subscribe(usize),
    Close,
    /// The transport is established.
    Connect,
    /// The transport ends: it is lost, or hung up if the gateway wants none.
    Cut,
    /// The transport accepts all waiting bytes.
    Write,
    /// The transport accepts one byte.
    WriteByte,
    /// The bridge answers the packet at this index of those that it has received and not answered.
    Answer(usize),
    /// The bridge reports that a device is not attached.
    Report(usize),
    /// The bridge sends a config.
    Config(usize),
    /// Time advances to the next deadline.
    Wait,
    /// Time advances beyond the timeouts of what the bridge has not answered, and each deadline is reported.
    Linger,
    /// Time advances as far, but no deadline is reported: the gateway's process does not run.
    Sleep,
}

/// How the steps of a path are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WalkMode {
    Plain,
    /// Bytes arrive one by one, and there are calls without effect between any two steps.
    Redundant,
}
