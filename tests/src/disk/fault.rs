//! Operations that fail.

use iotcore_gateway::store::{DiskOp, StoreFailureKind};

use crate::random::Random;

/// A fault of one operation. What is written fails after a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskFault {
    /// The next operation fails, whatever it is.
    Any,
    /// The next file that is created, or the next write, does not fit.
    Full,
    /// The next write of bytes fails.
    Write,
    /// The next sync of a file fails: its pages count as clean, and may be lost.
    Sync,
    /// The next sync of the folder fails: its changes are still not durable.
    SyncFolder,
    /// The next read fails.
    Read,
}

impl DiskFault {
    pub(super) fn concerns(self, op: &DiskOp<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Full => matches!(op, DiskOp::Create { .. } | DiskOp::Write { .. }),
            Self::Write => matches!(op, DiskOp::Write { .. }),
            Self::Sync => matches!(op, DiskOp::Sync { .. }),
            Self::SyncFolder => matches!(op, DiskOp::SyncFolder),
            Self::Read => matches!(op, DiskOp::Read { .. }),
        }
    }

    pub(super) fn failure(self) -> StoreFailureKind {
        match self {
            Self::Full => StoreFailureKind::Full,
            _ => StoreFailureKind::Broken,
        }
    }
}

/// How often operations fail by themselves, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultRates {
    /// Of files that are created, and of writes.
    pub write: u8,
    /// Of syncs, of files and of the folder.
    pub sync: u8,
    /// Of reads.
    pub read: u8,
    /// Of files that are renamed or deleted.
    pub entry: u8,
}

impl FaultRates {
    pub(super) fn draw(self, op: &DiskOp<'_>, random: &mut Random) -> Option<DiskFault> {
        let rate = match op {
            DiskOp::Create { .. } | DiskOp::Write { .. } => self.write,
            DiskOp::Sync { .. } | DiskOp::SyncFolder => self.sync,
            DiskOp::Read { .. } => self.read,
            DiskOp::Recycle { .. } | DiskOp::Delete { .. } => self.entry,
        };
        if rate == 0 || !random.percent(u64::from(rate)) {
            return None;
        }
        let fills = matches!(op, DiskOp::Create { .. } | DiskOp::Write { .. });
        Some(match fills && random.percent(50) {
            true => DiskFault::Full,
            false => DiskFault::Any,
        })
    }
}
