//! Scripts: everything that can happen to a gateway and its bridge, as plain data, and an interpreter that executes it
//! and checks it against the reference [`model`](crate::model).
//!
//! A [`Script`] is a [`Setup`] and a list of [`Step`]s. [`bytes`] converts any bytes to one, so that proptest, a fuzzer
//! and a committed file use the same sessions; its `Display` writes those bytes in hexadecimal, and `FromStr` parses
//! them. [`run`] plays it on the bare [`Gateway`](iotcore_gateway::Gateway) and the emulator in virtual time, checks
//! the guarantees after every step, then repairs all injected faults and checks that every operation ends. The bridge of a
//! script may take its time, and its link may be slow ([`World`]); in the calm at the end, they remain as far as they answer
//! everything at a constant rate, and what is asked then is done in about the least time and with about the fewest
//! packets, also beside a device that is never acknowledged.
//!
//! ```
//! use core::time::Duration;
//! use iotcore_gateway::message::QoS;
//! use iotcore_gateway_testkit::script::{self, Command, NetworkFault, Script, Step, Terms, Tokens};
//!
//! let lifetime = Duration::from_secs(3_600);
//! let script = Script {
//!     steps: vec![
//!         Step::User(Command::Open),
//!         Step::User(Command::Attach { device: 1, lifetime, tokens: Tokens::Fixed }),
//!         Step::User(Command::Telemetry { device: 1, qos: QoS::AtLeastOnce, size: 20, terms: Terms::default() }),
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
//! machine itself. [`seeds`](crate::seeds) generates scripts from numbers; the program `iotcore-simulate` runs
//! thousands of them.

mod broken;
mod bytes;
mod calm;
mod finish;
mod history;
mod isolation;
mod network;
mod recovery;
mod run;
mod setup;
mod step;
mod user;
pub(crate) mod world;

pub use self::broken::{Broken, Rule};
pub use self::bytes::{NotHexadecimal, bytes};
pub use self::history::{Counts, Entry, History, What};
pub use self::setup::{Drafted, Setup};
pub use self::step::{
    Choice, CloudOperation, Command, DEVICES, KINDS, NetworkFault, REPORTS, Step, Stray, Terms,
    Tokens,
};
pub use self::world::{CalmWorld, Ignored, Slowness, World};
pub use crate::link::CallPattern;

/// A session: its setup and its steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The setup.
    pub setup: Setup,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// Plays a script.
///
/// # Errors
/// Returns [`Broken`] if a guarantee does not hold. This is a bug in the gateway, in the emulator or in the model.
pub fn run(script: &Script) -> Result<History, Broken> {
    run_with(script, CallPattern::default())
}

/// Plays a script with the gateway driven by this pattern of calls, which must not affect the result.
///
/// # Errors
/// Those of [`run`].
pub fn run_with(script: &Script, pattern: CallPattern) -> Result<History, Broken> {
    run::run(script, pattern)
}

/// Plays the script that the bytes encode.
///
/// # Panics
/// If a guarantee does not hold; the message contains the script and the latest history.
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
