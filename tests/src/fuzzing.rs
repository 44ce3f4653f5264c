//! What the fuzz targets do with their bytes: functions that anyone can call, with any bytes, and that panic when a
//! guarantee is broken.
//!
//! They assert bounded memory and progress, and what is special to each, not only the absence of panics. The programs
//! under `fuzz/` are shims over them; `tests/corpora.rs` calls them with every committed seed and every past crash.
//!
//! ```
//! use iotcore_gateway_testkit::fuzzing;
//!
//! for target in fuzzing::TARGETS {
//!     (target.run)(b"\x02\x00any bytes at all");
//! }
//! ```

pub mod bridge;
pub mod codec;
pub mod differential;
pub mod error_report;
pub mod input;
mod machine;
mod source;

use std::time::Instant;

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its program, and of its folders of seeds and crashes.
    pub name: &'static str,
    /// What it does with any bytes; a panic is a bug in what it tests.
    pub run: fn(&[u8]),
}

/// Every fuzz target, by name.
pub const TARGETS: &[Target] = &[
    Target {
        name: "bridge",
        run: bridge::run,
    },
    Target {
        name: "codec",
        run: codec::run,
    },
    Target {
        name: "differential",
        run: differential::run,
    },
    Target {
        name: "error_report",
        run: error_report::run,
    },
    Target {
        name: "input",
        run: input::run,
    },
    Target {
        name: "script",
        run: crate::script::run_bytes,
    },
];

/// Where virtual time begins. Only differences from it are ever looked at.
fn start() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "virtual time has to start somewhere"
    )]
    Instant::now()
}
