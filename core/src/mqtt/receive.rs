//! Fragments in, whole packets out.

use core::{fmt, mem};

use super::codec::{self, Header, Packet, Publish, SHORT, Violation};

#[cfg(test)]
mod tests;

/// The way from what arrives to packets.
///
/// Any split of the input gives the same packets and the same violation. A packet that arrives as a whole is read from
/// where it is; of one that arrives in part that part is kept, in memory of exactly the packet's length, which is
/// reserved once its header is legal: what a header claims reserves the limit at most. Between two packets nothing is kept.
#[derive(Debug)]
pub(crate) struct Receive {
    begun: Begun,
    /// The PUBLISH that was read last.
    publish: Option<Publish>,
    frame_limit: usize,
}

impl Receive {
    /// At the start of a stream of packets of at most `frame_limit` bytes, header included.
    pub(crate) fn new(frame_limit: usize) -> Self {
        Self {
            begun: Begun::Nothing,
            publish: None,
            frame_limit,
        }
    }

    /// Takes the next packet off the front of what has arrived; `None` once it has taken all of that.
    ///
    /// A violation is final: it comes after the packets before it, and then for ever, whatever arrives.
    ///
    /// With all that it calls for a whole acknowledgement it is always inlined: else the packet comes back through memory,
    /// which costs as much as reading it.
    #[inline(always)]
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

    /// What the [`Packet::Publish`] says that was read last; once.
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

    /// Bytes that wait for the rest of their packet.
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

    /// Byte by byte: there are [`SHORT`] at most.
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

/// Where the stream stands.
#[derive(Debug)]
enum Begun {
    /// Between two packets.
    Nothing,
    /// In a fixed header, or in a packet that is no PUBLISH.
    Short(Short),
    /// In a PUBLISH whose fixed header is known.
    Publish(Assembly),
    /// Where nothing is read any more.
    Broken(Violation),
}

impl Begun {
    /// All that has come of a packet, with its header if that is known.
    #[inline(never)]
    fn part(header: Option<Header>, part: &[u8]) -> Self {
        match header.filter(Header::is_publish) {
            Some(header) => Self::Publish(Assembly::new(header, part)),
            None => Self::Short(Short::new(part)),
        }
    }

    /// The bytes that are kept.
    fn len(&self) -> usize {
        match self {
            Self::Nothing | Self::Broken(_) => 0,
            Self::Short(short) => short.len,
            Self::Publish(assembly) => assembly.bytes.len(),
        }
    }
}

/// A beginning that needs no memory of its own.
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

    /// Appends a byte of a fixed header that goes on, or of a packet that does and is no PUBLISH.
    fn push(&mut self, byte: u8) {
        let free = self.bytes.get_mut(self.len);
        *free.expect("as much holds any fixed header, and any other packet") = byte;
        self.len += 1;
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// A PUBLISH in memory of its own, of exactly its length. `Debug` shows none of it.
struct Assembly {
    header: Header,
    bytes: Vec<u8>,
}

impl Assembly {
    /// The packet with this header, of which this has come.
    fn new(header: Header, part: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(header.len());
        bytes.extend_from_slice(part);
        Self { header, bytes }
    }

    /// Takes what belongs to the packet off the front of `input`, and gives it all once it is whole.
    #[inline]
    fn take(&mut self, input: &mut &[u8]) -> Option<Vec<u8>> {
        let missing = self.header.len() - self.bytes.len();
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
