//! The id of a device.

use core::{borrow::Borrow, fmt, str::FromStr};
use std::sync::Arc;

#[cfg(feature = "driver")]
use crate::id::fnv1a;
use crate::id::{IdError, IdKind, checked_id, excerpt};

checked_id! {
    /// A device, or a gateway, which is a device too.
    ///
    /// 3 to 255 characters: an ASCII letter, then letters, digits and `-._~%`; not beginning with `goog`. The service
    /// would also register an id with `+`, but MQTT forbids that character in a topic name and treats it as a wildcard
    /// in a filter [MQTT-3.3.2-2, MQTT-4.7.1-1]. No gateway could publish for such a device, so the id is refused.
    /// Case-sensitive; cheap to clone.
    ///
    /// ```
    /// # use iotcore_gateway::{DeviceId, id::IdProblem};
    /// let device: DeviceId = "boiler-7".parse()?;
    /// let refused = DeviceId::try_from("boiler+7").unwrap_err();
    /// assert_eq!(refused.problem(), IdProblem::Wildcard { position: 6 });
    /// # Ok::<(), iotcore_gateway::id::IdError>(())
    /// ```
    DeviceId, Device
}

impl DeviceId {
    /// Returns a hash of the id, for seeds.
    #[cfg(feature = "driver")]
    pub(crate) fn fingerprint(&self) -> u32 {
        fnv1a(self.as_str().as_bytes())
    }
}
