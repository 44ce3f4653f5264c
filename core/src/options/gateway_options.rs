//! The options of a gateway as a whole, and what they may be.

#[cfg(feature = "store")]
use crate::options::Durability;
use crate::{
    options::{
        Acknowledge, Backoff, MAX_DURATION, OnRefusal, OptionsError, Overflow, QueueLimit,
        Reconnect,
    },
    quota::{self, Quota},
    time::Duration,
};

/// How a [`Gateway`](crate::Gateway) behaves. Start from [`Options::default`] and change what you need.
///
/// Checked once, by [`Gateway::new`](crate::Gateway::new).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The keep alive announced in CONNECT, 1 s to 1,199 s, in whole seconds (default 60 s). The bridge closes a
    /// connection that was idle for 1,200 s, whatever the keep alive.
    ///
    /// A server may close a connection on which no whole packet arrived for one and a half keep alives [MQTT-3.1.2-24],
    /// so a thin link needs one that is longer than two thirds of the time that its largest message takes: 250 kB at
    /// 2,500 bytes a second take 100 s, and need 70 s or more. In the other direction, any byte shows that the peer is
    /// alive, but a packet that is not complete after ten keep alives ends the connection.
    pub keep_alive: Duration,
    /// How long to wait for CONNACK (default 20 s).
    pub connack_timeout: Duration,
    /// How long to wait for the PUBACK of an attach (default 30 s). It counts from when its PUBLISH was handed over to
    /// the transport, and starts again with each attach that the bridge answers, because a slow bridge may have a
    /// queue; it is longer by the time that a link of 2,000 bytes a second needs for what may still be under way, at
    /// most 164 s. Then the operation fails, and the attach is tried again; a PUBACK that comes late still attaches the
    /// device.
    pub attach_timeout: Duration,
    /// How long to wait for SUBACK, UNSUBACK and the PUBACK of a detach, and before a publication is first sent again
    /// (default 30 s), counted as in [`attach_timeout`](Self::attach_timeout). For a publication it doubles with each
    /// attempt, up to [`max_ack_timeout`](Self::max_ack_timeout).
    pub ack_timeout: Duration,
    /// The longest wait for the PUBACK of a publication before it is sent again (default 5 min).
    pub max_ack_timeout: Duration,
    /// How long a close, a token refresh or a detach waits for what is pending (default 10 s), with or without a
    /// connection; one setting for the three. A refresh waits until its token expires at the latest; meanwhile it sends nothing new, and what is
    /// overdue again. A close does not wait for what cannot be sent; with a store, it waits for that too, a second longer
    /// at most.
    pub drain_timeout: Duration,
    /// QoS 1 publications in flight at once, 1 to 32,000 (default 100): less than half of the packet identifiers, because
    /// that of a publication sent twice is out of use until its second PUBACK.
    ///
    /// A publication that later ones have overtaken for some round trips leaves the window; one that is overdue, but not
    /// overtaken, stays in it, because the bridge may still have it in a queue. While the window is full and nothing
    /// moves, single publications are sent beyond it ([`Stats::probes`](crate::Stats::probes)). If a bridge silently
    /// drops what its buffer has no room for, choose a window no larger than that buffer: otherwise everything is
    /// delivered, but takes about twice the time.
    pub window: u16,
    /// QoS 1 publications of one device in flight at once (default 100). 1 keeps the order of a device's messages
    /// strict even when some are sent again.
    ///
    /// The devices share the [`window`](Self::window). On each connection, one begins with a tenth of it; it may have one
    /// more in flight with each PUBACK, up to this limit, and half as many with each publication that leaves the window
    /// unanswered, at least a tenth. Devices with less than a tenth in flight go first, and the others leave a twentieth
    /// free: a device that is alone gets 95 of 100, and one that the bridge never answers holds at most 10.
    pub device_window: u16,
    /// Attaches and detaches pending at once (default 100).
    pub attach_window: u16,
    /// SUBSCRIBE and UNSUBSCRIBE packets pending at once (default 100).
    pub subscribe_window: u16,
    /// Maximum accepted and not yet acknowledged for one device (default 1,000 messages, 1 MiB of payload).
    pub device_queue: QueueLimit,
    /// Maximum accepted and not yet acknowledged for all devices together (default 100,000 messages, 64 MiB of
    /// payload).
    ///
    /// A part is reserved for each device that there may be, and for the gateway: 32 messages and 32 KiB, but no more
    /// than half of the total for all of them, and no more than leaves room for the largest payload. What a device
    /// holds beyond that comes out of the rest, which all share. So others cannot fill the queue of a device that holds
    /// little. With fewer messages in total than there may be devices, nothing is reserved.
    pub total_queue: QueueLimit,
    /// The delays between attempts to connect (default 1 s doubling up to 32 s), to attach and to subscribe again; up to
    /// 5 minutes for a subscription that the bridge refused, and an attachment that it has ended soon several times.
    pub backoff: Backoff,
    /// How often to try before giving up (default: forever).
    pub reconnect: Reconnect,
    /// How long a connection must last to reset the backoff (default 60 s). A token refresh reconnects at once after a
    /// connection that lasted as long, at least [`Backoff::min`] and at most [`Backoff::max`] (so 32 s by default). After
    /// a shorter one it counts as an attempt, whose delay runs from CONNACK.
    pub stable_after: Duration,
    /// Whether a device that the bridge detached is attached again, with backoff (default true).
    pub reattach: bool,
    /// What happens to the publications of a device that the bridge has refused (default: they fail).
    pub on_refusal: OnRefusal,
    /// When a config or command at QoS 1 is acknowledged (default: automatically).
    pub acknowledge: Acknowledge,
    /// Number of events waiting in [`poll_event`](crate::Gateway::poll_event) at which the gateway pauses reading, and
    /// begins no attempt to connect (default 1,024); one that has begun goes on.
    pub max_events: usize,
    /// Number of configs and commands delivered at QoS 1 and not yet acknowledged at which the gateway pauses reading,
    /// for 5 s at most unless the transport takes nothing (default 1,024): see [`Acknowledge`].
    pub max_unacknowledged: usize,
    /// The bridge's limits (default: the service's limits that are known for certain).
    pub quota: Quota,
    /// What happens to a publication when its queue is full (default: it is refused and returned).
    pub overflow: Overflow,
    /// The largest packet accepted from the bridge, in bytes (default: a payload of 256 KiB and its topic).
    pub frame_limit: usize,
    /// What is kept in a store (default: nothing).
    #[cfg(feature = "store")]
    pub durability: Durability,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(60),
            connack_timeout: Duration::from_secs(20),
            attach_timeout: Duration::from_secs(30),
            ack_timeout: Duration::from_secs(30),
            max_ack_timeout: Duration::from_secs(300),
            drain_timeout: Duration::from_secs(10),
            window: 100,
            device_window: 100,
            attach_window: 100,
            subscribe_window: 100,
            device_queue: QueueLimit {
                messages: 1_000,
                bytes: 1024 * 1024,
            },
            total_queue: QueueLimit {
                messages: 100_000,
                bytes: 64 * 1024 * 1024,
            },
            backoff: Backoff::default(),
            reconnect: Reconnect::Forever,
            stable_after: Duration::from_secs(60),
            reattach: true,
            on_refusal: OnRefusal::FailQueue,
            acknowledge: Acknowledge::Automatic,
            max_events: 1_024,
            max_unacknowledged: 1_024,
            quota: Quota::default(),
            overflow: Overflow::Reject,
            frame_limit: crate::mqtt::DEFAULT_FRAME_LIMIT,
            #[cfg(feature = "store")]
            durability: Durability::default(),
        }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        let keep_alive = self.keep_alive.as_secs();
        if self.keep_alive.subsec_nanos() != 0
            || !(1..quota::IDLE_LIMIT.as_secs()).contains(&keep_alive)
        {
            return Err(OptionsError::KeepAlive(self.keep_alive));
        }
        self.check_durations()?;
        self.check_counts()?;
        if self.backoff.max < self.backoff.min {
            return Err(OptionsError::Backoff(self.backoff));
        }
        if self.max_ack_timeout < self.ack_timeout {
            return Err(OptionsError::AckTimeout {
                first: self.ack_timeout,
                max: self.max_ack_timeout,
            });
        }
        #[cfg(feature = "store")]
        self.check_durability()?;
        Ok(())
    }

    #[cfg(feature = "store")]
    fn check_durability(&self) -> Result<(), OptionsError> {
        let Durability {
            linger: Some(linger),
            max_bytes,
            ..
        } = self.durability
        else {
            return Ok(());
        };
        let least = self.largest_record();
        if linger > MAX_DURATION {
            return Err(OptionsError::TooLong {
                name: "durability.linger",
                value: linger,
            });
        }
        if max_bytes < least {
            return Err(OptionsError::TooSmall {
                name: "durability.max_bytes",
                value: max_bytes,
                least,
            });
        }
        Ok(())
    }

    /// Returns what the largest publication reserves in a store.
    #[cfg(feature = "store")]
    pub(crate) fn largest_record(&self) -> usize {
        Durability::largest_record(self.largest_payload())
    }

    /// Returns whether there is a store.
    pub(crate) fn keeps_records(&self) -> bool {
        #[cfg(feature = "store")]
        return self.durability.linger.is_some();
        #[cfg(not(feature = "store"))]
        false
    }

    /// Returns the largest payload that the quota allows.
    fn largest_payload(&self) -> usize {
        let quota = &self.quota;
        quota.max_telemetry_bytes.max(quota.max_state_bytes)
    }

    fn check_durations(&self) -> Result<(), OptionsError> {
        for (name, value, may_be_zero) in [
            ("connack_timeout", self.connack_timeout, false),
            ("attach_timeout", self.attach_timeout, false),
            ("ack_timeout", self.ack_timeout, false),
            ("max_ack_timeout", self.max_ack_timeout, false),
            ("drain_timeout", self.drain_timeout, true),
            ("backoff.min", self.backoff.min, false),
            ("backoff.max", self.backoff.max, false),
            ("stable_after", self.stable_after, true),
            ("quota.state_interval", self.quota.state_interval, true),
        ] {
            if value.is_zero() && !may_be_zero {
                return Err(OptionsError::Zero(name));
            }
            if value > MAX_DURATION {
                return Err(OptionsError::TooLong { name, value });
            }
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), OptionsError> {
        let [window, device_window, attach_window, subscribe_window] = [
            self.window,
            self.device_window,
            self.attach_window,
            self.subscribe_window,
        ]
        .map(usize::from);
        let (device, total) = (self.device_queue, self.total_queue);
        let largest = self.largest_payload();
        for (name, value, least, limit) in [
            ("window", window, 1, MAX_WINDOW),
            ("device_window", device_window, 1, usize::MAX),
            ("attach_window", attach_window, 1, usize::MAX),
            ("subscribe_window", subscribe_window, 1, usize::MAX),
            (
                "quota.max_devices",
                self.quota.max_devices,
                1,
                quota::MAX_ATTACHED_DEVICES,
            ),
            ("max_events", self.max_events, 1, usize::MAX),
            ("max_unacknowledged", self.max_unacknowledged, 1, usize::MAX),
            ("device_queue.messages", device.messages, 1, MAX_MESSAGES),
            ("total_queue.messages", total.messages, 1, MAX_MESSAGES),
            ("device_queue.bytes", device.bytes, largest, usize::MAX),
            ("total_queue.bytes", total.bytes, largest, usize::MAX),
            (
                "quota.max_telemetry_bytes",
                self.quota.max_telemetry_bytes,
                0,
                MAX_PAYLOAD,
            ),
            (
                "quota.max_state_bytes",
                self.quota.max_state_bytes,
                0,
                MAX_PAYLOAD,
            ),
            (
                "frame_limit",
                self.frame_limit,
                MIN_FRAME_LIMIT,
                MAX_FRAME_LIMIT,
            ),
        ] {
            if value < least {
                return Err(OptionsError::TooSmall { name, value, least });
            }
            if value > limit {
                return Err(OptionsError::TooLarge { name, value, limit });
            }
        }
        Ok(())
    }

    /// Returns the delays before something is asked for again that the bridge has refused or withdrawn.
    pub(crate) fn refusal_backoff(&self) -> Backoff {
        let Backoff { min, max } = self.backoff;
        Backoff {
            min,
            max: max.max(LONGEST_AFTER_REFUSAL),
        }
    }
}

/// The longest delay before something is asked for again that the bridge has refused or withdrawn.
const LONGEST_AFTER_REFUSAL: Duration = Duration::from_secs(300);

/// Queues are linked by 32-bit keys.
const MAX_MESSAGES: usize = 1 << 30;

/// What fits into an MQTT packet with the longest topic, and much more than any bridge accepts.
const MAX_PAYLOAD: usize = 64 * 1024 * 1024;

/// The largest remaining length and its fixed header (MQTT 3.1.1, 2.2.3).
const MAX_FRAME_LIMIT: usize = 268_435_455 + 5;

/// Less than half of the 65,535 packet identifiers: so many that were sent twice, and wait for a second acknowledgement,
/// leave as many for the next window, and 1,535 for attaches and subscriptions.
const MAX_WINDOW: usize = 32_000;

/// An error report with the longest ids must fit.
const MIN_FRAME_LIMIT: usize = 4_096;
