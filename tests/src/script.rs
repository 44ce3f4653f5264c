//! Scripts: everything that can happen to a gateway and its bridge, as plain data, and an interpreter that makes it
//! happen while the reference [`model`](crate::model) looks on.
//!
//! A [`Script`] is a [`Setup`] and a list of [`Step`]s. [`bytes`] makes one of any bytes, so that proptest, a fuzzer and
//! a committed file all speak of the same sessions; its `Display` writes those bytes in hexadecimal and reads back.
//! [`run`] plays it on the bare [`Gateway`](iotcore_gateway::Gateway) and the emulator, in virtual time, checks the
//! guarantees after everything that happens, then heals all that was broken and sees to it that everything ends.
//!
//! ```
//! use core::time::Duration;
//! use iotcore_gateway::QoS;
//! use iotcore_gateway_testkit::script::{self, Command, Script, Step, NetworkFault};
//!
//! let lifetime = Duration::from_secs(3_600);
//! let script = Script {
//!     steps: vec![
//!         Step::User(Command::Open),
//!         Step::User(Command::Attach { device: 1, lifetime }),
//!         Step::User(Command::Telemetry { device: 1, qos: QoS::AtLeastOnce, size: 20 }),
//!         Step::Wait(Duration::from_millis(50)),
//!         Step::Network(NetworkFault::Cut),
//!     ],
//!     ..Script::default()
//! };
//! let history = script::run(&script)?;
//! assert_eq!(history.counts().connections, 2);
//! assert_eq!(script.to_string().parse(), Ok(script));
//! # Ok::<(), script::Broken>(())
//! ```
//!
//! Unlike [`simulation`](crate::simulation), which is a runtime for code that uses the async driver, this drives the
//! machine itself. [`seeds`](crate::seeds) makes scripts of numbers; the program `iotcore-simulate` runs them by the thousand.

mod broken;
mod bytes;
mod history;
mod run;
mod setup;
mod step;
mod user;

pub use self::broken::{Broken, Rule};
pub use self::bytes::{NotHexadecimal, bytes};
pub use self::history::{Counts, Entry, History, What};
pub use self::setup::{Drafted, Setup};
pub use self::step::{Command, DEVICES, KINDS, NetworkFault, Operation, REPORTS, Step, Stray};
pub use crate::link::Manner;

/// A session: what it starts from, and what happens then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// What it starts from.
    pub setup: Setup,
    /// What happens.
    pub steps: Vec<Step>,
}

/// Plays a script.
///
/// # Errors
/// A guarantee does not hold. That is a mistake of the gateway's, of the emulator's, or of the model's.
pub fn run(script: &Script) -> Result<History, Broken> {
    run_in(script, Manner::default())
}

/// The same, with the gateway driven in this manner, which must make no difference.
///
/// # Errors
/// Those of [`run`].
pub fn run_in(script: &Script, manner: Manner) -> Result<History, Broken> {
    run::run(script, manner)
}

/// Plays what any bytes stand for.
///
/// # Panics
/// A guarantee does not hold; the message has the script and what happened last.
pub fn run_bytes(data: &[u8]) {
    let script = bytes(data);
    if let Err(broken) = run(&script) {
        let entries = broken.history.entries();
        let last: String = entries[entries.len().saturating_sub(40)..]
            .iter()
            .map(|entry| format!("{entry}\n"))
            .collect();
        panic!("{broken}\nscript {script}\n{last}");
    }
}
