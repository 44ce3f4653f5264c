//! Addresses on loopback at which there is no bridge.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

/// An address that is reserved as long as this lives.
pub(crate) struct Other {
    pub(crate) address: SocketAddr,
    socket: Socket,
    /// Connections that fill its backlog.
    waiting: Vec<TcpStream>,
}

impl Other {
    /// Its packets get no answer, because the backlog of the listener is full.
    pub(crate) fn nothing() -> io::Result<Self> {
        let mut other = Self::listening(0)?;
        loop {
            match TcpStream::connect_timeout(&other.address, Duration::from_millis(100)) {
                Ok(waiting) => other.waiting.push(waiting),
                Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(other),
                Err(error) => return Err(error),
            }
        }
    }

    /// Its connections are refused, because nobody listens.
    pub(crate) fn refusing() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let address = socket.local_addr()?.as_socket().expect("an IPv4 address");
        Ok(Self {
            address,
            socket,
            waiting: Vec::new(),
        })
    }

    /// Its connections are established by the kernel, and nobody accepts them.
    pub(crate) fn silent() -> io::Result<Self> {
        Self::listening(128)
    }

    fn listening(backlog: i32) -> io::Result<Self> {
        let other = Self::refusing()?;
        other.socket.listen(backlog)?;
        Ok(other)
    }
}
