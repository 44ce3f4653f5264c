//! The protocol of a gateway on ClearBlade IoT Core's MQTT bridge, as a pure state machine.
//!
//! A gateway holds one MQTT 3.1.1 connection to the bridge, for itself and for up to 1,000 attached devices.
//! [`Gateway`] is all of that protocol and nothing else: bytes, commands and instants go in; bytes, events and a
//! deadline come out. It has no sockets, clocks, threads or randomness of its own. So the same inputs return the same
//! outputs, byte for byte, and it runs on any runtime, or none.
//!
//! # The model
//!
//! You declare what you want: open, these devices attached, these topics subscribed. The gateway establishes it after
//! every CONNACK. Publications are kept across connections until the bridge has acknowledged them, because the bridge
//! keeps no sessions and forgets a client when its connection ends. Every accepted command has an [`OpId`] and ends in
//! exactly one [`Event::Done`] or [`Event::Failed`], whose [`Failure`] states what is known about the reason, and how
//! certain it is.
//!
//! | family | methods | |
//! |---|---|---|
//! | inputs | `handle_connected`, `handle_input`, `handle_transmitted`, `handle_timeout`, `handle_disconnected` | what the transport and the clock report; never fail |
//! | commands | `open`, `attach`, `detach`, `authorize`, `publish`, `cancel`, `subscribe`, `unsubscribe`, `acknowledge`, `postpone`, `close` | what you want; return at once |
//! | outputs | `poll_transmit`, `poll_event`, `poll_timeout`, `wants_transport`, `wants_input` | what to do next |
//! | getters | `is_open`, `device_state`, `unsent`, `stats`, … | the current state |
//!
//! # A run loop
//!
//! The methods may be called in any order. [`Gateway::apply`] takes each of them as plain data, an [`Input`], which can
//! be recorded and replayed. A loop reports the time, takes the events, writes, hangs up, waits, and reads or dials: it has read
//! before it reports the time, so that an answer that has arrived does not time out. In this example the transport is a
//! pair of queues, with a bridge on the other side that acknowledges everything. The errors of a real one are judged by
//! [`TransportEnd::of_stream`](cause::TransportEnd::of_stream).
//!
//! ```
//! use std::{collections::VecDeque, time::{Duration, Instant, SystemTime}};
//! use iotcore_gateway::{
//!     ClientId, DeviceAuth, Event, Gateway, Options, Outcome, Publication, auth::Token, cause::TransportEnd,
//! };
//!
//! # #[derive(Default)]
//! # struct Pipe { to_bridge: VecDeque<u8>, to_gateway: VecDeque<u8> }
//! # impl Pipe {
//! #     fn write(&mut self, bytes: &[u8]) -> usize { self.to_bridge.extend(bytes); bytes.len() }
//! #     fn read(&mut self) -> Vec<u8> { self.bridge(); self.to_gateway.drain(..).collect() }
//! #     fn bridge(&mut self) {
//! #         while let Some(first) = self.to_bridge.pop_front() {
//! #             let len = self.to_bridge.pop_front().unwrap() as usize;
//! #             let (len, more) = if len < 128 { (len, 0) } else { (len - 128, self.to_bridge.pop_front().unwrap() as usize * 128) };
//! #             let body: Vec<u8> = self.to_bridge.drain(..len + more).collect();
//! #             match first {
//! #                 0x10 => self.to_gateway.extend([0x20, 2, 0, 0]),
//! #                 0x82 => self.to_gateway.extend([0x90, 3, body[0], body[1], 0]),
//! #                 0x32 => {
//! #                     let at = 2 + body[1] as usize;
//! #                     self.to_gateway.extend([0x40, 2, body[at], body[at + 1]]);
//! #                 }
//! #                 _ => {}
//! #             }
//! #         }
//! #     }
//! # }
//! # let mut transport = Pipe::default();
//! let id = ClientId::new("my-project".try_into()?, "us-central1".try_into()?, "my-registry".try_into()?, "gw-1".try_into()?);
//! let mut gateway = Gateway::new(id, Options::default(), 42)?;
//! let mut now = Instant::now();
//!
//! gateway.open(now)?;
//! let unix_now = SystemTime::now().try_into()?;
//! let (sensor, _) = gateway.attach("sensor-1".try_into()?, DeviceAuth::ByAssociation, unix_now, now)?;
//! let reading = gateway.publish(Publication::telemetry(sensor, "21.5"), now)?;
//!
//! let mut is_up = false;
//! let mut is_delivered = false;
//! while !gateway.is_closed() {
//!     gateway.handle_timeout(now); // spurious calls change nothing
//!     while let Some(event) = gateway.poll_event() {
//!         if event == (Event::Done { op: reading, outcome: Outcome::Acknowledged }) {
//!             is_delivered = true;
//!             gateway.close(now);
//!         }
//!     }
//!     if is_up {
//!         let taken = transport.write(gateway.poll_transmit());
//!         gateway.handle_transmitted(taken, now);
//!     }
//!     if is_up && !gateway.wants_transport() {
//!         is_up = false; // hang up here
//!         gateway.handle_disconnected(TransportEnd::HungUp, now);
//!     }
//!     now += Duration::from_millis(1); // wait here: for bytes, or until `poll_timeout`
//!     if is_up && gateway.wants_input() {
//!         gateway.handle_input(&transport.read(), now);
//!     }
//!     if !is_up && gateway.wants_transport() {
//!         is_up = true; // dial here; a fresh token for every connection
//!         let token = Token::new("a.jwt.here", now + Duration::from_secs(3600))?;
//!         gateway.handle_connected(token, unix_now, now);
//!     }
//! }
//! assert!(is_delivered);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees
//!
//! 1. Any split of the input gives the same events and the same bytes out.
//! 2. The order and number of polls, and spurious timeouts, change neither the events nor the bytes.
//! 3. Every [`OpId`] ends in exactly one `Done` or `Failed`, also on close, on cancel, and when a publication expires.
//! 4. Every accepted QoS 1 publication is acknowledged by the bridge at least once, or ends in a `Failed` that says why.
//!    First transmissions keep each device's order, and what is sent again keeps its own [MQTT-4.6.0-1]; after the peer
//!    has closed three connections in a row at a packet, that is sent last and alone, and given up if it closes two more.
//!    What was cancelled or has expired is not sent any more. Urgent publications precede ordinary ones, and keep an order
//!    of their own.
//! 5. No packet identifier is used again while its acknowledgement can still come, also that of a publication that was
//!    cancelled or has expired; none leaks.
//! 6. No bytes from the peer cause a panic, unbounded memory or a busy loop; a violation of the standard closes the
//!    connection.
//! 7. Nothing is published or subscribed for a device that is not attached in this connection.
//! 8. After DISCONNECT, or the end of a connection, nothing more is transmitted on it.
//! 9. The same inputs give the same outputs, byte for byte.
//! 10. No token, key or password appears in `Debug`, `Display`, events or errors.
//! 11. Memory is bounded by the options, also after a peak; at steady state an outbound message costs no allocation.
//! 12. Progress: what the bridge answers at some rate is done in about the time that this rate and the link need, with
//!     hardly a packet more.
//! 13. Isolation: no device's trouble costs the others more than a tenth.
//! 14. Durability, with a store: what was reported as `Stored` survives the end of the process, and a power cut. It is
//!     restored in the order of acceptance, until it is acknowledged or ends otherwise. What is damaged on the disk costs no
//!     more than itself, and is reported.
//!
//! # Suspects
//!
//! A bridge that closes the connection does not say why. What was handed over at most 10 s before, or a part of it, and is
//! not answered, gets a strike; an answer clears it. After three in a row the publication, attach or SUBSCRIBE is a suspect: it
//! waits, and so does what else its device has to publish. It is sent alone: once nothing was sent for 10 s, or, if others
//! never stop, once they were held back so long, which begins 30 s after CONNACK. If the bridge closes two connections at it,
//! it ends in [`Failure::Suspected`]; if it answers, or does nothing for 10 s, or takes all of it at QoS 0, the
//! suspect is not to blame. Others wait for
//! about 10 s for each trial. After a publication was given up, its device is on probation: each of its publications is
//! sent alone, the next 30 s after the last was given up, then 1 min, up to 1 h, until the bridge acknowledges one, or, after
//! QoS 0 publications alone, until one is handed over whole. What is
//! cancelled or expires leaves its strikes to its device: with three, the device is on probation. Each
//! [`Disconnected`](cause::Disconnected) names what may have caused it.
//!
//! # Memory
//!
//! At most 64 KiB for the machine itself; 1 KiB and the last failure for each device of those that were attached at the
//! same time, subscribed, with ids of up to 100 characters; 100 bytes and the payload for each publication that has not
//! ended, 120 more and the tag if it expires or has a tag, and 30 more while publications can be found by operation,
//! from a [`cancel`](Gateway::cancel) until none is left, and with a store 88, and 16 for each removal that is not durable; 12 bytes for each packet identifier that this connection has
//! used, of 65,535, and 56 for each packet that was unanswered at the same time; 80 bytes for each delivery that is not
//! acknowledged, and 64 for each device whose config was given up; 88 bytes and its contents for each event that was
//! not taken, and the rest of its packet if that arrived in several pieces; the packet that has not completely arrived,
//! once its length is known; four times what recently waited to be transmitted, or 64 KiB. After a peak, the 100, 80
//! and 88 bytes are at most four times as much. [`Options`] limits them: devices by
//! [`Quota::max_devices`](quota::Quota::max_devices), publications by the queues, packets by `frame_limit`, deliveries
//! by `max_unacknowledged` plus those of one call, events by `max_events` plus those of one call, of a pause of
//! reading, of deliveries that were not acknowledged, and of the end of a connection or of an attempt that had begun.
//! In addition there is one event for each operation that has ended, which is limited only by the user's commands: take
//! events between commands.
//!
//! # Panics, errors and losses
//!
//! A panic is a bug, never caused by input. An error of the caller is returned as a typed error, together with what was
//! passed in. An error of the peer ends the connection with a [`Violation`](cause::Violation). A loss of the connection
//! is neither: it is an [`Event::Disconnected`], and what was accepted is sent again on the next connection.
//!
//! # Shutdown
//!
//! [`Gateway::close`] sends what can still be sent within [`Options::drain_timeout`], disconnects, and ends every
//! operation; [`Event::Closed`] is the last event, and contains what was left unsent. Only the end of a `close` that is
//! called after the gateway gave up connecting follows it. [`Gateway::unsent`] returns what is unsent at any time: publish
//! it again after a restart of the process. A gateway that is dropped sends nothing more. With a store, a close puts what is
//! left at once, and waits until that is durable, until a second after `drain_timeout` at most.
//!
//! # Test your own code
//!
//! Every input is plain data, so a session can be recorded and replayed. `iotcore-gateway-testkit` has an emulator of
//! the bridge, a virtual link to run a `Gateway` on, and a virtual runtime for code that uses the driver; both can
//! break connections, answers and clocks as a test requires.
//!
//! # Features
//!
//! * `jwt` (default): `SigningKey` mints the RS256 and ES256 tokens that the bridge requires, with ring. It is separate
//!   from the machine, which only ever sees a [`Token`](auth::Token).
//! * `driver`: the module `driver`, an async loop over any runtime with TLS, and handles to command the machine from
//!   any number of tasks.
//! * `serde`: [`Unsent`](message::Unsent) can be written to a file and read back.
//! * `store`: records of accepted publications that survive a power cut, as further effects of the machine, and the module
//!   `store` with a log of segments that keeps them. With `driver` it is carried out on a real disk.
//! * `tracing`: spans for the driver's connections and devices, and events for what happens to them, without secrets.
//! * `internals`: what the project's own fuzzing needs of the codec. Not an API: it changes without notice, outside of
//!   semantic versioning, and nothing else may use it.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

