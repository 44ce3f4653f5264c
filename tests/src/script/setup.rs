//! The setup of a script: registry, authentication, the gateway's options and the emulator's settings.

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use iotcore_gateway::{
    Options,
    options::{Acknowledge, Backoff, OnRefusal, Overflow, QueueLimit, Reconnect},
};

use super::step::{DEVICES, NESTED};
use super::world::{CalmWorld, Ignored, World};
use crate::bridge::service::{Queues, Stall, Tail};
use crate::bridge::settings::{
    AttachLimit, AttachSelf, AuthFailure, ConfigRedelivery, ConnectFeature, DeviceTokenExpiry,
    DuplicateClient, ErrorPacketId, ErrorShape, FailedPuback, ForbiddenSubscribe, Mqtt5,
    NestedGateway, OversizePayload, Retain, SecondGateway, StateRate, SubscriptionsAfterDetach,
};
use crate::link::{self, PUBLIC_KEYS, Rate};
use crate::{AuthMethod, Registry, Settings};

/// The positions of all knobs. By [`Default`], each position selects the default of the option that the knob controls.
///
/// `Debug` shows only the knobs that are not at their default.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    positions: [u8; KNOBS.len()],
}

/// The configuration that a setup encodes.
#[derive(Clone, Debug)]
pub struct Drafted {
    /// How the gateway's devices authenticate.
    pub auth: AuthMethod,
    /// The seed of the gateway's jitter.
    pub jitter: u64,
    /// The gateway's options.
    pub options: Options,
    /// The emulator's answers to the open questions.
    pub settings: Settings,
    /// How long the bridge takes, and what the link carries.
    pub world: World,
}

/// One configurable property of a setup.
struct Knob {
    name: &'static str,
    positions: u8,
    turn: fn(&mut Drafted, usize),
}

macro_rules! knobs {
    ($($name:literal: |$drafted:ident| $place:expr => [$($value:expr),+ $(,)?];)+) => {
        const KNOBS: [Knob; [$($name),+].len()] = [$(Knob {
            name: $name,
            positions: [$(stringify!($value)),+].len() as u8,
            turn: |$drafted, position| $place = [$($value),+][position],
        }),+];
    };
}

