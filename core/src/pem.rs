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

/// The dashes before and after BEGIN and END.
const DASHES: usize = 5;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    PAD.with_decode_allow_trailing_bits(true),
);

/// A section, from its BEGIN to that of the next one. Whether they are at the beginning of a line does not matter: texts
/// are joined behind a last line without an end, indented and put into one line.
#[derive(Clone, Copy)]
pub(crate) struct Section<'a> {
    /// What it says that it is, such as `PRIVATE KEY`.
    pub(crate) label: &'a [u8],
    /// Whether all dashes are around BEGIN and its label.
    has_dashes: bool,
    rest: &'a [u8],
}

/// What is wrong with a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// There are not five dashes before BEGIN, or not as many behind its label.
    Begin,
    /// It has no END with its label.
    Truncated,
    /// Its line breaks are written as `\n`.
    Escaped,
    /// There is something else than base64 between its BEGIN and END lines.
    NotBase64,
}

impl Section<'_> {
    /// Decodes the contents.
    pub(crate) fn decode(&self) -> Result<Zeroizing<Vec<u8>>, Damage> {
        if !self.has_dashes {
            return Err(Damage::Begin);
        }
        let body = self.body().ok_or(Damage::Truncated)?;
        if body.contains(&b'\\') {
            return Err(Damage::Escaped);
        }
        // Neither grows: a vector that does leaves a copy behind.
        let mut text = Zeroizing::new(Vec::with_capacity(body.len()));
        text.extend(body.iter().filter(|byte| !byte.is_ascii_whitespace()));
        let mut der = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
        let len = BASE64
            .decode_slice(&*text, &mut der)
            .map_err(|_quotes_the_text| Damage::NotBase64)?;
        der.truncate(len);
        Ok(der)
    }

    /// Returns what is before END.
    fn body(&self) -> Option<&[u8]> {
        const END: &[u8] = b"-----END ";
        let (body, end) = self.rest.split_at_checked(find(self.rest, END)?)?;
        let after = end.strip_prefix(END)?.trim_ascii_start();
        let after = after.strip_prefix(self.label)?.trim_ascii_start();
        (after.is_empty() || after.starts_with(b"-")).then_some(body)
    }
}

/// Returns the sections of a text. What is before, between and after them is skipped.
pub(crate) fn sections(text: &[u8]) -> impl Iterator<Item = Section<'_>> {
    let mut next = begin(text);
    core::iter::from_fn(move || {
        let found = next.take()?;
        next = begin(found.after);
        let len = match &next {
            Some(next) => found.after.len() - next.len_from_dashes,
            None => found.after.len(),
        };
        let (rest, _) = found.after.split_at_checked(len)?;
        Some(Section {
            label: found.label,
            has_dashes: found.has_dashes,
            rest,
        })
    })
}

/// Returns whether a text is in UTF-16, by its byte order mark or by the dashes that it begins with.
pub(crate) fn is_utf16(text: &[u8]) -> bool {
    matches!(
        text,
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [b'-', 0, ..] | [0, b'-', ..]
    )
}

/// Returns the place of the first occurrence of a part.
pub(crate) fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// A BEGIN with its label.
struct Begin<'a> {
    label: &'a [u8],
    has_dashes: bool,
    /// The number of bytes from its dashes to the end of the text.
    len_from_dashes: usize,
    /// What follows its last dash.
    after: &'a [u8],
}

/// Returns the first BEGIN that is between dashes.
fn begin(text: &[u8]) -> Option<Begin<'_>> {
    const BEGIN: &[u8] = b"BEGIN ";
    let is_dash = |&&byte: &&u8| byte == b'-';
    let mut rest = text;
    loop {
        let (before, found) = rest.split_at_checked(find(rest, BEGIN)?)?;
        // Those of an END before it count for that.
        let dashes = before.iter().rev().take_while(is_dash).count().min(DASHES);
        let len_from_dashes = found.len() + dashes;
        rest = found.strip_prefix(BEGIN)?;
        let label_len = rest.iter().position(|byte| b"-\r\n".contains(byte));
        let (label, after) = rest.split_at_checked(label_len.unwrap_or(rest.len()))?;
        let dashes_after = after.iter().take_while(is_dash).take(DASHES).count();
        if dashes > 0 && dashes_after > 0 {
            return Some(Begin {
                label: label.trim_ascii(),
                has_dashes: dashes == DASHES && dashes_after == DASHES,
                len_from_dashes,
                after: after.split_at_checked(dashes_after)?.1,
            });
        }
    }
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
            text.replace('\n', " "),
            text.replace('\n', ""),
            text.replace('\n', "\n\t "),
            format!("pem: \"{text}\""),
            format!("the text that BEGIN -- ends:\n{text}"),
            text.replace("BEGIN A", "BEGIN  A "),
        ] {
            let expected = [("A".to_owned(), Ok(vec![1, 2, 3, 4]))];
            assert_eq!(read(&text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_section_behind_one_without_a_line_break_at_its_end_is_found() {
        let text = "-----BEGIN A-----\nAQID\n-----END A-----";
        let joined = format!("{text}{text}{text}\n");
        assert_eq!(read(&joined), vec![("A".to_owned(), Ok(vec![1, 2, 3])); 3]);
    }

    #[test]
    fn a_begin_or_line_breaks_of_another_form_are_told_apart() {
        let text = "-----BEGIN A-----\nAQID\n-----END A-----\n";
        for (text, damage) in [
            (text.replace("-----BEGIN", "----BEGIN"), Damage::Begin),
            (text.replace("BEGIN A-----", "BEGIN A---"), Damage::Begin),
            (
                text.replace("BEGIN A-----", "BEGIN A----- # my own"),
                Damage::NotBase64,
            ),
            (text.replace('\n', "\\n"), Damage::Escaped),
            (text.replace("END A", "END AB"), Damage::Truncated),
        ] {
            assert_eq!(read(&text), [("A".to_owned(), Err(damage))], "{text}");
        }
    }
}
