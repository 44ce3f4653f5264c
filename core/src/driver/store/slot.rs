//! The store of a setup, which can be started once.

use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Store, StoreError};

/// The store of a setup and its clones, until one of them is started.
#[derive(Clone)]
pub(crate) struct StoreSlot {
    store: Arc<Mutex<Option<Box<dyn Store>>>>,
}

impl StoreSlot {
    pub(crate) fn new(store: impl Store) -> Self {
        Self {
            store: Arc::new(Mutex::new(Some(Box::new(store)))),
        }
    }

    /// Takes the store.
    pub(crate) fn take(&self) -> Result<Box<dyn Store>, StoreError> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.take().ok_or(StoreError::Taken)
    }
}

impl fmt::Debug for StoreSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSlot").finish_non_exhaustive()
    }
}
