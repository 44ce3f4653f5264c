//! The race of TCP connections to several addresses (RFC 8305, 5).

use core::{
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};
use std::{collections::VecDeque, io, sync::Arc};

use super::{addresses::Candidate, timed_out};
use crate::{
    driver::{
        alarm::Alarm,
        environment::{Environment, RuntimeEnvironment},
        runtime::{Runtime, within},
        tokens::TokenSource,
    },
    time::{Duration, Instant},
};

/// How long one address is waited for before the next one is tried as well: the recommendation of RFC 8305, 5.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How long the others have before one is tried that has accepted connections and then failed: TCP connects in less, also
/// over a link that is slow, or loses a packet.
const HANDICAP: Duration = Duration::from_secs(2);

/// The addresses that failed, each with its error.
type Failed = Vec<(SocketAddr, io::Error)>;

/// Connects to the candidates in their order, and returns the first connection. The next one is tried after 250 ms, or at
/// once when one fails; one that has accepted connections and then failed, only when no other is under way, or after 2 s,
/// so that it does not win against slower ones that work. The others are dropped. Returns those that failed, too:
/// all of them, with what they did, if there is no connection.
pub(crate) async fn run<R: Runtime, T: TokenSource>(
    environment: &Arc<RuntimeEnvironment<R, T>>,
    candidates: Vec<Candidate>,
) -> (Option<(SocketAddr, R::Stream)>, Failed) {
    let (runtime, limit) = (&**environment.runtime(), environment.step_timeout());
    let clock: Arc<dyn Environment> = Arc::<RuntimeEnvironment<R, T>>::clone(environment);
    let mut race = Race::new(candidates, clock);
    let connect = |address| runtime.connect(address);
    match within(runtime, limit, poll_fn(|cx| race.poll(&connect, cx))).await {
        Some(won) => (won, race.failed),
        None => (None, race.time_out(limit)),
    }
}

/// The attempts at one host, each of which is a future `F`.
struct Race<F> {
    /// Those not tried yet.
    waiting: VecDeque<Candidate>,
    running: Vec<(SocketAddr, Pin<Box<F>>)>,
    failed: Failed,
    clock: Arc<dyn Environment>,
    /// Rings when the next one is due.
    alarm: Alarm,
    /// When the next one is due at the latest, unless it has accepted and failed before.
    next: Instant,
    /// When those are due that have accepted and failed before.
    last_resort: Instant,
}

impl<F, S> Race<F>
where
    F: Future<Output = io::Result<S>>,
{
    fn new(candidates: Vec<Candidate>, clock: Arc<dyn Environment>) -> Self {
        let now = clock.now();
        Self {
            waiting: candidates.into(),
            running: Vec::new(),
            failed: Vec::new(),
            alarm: Alarm::new(Arc::clone(&clock)),
            clock,
            next: now,
            last_resort: now + HANDICAP,
        }
    }

    /// Returns the first connection, or `None` when all have failed.
    fn poll(
        &mut self,
        connect: impl Fn(SocketAddr) -> F,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(SocketAddr, S)>> {
        loop {
            if let Some(won) = self.poll_running(cx) {
                return Poll::Ready(Some(won));
            }
            let Some(candidate) = self.waiting.front() else {
                return match self.running.is_empty() {
                    true => Poll::Ready(None),
                    false => Poll::Pending,
                };
            };
            let due = match candidate.accepts_and_fails {
                true => self.next.max(self.last_resort),
                false => self.next,
            };
            if self.running.is_empty() || due <= self.clock.now() {
                self.start_next(&connect);
            } else if !self.alarm.rings(Some(due), cx) {
                return Poll::Pending;
            }
        }
    }

    /// Polls what is under way, and returns the first that is connected. One that fails makes the next one due.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Option<(SocketAddr, S)> {
        let mut won = None;
        let before = self.failed.len();
        self.running
            .retain_mut(|(address, attempt)| match attempt.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(Ok(stream)) => {
                    won.get_or_insert((*address, stream));
                    false
                }
                Poll::Ready(Err(error)) => {
                    self.failed.push((*address, error));
                    false
                }
            });
        if self.failed.len() > before {
            self.next = self.clock.now();
        }
        won
    }

    fn start_next(&mut self, connect: impl Fn(SocketAddr) -> F) {
        if let Some(Candidate { address, .. }) = self.waiting.pop_front() {
            self.running.push((address, Box::pin(connect(address))));
            self.next = self.clock.now() + ATTEMPT_DELAY;
        }
    }

    /// Returns those that failed, and those that have not answered.
    fn time_out(self, limit: Duration) -> Failed {
        let running = self.running.into_iter();
        let unanswered = running.map(|(address, _)| (address, timed_out("answer", limit)));
        self.failed.into_iter().chain(unanswered).collect()
    }
}
