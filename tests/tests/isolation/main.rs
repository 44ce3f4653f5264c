//! Whatever one device suffers, the others need at most 1.1 times the time and twice the latency after the first second;
//! one of two at most 1.2 times the time.
#![forbid(unsafe_code)]

mod crowd;
mod unacknowledged;
