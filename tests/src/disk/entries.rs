//! The entries of a folder.

use std::collections::BTreeMap;

use iotcore_gateway::store::SegmentNumber;

/// Identifies a file whatever its name is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileKey(u64);

impl FileKey {
    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Link(SegmentNumber, FileKey),
    Unlink(SegmentNumber),
    Rename(SegmentNumber, SegmentNumber),
}

type Names = BTreeMap<SegmentNumber, FileKey>;

#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    current: Names,
    durable: Names,
    /// What has changed since the last sync.
    changes: Vec<Change>,
}

impl Entries {
    pub(super) fn current(&self) -> &Names {
        &self.current
    }

    pub(super) fn change(&mut self, change: Change) {
        apply(&mut self.current, change);
        self.changes.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.durable.clone_from(&self.current);
        self.changes.clear();
    }

    pub(super) fn undecided(&self) -> usize {
        self.changes.len()
    }

    /// Returns the number of changes that were lost.
    pub(super) fn cut_power(&mut self, mut is_kept: impl FnMut() -> bool) -> u64 {
        let mut lost = 0;
        for change in self.changes.drain(..) {
            match is_kept() {
                true => apply(&mut self.durable, change),
                false => lost += 1,
            }
        }
        self.current.clone_from(&self.durable);
        lost
    }
}

fn apply(names: &mut Names, change: Change) {
    match change {
        Change::Link(name, key) => {
            names.insert(name, key);
        }
        Change::Unlink(name) => {
            names.remove(&name);
        }
        Change::Rename(from, to) => {
            if let Some(key) = names.remove(&from) {
                names.insert(to, key);
            }
        }
    }
}