mod backoff;
mod clock;
mod command;
#[cfg(any(feature = "driver", feature = "jwt"))]
mod der;
#[cfg(feature = "driver")]
pub mod driver;
mod error;
pub mod error_report;
mod event;
mod fifo;
mod gateway;
pub mod id;
mod input;
#[cfg(feature = "jwt")]
mod jwt;
mod mqtt;
pub mod options;
#[cfg(any(feature = "driver", feature = "jwt"))]
mod pem;
#[cfg(any(feature = "driver", feature = "jwt"))]
mod private_key;
pub mod quota;
mod stats;
#[cfg(feature = "store")]
pub mod store;
mod tag;
mod time;
mod timers;
mod token;
mod topic;
mod unsent;

pub use self::{
    command::{DeliveryId, DeviceAuth, DeviceKey, OpId, Publication},
    error::Failure,
    event::{Event, Outcome},
    gateway::Gateway,
    id::{client_id::ClientId, device_id::DeviceId},
    input::{Answer, Input},
    options::gateway_options::Options,
    stats::Stats,
};
#[cfg(feature = "jwt")]
pub use jwt::Algorithm;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub use mqtt::internals;

pub mod auth {
    //! Tokens, the keys that sign them, and the time that they are judged by.
    //!
    //! The machine takes a [`Token`] for each connection, and for devices that have keys of their own. With the feature
    //! `jwt`, `SigningKey` mints them from a PEM key; any other signer will do, such as a hardware module.

