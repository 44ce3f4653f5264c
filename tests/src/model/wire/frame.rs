//! Splits a stream into MQTT control packets.

use crate::packets;

/// One MQTT control packet.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) body: Vec<u8>,
}

impl Frame {
    /// Removes the next complete packet from the front of a stream.
    pub(super) fn take(stream: &mut Vec<u8>) -> Option<Self> {
        let (first, body, rest) = packets::split(stream)?;
        let frame = Self {
            kind: first >> 4,
            flags: first & 0x0F,
            body: body.to_vec(),
        };
        stream.drain(..stream.len() - rest.len());
        Some(frame)
    }

    /// Returns the incomplete packet that a stream ends with.
    pub(super) fn peek(stream: &[u8]) -> Option<Self> {
        let first = stream.first()?;
        let start = packets::extent(stream).map_or(stream.len(), |(start, _)| start);
        Some(Self {
            kind: first >> 4,
            flags: first & 0x0F,
            body: stream.get(start..).unwrap_or_default().to_vec(),
        })
    }

    pub(super) fn number(&self, at: usize) -> u16 {
        let byte = |at: usize| self.body.get(at).copied().unwrap_or_default();
        u16::from_be_bytes([byte(at), byte(at + 1)])
    }

    pub(super) fn text(&self, at: usize) -> String {
        let end = at + 2 + usize::from(self.number(at));
        let text = self.body.get(at + 2..end).unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }

    pub(super) fn rest(&self, at: usize) -> Vec<u8> {
        self.body.get(at..).unwrap_or_default().to_vec()
    }
}
