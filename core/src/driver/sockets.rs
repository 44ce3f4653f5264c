//! The options of a TCP socket, for adapters.

#[cfg(unix)]
use std::os::fd::AsFd as AsSocket;
#[cfg(windows)]
use std::os::windows::io::AsSocket;

use std::io;

use socket2::SockRef;

/// How many bytes may wait in the socket, not sent yet: as many as the driver reads at once, and what a link of 100 Mbit/s
/// sends in 1.3 ms, in which a task is woken to write more.
#[cfg(any(target_os = "android", target_os = "linux"))]
const MAX_UNSENT: u32 = 16 * 1024;

/// Sets the options of a TCP socket that the driver writes to. An implementation of
/// [`Runtime::connect`](crate::driver::Runtime::connect) calls it for each connected socket, of any library: what has the
/// trait [`AsFd`](std::os::fd::AsFd), on Windows `std::os::windows::io::AsSocket`.
///
/// * No Nagle's delay (`TCP_NODELAY`).
/// * On Linux and Android, the socket takes no more while 16 KiB or more wait in it that are not sent yet
///   (`TCP_NOTSENT_LOWAT`); the kernel fills the segment that it has begun, so it may hold 64 KiB. Otherwise it would hold
///   megabytes on a slow link: an urgent message would wait behind them, and what is cancelled or expires would be sent all
///   the same. What was sent and is not acknowledged has no such limit, so a fast link is as fast.
///
/// # Errors
///
/// Fails if the operating system refuses `TCP_NODELAY`. A kernel that does not know `TCP_NOTSENT_LOWAT` is no error.
pub fn set_up_socket(socket: &impl AsSocket) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let _ = socket.set_tcp_notsent_lowat(MAX_UNSENT);
    Ok(())
}
