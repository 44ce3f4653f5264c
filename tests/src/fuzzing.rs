//! The fuzz targets: functions that accept any bytes and panic if a guarantee is violated.
//!
//! They check bounded memory, progress, and target-specific properties, in addition to the absence of panics. The
//! programs under `fuzz/` are thin wrappers around them; `tests/corpora.rs` calls them with every committed seed and
//! every past crash.
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
pub mod store;

use std::time::Instant;

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is also that of its program, and of its seed and crash folders.
    pub name: &'static str,
    /// Runs the target on any bytes; a panic is a bug in the tested code.
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
    Target {
        name: "store",
        run: store::run,
    },
];

/// Returns the start of virtual time. Only differences from it are used.
fn start() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "virtual time has to start somewhere"
    )]
    Instant::now()
}
