//! The load of every client, and its measurement. The clients in other languages implement the same.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// The number of messages with a window of [`WINDOW`].
pub(crate) const MESSAGES: usize = 100_000;

/// The number of messages in flight at once.
pub(crate) const WINDOW: usize = 100;

/// The number of messages sent one by one.
pub(crate) const SINGLES: usize = 5_000;

/// The number of the first of them, which are not measured.
pub(crate) const WARM_UP: usize = 500;

/// The payload of each message.
pub(crate) const PAYLOAD: [u8; 64] = [b'x'; 64];

/// The topic of the messages.
pub(crate) const TOPIC: &str = "/devices/device-1/events";

/// The figures of one run of a client.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Figures {
    pub(crate) client: String,
    /// CPU time per message, with a full window.
    pub(crate) cpu_micros: f64,
    pub(crate) messages_per_second: f64,
    /// Latency from passing a message to the client to its acknowledgement, with one in flight.
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

    /// Ends the measurement when all [`MESSAGES`] are acknowledged.
    pub(crate) fn stop(self) -> Throughput {
        Throughput {
            cpu: cpu_time() - self.cpu,
            wall: self.wall.elapsed(),
        }
    }
}

/// The measurement of the messages with a full window.
pub(crate) struct Throughput {
    cpu: Duration,
    wall: Duration,
}

impl Throughput {
    /// Returns all figures of a client, given the latencies of the messages sent one by one.
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

/// Returns the CPU time of this process so far, for all of its threads.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