knobs! {
    "auth": |to| to.auth => [
        AuthMethod::AssociationOnly, AuthMethod::DeviceAuthTokenOnly,
        AuthMethod::AssociationAndDeviceAuthToken, AuthMethod::Unspecified,
    ];
    "jitter": |to| to.jitter => [1, 2, 3, 4, 5, 6, 7, 8];
    "keep_alive": |to| to.options.keep_alive => [secs(60), secs(5), secs(1), secs(300)];
    "connack_timeout": |to| to.options.connack_timeout => [secs(20), secs(2)];
    "attach_timeout": |to| to.options.attach_timeout => [secs(30), secs(3)];
    "ack_timeout": |to| (to.options.ack_timeout, to.options.max_ack_timeout) => [
        (secs(30), secs(300)), (secs(2), secs(2)), (secs(1), secs(20)),
    ];
    "drain_timeout": |to| to.options.drain_timeout => [secs(10), Duration::ZERO, secs(1), secs(40)];
    "window": |to| to.options.window => [100, 1, 2, 5];
    "device_window": |to| to.options.device_window => [100, 1, 2];
    "attach_window": |to| to.options.attach_window => [100, 1, 2];
    "device_queue": |to| to.options.device_queue.messages => [1_000, 1, 3, 10];
    "device_queue_bytes": |to| (
        to.options.device_queue.bytes, to.options.quota.max_telemetry_bytes, to.options.quota.max_state_bytes
    ) => [(1 << 20, 262_144, 65_536), (200, 200, 100), (1_000, 200, 200)];
    "total_queue": |to| to.options.total_queue => [
        QueueLimit { messages: 100_000, bytes: 64 << 20 }, QueueLimit { messages: 2, bytes: 64 << 20 },
        QueueLimit { messages: 8, bytes: 300_000 },
    ];
    "backoff": |to| to.options.backoff => [
        Backoff::default(), Backoff { min: Duration::from_millis(100), max: secs(2) },
        Backoff { min: secs(5), max: secs(5) },
    ];
    "reconnect": |to| to.options.reconnect => [
        Reconnect::Forever, Reconnect::Attempts(10), Reconnect::Attempts(2), Reconnect::Attempts(0),
    ];
    "stable_after": |to| to.options.stable_after => [secs(60), Duration::ZERO, secs(5)];
    "reattach": |to| (to.options.reattach, to.options.on_refusal) => [
        (true, OnRefusal::FailQueue), (false, OnRefusal::FailQueue), (true, OnRefusal::KeepQueue),
        (false, OnRefusal::KeepQueue),
    ];
    "acknowledge": |to| to.options.acknowledge => [Acknowledge::Automatic, Acknowledge::Manual];
    "max_events": |to| to.options.max_events => [1_024, 1, 5, 30];
    "max_unacknowledged": |to| to.options.max_unacknowledged => [1_024, 1, 3];
    "max_devices": |to| to.options.quota.max_devices => [1_000, 1, 2];
    "state_interval": |to| to.options.quota.state_interval => [Duration::from_millis(1_250), Duration::ZERO, secs(5)];
    "device_bytes_per_second": |to| to.options.quota.device_bytes_per_second => [
        NonZeroU32::new(512_000), None, NonZeroU32::new(500),
    ];
    "messages_per_second": |to| to.options.quota.messages_per_second => [
        None, NonZeroU32::new(20), NonZeroU32::new(1),
    ];
    "overflow": |to| to.options.overflow => [Overflow::Reject, Overflow::DropOldest];
    "frame_limit": |to| to.options.frame_limit => [Options::default().frame_limit, 4_096];
    "failed_puback": |to| to.settings.failed_puback => [
        FailedPuback::None, FailedPuback::BeforeReport, FailedPuback::AfterReport,
    ];
    "error_shape": |to| to.settings.error_shape => [ErrorShape::Nested, ErrorShape::Flat, ErrorShape::Absent];
    "error_packet_id": |to| to.settings.error_packet_id => [ErrorPacketId::Number, ErrorPacketId::Text];
    "duplicate_client": |to| to.settings.duplicate_client => [DuplicateClient::TakeOver, DuplicateClient::RefuseNew];
    "auth_failure": |to| to.settings.auth_failure => [
        AuthFailure::Connack4, AuthFailure::Connack5, AuthFailure::Connack13, AuthFailure::Connack0x13,
        AuthFailure::Close,
    ];
    "attach_limit": |to| to.settings.attach_limit => [AttachLimit::Report, AttachLimit::Silence];
    "forbidden_subscribe": |to| to.settings.forbidden_subscribe => [
        ForbiddenSubscribe::Refuse, ForbiddenSubscribe::RefuseAndClose, ForbiddenSubscribe::Close,
    ];
    "oversize_payload": |to| to.settings.oversize_payload => [OversizePayload::Close, OversizePayload::Drop];
    "persistent_session": |to| to.settings.persistent_session => [
        ConnectFeature::Accept, ConnectFeature::Refuse, ConnectFeature::Close,
    ];
    "will": |to| to.settings.will => [ConnectFeature::Accept, ConnectFeature::Refuse, ConnectFeature::Close];
    "retain": |to| to.settings.retain => [Retain::Ignore, Retain::Close];
    "subscriptions_after_detach": |to| to.settings.subscriptions_after_detach => [
        SubscriptionsAfterDetach::Dropped, SubscriptionsAfterDetach::Kept,
    ];
    "device_token_expiry": |to| to.settings.device_token_expiry => [DeviceTokenExpiry::Detach, DeviceTokenExpiry::Ignore];
    "second_gateway": |to| to.settings.second_gateway => [
        SecondGateway::DetachOld, SecondGateway::Share, SecondGateway::RefuseNew,
    ];
    "attach_self": |to| to.settings.attach_self => [AttachSelf::Acknowledge, AttachSelf::Close];
    "nested_gateway": |to| to.settings.nested_gateway => [NestedGateway::Report, NestedGateway::Close];
    "config_redelivery": |to| to.settings.config_redelivery => [
        ConfigRedelivery::Redeliver, ConfigRedelivery::OnResubscribe,
    ];
    "state_rate": |to| to.settings.state_rate => [StateRate::Detach, StateRate::IgnoreForFiveSeconds];
    "mqtt5": |to| to.settings.mqtt5 => [Mqtt5::Refuse, Mqtt5::Accept];
    "queues": |to| to.world.service.queues => [Queues::One, Queues::PerKind];
    "workers": |to| to.world.service.workers => [number(1), number(2), number(5)];
    "attach_time": |to| to.world.service.attach.time => [Duration::ZERO, millis(50), millis(400), secs(2), secs(8)];
    "subscribe_time": |to| to.world.service.subscribe.time => [Duration::ZERO, millis(50), millis(400), secs(2)];
    "publish_time": |to| to.world.service.publish.time => [Duration::ZERO, millis(20), millis(200), secs(1), secs(4)];
    "ping_time": |to| to.world.service.ping.time => [Duration::ZERO, millis(100), secs(2)];
    "tail": |to| to.world.service.tail => [None, tail(1_500, 20), tail(1_100, 50)];
    "burst": |to| to.world.service.burst => [None, Some(secs(2)), Some(secs(15)), Some(secs(50))];
    "buffer": |to| to.world.service.buffer => [None, NonZeroU32::new(20), NonZeroU32::new(3), NonZeroU32::new(1)];
    "losses": |to| (
        to.world.service.attach.lost, to.world.service.subscribe.lost, to.world.service.publish.lost,
        to.world.service.ping.lost
    ) => [(0, 0, 0, 0), (10, 10, 10, 10), (200, 200, 200, 200), (500, 0, 0, 0), (0, 500, 0, 0), (0, 0, 500, 0), (0, 0, 0, 500)];
    "stall": |to| to.world.service.stall => [
        None, stall(5, 20), stall(20, 200), stall(60, 60), stall(10, 1_500),
    ];
    "ignores": |to| to.world.ignored => [
        Ignored::None, Ignored::Attaches(1), Ignored::All(2), Ignored::All(1), Ignored::All(0),
        Ignored::Publications(1), Ignored::Publications(0), Ignored::Publications(2),
    ];
    "service_seed": |to| to.world.service.seed => [0, 1, 2, 3, 4, 5, 6, 7];
    "link": |to| to.world.rate => [
        Rate::default(), Rate::both(100_000), Rate::both(10_000), Rate::both(2_000), Rate::both(500),
        Rate { to_bridge: Some(1_000), to_gateway: None }, Rate { to_bridge: None, to_gateway: Some(200) },
    ];
    "link_buffer": |to| to.world.capacity => [usize::MAX, 300_000, 64_000, 4_000, 100];
    "calm": |to| to.world.calm => [CalmWorld::Steady, CalmWorld::Kind];
}

