//! Room for publications: what is reserved for each device, and what all devices share.

use crate::options::Options;

/// A number of publications and the bytes of their payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Load {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// The largest reserve of a device.
const MAX_RESERVE: Load = Load {
    messages: 32,
    bytes: 32 * 1024,
};

impl Load {
    pub(super) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, bytes: usize) {
        self.messages -= 1;
        self.bytes -= bytes;
    }

    /// Returns the load with one more publication of this size.
    pub(super) fn with(mut self, bytes: usize) -> Self {
        self.add(bytes);
        self
    }

    /// Returns the load without one publication of this size, if there is one.
    pub(super) fn without(mut self, bytes: Option<usize>) -> Self {
        if let Some(bytes) = bytes {
            self.remove(bytes);
        }
        self
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            messages: self.messages - other.messages,
            bytes: self.bytes - other.bytes,
        }
    }

    fn half(self) -> Self {
        Self {
            messages: self.messages / 2,
            bytes: self.bytes / 2,
        }
    }

    fn is_within(self, limit: Self) -> bool {
        self.messages <= limit.messages && self.bytes <= limit.bytes
    }
}

/// How much room is taken.
///
/// A part of the total is reserved for each device, so that the others cannot fill it. The rest is shared: what a device
/// holds beyond its reserve comes out of it. So all hold no more than the total, and a device that holds no more than its
/// reserve never waits for others.
#[derive(Debug)]
pub(super) struct Room {
    /// Limit of one device.
    device: Load,
    reserve: Load,
    /// Limit of what all devices hold beyond their reserves.
    shared: Load,
    /// What they hold beyond their reserves.
    over: Load,
}

impl Room {
    pub(super) fn new(options: &Options) -> Self {
        let (quota, device, total) = (&options.quota, options.device_queue, options.total_queue);
        let devices = quota.max_devices + 1;
        // The largest payload has room beside the reserves of all others.
        let largest = quota.max_telemetry_bytes.max(quota.max_state_bytes);
        let bytes_of_others = total.bytes.saturating_sub(largest) / quota.max_devices;
        // One each, if there are as many, so that nobody is without any.
        let one_each = usize::from(total.messages >= devices);
        let messages_of_each = (total.messages / (2 * devices)).max(one_each);
        let reserve = Load {
            messages: MAX_RESERVE.messages.min(messages_of_each),
            bytes: MAX_RESERVE
                .bytes
                .min(total.bytes / (2 * devices))
                .min(bytes_of_others),
        };
        Self {
            device: Load {
                messages: device.messages,
                bytes: device.bytes,
            },
            reserve,
            shared: Load {
                messages: total.messages - devices * reserve.messages,
                bytes: total.bytes - devices * reserve.bytes,
            },
            over: Load::default(),
        }
    }

    /// Adds a publication of this size to the load of a device.
    #[inline(always)]
    pub(super) fn add(&mut self, load: &mut Load, bytes: usize) {
        let before = *load;
        load.add(bytes);
        let Load { messages, bytes } = self.reserve;
        self.over.messages += usize::from(load.messages > messages);
        self.over.bytes += load.bytes.max(bytes) - before.bytes.max(bytes);
    }

    /// Removes a publication of this size from the load of a device.
    #[inline(always)]
    pub(super) fn remove(&mut self, load: &mut Load, bytes: usize) {
        let before = *load;
        load.remove(bytes);
        let Load { messages, bytes } = self.reserve;
        self.over.messages -= usize::from(before.messages > messages);
        self.over.bytes -= before.bytes.max(bytes) - load.bytes.max(bytes);
    }

    /// Returns whether there is room for one more publication of this size in the load of a device.
    #[inline(always)]
    pub(super) fn allows_one(&self, load: Load, bytes: usize) -> bool {
        let after = load.with(bytes);
        let is_plenty = || self.over.with(bytes).is_within(self.shared);
        after.is_within(self.device) && (is_plenty() || self.is_shared_left(load, after))
    }

    /// Returns whether the shared room is large enough for a changed load of a device. Never inlined: usually there is
    /// plenty.
    #[inline(never)]
    fn is_shared_left(&self, before: Load, after: Load) -> bool {
        self.over_after(before, after).is_within(self.shared)
    }

    /// Returns what all would hold beyond their reserves if the load of a device changed.
    fn over_after(&self, before: Load, after: Load) -> Load {
        let Self { over, reserve, .. } = self;
        let messages = |load: Load| load.messages.max(reserve.messages);
        let bytes = |load: Load| load.bytes.max(reserve.bytes);
        Load {
            messages: over.messages + messages(after) - messages(before),
            bytes: over.bytes + bytes(after) - bytes(before),
        }
    }

    /// Returns whether the load of a device may change. What stays within its reserve needs nothing of the shared room.
    pub(super) fn allows(&self, before: Load, after: Load) -> bool {
        self.suits_device(after) && self.is_shared_left(before, after)
    }

