//! The end of the relay: since when, and until when, it waits for operations in progress.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use iotcore_gateway_tokio::Client;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// Time limit for pending operations after the input has ended, without one that succeeds; then the gateway is closed.
const AFTER_INPUT: Duration = Duration::from_secs(10);
/// Time limit for all of them after a signal.
const AFTER_SIGNAL: Duration = Duration::from_secs(5);

/// The phase of the shutdown.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Running,
    /// The input has ended; the operations in progress have until this deadline, which moves with each that succeeds.
    Finishing(Instant),
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
    phase: Phase,
}

impl Shutdown {
    pub(super) fn new(client: Client, stop: Arc<Notify>) -> Self {
        Self {
            client,
            stop,
            phase: Phase::Running,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    pub(super) fn is_draining(&self) -> bool {
        matches!(self.phase, Phase::Finishing(_) | Phase::Draining(_))
    }

    /// Returns when the gateway is to be closed.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Finishing(deadline) | Phase::Draining(deadline) => Some(deadline),
            Phase::Running | Phase::Closing => None,
        }
    }

    /// Gives the operations in progress as long as they succeed, because the input has ended.
    pub(super) fn finish(&mut self) {
        if self.is_running() {
            self.phase = Phase::Finishing(Instant::now() + AFTER_INPUT);
        }
    }

    /// Records that an operation has succeeded.
    pub(super) fn progressed(&mut self) {
        if let Phase::Finishing(deadline) = &mut self.phase {
            *deadline = Instant::now() + AFTER_INPUT;
        }
    }

    /// Gives the operations in progress some time after a signal, or less if they have a deadline already.
    pub(super) fn drain(&mut self) {
        let deadline = Instant::now() + AFTER_SIGNAL;
        self.phase = match self.phase {
            Phase::Running => Phase::Draining(deadline),
            Phase::Finishing(earlier) | Phase::Draining(earlier) => {
                Phase::Draining(deadline.min(earlier))
            }
            Phase::Closing => Phase::Closing,
        };
    }

    /// Closes the gateway, which sends what it has accepted.
    pub(super) fn close(&mut self) {
        let client = self.client.clone();
        tokio::spawn(async move { client.close().await });
        self.phase = Phase::Closing;
    }

    /// Records that the gateway is closed.
    pub(super) fn on_closed(&mut self) {
        self.phase = Phase::Closing;
    }

    /// Heeds signals and the deadline for as long as this future is polled.
    pub(super) async fn proceed(&mut self) -> Infallible {
        loop {
            let deadline = self.deadline();
            let passed = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.stop.notified() => self.drain(),
                () = passed => self.close(),
            }
        }
    }
}
