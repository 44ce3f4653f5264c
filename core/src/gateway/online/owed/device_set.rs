//! As much of a set of devices as is needed to tell whether it has others than one.

use crate::command::Slot;

/// A set of devices. `None` is a device for what was delivered to nobody.
#[derive(Clone, Copy, Debug)]
pub(super) enum DeviceSet {
    None,
    One(Option<Slot>),
    Several,
}

impl DeviceSet {
    pub(super) fn add(&mut self, device: Option<Slot>) {
        *self = match *self {
            Self::None => Self::One(device),
            Self::One(one) if one == device => Self::One(one),
            Self::One(_) | Self::Several => Self::Several,
        };
    }

    pub(super) fn has_other_than(self, device: Option<Slot>) -> bool {
        match self {
            Self::None => false,
            Self::One(one) => one != device,
            Self::Several => true,
        }
    }
}
