//! The bytes that are reserved in the store, and the users who wait for some.

use crate::{
    command::{Publication, PublicationTopic, Slot},
    mqtt::QoS,
    options::{Durability, RECORD_OVERHEAD},
};

/// How many bytes of the store are reserved.
#[derive(Debug)]
pub(in super::super) struct StoreRoom {
    limit: usize,
    /// As much as any publication may need.
    largest: usize,
    reserved: usize,
    /// The devices whose publications were refused for lack of room, in that order, and what they needed.
    waiting: Vec<(Slot, usize)>,
    /// The least that one of them needs; the most that there is if nobody waits.
    least: usize,
    /// Whether one of them may have room since they were last looked at.
    is_look_due: bool,
    /// Whether one was refused for lack of room since half of it was left.
    is_full: bool,
}

/// Returns what a publication reserves; `None` if it is not stored.
pub(in super::super) fn record_bytes(publication: &Publication) -> Option<usize> {
    match publication.qos {
        QoS::AtMostOnce => None,
        _ => Some(bytes_in_store(publication)),
    }
}

/// Returns what a publication reserves that is in the store, whatever its quality of service.
pub(in super::super) fn bytes_in_store(publication: &Publication) -> usize {
    let subfolder = match &publication.topic {
        PublicationTopic::Telemetry(Some(subfolder)) => subfolder.as_str().len(),
        PublicationTopic::Telemetry(None) | PublicationTopic::State => 0,
    };
    let extras = publication.extras.as_ref();
    let tag = extras.and_then(|extras| extras.tag.as_ref());
    let tag = tag.map_or(0, |tag| tag.as_str().len());
    publication.payload.len() + subfolder + tag + RECORD_OVERHEAD
}

impl StoreRoom {
    pub(super) fn new(durability: &Durability, largest: usize) -> Self {
        Self {
            limit: durability.max_bytes,
            largest,
            reserved: 0,
            waiting: Vec::new(),
            least: usize::MAX,
            is_look_due: false,
            is_full: false,
        }
    }

    pub(in super::super) fn reserved(&self) -> usize {
        self.reserved
    }

    /// Returns how many bytes are left. What was restored may take more than there is.
    pub(in super::super) fn left(&self) -> usize {
        self.limit.saturating_sub(self.reserved)
    }

    /// Returns whether there is room for any publication.
    #[inline]
    pub(in super::super) fn has_plenty(&self) -> bool {
        self.left() >= self.largest
    }

    #[inline]
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.reserved += bytes;
    }

    #[inline]
    pub(super) fn release(&mut self, bytes: usize) {
        self.reserved -= bytes;
        self.is_look_due |= self.left() >= self.least;
        self.is_full &= self.left() < self.limit / 2;
    }

    /// Returns whether somebody who waits may have room now.
    #[inline]
    pub(super) fn is_look_due(&self) -> bool {
        self.is_look_due
    }

    /// Records that the user of a device waits for so many bytes; returns whether it is the first since half of the room was
    /// left.
    pub(in super::super) fn block(&mut self, device: Slot, bytes: usize) -> bool {
        match self.waiting.iter_mut().find(|(slot, _)| *slot == device) {
            Some((_, need)) => *need = bytes,
            None => self.waiting.push((device, bytes)),
        }
        self.note_least();
        !core::mem::replace(&mut self.is_full, true)
    }

    fn note_least(&mut self) {
        let needs = self.waiting.iter().map(|(_, need)| *need);
        self.least = needs.min().unwrap_or(usize::MAX);
    }

    /// Forgets that the user of a device waits.
    pub(super) fn unblock(&mut self, device: Slot) {
        self.waiting.retain(|(slot, _)| *slot != device);
        self.note_least();
    }

    /// Takes the devices whose users have room: no more than have it together, in the order in which they were refused.
    pub(in super::super) fn take_writable(&mut self) -> Vec<Slot> {
        if !core::mem::take(&mut self.is_look_due) {
            return Vec::new();
        }
        let mut left = self.left();
        let has_room = |(_, need): &mut (Slot, usize)| match left.checked_sub(*need) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        let writable = self.waiting.extract_if(.., has_room);
        let writable = writable.map(|(device, _)| device).collect();
        self.note_least();
        writable
    }
}
