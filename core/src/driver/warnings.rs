//! What a token source warns of while it answers.

use core::{error::Error, fmt};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::id::DeviceId;

type Warning = Box<dyn Error + Send + Sync>;

/// The last warning about the token of each device that nobody has taken yet.
#[derive(Default)]
pub(crate) struct Warnings(Mutex<BTreeMap<DeviceId, Warning>>);

impl Warnings {
    pub(crate) fn add(&self, device: &DeviceId, warning: Warning) {
        self.lock().insert(device.clone(), warning);
    }

    pub(crate) fn take(&self) -> BTreeMap<DeviceId, Warning> {
        core::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceId, Warning>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warnings").finish_non_exhaustive()
    }
}
