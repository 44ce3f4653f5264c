//! What every client does, and how it is measured. The clients in other languages say the same in theirs.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Messages with a window of [`WINDOW`].
pub(crate) const MESSAGES: usize = 100_000;

/// Messages in flight at once.
pub(crate) const WINDOW: usize = 100;

/// Messages one after another.
pub(crate) const SINGLES: usize = 5_000;

/// The first of them, which are not counted.
pub(crate) const WARM_UP: usize = 500;

/// What each of them says.
pub(crate) const PAYLOAD: [u8; 64] = [b'x'; 64];

/// Where they go.
pub(crate) const TOPIC: &str = "/devices/device-1/events";

/// What one run of a client gave.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Figures {
    pub(crate) client: String,
    /// CPU time of a message, with a full window.
    pub(crate) cpu_micros: f64,
    pub(crate) messages_per_second: f64,
    /// From giving a message to the client to knowing that it is acknowledged, one in flight.
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
}

/// Measures one client.
pub(crate) struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self {
            wall: Instant::now(),
            cpu: cpu_time(),
        }
    }

    /// All of [`MESSAGES`] are acknowledged.
    pub(crate) fn stop(self) -> Throughput {
        Throughput {
            cpu: cpu_time() - self.cpu,
            wall: self.wall.elapsed(),
        }
    }
}

/// What the messages with a full window took.
pub(crate) struct Throughput {
    cpu: Duration,
    wall: Duration,
}

impl Throughput {
    /// All figures of a client, with the latencies of its messages one after another.
    pub(crate) fn figures(self, client: &str, mut latencies: Vec<Duration>) -> Figures {
        latencies.drain(..WARM_UP);
        latencies.sort_unstable();
        let percentile = |percent: usize| {
            let at = latencies.len() * percent / 100;
            latencies[at].as_secs_f64() * 1e6
        };
        Figures {
            client: client.to_owned(),
            cpu_micros: self.cpu.as_secs_f64() * 1e6 / MESSAGES as f64,
            messages_per_second: MESSAGES as f64 / self.wall.as_secs_f64(),
            p50_micros: percentile(50),
            p99_micros: percentile(99),
        }
    }
}

/// The CPU time of this process, all of its threads, so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