    /// Returns whether a device may have this load, as far as its own limit matters.
    pub(super) fn suits_device(&self, load: Load) -> bool {
        load.is_within(self.device)
    }

    /// Returns whether the load of a device is well below its limit, so that its user is not woken for every single
    /// message.
    pub(super) fn is_relaxed(&self, load: Load) -> bool {
        load.is_within(self.device.half())
    }

    /// Returns how much of the shared room a growing load needs.
    pub(super) fn need(&self, before: Load, after: Load) -> Load {
        let beyond = |load: usize, reserve: usize| load.saturating_sub(reserve);
        let Load { messages, bytes } = self.reserve;
        Load {
            messages: beyond(after.messages, messages) - beyond(before.messages, messages),
            bytes: beyond(after.bytes, bytes) - beyond(before.bytes, bytes),
        }
    }

    /// Returns whether the shared room has so much left.
    pub(super) fn has(&self, need: Load) -> bool {
        self.over.plus(need).is_within(self.shared)
    }

    /// Returns how much of the shared room is taken.
    pub(super) fn taken(&self) -> Load {
        self.over
    }

    /// Returns whether the shared room has no more left, of anything, than when so much was taken.
    pub(super) fn has_no_more_than_at(&self, taken: Load) -> bool {
        taken.is_within(self.over)
    }

    /// Returns whether more than half of the shared room is taken.
    pub(super) fn is_scarce(&self) -> bool {
        !self.over.is_within(self.shared.half())
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{options::QueueLimit, quota::Quota};

    /// With the gateway itself.
    const DEVICES: usize = 4;

    fn options(total: QueueLimit) -> Options {
        Options {
            device_queue: QueueLimit {
                messages: 60,
                bytes: 2_000,
            },
            total_queue: total,
            quota: Quota {
                max_devices: DEVICES - 1,
                max_telemetry_bytes: 1_000,
                max_state_bytes: 1_000,
                ..Quota::default()
            },
            ..Options::default()
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add(usize, usize),
        /// The oldest publication of a device ends.
        End(usize),
        /// The newest publication of a device is replaced.
        Replace(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let size = prop_oneof![0..60_usize, 0..1_000_usize];
        (0..10, 0..DEVICES, size).prop_map(|(kind, device, bytes)| match kind {
            0..6 => Step::Add(device, bytes),
            6..9 => Step::End(device),
            _ => Step::Replace(device, bytes),
        })
    }

    fn load(sizes: &[usize]) -> Load {
        let (messages, bytes) = (sizes.len(), sizes.iter().sum());
        Load { messages, bytes }
    }

    proptest! {
        #[test]
        fn all_stay_within_the_total_and_none_waits_for_others_within_its_reserve(
            messages in 1..300_usize,
            bytes in 1_000..10_000_usize,
            steps in vec(step(), 0..300)
        ) {
            let total = QueueLimit { messages, bytes };
            let mut room = Room::new(&options(total));
            let mut queues = vec![Vec::new(); DEVICES];
            for step in steps {
                let (device, removed, added) = match step {
                    Step::Add(device, bytes) => (device, None, Some(bytes)),
                    Step::End(device) => (device, Some(0), None),
                    Step::Replace(device, bytes) => {
                        (device, queues[device].len().checked_sub(1), Some(bytes))
                    }
                };
                let mut queue = queues[device].clone();
                if removed.is_some_and(|at| at < queue.len()) {
                    queue.remove(removed.unwrap());
                }
                queue.extend(added);
                let (before, after) = (load(&queues[device]), load(&queue));
                let is_allowed = room.allows(before, after);
                if after.is_within(before) || after.is_within(room.reserve) {
                    prop_assert_eq!(is_allowed, room.suits_device(after));
                }
                if before.is_within(after) && room.suits_device(after) {
                    prop_assert_eq!(is_allowed, room.has(room.need(before, after)));
                }
                if let (None, Some(bytes)) = (removed, added) {
                    prop_assert_eq!(is_allowed, room.allows_one(before, bytes));
                }
                if is_allowed {
                    let mut load = before;
                    if let Some(bytes) = removed.and_then(|at| queues[device].get(at)) {
                        room.remove(&mut load, *bytes);
                    }
                    if let Some(bytes) = added {
                        room.add(&mut load, bytes);
                    }
                    prop_assert_eq!(load, after);
                    queues[device] = queue;
                }
                let all = load(&queues.concat());
                prop_assert!(all.messages <= messages && all.bytes <= bytes);
            }
            for queue in &queues {
                let mut load = load(queue);
                queue.iter().for_each(|bytes| room.remove(&mut load, *bytes));
            }
            prop_assert_eq!(room.over, Load::default());
            prop_assert!(room.allows(Load::default(), load(&[1_000])), "the largest has room");
        }
    }
}
