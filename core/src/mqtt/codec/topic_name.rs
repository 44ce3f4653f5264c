//! Topic names of a PUBLISH.

use super::{MAX_STRING, Unencodable};

/// A topic name without wildcards [MQTT-3.3.2-2] and without U+0000 [MQTT-1.5.3-2], of 1 to 65,535 bytes
/// [MQTT-4.7.3-1]. Checked when it is built, so that it need not be checked for each packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TopicName {
    /// Empty until it is built.
    name: String,
}

impl TopicName {
    /// Rebuilds it from what `write` appends, reusing its memory.
    pub(crate) fn make(&mut self, write: impl FnOnce(&mut String)) -> Result<(), Unencodable> {
        self.name.clear();
        write(&mut self.name);
        let checked = check(&self.name);
        if checked.is_err() {
            self.name.clear();
        }
        checked
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.name.as_bytes()
    }
}

fn check(name: &str) -> Result<(), Unencodable> {
    let field = "topic";
    let length = name.len();
    if name.is_empty() {
        return Err(Unencodable::Empty { field });
    }
    if length > MAX_STRING {
        return Err(Unencodable::TooLong {
            field,
            length,
            limit: MAX_STRING,
        });
    }
    match forbidden(name.as_bytes()) {
        Some(('\0', at)) => Err(Unencodable::Nul { field, at }),
        Some((wildcard, at)) => Err(Unencodable::Wildcard { wildcard, at }),
        None => Ok(()),
    }
}

/// Returns the first character that is forbidden in a topic name, and its offset.
pub(super) fn forbidden(topic: &[u8]) -> Option<(char, usize)> {
    let is_forbidden = |byte: u8| (byte == 0) | (byte == b'+') | (byte == b'#');
    // On bytes and without an early exit, this is compiled to check 16 at once.
    if topic
        .iter()
        .fold(0, |any, &byte| any | u8::from(is_forbidden(byte)))
        == 0
    {
        return None;
    }
    let (at, &byte) = topic
        .iter()
        .enumerate()
        .find(|(_, byte)| is_forbidden(**byte))?;
    Some((char::from(byte), at))
}
