//! One connection: from the dial to the end of its transport.

use core::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};
use std::{io, sync::Arc};

use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::TlsConnector;

use crate::{
    driver::{
        Driver,
        environment::Environment,
        error::TransportError,
        runtime::{Alarm, BoxFuture, Runtime, within},
        state::State,
        tls::Checked,
        tokens::TokenSource,
        transport::Transport,
    },
    time::{Duration, Instant},
    token::Token,
};

/// The most that is read in one turn.
pub(crate) const READ_BYTES: usize = 16 * 1024;

/// The most reads in one turn; a turn that stops here comes again at once.
const MAX_READS: usize = 4;

/// The most writes in one turn; the same holds.
const MAX_WRITES: usize = 32;

/// How long a hang-up may take: what the peer has not read yet is lost when the transport is dropped.
const LINGER: Duration = Duration::from_secs(2);

/// A token and a transport, or why there is none.
type Dial<S> = Result<(Token, Transport<S>), TransportError>;

/// Why a connection is over.
enum End {
    /// The gateway wants no transport any more.
    HangUp,
    /// The transport is of no more use.
    Lost(TransportError),
}

impl<R: Runtime, T: TokenSource> Driver<R, T> {
    /// Dials, and stays connected until the connection ends.
    pub(crate) async fn connect(&mut self) {
        let mut dial = self.dial();
        let dialed = poll_fn(|cx| {
            if !self.attend(cx) {
                return Poll::Ready(None);
            }
            dial.as_mut().poll(cx).map(Some)
        })
        .await;
        drop(dial);
        match dialed {
            Some(Ok((token, stream))) => self.converse(token, stream).await,
            Some(Err(error)) => self.lose(error),
            None => {}
        }
    }

    /// A token, a connection and its TLS handshake; each step has its deadline.
    fn dial(&self) -> BoxFuture<Dial<R::Stream>> {
        let environment = Arc::clone(&self.environment);
        let target = Arc::clone(&self.target);
        Box::pin(async move {
            let token = environment
                .gateway_token()
                .await
                .map_err(TransportError::Token)?;
            let (runtime, limit) = (&**environment.runtime(), environment.step_timeout());
            let dial = runtime.connect(&target.host, target.port);
            let dialed = within(runtime, limit, dial).await;
            let stream = dialed
                .unwrap_or_else(|| Err(timed_out(limit)))
                .map_err(|source| TransportError::Dial {
                    host: target.host.clone(),
                    port: target.port,
                    source,
                })?;
            let Checked::Tls(tls, name) = &target.security else {
                return Ok((token, Transport::Plain(stream)));
            };
            let connector = TlsConnector::from(Arc::clone(&tls.config));
            let handshake = connector.connect(name.clone(), stream);
            let secured = within(runtime, limit, handshake).await;
            let stream = secured
                .unwrap_or_else(|| Err(timed_out(limit)))
                .map_err(|source| TransportError::Tls {
                    host: target.host.clone(),
                    source,
                })?;
            Ok((token, Transport::Tls(Box::new(stream))))
        })
    }

    async fn converse(&mut self, token: Token, mut stream: Transport<R::Stream>) {
        let unix_now = self.shared.environment().unix_now();
        self.shared
            .with(|state, now| state.start_connection(token, unix_now, now));
        match poll_fn(|cx| self.turn(&mut stream, cx)).await {
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

    /// One turn: what came is read before time is looked at, what is to be sent is written and flushed. Each part is
    /// bounded; a turn that stopped at a bound wakes itself.
    fn turn(&mut self, stream: &mut Transport<R::Stream>, cx: &mut Context<'_>) -> Poll<End> {
        self.listen(cx);
        // One instant for all of the turn: what is read now came before it.
        let now = self.environment.now();
        let is_waiting = match self.read_all(stream, now, cx) {
            Ok(is_waiting) => is_waiting,
            Err(error) => return Poll::Ready(End::Lost(error)),
        };
        if !self.tend(now) {
            return Poll::Ready(End::HangUp);
        }
        let written = self.write(stream, now, cx);
        let is_blocked = match written {
            Ok(is_blocked) => is_blocked,
            Err(error) => return self.hear_last_words(stream, error, now, cx),
        };
        let (wants_transport, may_go_on) = self.shared.lock(|state| {
            state.distribute_events(now);
            let can_write = !is_blocked && !state.gateway().poll_transmit().is_empty();
            let can_read = !is_waiting && state.gateway().wants_input();
            (state.gateway().wants_transport(), can_write || can_read)
        });
        if !wants_transport {
            return Poll::Ready(End::HangUp);
        }
        if may_go_on {
            cx.waker().wake_by_ref();
        }
        self.fetch_tokens(cx);
        self.set_alarm(cx);
        Poll::Pending
    }

    /// Reads what there is, within bounds; gives whether this task is woken when more comes.
    fn read_all(
        &mut self,
        stream: &mut Transport<R::Stream>,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Result<bool, TransportError> {
        for _ in 0..MAX_READS {
            // What the peer says after the gateway has done with it, its end above all, tells nothing any more.
            let is_reading = |state: &mut State| {
                state.gateway().wants_input() && state.gateway().wants_transport()
            };
            if !self.shared.lock(is_reading) {
                return Ok(false);
            }
            if !self.read(stream, now, cx)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads once; gives whether something came.
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
            // An end of the stream without the notice that TLS wants is one all the same: MQTT has its own.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(TransportError::PeerClosed)
            }
            Poll::Ready(Err(error)) => Err(TransportError::Broken(error)),
        }
    }

    /// Writes what waits, and flushes; gives whether the transport would take no more.
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
                Some(Poll::Ready(Err(error))) => return Err(TransportError::Broken(error)),
            }
        }
        match Pin::new(stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(TransportError::Broken(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(is_blocked),
        }
    }

    /// A peer that refuses us says so and closes; if we were writing, only what it said tells why.
    fn hear_last_words(
        &mut self,
        stream: &mut Transport<R::Stream>,
        error: TransportError,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        for _ in 0..MAX_WRITES {
            match self.shared.lock(|state| state.gateway().wants_input()) {
                true if matches!(self.read(stream, now, cx), Ok(true)) => {
                    self.shared.lock(|state| state.distribute_events(now))
                }
                _ => break,
            }
        }
        let is_wanted = self.shared.lock(|state| state.gateway().wants_transport());
        Poll::Ready(if is_wanted {
            End::Lost(error)
        } else {
            End::HangUp
        })
    }

    /// Flushes, closes our half, and reads to the end of the peer's.
    async fn hang_up(&mut self, mut stream: Transport<R::Stream>) {
        let deadline = self.environment.now() + LINGER;
        let mut linger = Alarm::new(Arc::clone(self.environment.runtime()));
        let mut is_closed = false;
        poll_fn(|cx| {
            self.attend(cx);
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

fn timed_out(limit: Duration) -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("no answer within {limit:?}"),
    )
}
