//! The gateway's end of a connection.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;

use futures_io::{AsyncRead, AsyncWrite};

use super::SimRuntime;
use super::wire::{BridgeEnd, StreamEnd, Wire};
use super::world::World;
use crate::link::Side;
use crate::pipe::Content;

/// A connection of a [`SimRuntime`].
///
/// Written bytes are sent once they are flushed, or once no more are accepted, as with a buffered stream.
///
/// If it is dropped before it has read to the end of what the bridge writes, it resets the connection, and data in
/// transit is lost, as may happen with a real connection that is dropped too early.
pub struct SimStream {
    pub(super) runtime: SimRuntime,
    pub(super) wire: u64,
}

impl SimStream {
    fn with<T>(&self, act: impl FnOnce(&mut World, &mut Wire) -> T) -> T {
        self.runtime.with_wire(self.wire, act)
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|world, wire| {
            let limit = buffer.len().min(world.damage.reach(Side::Gateway));
            let Some(read) = wire.to_gateway.read(&mut buffer[..limit], world.now) else {
                let replaced = wire.reader.replace(cx.waker().clone());
                world.retired.extend(replaced);
                return Poll::Pending;
            };
            if let Ok(length) = read {
                world.damage.strike(Side::Gateway, &mut buffer[..length]);
            }
            if world.damage.reach(Side::Gateway) == 0 {
                world.damage.cut = None;
                if let Some(connection) = wire.connection {
                    world.bridge.handle_closed(connection, world.now);
                }
                wire.sever(Content::End, world.now);
            }
            Poll::Ready(read)
        })
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|world, wire| {
            if let Some(words) = wire.last_words.take() {
                wire.stream = StreamEnd::Broken;
                if !words.is_empty() {
                    wire.to_gateway.push(world.now, Content::Bytes(words));
                }
            }
            match wire.stream {
                StreamEnd::Open => {}
                StreamEnd::Broken => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                StreamEnd::Closed | StreamEnd::Dropped => {
                    return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
                }
            }
            let room = match world.network.is_stalled {
                true => 0,
                false => world.network.buffer.saturating_sub(wire.written()),
            };
            let available = bytes.len().min(room);
            if available == 0 {
                wire.flush(world.arrival());
                let replaced = wire.writer.replace(cx.waker().clone());
                world.retired.extend(replaced);
                return Poll::Pending;
            }
            let length = world.fragment(available);
            wire.unflushed.push(bytes[..length].to_vec());
            Poll::Ready(Ok(length))
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|world, wire| wire.flush(world.arrival()));
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|world, wire| {
            if wire.stream == StreamEnd::Open {
                wire.stream = StreamEnd::Closed;
                wire.flush(world.arrival());
                wire.to_bridge.end(world.arrival(), Content::End);
            }
            Poll::Ready(Ok(()))
        })
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.with(|world, wire| {
            let arrives = world.arrival();
            if wire.bridge_end != BridgeEnd::Gone {
                if !matches!(wire.to_gateway.arrived(world.now), Some(Content::End)) {
                    wire.to_bridge.clear();
                    let reset = Content::Broken(io::ErrorKind::ConnectionReset);
                    wire.to_bridge.push(arrives, reset);
                } else if wire.stream == StreamEnd::Open {
                    wire.to_bridge.end(arrives, Content::End);
                }
            }
            wire.to_gateway.clear();
            wire.stream = StreamEnd::Dropped;
        });
    }
}

impl fmt::Debug for SimStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimStream").field(&self.wire).finish()
    }
}
