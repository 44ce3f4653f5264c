//! Descriptors that may be non-blocking.

use std::{
    fs,
    io::{self, Read, Write},
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, MetadataExt},
    },
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{OFlags, fcntl_getfl, fstat},
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
                Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&self.0, readiness)], None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                },
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

/// Returns whether the program was started without this stream: Rust's runtime then opens /dev/null in its place, for reading
/// and writing. Who gives the program /dev/null as its input opens it for reading only, as shells do, or has no input for it
/// either.
pub(super) fn was_closed(stream: &impl AsFd) -> io::Result<bool> {
    let opened = fcntl_getfl(stream)? & OFlags::RWMODE == OFlags::RDWR;
    let null = fs::metadata("/dev/null");
    let is_null = match null {
        Ok(null) => null.file_type().is_char_device() && null.rdev() == fstat(stream)?.st_rdev,
        Err(_) => false,
    };
    Ok(opened && is_null)
}
