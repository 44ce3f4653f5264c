//! Fragments in, whole packets out.

use core::{fmt, mem};

use super::codec::{self, Header, Packet, PacketId, Publish, SHORT, Violation};

#[cfg(test)]
mod tests;

/// Incremental packet reader.
///
/// Any split of the input results in the same packets and the same violation. A packet that arrives complete is decoded
/// where it is. If only a part arrives, that part is stored in an allocation of exactly the packet's length, made once
/// its header was checked: so a header can reserve at most `frame_limit`. Between two packets nothing is stored.
#[derive(Debug)]
pub(crate) struct Receive {
    begun: Begun,
    /// The PUBLISH that was read last.
    publish: Option<Publish>,
    frame_limit: usize,
}

impl Receive {
    /// Creates a reader at the start of a stream of packets of at most `frame_limit` bytes, header included.
    pub(crate) fn new(frame_limit: usize) -> Self {
        Self {
            begun: Begun::Nothing,
            publish: None,
            frame_limit,
        }
    }

    /// Takes a PUBACK off the front of `input`, if that starts with a valid and complete one. What this returns `None`
    /// for is left to [`next`](Self::next), which reads every packet. This is the most frequent one, and to construct a
    /// [`Packet`] and to match it costs more than to read it.
    #[inline(always)]
    pub(crate) fn next_puback(&mut self, input: &mut &[u8]) -> Option<PacketId> {
        if !matches!(self.begun, Begun::Nothing) {
            return None;
        }
        let (packet_id, rest) = codec::split_puback(input)?;
        *input = rest;
        Some(packet_id)
    }

    /// Stores a piece of a PUBLISH that does not complete it; returns whether it was one. If not, it is left to
    /// [`next`](Self::next), which would do the same: a large PUBLISH arrives in many pieces.
    #[inline(always)]
    pub(crate) fn append(&mut self, piece: &[u8]) -> bool {
        match &mut self.begun {
            Begun::Publish(assembly) if piece.len() < assembly.missing() => {
                assembly.bytes.extend_from_slice(piece);
                true
            }
            _ => false,
        }
    }

    /// Takes the next packet off the front of `input`; returns `None` once all of it is consumed.
    ///
    /// A violation is final: it is returned after the packets before it, and from then on by every call.
    #[inline]
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Packet>, Violation> {
        let read = match &mut self.begun {
            Begun::Nothing => self.read_in_place(input),
            Begun::Publish(assembly) => {
                let Some(frame) = assembly.take(input) else {
                    return Ok(None);
                };
                let header = assembly.header;
                self.begun = Begun::Nothing;
                self.put_publish(codec::assembled_publish(frame, header))
            }
            Begun::Short(short) => {
                let short = *short;
                self.go_on(short, input)
            }
            Begun::Broken(violation) => return Err(*violation),
        };
        if let Err(violation) = read {
            self.begun = Begun::Broken(violation);
        }
        read
    }

    /// Returns the PUBLISH of the last [`Packet::Publish`], once.
    pub(crate) fn take_publish(&mut self) -> Option<Publish> {
        self.publish.take()
    }

    fn put_publish(
        &mut self,
        read: Result<Publish, Violation>,
    ) -> Result<Option<Packet>, Violation> {
        self.publish = Some(read?);
        Ok(Some(Packet::Publish))
    }

    /// Returns the number of bytes that wait for the rest of their packet.
    pub(crate) fn waiting(&self) -> usize {
        self.begun.len()
    }

    #[inline(always)]
    fn read_in_place(&mut self, input: &mut &[u8]) -> Result<Option<Packet>, Violation> {
        if input.is_empty() {
            return Ok(None);
        }
        let header = codec::header(input, self.frame_limit)?;
        if let Some(header) = header
            && let Some((frame, rest)) = input.split_at_checked(header.len())
        {
            *input = rest;
            if header.is_publish() {
                return self.put_publish(codec::copied_publish(frame, header));
            }
            return codec::decode(frame, header).map(Some);
        }
        self.begun = Begun::part(header, mem::take(input));
        Ok(None)
    }

    /// Continues a short packet, byte by byte: it has at most [`SHORT`] bytes.
    #[inline(never)]
    fn go_on(&mut self, mut short: Short, input: &mut &[u8]) -> Result<Option<Packet>, Violation> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            short.push(byte);
            match codec::header(short.bytes(), self.frame_limit)? {
                Some(header) if header.is_publish() => {
                    self.begun = Begun::Publish(Assembly::new(header, short.bytes()));
                    return self.next(input);
                }
                Some(header) if header.len() == short.len => {
                    self.begun = Begun::Nothing;
                    return codec::decode(short.bytes(), header).map(Some);
                }
                _ => {}
            }
        }
        self.begun = Begun::Short(short);
        Ok(None)
    }
}

/// The position in the stream.
#[derive(Debug)]
enum Begun {
    /// Between two packets.
    Nothing,
    /// In a fixed header, or in a packet other than PUBLISH.
    Short(Short),
    /// In a PUBLISH whose fixed header is known.
    Publish(Assembly),
    /// After a violation; nothing more is read.
    Broken(Violation),
}

impl Begun {
    /// Stores the part of a packet that has arrived, with its header if that is complete.
    #[inline(never)]
    fn part(header: Option<Header>, part: &[u8]) -> Self {
        match header.filter(Header::is_publish) {
            Some(header) => Self::Publish(Assembly::new(header, part)),
            None => Self::Short(Short::new(part)),
        }
    }

    /// Returns the number of bytes stored.
    fn len(&self) -> usize {
        match self {
            Self::Nothing | Self::Broken(_) => 0,
            Self::Short(short) => short.len,
            Self::Publish(assembly) => assembly.bytes.len(),
        }
    }
}

/// The beginning of a packet that needs no allocation.
#[derive(Clone, Copy, Debug)]
struct Short {
    bytes: [u8; SHORT],
    len: usize,
}

impl Short {
    fn new(part: &[u8]) -> Self {
        let mut short = Self {
            bytes: [0; SHORT],
            len: 0,
        };
        part.iter().for_each(|byte| short.push(*byte));
        short
    }

    /// Appends a byte of an incomplete fixed header, or of an incomplete packet other than PUBLISH.
    fn push(&mut self, byte: u8) {
        let free = self.bytes.get_mut(self.len);
        *free.expect("any fixed header, and any other packet, fits") = byte;
        self.len += 1;
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// A PUBLISH in an allocation of exactly its length. `Debug` shows none of it.
struct Assembly {
    header: Header,
    bytes: Vec<u8>,
}

impl Assembly {
    /// Stores the beginning of the packet with this header.
    fn new(header: Header, part: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(header.len());
        bytes.extend_from_slice(part);
        Self { header, bytes }
    }

    /// Returns the number of bytes that are still to come.
    #[inline]
    fn missing(&self) -> usize {
        self.header.len() - self.bytes.len()
    }

    /// Takes what belongs to the packet off the front of `input`; returns the whole packet once it is complete.
    #[inline]
    fn take(&mut self, input: &mut &[u8]) -> Option<Vec<u8>> {
        let missing = self.missing();
        let (taken, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
        self.bytes.extend_from_slice(taken);
        *input = rest;
        (taken.len() == missing).then(|| mem::take(&mut self.bytes))
    }
}

impl fmt::Debug for Assembly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assembly")
            .field("header", &self.header)
            .field("len", &self.bytes.len())
            .finish()
    }
}
