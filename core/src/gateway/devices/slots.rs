//! A table that fills the lowest vacant slot first, so that the order of removals has no effect on later slots.

use std::collections::BTreeSet;

use crate::command::Slot;

/// A value for each slot that is in use.
#[derive(Debug)]
pub(super) struct Slots<T> {
    values: Vec<Option<T>>,
    vacant: BTreeSet<Slot>,
}

impl<T> Slots<T> {
    /// Stores a value in the lowest vacant slot.
    pub(super) fn insert(&mut self, value: T) -> Slot {
        match self.vacant.pop_first() {
            Some(slot) => {
                if let Some(place) = self.values.get_mut(slot.index()) {
                    *place = Some(value);
                }
                slot
            }
            None => {
                self.values.push(Some(value));
                Slot(self.values.len() as u32 - 1)
            }
        }
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<T> {
        let value = self.values.get_mut(slot.index())?.take()?;
        self.vacant.insert(slot);
        Some(value)
    }

    #[inline]
    pub(super) fn get(&self, slot: Slot) -> Option<&T> {
        self.values.get(slot.index())?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        self.values.get_mut(slot.index())?.as_mut()
    }

    /// Returns how many slots are in use.
    pub(super) fn len(&self) -> usize {
        self.values.len() - self.vacant.len()
    }

    /// Returns the slots in use, lowest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        let slots = (0..).map(Slot).zip(&self.values);
        slots.filter_map(|(slot, value)| Some((slot, value.as_ref()?)))
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            vacant: BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_vacant_slot_is_taken_next() {
        let mut slots = Slots::default();
        for value in 0..5 {
            assert_eq!(slots.insert(value), Slot(value));
        }
        for slot in [3, 1, 2] {
            assert_eq!(slots.remove(Slot(slot)), Some(slot));
            assert_eq!(slots.remove(Slot(slot)), None);
        }
        assert_eq!(slots.len(), 2);
        assert_eq!(
            [5, 6, 7, 8].map(|value| slots.insert(value).0),
            [1, 2, 3, 5]
        );
        let values: Vec<_> = slots.iter().map(|(slot, value)| (slot.0, *value)).collect();
        assert_eq!(values, [(0, 0), (1, 5), (2, 6), (3, 7), (4, 4), (5, 8)]);
    }
}
