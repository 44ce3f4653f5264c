//! When two paths are the same: so far, and from now on.

use std::{
    fmt::Write as _,
    hash::{DefaultHasher, Hasher as _},
};

use super::World;

impl World {
    /// Returns the hash of all outputs since the beginning.
    pub(crate) fn transcript(&self) -> u64 {
        self.transcript.finish()
    }

    /// Returns a fingerprint of the state of the gateway and of everything around it.
    ///
    /// Two paths with the same fingerprint continue identically, because it includes everything that the behaviour
    /// depends on: the gateway prints every field (each nested `Debug` is derived, except those of identifiers, which
    /// print their text, and that of tokens, which are all the same here), and so do the peer and the referee. Nothing
    /// is omitted or renamed, including instants and operations, except the gateway's counters, which come last: it
    /// only adds to them.
    pub(crate) fn fingerprint(&self, text: &mut String) -> u128 {
        text.clear();
        write!(text, "{:?}", self.gateway).expect("writing to a string succeeds");
        let counters = text
            .rfind(", stats: Stats {")
            .expect("the counters come last");
        text.truncate(counters);
        let around = (
            self.now,
            self.is_closing,
            self.numbers,
            self.connections,
            self.jumps,
        );
        write!(text, "{around:?}{:?}{:?}", self.line, self.referee)
            .expect("writing to a string succeeds");
        let half = |seed: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(seed);
            hasher.write(text.as_bytes());
            u128::from(hasher.finish())
        };
        half(0) << 64 | half(1)
    }
}
