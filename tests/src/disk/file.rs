//! A file: what is read, and what is on the device.

use std::collections::BTreeSet;

use super::{DiskCounts, Fate};
use crate::random::Random;

/// The bytes that are written together.
pub const PAGE: usize = 4096;
/// The bytes that are never written in part.
pub const SECTOR: usize = 512;

#[derive(Clone, Debug)]
pub(super) struct File {
    /// What is read.
    cache: Vec<u8>,
    /// What is there after a power cut.
    device: Vec<u8>,
    /// The pages that differ and are written at the next sync.
    dirty: BTreeSet<usize>,
}

impl File {
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self {
            cache: bytes.clone(),
            device: bytes,
            dirty: BTreeSet::new(),
        }
    }

    /// Creates a file of zeros, of which nothing is durable yet.
    pub(super) fn zeros(len: usize) -> Self {
        Self {
            cache: vec![0; len],
            device: Vec::new(),
            dirty: (0..len.div_ceil(PAGE)).collect(),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.cache.len() as u64
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.cache
    }

    pub(super) fn read(&self, offset: usize, len: usize) -> &[u8] {
        let start = offset.min(self.cache.len());
        let end = offset.saturating_add(len).min(self.cache.len());
        &self.cache[start..end]
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        assert!(end <= self.cache.len(), "a write past the end of a segment");
        self.cache[offset..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(offset / PAGE..=(end - 1) / PAGE);
        }
    }

    /// Makes all durable; returns the bytes that were written.
    pub(super) fn sync(&mut self) -> u64 {
        self.device.resize(self.cache.len(), 0);
        let written = self.dirty.len() * PAGE;
        for page in core::mem::take(&mut self.dirty) {
            let (start, end) = self.extent(page);
            self.device[start..end].copy_from_slice(&self.cache[start..end]);
        }
        written as u64
    }

    /// Fails a sync: each page was written or not, and counts as clean; some are read from the device again.
    pub(super) fn fail_sync(&mut self, random: &mut Random, counts: &mut DiskCounts) {
        self.device.resize(self.cache.len(), 0);
        for page in core::mem::take(&mut self.dirty) {
            let fate = match random.below(4) {
                0 => Fate::Kept,
                1 => Fate::Torn(random.byte()),
                _ => Fate::Lost,
            };
            self.write_back(page, fate, counts);
            if random.percent(50) {
                let (start, end) = self.extent(page);
                self.cache[start..end].copy_from_slice(&self.device[start..end]);
            }
        }
    }

    pub(super) fn cut_power(&mut self, decide: &mut impl FnMut() -> Fate, counts: &mut DiskCounts) {
        if self.device.len() != self.cache.len() {
            match decide() {
                Fate::Lost => {}
                Fate::Kept => self.device.resize(self.cache.len(), 0),
                Fate::Torn(share) => {
                    self.device
                        .resize(self.cache.len() * usize::from(share) / 256, 0);
                }
            }
        }
        for page in core::mem::take(&mut self.dirty) {
            let is_blank = self.is_same(page);
            if !is_blank {
                let fate = decide();
                self.write_back(page, fate, counts);
            }
        }
        self.cache.clone_from(&self.device);
    }

    /// Returns how many decisions a power cut takes.
    pub(super) fn undecided(&self) -> usize {
        let size = usize::from(self.device.len() != self.cache.len());
        size + self
            .dirty
            .iter()
            .filter(|page| !self.is_same(**page))
            .count()
    }

    pub(super) fn flip(&mut self, offset: usize, bit: u8) {
        for bytes in [&mut self.cache, &mut self.device] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// Returns whether it makes no difference whether a page is kept.
    fn is_same(&self, page: usize) -> bool {
        let (start, end) = self.extent(page);
        let cached = &self.cache[start..end];
        match self.device.get(start..end) {
            Some(device) => device == cached,
            // Beyond its end, a file reads as zeros once it is longer.
            None => cached.iter().all(|byte| *byte == 0),
        }
    }

    fn extent(&self, page: usize) -> (usize, usize) {
        (page * PAGE, ((page + 1) * PAGE).min(self.cache.len()))
    }

    fn write_back(&mut self, page: usize, fate: Fate, counts: &mut DiskCounts) {
        let sectors = match fate {
            Fate::Kept => u8::MAX,
            Fate::Lost => 0,
            Fate::Torn(sectors) => sectors,
        };
        match sectors {
            0 => counts.lost_pages += 1,
            u8::MAX => {}
            _ => counts.torn_pages += 1,
        }
        let (start, end) = self.extent(page);
        for (sector, start) in (start..end).step_by(SECTOR).enumerate() {
            let end = (start + SECTOR).min(end).min(self.device.len());
            if sectors & (1 << sector) != 0 && start < end {
                self.device[start..end].copy_from_slice(&self.cache[start..end]);
            }
        }
    }
}
