//! Reads DER, as far as private keys and the names in certificates need it.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;

/// The rest of a sequence of DER elements.
pub(crate) struct Der<'a>(pub(crate) &'a [u8]);

impl<'a> Der<'a> {
    /// Takes the contents of the next element if it has this tag; otherwise takes nothing and returns `None`.
    pub(crate) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.0;
        let (found, contents) = self.take_any()?;
        if found != tag {
            self.0 = before;
            return None;
        }
        Some(contents)
    }

    /// Takes the next element; returns its tag and its contents. Elements of more than 16 MiB count as damaged.
    pub(crate) fn take_any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&length, rest) = rest.split_first()?;
        let (length, rest) = match length {
            0..=0x7F => (usize::from(length), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7F))?;
                let add = |sum, &byte: &u8| sum << 8 | usize::from(byte);
                (bytes.iter().fold(0, add), rest)
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, contents))
    }
}

/// Returns the number of bits of an unsigned INTEGER, without its zeros at the front.
pub(crate) fn bits(integer: &[u8]) -> usize {
    let zeros = integer.iter().take_while(|&&byte| byte == 0).count();
    let (_, digits) = integer.split_at(zeros);
    let unused = digits
        .first()
        .map_or(0, |first| first.leading_zeros() as usize);
    digits.len() * 8 - unused
}

/// Returns an element with the parts of its contents, of less than 256 bytes together. Wiped when it is dropped.
#[cfg(feature = "driver")]
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> zeroize::Zeroizing<Vec<u8>> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    // It does not grow, which would leave a copy behind.
    let mut element = zeroize::Zeroizing::new(Vec::with_capacity(3 + len));
    element.push(tag);
    if len > 0x7F {
        element.push(0x81);
    }
    element.push(u8::try_from(len).unwrap_or(u8::MAX));
    parts
        .iter()
        .for_each(|part| element.extend_from_slice(part));
    element
}
