//! Faults: misbehaviour of a bridge, or of the network in front of it, towards a client.
//!
//! A [`Fault`] is plain data. It is formatted as one line and parsed from it, see [`line`](mod@line); in JSON it is
//! that line as a string:
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
//! [`Bridge::inject`] accepts it. Most faults then remain active until they have taken effect as often as specified, or
//! until [`FaultKind::Clear`]; if several match, the oldest takes effect, so that faults injected one after another
//! form a script. Every application of a fault is an event.

pub mod line;
pub(crate) mod standing;

use core::num::{NonZeroU8, NonZeroU32, NonZeroUsize};
use core::time::Duration;
use std::time::Instant;

pub use line::FaultError;

use super::Bridge;
use super::event::EventKind;
use super::operator::OperatorError;
use super::service::Service;
use super::wire::Context;

/// An injected fault.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// The gateway or device whose own connections are affected; `None` for all.
    pub client: Option<String>,
    /// The kind of fault.
    pub kind: FaultKind,
}

/// The kinds of faults. A `count` is the number of applications; `None` means always, until [`Clear`](Self::Clear).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// Connections are refused: as soon as the transport is up (after the TLS handshake) or, if that requires a CONNACK
    /// or the client's name, when CONNECT arrives.
    Refuse {
        /// The number of connections.
        count: Option<NonZeroU32>,
        /// How they are refused.
        by: RefuseBy,
    },
    /// Answers of a kind are not sent as usual.
    Answer {
        /// The kind of answer.
        answer: AnswerKind,
        /// What happens to them.
        treatment: Treatment,
    },
    /// Sends the answers that were held back, delayed or not yet reordered.
    Release {
        /// The kind of answer.
        answer: AnswerKind,
    },
    /// Bytes are sent in segments.
    Segment {
        /// The maximum length, in bytes.
        length: NonZeroUsize,
    },
    /// A connection ends at each packet that is larger than this, as soon as its length is known.
    Limit {
        /// The size of the largest packet that is read, in bytes.
        bytes: NonZeroU32,
    },
    /// The link carries so many bytes a second. At first, it carries a tenth of that at once. Of what arrives faster, the
    /// bridge keeps 64 MiB; it [asks for no more](Bridge::wants_input), so that the rest waits in buffers before it.
    Rate {
        /// The direction.
        direction: Direction,
        /// Bytes a second.
        bytes: NonZeroU32,
    },
    /// The bridge takes its time, as by [`Bridge::set_service`], until it is cleared or the service is set again. It
    /// cannot be limited to a client.
    Service {
        /// How long it takes, and what it never answers.
        service: Box<Service>,
    },
    /// Nothing is answered for a while; then, all that would have been is answered at once.
    Stall {
        /// The duration in milliseconds.
        millis: NonZeroU32,
    },
    /// Bytes are sent as they are, between two packets, to the connected clients.
    Raw {
        /// The bytes; an empty list has no text form.
        bytes: Vec<u8>,
    },
    /// Error reports that the client has subscribed to are not sent.
    LoseReports {
        /// The number of reports.
        count: Option<NonZeroU32>,
    },
    /// A connection ends at its client's next packet of a kind. Applies once.
    Cut {
        /// Whether the packet still takes effect and is answered.
        moment: CutMoment,
        /// The packet.
        packet: PacketKind,
    },
    /// A connection ends at each packet of a kind that is about a device, before the packet has an effect or an answer.
    Poison {
        /// The packet, one of [`PacketKind::ABOUT_DEVICES`]; no other kind has a text form.
        packet: PacketKind,
        /// The device in its topic, or in one of its topic filters; the gateway's own for the gateway itself.
        device: String,
        /// What the payload of a PUBLISH begins with; empty for any payload.
        prefix: Vec<u8>,
    },
    /// Topic filters that the client may subscribe to are granted less than usual.
    Grant {
        /// What they are granted.
        grant: Grant,
        /// The number of filters.
        count: Option<NonZeroU32>,
    },
    /// Removes all active faults, ends all stalls, sets the service that there was before one was injected, and sends
    /// what was held back. With a client: only the faults that are limited to that
    /// client, and what is held back from it.
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
    /// The transport stays up, input is discarded, and nothing is ever answered.
    Silence,
    /// CONNACK with this return code, then close.
    Connack(NonZeroU8),
}

/// What happens to an answer.
///
/// If more than 65,536 answers are withheld from a connection, the oldest are lost; the rest are lost when the
/// connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Treatment {
    /// Sent on [`FaultKind::Release`].
    Hold {
        /// The number of answers.
        count: Option<NonZeroU32>,
    },
    /// Sent later.
    Delay {
        /// The delay in milliseconds.
        millis: NonZeroU32,
        /// The number of answers.
        count: Option<NonZeroU32>,
    },
    /// Sent twice.
    Double {
        /// The number of answers.
        count: Option<NonZeroU32>,
    },
    /// Sent in reverse order once this many wait on the connection. Applies always.
    Reorder {
        /// The number of answers that are sent together, 2 or more; 1 changes nothing and has no text form.
        group: NonZeroU32,
    },
}

/// Declares enums whose variants are words of a fault's text form.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Returns its word in a fault's text form.
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
    /// A packet with which the bridge answers.
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

    /// A direction of a link.
    Direction {
        /// From the client to the bridge.
        Up = "up",
        /// From the bridge to the client.
        Down = "down",
    }

    /// What SUBACK says of a topic filter.
    Grant {
        /// QoS 0, regardless of the requested QoS. A filter that is granted no more anyway does not count.
        QosZero = "qos0",
        /// 0x80: it is refused.
        Failure = "failure",
    }

    /// The moment at which a connection is cut.
    CutMoment {
        /// The packet has no effect.
        Before = "before",
        /// The packet takes effect, but none of its consequences is sent.
        Instead = "instead",
        /// The packet takes effect, and its consequences are sent before the end.
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

impl PacketKind {
    /// The kinds that name a device.
    pub const ABOUT_DEVICES: &[Self] = &[
        Self::Publish,
        Self::Attach,
        Self::Detach,
        Self::Telemetry,
        Self::State,
        Self::Subscribe,
        Self::Unsubscribe,
    ];
}

impl Bridge {
    /// Injects a fault, which acts at once, or on what follows.
    ///
    /// # Errors
    /// The registry has no client of that name, raw bytes are for a client that is not connected, or a service is for
    /// one client.
    pub fn inject(&mut self, fault: Fault, now: Instant) -> Result<(), OperatorError> {
        let at = self.world.advance_to(now);
        if let Some(client) = &fault.client {
            self.check_device(client)?;
            let is_raw = matches!(fault.kind, FaultKind::Raw { .. });
            if is_raw && !self.world.connected.contains_key(client) {
                let device = client.clone();
                return Err(OperatorError::NotConnected { device });
            }
        }
        if let (FaultKind::Service { .. }, Some(client)) = (&fault.kind, &fault.client) {
            let device = client.clone();
            return Err(OperatorError::ServiceOfOne { device });
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
                self.end_slowness(client, now);
            }
            FaultKind::Service { service } => self.inject_service(service, now),
            FaultKind::Stall { millis } => {
                let duration = Duration::from_millis(millis.get().into());
                self.world.service.stall(client, duration, at);
            }
            _ => self.world.faults.add(fault),
        }
        Ok(())
    }

    /// Returns the active faults, the oldest first; each `count` is the number of remaining applications.
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
