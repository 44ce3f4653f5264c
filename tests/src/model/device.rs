//! What the model knows of a device.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::Given;
use crate::ConnectionId;

/// The state of a device.
#[derive(Debug, Default)]
pub(super) struct Device {
    /// How often the bridge attached it.
    pub(super) attached_by_bridge: u32,
    /// How often the gateway reported it attached.
    pub(super) attached_by_gateway: u32,
    /// Attaches that the bridge refused, but may have acknowledged.
    pub(super) refused_attaches: u32,
    /// Publications that the bridge refused, but may have acknowledged.
    pub(super) refused_publications: u32,
    /// How often the bridge refused its attach.
    pub(super) refusals: u32,
    /// Connections on which the bridge detached it, or acknowledged an attach that it refused.
    pub(super) lost_on: BTreeSet<ConnectionId>,
    /// The last connection on which it was lost, if the gateway got no report of it.
    pub(super) unheard_on: Option<ConnectionId>,
    /// How many errors about it were reported.
    pub(super) reports: u32,
    /// Whether reports without a cause were sent about it, which may arrive at any time.
    pub(super) is_slandered: bool,
    /// How its user last asked to attach it.
    pub(super) given: Option<Given>,
    /// Whether its user has ever requested its detach.
    pub(super) is_detached: bool,
    /// Whether a publication was refused for lack of room, without a notification since that there is room.
    pub(super) is_blocked: bool,
    /// The numbers of its newest telemetry events that have arrived, by priority.
    pub(super) newest_arrivals: [Option<u32>; 2],
    /// The number of its state that has arrived last.
    pub(super) newest_state: Option<u32>,
    /// Configs and commands that were sent to it, by their identifying marks.
    pub(super) sent: BTreeSet<String>,
    /// Those that were delivered.
    pub(super) delivered: BTreeSet<String>,
    /// Those whose acknowledgement the bridge received, but which the user has not received yet.
    pub(super) acknowledged: BTreeSet<String>,
    /// Whether its deliveries were overdue, and none has been acknowledged since.
    pub(super) is_deaf: bool,
    /// Whether the user has acknowledged one of its deliveries since the events were last all taken.
    pub(super) is_heard: bool,
    /// Payloads of its configs, by version.
    pub(super) configs: BTreeMap<u64, String>,
}

impl Device {
    /// Returns whether it was ever detached, or may have been: the gateway then acknowledges its commands itself.
    pub(super) fn was_detached(&self) -> bool {
        self.is_detached || self.reports > 0 || !self.lost_on.is_empty()
    }

    /// Returns whether messages for this device may be refused on a connection.
    pub(super) fn is_lost(&self, on: Option<ConnectionId>) -> bool {
        on.is_some_and(|on| self.lost_on.contains(&on))
    }
}
