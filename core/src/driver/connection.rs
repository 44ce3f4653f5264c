//! One connection, from the dial to the end of its transport.

use core::{
    future::poll_fn,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};
use std::{io, sync::Arc};

use futures_io::{AsyncRead, AsyncWrite};

use crate::{
    driver::{
        Driver, alarm::Alarm, dial::Dialed, environment::Environment, runtime::Runtime,
        state::State, tokens::TokenSource, transport::Transport, transport_error::TransportError,
    },
    time::{Duration, Instant},
};

/// Size of the buffer, which limits a single read.
pub(crate) const READ_BYTES: usize = 16 * 1024;

/// Maximum of reads in one turn. A turn that reaches it wakes itself.
const MAX_READS: usize = 4;

/// Maximum of consecutive turns that stop reading at their bound and report no time, so that nobody is judged before what
/// has arrived was read: 1 MiB.
const MAX_UNREAD_TURNS: u32 = 16;

/// Maximum of writes in one turn. A turn that reaches it wakes itself.
const MAX_WRITES: usize = 32;

/// Time limit of a hang-up. Bytes that the peer has not read by then are lost with the transport.
const LINGER: Duration = Duration::from_secs(2);

/// Why a turn reads no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadStop {
    /// Nothing more has arrived: this task is registered to be woken.
    Drained,
    /// The gateway reads no more now.
    Paused,
    /// The turn has reached its bound.
    Bound,
}

/// Why a connection is over.
enum End {
    /// The gateway no longer wants a transport.
    HangUp,
    /// The transport failed or was closed by the peer.
    Lost(TransportError),
}

impl<R: Runtime, T: TokenSource> Driver<R, T> {
    /// Dials, and runs the connection until it ends.
    pub(crate) async fn connect(&mut self) {
        // Out of the driver, which does the rest of its work while it dials.
        let mut dialer = mem::take(&mut self.dialer);
        let environment = Arc::clone(&self.environment);
        let target = Arc::clone(&self.target);
        let mut dial = Box::pin(dialer.dial(&environment, &target));
        let dialed = poll_fn(|cx| {
            if !self.poll_gateway(cx) {
                return Poll::Ready(None);
            }
            dial.as_mut().poll(cx).map(Some)
        })
        .await;
        drop(dial);
        self.dialer = dialer;
        match dialed {
            Some(Ok(dialed)) => self.converse(dialed).await,
            Some(Err(error)) => self.lose(error),
            None => {}
        }
    }

    async fn converse(&mut self, dialed: Dialed<R::Stream>) {
        let Dialed {
            token,
            transport: mut stream,
            address,
        } = dialed;
        let accepted = |state: &mut State| state.gateway().stats().connections;
        let accepted_before = self.shared.lock(accepted);
        let unix_now = self.shared.environment().unix_now();
        self.shared
            .with(|state, now| state.start_connection(token, unix_now, now));
        let end = poll_fn(|cx| self.turn(&mut stream, cx)).await;
        let was_accepted = self.shared.lock(accepted) > accepted_before;
        self.dialer.judge(address, was_accepted);
        match end {
            End::HangUp => {
                self.hang_up(stream).await;
                self.shared.with(|state, now| state.end_connection(now));
            }
            End::Lost(error) => {
                drop(stream);
                self.lose(error);
            }
        }
    }

    fn lose(&mut self, error: TransportError) {
        self.shared.with(|state, now| {
            state.lose_connection(error, now);
            state.distribute_events(now);
        });
    }

    /// Runs one turn: reads, then handles deadlines, then writes and flushes. Each part is bounded; a turn that stopped
    /// at a bound wakes itself.
    fn turn(&mut self, stream: &mut Transport<R::Stream>, cx: &mut Context<'_>) -> Poll<End> {
        self.register_waker(cx);
        // One instant for the whole turn, because what is read now arrived before it.
        let now = self.environment.now();
        let stop = match self.read_all(stream, now, cx) {
            Ok(stop) => stop,
            Err(error) => return Poll::Ready(End::Lost(error)),
        };
        self.unread_turns = match stop {
            ReadStop::Bound if self.unread_turns < MAX_UNREAD_TURNS => self.unread_turns + 1,
            _ => 0,
        };
        if self.unread_turns == 0 && !self.advance(now) {
            return Poll::Ready(End::HangUp);
        }
        let written = self.write(stream, now, cx);
        let is_blocked = match written {
            Ok(is_blocked) => is_blocked,
            Err(error) => return self.read_last_words(stream, error, now, cx),
        };
        let (wants_transport, may_go_on) = self.shared.lock(|state| {
            state.distribute_events(now);
            let can_write = !is_blocked && !state.gateway().poll_transmit().is_empty();
            let can_read = stop != ReadStop::Drained && state.gateway().wants_input();
            (state.gateway().wants_transport(), can_write || can_read)
        });
        if !wants_transport {
            return Poll::Ready(End::HangUp);
        }
        if may_go_on {
            cx.waker().wake_by_ref();
        }
        self.run_store(cx);
        self.fetch_tokens(cx);
        self.set_alarm(cx);
        Poll::Pending
    }

