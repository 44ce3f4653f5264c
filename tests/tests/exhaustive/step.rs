//! The alphabet of the search.

/// One step. A device is its place in [`DEVICES`](super::wire::DEVICES).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Attach(usize),
    Detach(usize),
    Publish(usize),
    Subscribe(usize),
    Close,
    /// The transport is up.
    Connect,
    /// The transport is down: lost, or hung up if the gateway wants none.
    Cut,
    /// The transport takes all that waits.
    Write,
    /// It takes one byte.
    WriteByte,
    /// The bridge answers the packet at this place among those that it has and has not answered.
    Answer(usize),
    /// It reports that a device is not attached.
    Report(usize),
    /// It sends a config.
    Config(usize),
    /// The next deadline falls due.
    Wait,
}

/// How a path is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WalkMode {
    Plain,
    /// Bytes come one by one, and between any two steps there are calls that have nothing to say.
    Redundant,
}
