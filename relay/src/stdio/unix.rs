//! Descriptors that may be non-blocking.

use std::{
    io::{self, Read, Write},
    os::fd::AsFd,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

/// A stream whose calls wait also if its descriptor is non-blocking.
pub(super) struct Waiting<S>(pub(super) S);

impl<S: AsFd> Waiting<S> {
    /// Repeats a call until it neither would block nor was interrupted.
    fn call<T>(
        &self,
        readiness: PollFlags,
        mut call: impl FnMut(&S) -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match call(&self.0) {
                Err(Errno::AGAIN) => wait_for(&self.0, readiness)?,
                Err(Errno::INTR) => {}
                result => return result.map_err(Into::into),
            }
        }
    }
}

impl<S: AsFd> Read for Waiting<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.call(PollFlags::IN, |stream| {
            rustix::io::read(stream, &mut *buffer)
        })
    }
}

impl<S: AsFd> Write for Waiting<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.call(PollFlags::OUT, |stream| rustix::io::write(stream, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until a stream is ready, or a call returns why it never will be.
pub(super) fn wait_for(stream: &impl AsFd, readiness: PollFlags) -> io::Result<()> {
    loop {
        match poll(&mut [PollFd::new(stream, readiness)], None) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns whether a stream is ready, or a call returns why it never will be.
pub(super) fn is_ready(stream: &impl AsFd, readiness: PollFlags) -> bool {
    let now = Timespec::default();
    matches!(
        poll(&mut [PollFd::new(stream, readiness)], Some(&now)),
        Ok(1..)
    )
}