    /// Reads what has arrived, within bounds.
    fn read_all(
        &mut self,
        stream: &mut Transport<R::Stream>,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Result<ReadStop, TransportError> {
        for _ in 0..MAX_READS {
            // Once the gateway wants no transport, bytes and the end of the stream carry no information any more.
            let is_reading = |state: &mut State| {
                state.gateway().wants_input() && state.gateway().wants_transport()
            };
            if !self.shared.lock(is_reading) {
                return Ok(ReadStop::Paused);
            }
            if !self.read(stream, now, cx)? {
                return Ok(ReadStop::Drained);
            }
        }
        Ok(ReadStop::Bound)
    }

    /// Reads once. Returns whether any bytes arrived.
    fn read(
        &mut self,
        stream: &mut Transport<R::Stream>,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Result<bool, TransportError> {
        let read = Pin::new(stream).poll_read(cx, &mut self.buffer);
        match read {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => Err(TransportError::PeerClosed),
            Poll::Ready(Ok(len)) => {
                let bytes = self.buffer.get(..len).unwrap_or_default();
                self.shared.lock(|state| state.receive(bytes, now));
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(TransportError::of_stream(error)),
        }
    }

    /// Writes what waits and flushes. Returns whether the transport is blocked.
    fn write(
        &mut self,
        stream: &mut Transport<R::Stream>,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Result<bool, TransportError> {
        let mut is_blocked = false;
        for _ in 0..MAX_WRITES {
            let write = |bytes: &[u8]| Pin::new(&mut *stream).poll_write(cx, bytes);
            match self.shared.lock(|state| state.transmit(now, write)) {
                None => break,
                Some(Poll::Pending) => {
                    is_blocked = true;
                    break;
                }
                Some(Poll::Ready(Ok(0))) => {
                    return Err(TransportError::Broken(io::ErrorKind::WriteZero.into()));
                }
                Some(Poll::Ready(Ok(_))) => {}
                Some(Poll::Ready(Err(error))) => return Err(TransportError::of_stream(error)),
            }
        }
        match Pin::new(stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(TransportError::of_stream(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(is_blocked),
        }
    }

    /// Reads what the peer sent before a write failed, because a peer that refuses us sends the reason and closes.
    fn read_last_words(
        &mut self,
        stream: &mut Transport<R::Stream>,
        error: TransportError,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        for _ in 0..MAX_WRITES {
            if !self.shared.lock(|state| state.gateway().wants_input()) {
                break;
            }
            match self.read(stream, now, cx) {
                Ok(true) => self.shared.lock(|state| state.distribute_events(now)),
                // The server's alert is the reason why it takes no more.
                Err(alert @ TransportError::TlsBroken(_)) => return Poll::Ready(End::Lost(alert)),
                Ok(false) | Err(_) => break,
            }
        }
        let is_wanted = self.shared.lock(|state| state.gateway().wants_transport());
        Poll::Ready(if is_wanted {
            End::Lost(error)
        } else {
            End::HangUp
        })
    }

    /// Flushes, closes our half of the stream, and reads to the end of the peer's.
    async fn hang_up(&mut self, mut stream: Transport<R::Stream>) {
        let deadline = self.environment.now() + LINGER;
        let mut linger = Alarm::new(Arc::clone(self.shared.environment()));
        let mut is_closed = false;
        poll_fn(|cx| {
            self.poll_gateway(cx);
            if linger.rings(Some(deadline), cx) {
                return Poll::Ready(());
            }
            if !is_closed {
                if ready!(Pin::new(&mut stream).poll_flush(cx)).is_err()
                    || ready!(Pin::new(&mut stream).poll_close(cx)).is_err()
                {
                    return Poll::Ready(());
                }
                is_closed = true;
            }
            match ready!(Pin::new(&mut stream).poll_read(cx, &mut self.buffer)) {
                Ok(0) | Err(_) => Poll::Ready(()),
                Ok(_) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        })
        .await;
    }
}
