//! Reads and writes a stream in whole parts.

use core::{future::poll_fn, pin::Pin};
use std::io;

use futures_io::{AsyncRead, AsyncWrite};

use super::ProxyError;

/// Writes all of these bytes, and flushes.
pub(super) async fn write_all<S: AsyncWrite + Unpin>(
    stream: &mut S,
    mut bytes: &[u8],
) -> Result<(), ProxyError> {
    while !bytes.is_empty() {
        let written = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await;
        let written = written.map_err(broken)?;
        if written == 0 {
            return Err(ProxyError::Broken(io::ErrorKind::WriteZero.into()));
        }
        bytes = bytes.get(written..).unwrap_or_default();
    }
    let flushed = poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await;
    flushed.map_err(broken)
}

/// Fills this buffer, and reads nothing beyond it.
pub(super) async fn read_exact<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut buffer: &mut [u8],
) -> Result<(), ProxyError> {
    while !buffer.is_empty() {
        let read = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buffer)).await;
        let read = read.map_err(broken)?;
        if read == 0 {
            return Err(ProxyError::Closed);
        }
        buffer = buffer.get_mut(read..).unwrap_or_default();
    }
    Ok(())
}

/// A proxy that closes before it has read all that was sent resets the connection.
fn broken(error: io::Error) -> ProxyError {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => ProxyError::Closed,
        _ => ProxyError::Broken(error),
    }
}
