//! A stream whose other end is prepared bytes.

use core::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};
use std::{collections::VecDeque, io};

use futures_io::{AsyncRead, AsyncWrite};

use crate::driver::proxy::{Proxy, ProxyError};

/// Comes after the proxy's answer, and must be left in the stream.
pub(super) const TUNNELED: &[u8] = b"\r\n\r\nHTTP/1.1 \x05\x00";

/// Answers with prepared bytes in fragments of this size, then ends. Every other poll is pending.
pub(super) struct Scripted {
    unread: VecDeque<u8>,
    fragment: usize,
    pub(super) written: Vec<u8>,
    is_ready: bool,
    /// What comes after the answer: the end of the stream, or this error.
    end: Option<io::ErrorKind>,
}

/// What became of a tunnel: the bytes that were written and those left to be read, or why no tunnel was opened.
pub(super) type Opened = Result<(Vec<u8>, Vec<u8>), ProxyError>;

impl Scripted {
    pub(super) fn new(answer: &[u8], fragment: usize) -> Self {
        Self {
            unread: answer.to_vec().into(),
            fragment,
            written: Vec::new(),
            is_ready: false,
            end: None,
        }
    }

    pub(super) fn failing(answer: &[u8], end: io::ErrorKind) -> Self {
        Self {
            end: Some(end),
            ..Self::new(answer, usize::MAX)
        }
    }

    /// Returns whether this poll is ready; if not, another one will be.
    fn poll_ready(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.is_ready = !self.is_ready;
        if self.is_ready {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Asks the proxy for a tunnel to `host`, port 8883.
    pub(super) fn open(self, proxy: &Proxy, host: &str) -> Opened {
        let mut tunnel = pin!(proxy.tunnel(self, host, 8_883));
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(opened) = tunnel.as_mut().poll(&mut cx) {
                return opened.map(|stream| (stream.written, stream.unread.into()));
            }
        }
    }
}

impl AsyncRead for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        core::task::ready!(self.poll_ready(cx));
        let len = self.unread.len().min(buffer.len()).min(self.fragment);
        match self.end {
            Some(error) if len == 0 => return Poll::Ready(Err(error.into())),
            _ => {}
        }
        for (to, byte) in buffer.iter_mut().zip(self.unread.drain(..len)) {
            *to = byte;
        }
        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        core::task::ready!(self.poll_ready(cx));
        let len = bytes.len().min(self.fragment);
        self.written.extend(bytes.iter().take(len));
        Poll::Ready(Ok(len))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready(cx).map(Ok)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Asserts that the proxy opens a tunnel with this answer in any split, after having been sent these bytes.
#[track_caller]
pub(super) fn assert_opens(proxy: &Proxy, host: &str, answer: &[u8], sent: &[u8]) {
    let stream = [answer, TUNNELED].concat();
    for fragment in [1, 2, 3, 7, usize::MAX] {
        let opened = Scripted::new(&stream, fragment).open(proxy, host);
        let (written, left) = opened.unwrap();
        assert_eq!(
            written.escape_ascii().to_string(),
            sent.escape_ascii().to_string()
        );
        assert_eq!(left, TUNNELED, "fragments of {fragment} bytes");
    }
    for len in 0..answer.len() {
        let opened = Scripted::new(&answer[..len], usize::MAX).open(proxy, host);
        assert!(
            matches!(opened, Err(ProxyError::Closed)),
            "{len}: {opened:?}"
        );
    }
}

/// Returns the text of the failure with this answer, which must be the same in any split.
#[track_caller]
pub(super) fn failure(proxy: &Proxy, answer: &[u8]) -> String {
    let fail = |fragment| {
        let opened = Scripted::new(answer, fragment).open(proxy, "mqtt.example.org");
        opened.unwrap_err().to_string()
    };
    let failures = [1, 2, 7, usize::MAX].map(fail);
    assert!(
        failures.windows(2).all(|pair| pair[0] == pair[1]),
        "{failures:?}"
    );
    let [failure, ..] = failures;
    failure
}