    #[cfg(feature = "jwt")]
    pub use crate::jwt::{AlgorithmError, MintError, SigningKey};
    #[cfg(any(feature = "driver", feature = "jwt"))]
    pub use crate::private_key::KeyError;
    pub use crate::{
        time::UnixTime,
        token::{ExpiredBy, Token, TokenError},
    };
}

pub mod cause {
    //! Why a connection, an attachment or an attempt at one ended, and how certain that is.
    //!
    //! An MQTT 3.1.1 peer does not say why it hangs up. So each cause comes with a [`Certainty`]: a packet or a report
    //! confirms it, a deadline lets it be inferred, or it is suspected. Why a command failed is a
    //! [`Failure`](crate::Failure).

    pub use crate::{
        error::Certainty,
        event::{DetachCause, DisconnectReason, Disconnected, Refusal, TransportEnd},
        mqtt::{PacketType, Violation},
    };
}

pub mod command_error {
    //! Commands that are refused at once: nothing was sent and nothing changed.
    //!
    //! What was accepted and fails later ends in a [`Failure`](crate::Failure).

    pub use crate::error::{CommandError, PublishError, PublishErrorKind};
}

pub mod device {
    //! What the gateway knows of a device: its state, what it has queued and in flight, and its last failure.

    pub use crate::gateway::{DeviceInfo, DeviceState, LastFailure};
}

pub mod message {
    //! What a message can have: a topic, a subfolder, a quality of service, a priority, a tag; and what is left unsent.

    pub use crate::{
        command::{Priority, PublicationTopic, Subscription},
        mqtt::QoS,
        tag::{Tag, TagError},
        topic::{Subfolder, SubfolderError, SubfolderProblem},
        unsent::Unsent,
    };
}

/// Compiles the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
