//! The options of a TCP socket, for adapters.

#[cfg(unix)]
use std::os::fd::AsFd as AsSocket;
#[cfg(windows)]
use std::os::windows::io::AsSocket;

use std::io;

use socket2::SockRef;

/// Sets the options of a TCP socket that the driver writes to: no Nagle's delay (`TCP_NODELAY`). An implementation of
/// [`Runtime::connect`](crate::driver::Runtime::connect) calls it for each connected socket.
///
/// # Errors
///
/// Fails if the operating system refuses the option.
pub fn set_up_socket(socket: &impl AsSocket) -> io::Result<()> {
    SockRef::from(socket).set_tcp_nodelay(true)
}
