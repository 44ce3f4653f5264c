//! Whatever one device suffers, the others need at most 1.1 times the time and twice the latency after the first second;
//! one of two at most 1.2 times the time. Beside one at whose publications the bridge closes the connection, they deliver
//! nine tenths in an hour.
#![forbid(unsafe_code)]

mod crowd;
mod poison;
mod unacknowledged;
mod urgent;
