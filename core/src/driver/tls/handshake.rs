//! The handshake of a client, whose end the server may explain.

use core::{
    pin::Pin,
    task::{Context, Poll},
};
use std::{
    io::{self, IoSlice},
    sync::Arc,
};

use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::{TlsConnector, client::TlsStream};
use rustls::pki_types::ServerName;

use super::{Tls, verifier::diagnosed};

/// How many bytes TLS takes that the socket has not taken: a record of the largest size. What it has taken, nothing can
/// overtake or cancel any more.
const MAX_UNSENT: usize = 16 * 1024;

impl Tls {
    /// Does the handshake with the server of this name.
    pub(crate) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        name: ServerName<'static>,
        stream: S,
    ) -> io::Result<TlsStream<Explaining<S>>> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = Explaining {
            stream,
            is_handshaking: true,
            closed: None,
        };
        let handshake =
            connector.connect_with(name, stream, |tls| tls.set_buffer_limit(Some(MAX_UNSENT)));
        let mut secured = diagnosed(handshake).await?;
        secured.get_mut().0.is_handshaking = false;
        Ok(secured)
    }
}

/// A stream on which, during a handshake, a write to a connection that the server has closed is no error until everything
/// was read: a server that refuses a handshake sends an alert and closes, perhaps while the rest of a flight is written.
pub(crate) struct Explaining<S> {
    stream: S,
    is_handshaking: bool,
    /// The error of a write after which only the reads matter.
    closed: Option<io::Error>,
}

impl<S: Unpin> Explaining<S> {
    /// Keeps the error of a write, if it means that the server has closed the connection.
    fn keep<T>(&mut self, written: Poll<io::Result<T>>, all: T) -> Poll<io::Result<T>> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        match written {
            Poll::Ready(Err(error))
                if self.is_handshaking
                    && matches!(
                        error.kind(),
                        BrokenPipe | ConnectionReset | ConnectionAborted
                    ) =>
            {
                self.closed.get_or_insert(error);
                Poll::Ready(Ok(all))
            }
            other => other,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Explaining<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match (&read, self.closed.take()) {
            (Poll::Ready(Ok(0) | Err(_)), Some(error)) => Poll::Ready(Err(error)),
            (_, closed) => {
                self.closed = closed;
                read
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Explaining<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.keep(written, bytes.len())
    }

    /// TLS writes once when it gives up a handshake: what is queued before its alert must not be all that is written.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = bytes.iter().map(|bytes| bytes.len()).sum();
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.keep(written, all)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.keep(flushed, ())
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
