//! Faults: what a bridge, or the network before it, does to a client on a bad day.
//!
//! A [`Fault`] is plain data. It is written as one line and reads back from it, see
//! [`line`](mod@line); in JSON it is that line as a string:
//!
//! ```
//! use iotcore_gateway_testkit::bridge::faults::Fault;
//!
//! let fault: Fault = "puback delay 500 3 --client my-gateway".parse()?;
//! assert_eq!(fault.client.as_deref(), Some("my-gateway"));
//! assert_eq!(fault.to_string(), "puback delay 500 3 --client my-gateway");
//! # Ok::<(), iotcore_gateway_testkit::bridge::faults::FaultError>(())
//! ```
//!
//! [`Bridge::inject`] takes it. Most faults then stand until they have struck as often as they say,
//! or until [`FaultKind::Clear`]; of several that fit, the oldest strikes, so that faults injected
//! one after another are a script. Every strike is an event.

pub mod line;
pub(crate) mod standing;

use core::num::{NonZeroU8, NonZeroU32, NonZeroUsize};
use std::time::Instant;

pub use line::FaultError;

use super::Bridge;
use super::event::EventKind;
use super::operator::OperatorError;
use super::wire::Context;

/// Something that goes wrong on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// The gateway or device whose own connections are struck; `None` for all.
    pub client: Option<String>,
    /// What goes wrong.
    pub kind: FaultKind,
}

/// What goes wrong. A `count` says how often; `None` is always, until [`Clear`](Self::Clear).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// Connections are refused: as soon as the transport is up (after the TLS handshake) or, where
    /// that takes a CONNACK or the client's name, when CONNECT comes.
    Refuse {
        /// How many connections.
        count: Option<NonZeroU32>,
        /// How.
        by: RefuseBy,
    },
    /// Answers of a kind go out otherwise than they should.
    Answer {
        /// Which.
        answer: AnswerKind,
        /// How.
        treatment: Treatment,
    },
    /// What was held back, delayed or not yet reordered goes out now.
    Release {
        /// The answers.
        answer: AnswerKind,
    },
    /// Bytes go out in segments.
    Segment {
        /// The longest, in bytes.
        length: NonZeroUsize,
    },
    /// Bytes go out as they are, between two packets of those who are connected.
    Raw {
        /// The bytes; none at all has no line.
        bytes: Vec<u8>,
    },
    /// Error reports that the client has subscribed to do not go out.
    LoseReports {
        /// How many reports.
        count: Option<NonZeroU32>,
    },
    /// A connection ends at its client's next packet of a kind. Strikes once.
    Cut {
        /// Whether the packet still has an effect, and an answer.
        moment: CutMoment,
        /// The packet.
        packet: PacketKind,
    },
    /// No fault stands any more, and what was held back goes out. With a client: only what is
    /// limited to that client, and what is held back from it.
    Clear,
}

/// How a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefuseBy {
    /// The transport is closed.
    Close,
    /// The transport is reset (RST); see [`Bridge::wants_reset`].
    Reset,
    /// The transport stays up, what comes is thrown away, and nothing is ever answered.
    Silence,
    /// CONNACK with this return code, then close.
    Connack(NonZeroU8),
}

/// How an answer goes out otherwise than it should.
///
/// Of what is withheld from a connection, the oldest is lost beyond 65,536 answers, and the rest
/// when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Treatment {
    /// Not before [`FaultKind::Release`].
    Hold {
        /// How many answers.
        count: Option<NonZeroU32>,
    },
    /// Later.
    Delay {
        /// By how much.
        millis: NonZeroU32,
        /// How many answers.
        count: Option<NonZeroU32>,
    },
    /// Twice.
    Double {
        /// How many answers.
        count: Option<NonZeroU32>,
    },
    /// Once so many wait on the connection: the last first. Strikes always.
    Reorder {
        /// How many go out together, 2 or more; nothing changes for 1, which has no line.
        group: NonZeroU32,
    },
}

/// Declares enums whose variants are words of a fault's line.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its word in a fault's line.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }
    )+};
}

words! {
    /// A packet by which the bridge answers.
    AnswerKind {
        /// PUBACK, to telemetry, state, attach and detach.
        Puback = "puback",
        /// SUBACK.
        Suback = "suback",
        /// UNSUBACK.
        Unsuback = "unsuback",
        /// PINGRESP.
        Pingresp = "pingresp",
    }

    /// When a connection is cut.
    CutMoment {
        /// The packet changes nothing.
        Before = "before",
        /// The packet has its effect, but nothing that it brings about is sent.
        Instead = "instead",
        /// The packet has its effect, and what it brings about is sent before the end.
        After = "after",
    }

    /// A packet that a client sends.
    PacketKind {
        /// CONNECT.
        Connect = "connect",
        /// PUBLISH of any kind.
        Publish = "publish",
        /// PUBLISH that attaches a device.
        Attach = "attach",
        /// PUBLISH that detaches a device.
        Detach = "detach",
        /// PUBLISH of a telemetry event.
        Telemetry = "telemetry",
        /// PUBLISH of a state.
        State = "state",
        /// SUBSCRIBE.
        Subscribe = "subscribe",
        /// UNSUBSCRIBE.
        Unsubscribe = "unsubscribe",
        /// PINGREQ.
        Pingreq = "pingreq",
        /// PUBACK of a config or command.
        Puback = "puback",
        /// DISCONNECT.
        Disconnect = "disconnect",
    }
}

impl Bridge {
    /// Lets something go wrong, now or from now on.
    ///
    /// # Errors
    /// The registry has no client of that name, or raw bytes are for one that is not connected.
    pub fn inject(&mut self, fault: Fault, now: Instant) -> Result<(), OperatorError> {
        let now = self.world.advance_to(now);
        if let Some(client) = &fault.client {
            self.check_device(client)?;
            let is_raw = matches!(fault.kind, FaultKind::Raw { .. });
            if is_raw && !self.world.connected.contains_key(client) {
                let device = client.clone();
                return Err(OperatorError::NotConnected { device });
            }
        }
        let event = EventKind::FaultInjected {
            fault: fault.clone(),
        };
        self.world.log(None, None, event);
        let client = fault.client.as_deref();
        match &fault.kind {
            FaultKind::Raw { bytes } => {
                self.serve_clients(client, now, |cx| cx.wire.send_raw(bytes));
            }
            FaultKind::Release { answer } => {
                self.serve_clients(client, now, |cx| cx.release(Some(*answer)));
            }
            FaultKind::Clear => {
                self.world.faults.clear(client);
                self.serve_clients(client, now, |cx| cx.release(None));
            }
            _ => self.world.faults.add(fault),
        }
        Ok(())
    }

    /// The faults that still stand, the oldest first; a `count` is what is left of it.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        self.world.faults.all()
    }

    fn serve_clients(
        &mut self,
        only: Option<&str>,
        now: Instant,
        mut act: impl FnMut(&mut Context<'_>),
    ) {
        self.serve_all(now, |_, cx| {
            if only.is_none() || cx.wire.client.as_deref() == only {
                act(cx);
            }
            Ok(())
        });
    }
}