/// The number of knobs of the world, the last ones. A script without them has the others only.
const WORLD_KNOBS: usize = 16;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

fn tail(shape: u32, limit: u32) -> Option<Tail> {
    Some(Tail {
        shape: number(shape),
        limit: number(limit),
    })
}

fn stall(from: u64, duration: u64) -> Option<Stall> {
    Some(Stall {
        from: secs(from),
        duration: secs(duration),
    })
}

impl Setup {
    /// The number of knobs, each with one byte.
    pub const KNOBS: usize = KNOBS.len();

    /// The number of knobs before those of the world.
    pub const PLAIN_KNOBS: usize = KNOBS.len() - WORLD_KNOBS;

    /// Sets each knob to the position in its byte, modulo the number of positions; knobs without a byte keep their
    /// default.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut setup = Self::default();
        for ((position, knob), byte) in setup.positions.iter_mut().zip(&KNOBS).zip(bytes) {
            *position = byte % knob.positions;
        }
        setup
    }

    /// Returns the position of each knob.
    pub fn as_bytes(&self) -> &[u8] {
        &self.positions
    }

    /// Returns the configuration that it encodes.
    pub fn draft(&self) -> Drafted {
        let mut drafted = Drafted {
            auth: AuthMethod::AssociationOnly,
            jitter: 1,
            options: Options::default(),
            settings: Settings::default(),
            world: World::default(),
        };
        for (position, knob) in self.positions.iter().zip(&KNOBS) {
            (knob.turn)(&mut drafted, usize::from(*position));
        }
        drafted
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            positions: [0; KNOBS.len()],
        }
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut knobs = f.debug_struct("Setup");
        for (position, knob) in self.positions.iter().zip(&KNOBS) {
            if *position > 0 {
                knobs.field(knob.name, position);
            }
        }
        knobs.finish()
    }
}

impl Drafted {
    /// Returns the registry of [`link::registry`] plus a second gateway.
    pub fn registry(&self) -> Registry {
        let mut registry = link::registry(self.auth);
        registry
            .add_gateway(DEVICES[NESTED], &PUBLIC_KEYS, self.auth)
            .expect("a legal id that is not taken");
        registry
    }

    /// Returns whether devices need tokens of their own.
    pub fn needs_device_tokens(&self) -> bool {
        matches!(
            self.auth,
            AuthMethod::DeviceAuthTokenOnly | AuthMethod::AssociationAndDeviceAuthToken
        )
    }
}

#[cfg(test)]
mod tests {
    use iotcore_gateway::Gateway;

    use super::*;

    #[test]
    fn the_first_position_of_every_knob_is_the_default() {
        let drafted = Setup::default().draft();
        assert_eq!(drafted.options, Options::default());
        assert_eq!(drafted.settings, Settings::default());
        assert_eq!(drafted.world, World::default());
        assert_eq!(format!("{:?}", Setup::default()), "Setup");
    }

    #[test]
    fn every_position_of_every_knob_creates_a_gateway_and_differs_from_the_first() {
        let client_id = link::Link::new(Options::default())
            .gateway
            .client_id()
            .clone();
        let first = format!("{:?}", Setup::default().draft());
        for (index, knob) in KNOBS.iter().enumerate() {
            for position in 1..knob.positions {
                let mut bytes = [0; Setup::KNOBS];
                bytes[index] = position;
                let drafted = Setup::from_bytes(&bytes).draft();
                assert_ne!(format!("{drafted:?}"), first, "{} {position}", knob.name);
                let gateway = Gateway::new(client_id.clone(), drafted.options, 1);
                assert!(gateway.is_ok(), "{} {position}", knob.name);
            }
        }
    }

    #[test]
    fn the_last_knobs_are_those_of_the_world() {
        let bytes = [1; Setup::KNOBS];
        assert!(
            !Setup::from_bytes(&bytes[..Setup::PLAIN_KNOBS])
                .draft()
                .world
                .is_slow()
        );
        assert_eq!(KNOBS[Setup::PLAIN_KNOBS].name, "queues");
    }

    #[test]
    fn there_is_a_knob_for_every_setting_of_the_emulator() {
        for setting in Settings::default().to_string().lines() {
            let (name, _) = setting.split_once('=').unwrap();
            assert!(KNOBS.iter().any(|knob| knob.name == name), "{name}");
        }
    }
}
