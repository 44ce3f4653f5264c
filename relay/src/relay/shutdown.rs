//! The end of the relay: since when, and until when, it waits for operations in progress, and for its output.

use std::{future::pending, sync::Arc};

use iotcore_gateway_tokio::Client;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::{input::Gate, notify::Notifier, options::DrainTimeout};

/// The phase of the shutdown.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Running,
    /// The input has ended; the operations in progress have some time since then, or since one has succeeded.
    Finishing {
        since: Instant,
    },
    /// No input is read any more; the operations in progress have until this deadline.
    Draining(Instant),
    /// The gateway is closing or closed.
    Closing,
}

/// Closes the gateway, in time and once.
pub(super) struct Shutdown {
    client: Client,
    /// Notified by a signal.
    stop: Arc<Notify>,
    /// Closed by a signal, and once the gateway has given up.
    gate: Arc<Gate>,
    notifier: Notifier,
    timeout: DrainTimeout,
    phase: Phase,
    /// Whether there is no connection, and the store has all that is unsent.
    is_kept: bool,
    /// Until when lines are read for a gateway that has given up.
    reads_until: Option<Instant>,
    /// When the program ends at the latest; `None` before a signal.
    ends_at: Option<Instant>,
}

impl Shutdown {
    pub(super) fn new(
        client: Client,
        stop: Arc<Notify>,
        gate: Arc<Gate>,
        notifier: Notifier,
        timeout: DrainTimeout,
    ) -> Self {
        Self {
            client,
            stop,
            gate,
            notifier,
            timeout,
            phase: Phase::Running,
            is_kept: false,
            reads_until: None,
            ends_at: None,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    pub(super) fn is_draining(&self) -> bool {
        matches!(self.phase, Phase::Finishing { .. } | Phase::Draining(_))
    }

    /// Returns whether lines are still to be received: those that were read before a signal, or that were there before the
    /// gateway gave up.
    pub(super) fn has_lines_left(&self) -> bool {
        self.gate.has_left()
    }

    /// Returns when the program ends at the latest; `None` before a signal.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.ends_at
    }

    /// Returns when the gateway is to be closed or is no longer waited for, or lines are no longer read.
    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.closes_at(), self.gives_up_at(), self.reads_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// Returns when the gateway is to be closed.
    fn closes_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Finishing { since } if self.is_kept => Some(since + self.timeout.half()),
            Phase::Finishing { since } => Some(since + self.timeout.whole()),
            Phase::Draining(deadline) => Some(deadline),
            Phase::Running | Phase::Closing => None,
        }
    }

    /// Returns when the gateway is no longer waited for: in time to write the last events.
    fn gives_up_at(&self) -> Option<Instant> {
        self.ends_at
            .map(|end| end - self.timeout.for_the_last_events())
    }

    /// Returns whether the gateway is to be closed now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.closes_at().is_some_and(|deadline| deadline <= now)
    }

    /// Returns whether the gateway is no longer waited for.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.gives_up_at().is_some_and(|deadline| deadline <= now)
    }

    /// Gives the operations in progress as long as they succeed, because the input has ended. The service manager, which would
    /// limit that time, is not notified before the gateway is closed.
    pub(super) fn finish(&mut self) {
        if self.is_running() {
            let since = Instant::now();
            self.phase = Phase::Finishing { since };
        }
    }

    /// Records whether there is no connection, and the store has all that is unsent. Then the close, which waits for a connection
    /// as well, begins so early that both take the timeout once: whoever starts the next relay waits for the folder.
    pub(super) fn set_kept(&mut self, is_kept: bool) {
        self.is_kept = is_kept;
    }

    /// Records that an operation has succeeded.
    pub(super) fn progressed(&mut self) {
        if let Phase::Finishing { since } = &mut self.phase {
            *since = Instant::now();
        }
    }

    /// Gives the operations in progress some time after a signal, or less if they have a deadline already. Reads no more of the
    /// input: it stays in the pipe, for the next relay.
    pub(super) fn drain(&mut self) {
        self.gate.stop();
        let now = Instant::now();
        self.ends_at.get_or_insert(now + self.timeout.whole());
        let deadline = now + self.timeout.in_the_relay();
        if self.phase != Phase::Closing {
            let earlier = self.closes_at().unwrap_or(deadline);
            self.phase = Phase::Draining(deadline.min(earlier));
        }
        self.notifier.stopping();
    }

    /// Closes the gateway, which sends what it has accepted.
    pub(super) fn close(&mut self) {
        let client = self.client.clone();
        tokio::spawn(async move { client.close().await });
        self.phase = Phase::Closing;
        self.notifier.stopping();
    }

    /// Records that the gateway is closed. If nobody asked for that, the lines that are there already are read, so that each
    /// operation has an end.
    pub(super) fn on_closed(&mut self) {
        if self.is_running() {
            self.gate.finish();
            self.reads_until = Some(Instant::now() + self.timeout.half());
        }
        self.phase = Phase::Closing;
        self.notifier.stopping();
    }

    /// Ends the reading of lines for a gateway that has given up, if it is time.
    pub(super) fn end_reading(&mut self, now: Instant) {
        if self.reads_until.take_if(|until| *until <= now).is_some() {
            self.gate.close();
        }
    }

    /// Heeds signals and deadlines for as long as this future is polled. Completes when the program has to end, although its
    /// output is not read.
    pub(super) async fn proceed(&mut self) {
        loop {
            let (closes_at, ends_at) = (self.closes_at(), self.ends_at);
            tokio::select! {
                biased;
                () = self.stop.notified() => self.drain(),
                () = passing(ends_at) => return,
                () = passing(closes_at) => self.close(),
            }
        }
    }
}

/// Waits until the deadline, if there is one.
async fn passing(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
