//! A table that grows in blocks of one size: one more moves none of the others, however many there are, and leaves at most
//! one block unused.

/// Items of a block.
const BLOCK: u32 = 64;

/// The table; items are numbered from 0.
#[derive(Debug)]
pub(super) struct Blocks<T> {
    blocks: Vec<Vec<T>>,
    len: u32,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Blocks<T> {
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Appends an item, and gives its number.
    pub(super) fn push(&mut self, item: T) -> u32 {
        let number = self.len;
        self.len += 1;
        match self.blocks.last_mut() {
            Some(block) if !number.is_multiple_of(BLOCK) => block.push(item),
            _ => self.blocks.push(vec![item]),
        }
        number
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let block = self.blocks.get((number / BLOCK) as usize)?;
        block.get((number % BLOCK) as usize)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let block = self.blocks.get_mut((number / BLOCK) as usize)?;
        block.get_mut((number % BLOCK) as usize)
    }

    /// Every item and its number, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(self.blocks.iter().flatten())
    }
}
