//! Searches outputs for secrets.

use std::collections::BTreeMap;
use std::error::Error;
use std::iter::successors;

use base64::Engine;
use base64::alphabet::{STANDARD as ALPHABET, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD};

/// The number of consecutive characters of a secret that is never shown by chance.
const PIECE: usize = 8;

/// The same for a list of numbers, which takes about four characters per byte.
const LIST_PIECE: usize = 24;

/// The secrets, cut into pieces, in every form in which they could be shown. White space is ignored.
pub(crate) struct Secrets {
    pieces: BTreeMap<Vec<u8>, String>,
    /// The pairs of bytes that a piece begins with, because most of a text begins none.
    beginnings: Vec<bool>,
    /// The number of characters checked so far.
    pub(crate) searched: usize,
}

impl Default for Secrets {
    fn default() -> Self {
        Self {
            pieces: BTreeMap::new(),
            beginnings: vec![false; 1 << 16],
            searched: 0,
        }
    }
}

impl Secrets {
    /// Adds a token or another text.
    pub(crate) fn add_text(&mut self, name: &str, text: &str) {
        self.add_pieces(name, text, PIECE);
        self.add_bytes(name, text.as_bytes());
    }

    /// Adds the private part of a P-256 key in PKCS#8; the public part may be shown.
    pub(crate) fn add_key(&mut self, pem: &str) {
        let scalar = scalar(pem);
        self.add_bytes("key", &scalar);
        for alphabet in [&ALPHABET, &URL_SAFE] {
            let engine = GeneralPurpose::new(alphabet, NO_PAD);
            for before in 0..3 {
                let shifted = [&vec![0; before], &scalar[..]].concat();
                let text = engine.encode(shifted);
                self.add_pieces("key", &text[4..text.len() - 4], PIECE);
            }
        }
    }

    fn add_bytes(&mut self, name: &str, bytes: &[u8]) {
        let list = |form: fn(&u8) -> String| bytes.iter().map(form).collect::<Vec<_>>().join(",");
        self.add_pieces(name, &list(|byte| byte.to_string()), LIST_PIECE);
        self.add_pieces(name, &list(|byte| format!("{byte:x}")), LIST_PIECE);
        self.add_pieces(name, &list(|byte| format!("{byte:02x}")), LIST_PIECE);
        let lower = list(|byte| format!("{byte:02x}")).replace(',', "");
        self.add_pieces(name, &lower, LIST_PIECE);
        self.add_pieces(name, &lower.to_uppercase(), LIST_PIECE);
    }

    fn add_pieces(&mut self, name: &str, form: &str, size: usize) {
        for piece in form.as_bytes().chunks_exact(size) {
            self.beginnings[pair(piece)] = true;
            self.pieces.insert(piece.to_vec(), name.to_owned());
        }
    }

    /// Returns the name of a secret that a text contains, at least in part.
    pub(crate) fn find(&self, text: &str) -> Option<&str> {
        self.find_in(text.as_bytes())
    }

    pub(crate) fn find_in(&self, bytes: &[u8]) -> Option<&str> {
        let shown: Vec<u8> = bytes
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        (0..shown.len()).find_map(|at| {
            let rest = shown.get(at..).filter(|rest| rest.len() >= PIECE)?;
            if !self.beginnings[pair(rest)] {
                return None;
            }
            let found = [PIECE, LIST_PIECE]
                .into_iter()
                .find_map(|size| self.pieces.get(rest.get(..size)?));
            found.map(String::as_str)
        })
    }

    /// Panics if the output at this place contains a secret.
    pub(crate) fn check(&mut self, place: &str, shown: &str) {
        self.searched += shown.len();
        if let Some(secret) = self.find(shown) {
            panic!("{place} shows the {secret}: {shown}");
        }
    }

    /// Checks an error and all its causes.
    pub(crate) fn check_error(&mut self, place: &str, error: &(dyn Error + 'static)) {
        for cause in successors(Some(error), |&error| error.source()) {
            self.check(place, &format!("{cause} {cause:?} {cause:#?}"));
        }
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// Returns the private scalar of a P-256 key in PKCS#8.
pub(crate) fn scalar(pem: &str) -> Vec<u8> {
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(base64).unwrap();
    let start = [2, 1, 1, 4, 32];
    let at = der.windows(5).position(|window| window == start).unwrap() + start.len();
    der[at..at + 32].to_vec()
}
