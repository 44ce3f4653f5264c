//! Fingerprints of messages.

use core::{
    hash::{Hash, Hasher},
    num::NonZeroU64,
};
use std::hash::DefaultHasher;

use crate::mqtt::Publish;

/// What distinguishes a message, without keeping it. Never 0, so that an `Option` of it is one word as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(NonZeroU64);

impl Fingerprint {
    pub(crate) fn of(publish: &Publish) -> Self {
        let mut hasher = DefaultHasher::new();
        (&publish.topic, &publish.payload).hash(&mut hasher);
        Self(NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN))
    }
}
