//! Reads PEM text (RFC 7468) section by section, so that a damaged one does not affect the others, and wipes what it has
//! copied of it, because it may be a private key.
//!
//! rustls-pki-types, which reads PEM as well, frees its copy of the text without wiping it, and takes a section without
//! an end and the next one for one.

use base64::{
    Engine as _, alphabet,
    engine::{GeneralPurpose, general_purpose::PAD},
};
use zeroize::Zeroizing;

/// The byte order mark that some editors write before UTF-8.
const UTF8_MARK: &[u8] = "\u{feff}".as_bytes();

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    PAD.with_decode_allow_trailing_bits(true),
);

/// A section, from its BEGIN line to that of the next one.
#[derive(Clone, Copy)]
pub(crate) struct Section<'a> {
    /// What the BEGIN line says that it is, such as `PRIVATE KEY`.
    pub(crate) label: &'a [u8],
    rest: &'a [u8],
}

/// What is wrong with a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// It has no END line with its label.
    Truncated,
    /// There is something else than base64 between its BEGIN and END lines.
    NotBase64,
}

impl Section<'_> {
    /// Decodes the contents.
    pub(crate) fn decode(&self) -> Result<Zeroizing<Vec<u8>>, Damage> {
        // Neither grows: a vector that does leaves a copy behind.
        let mut text = Zeroizing::new(Vec::with_capacity(self.rest.len()));
        let mut lines = lines(self.rest);
        loop {
            match lines.next() {
                None => return Err(Damage::Truncated),
                Some(line) if self.is_end(line) => break,
                Some(line) => text.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace())),
            }
        }
        let mut der = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
        let len = BASE64
            .decode_slice(&*text, &mut der)
            .map_err(|_quotes_the_text| Damage::NotBase64)?;
        der.truncate(len);
        Ok(der)
    }

    fn is_end(&self, line: &[u8]) -> bool {
        let label = line.strip_prefix(b"-----END ");
        let after = label.and_then(|label| label.strip_prefix(self.label));
        after.is_some_and(|after| after.starts_with(b"-----"))
    }
}

/// Returns the sections of a text. What is before, between and after them is skipped.
pub(crate) fn sections(text: &[u8]) -> impl Iterator<Item = Section<'_>> {
    let mut rest = text;
    core::iter::from_fn(move || {
        let label = loop {
            if let Some(label) = label(take_line(&mut rest)?) {
                break label;
            }
        };
        let after = rest;
        let mut next = rest;
        while let Some(line) = take_line(&mut next)
            && self::label(line).is_none()
        {
            rest = next;
        }
        let len = after.len() - rest.len();
        let (section, _) = after.split_at_checked(len)?;
        Some(Section {
            label,
            rest: section,
        })
    })
}

/// Returns the lines of a text, each of which ends in CR or LF.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    core::iter::from_fn(move || take_line(&mut rest))
}

/// Returns what follows BEGIN in a line that begins with it.
pub(crate) fn begin(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_prefix(UTF8_MARK).unwrap_or(line);
    line.strip_prefix(b"-----BEGIN ")
        .map(<[u8]>::trim_ascii_end)
}

/// Returns whether a text begins with a byte order mark of UTF-16.
pub(crate) fn is_utf16(text: &[u8]) -> bool {
    text.starts_with(&[0xFF, 0xFE]) || text.starts_with(&[0xFE, 0xFF])
}

/// Returns the label in a BEGIN line.
fn label(line: &[u8]) -> Option<&[u8]> {
    let label = begin(line)?.strip_suffix(b"-----")?;
    let has_dashes = label.windows(5).any(|part| part == b"-----");
    (!has_dashes).then_some(label)
}

fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if rest.is_empty() {
        return None;
    }
    let mut parts = rest.splitn(2, |byte| matches!(byte, b'\n' | b'\r'));
    let line = parts.next()?;
    *rest = parts.next().unwrap_or_default();
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, Result<Vec<u8>, Damage>)> {
        let read = |section: Section<'_>| {
            let label = String::from_utf8_lossy(section.label).into_owned();
            (label, section.decode().map(|der| der.to_vec()))
        };
        sections(text.as_bytes()).map(read).collect()
    }

    #[test]
    fn a_damaged_section_does_not_affect_the_others() {
        let good = "-----BEGIN A-----\nAQID\n-----END A-----\n";
        let read = read(&format!(
            "{good}-----BEGIN B-----\nAQ!D\n-----END B-----\n-----BEGIN C-----\nAQID\n{good}"
        ));
        let good = ("A".to_owned(), Ok(vec![1, 2, 3]));
        assert_eq!(
            read,
            [
                good.clone(),
                ("B".to_owned(), Err(Damage::NotBase64)),
                ("C".to_owned(), Err(Damage::Truncated)),
                good,
            ]
        );
    }

    #[test]
    fn line_endings_spaces_and_a_byte_order_mark_do_not_matter() {
        let text = "-----BEGIN A-----\nAQID\nBA==\n-----END A-----";
        for text in [
            text.to_owned(),
            text.replace('\n', "\r\n"),
            text.replace('\n', "\r"),
            text.replace('\n', " \n"),
            format!("\u{feff}{text}"),
            format!("subject=CN = A\n\u{feff}{text}\nmore"),
        ] {
            let expected = [("A".to_owned(), Ok(vec![1, 2, 3, 4]))];
            assert_eq!(read(&text), expected, "{text:?}");
        }
    }
}
