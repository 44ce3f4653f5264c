//! A device's handle, shared by all clones of a `Device` and by what they start.

use core::fmt;
use std::sync::Arc;

use crate::{command::DeviceKey, driver::shared::Shared, id::DeviceId};

/// Counts as a handle of the gateway and of the device until it is dropped.
pub(crate) struct Handle {
    shared: Arc<Shared>,
    key: DeviceKey,
    id: DeviceId,
}

impl Handle {
    /// Wraps a handle that [`State`](crate::driver::state::State) has counted.
    pub(crate) fn new(shared: Arc<Shared>, key: DeviceKey, id: DeviceId) -> Self {
        Self { shared, key, id }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn key(&self) -> DeviceKey {
        self.key
    }

    pub(crate) fn id(&self) -> &DeviceId {
        &self.id
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared
            .with(|state, now| state.remove_handle(self.key, now));
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.id).finish()
    }
}
