//! The stages at which a row's bytes arrive.

use iotcore_gateway::{
    DeviceAuth, DeviceKey, Options, Publication,
    auth::Token,
    cause::TransportEnd,
    message::{QoS, Subscription},
    options::Acknowledge,
};

use crate::peer::{GATEWAY, Harness, Sent, UNIX_NOW, publish, seconds};

/// The stage of a gateway. The numbers are the packet identifiers that the peer has seen by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Opened; there is no transport.
    Dialing,
    /// CONNECT is queued.
    Unwritten,
    /// CONNECT was written.
    Connecting,
    /// CONNACK 0 was received; SUBSCRIBE 1 of the errors topic was written.
    Accepted,
    /// SUBACK 1 was received.
    Open,
    /// PUBLISH 2 attaches a device.
    Attaching,
    /// PUBACK 2 was received.
    Attached,
    /// SUBSCRIBE 3 subscribes to the device's configs at QoS 1.
    Subscribing,
    /// SUBACKs 3 and 4 granted its configs and its commands.
    Subscribed,
    /// As `Subscribed`, but with configs at QoS 0.
    SubscribedAtQoS0,
    /// UNSUBSCRIBE 5 unsubscribes from the configs.
    Unsubscribing,
    /// UNSUBACK 5 was received.
    Unsubscribed,
    /// PUBLISH 5 is a telemetry event of the subscribed device.
    InFlight,
    /// PUBACK 5 was received.
    Acknowledged,
    /// PUBLISH 2 is queued.
    PublishUnwritten,
    /// The attach with PUBLISH 2 has timed out, and waits to be sent again.
    TimedOut,
    /// The attach with PUBLISH 2 has timed out, and PUBLISH 3 attaches the device with a new token.
    Quarantined,
    /// PUBLISH 3 detaches the device.
    Detaching,
    /// PINGREQ was written.
    Pinging,
    /// The user has not yet acknowledged config 11.
    Unacknowledged,
    /// The token is about to expire; the gateway waits for PUBACK 2.
    Refreshing,
    /// The gateway is closing and waits for PUBACK 2.
    Closing,
    /// The gateway is closing; DISCONNECT is queued.
    Leaving,
    /// As `Leaving`, after PUBLISH 2 was not acknowledged in time.
    LeavingWithUnsent,
    /// DISCONNECT was written; the transport is still up.
    Left,
    /// A violation has ended the connection; the transport is still up.
    HangingUp,
    /// The transport has ended; the gateway waits for the next attempt.
    Waiting,
    /// The gateway is closed.
    Closed,
}

pub(crate) const CONFIG: &str = "/devices/device-1/config";
pub(crate) const ERRORS: &str = "/devices/gw-1/errors";

impl Stage {
    /// Creates a gateway at this stage; its events are taken.
    pub(crate) fn harness(self) -> Harness {
        let mut harness = match self {
            Self::Dialing
            | Self::Unwritten
            | Self::Connecting
            | Self::Accepted
            | Self::Open
            | Self::Pinging => self.before_any_device(),
            Self::Attaching
            | Self::Attached
            | Self::TimedOut
            | Self::Quarantined
            | Self::Detaching => self.attachment(),
            Self::Subscribing
            | Self::Subscribed
            | Self::SubscribedAtQoS0
            | Self::Unsubscribing
            | Self::Unsubscribed
            | Self::InFlight
            | Self::Acknowledged
            | Self::Unacknowledged => self.subscription(),
            Self::PublishUnwritten
            | Self::Refreshing
            | Self::Closing
            | Self::Leaving
            | Self::LeavingWithUnsent
            | Self::Left
            | Self::HangingUp
            | Self::Waiting
            | Self::Closed => self.ending(),
        };
        harness.events();
        harness
    }

    /// Returns whether the gateway has been told to close.
    pub(crate) fn is_closing(self) -> bool {
        matches!(
            self,
            Self::Closing | Self::Leaving | Self::LeavingWithUnsent | Self::Left | Self::Closed
        )
    }

    fn before_any_device(self) -> Harness {
        let mut harness = Harness::dialing(Options::default());
        if self == Self::Dialing {
            return harness;
        }
        harness.transport_up();
        if self == Self::Unwritten {
            return harness;
        }
        harness.sent();
        if self == Self::Connecting {
            return harness;
        }
        harness.connack(0);
        assert!(matches!(harness.next_sent(), Sent::Subscribe { id: 1, .. }));
        if self == Self::Accepted {
            return harness;
        }
        harness.suback(1, 0);
        if self == Self::Pinging {
            harness.wait(seconds(55));
            assert_eq!(harness.sent(), [Sent::PingReq]);
        }
        harness
    }

    fn attachment(self) -> Harness {
        let mut harness = Harness::open(Options::default());
        let (device, _) = harness.begin_attach("device-1");
        assert_eq!(harness.expect_publish("/devices/device-1/attach"), 2);
        match self {
            Self::Attaching => {}
            Self::TimedOut | Self::Quarantined => harness.time_out(seconds(30)),
            _ => harness.puback(2),
        }
        if self == Self::Quarantined {
            let id = "device-1".try_into().unwrap();
            let auth = DeviceAuth::Token(harness.token());
            let attaching = harness.gateway.attach(id, auth, UNIX_NOW, harness.now);
            attaching.unwrap();
            harness.step();
            assert_eq!(harness.expect_publish("/devices/device-1/attach"), 3);
        }
        if self == Self::Detaching {
            harness.gateway.detach(device, harness.now).unwrap();
            assert_eq!(harness.expect_publish("/devices/device-1/detach"), 3);
        }
        harness
    }

    fn subscription(self) -> Harness {
        let mut options = Options::default();
        if self == Self::Unacknowledged {
            options.acknowledge = Acknowledge::Manual;
        }
        let (mut harness, device) = Harness::attached(options);
        let qos = match self {
            Self::SubscribedAtQoS0 => QoS::AtMostOnce,
            _ => QoS::AtLeastOnce,
        };
        subscribe(&mut harness, device, Subscription::Config, qos);
        if self == Self::Subscribing {
            return harness;
        }
        harness.suback(3, qos as u8);
        subscribe(&mut harness, device, Subscription::Commands, qos);
        harness.suback(4, qos as u8);
        match self {
            Self::Unsubscribing | Self::Unsubscribed => {
                harness
                    .gateway
                    .unsubscribe(device, Subscription::Config, harness.now)
                    .unwrap();
                let sent = harness.next_sent();
                assert!(matches!(sent, Sent::Unsubscribe { id: 5, .. }), "{sent:?}");
            }
            Self::InFlight | Self::Acknowledged => {
                harness.publish(device, "21.5");
                assert_eq!(harness.expect_publish("/devices/device-1/events"), 5);
            }
            Self::Unacknowledged => harness.deliver(CONFIG, "x", Some(11)),
            _ => {}
        }
        match self {
            Self::Unsubscribed => harness.unsuback(5),
            Self::Acknowledged => harness.puback(5),
            _ => {}
        }
        harness
    }

    fn ending(self) -> Harness {
        let mut harness = match self {
            Self::Refreshing => with_short_token(),
            _ => Harness::open(Options::default()),
        };
        let own = harness.gateway.own_key();
        match self {
            Self::PublishUnwritten | Self::Refreshing | Self::Closing | Self::LeavingWithUnsent => {
                harness
                    .gateway
                    .publish(Publication::telemetry(own, "last"), harness.now)
                    .unwrap();
            }
            _ => {}
        }
        match self {
            Self::PublishUnwritten => {}
            Self::Refreshing => {
                harness.sent();
                harness.wait(seconds(24));
            }
            Self::Closing => {
                harness.sent();
                harness.gateway.close(harness.now);
            }
            Self::LeavingWithUnsent => {
                harness.sent();
                harness.gateway.close(harness.now);
                harness.wait(seconds(10));
            }
            Self::HangingUp => harness.receive(&[0xf0]),
            Self::Waiting => harness.lose_connection(),
            _ => {
                harness.gateway.close(harness.now);
            }
        }
        match self {
            Self::Left | Self::Closed => assert_eq!(harness.sent(), [Sent::Disconnect]),
            _ => {}
        }
        if self == Self::Closed {
            harness
                .gateway
                .handle_disconnected(TransportEnd::PeerClosed, harness.now);
            assert!(harness.gateway.is_closed());
        }
        harness
    }
}

fn subscribe(harness: &mut Harness, device: DeviceKey, what: Subscription, qos: QoS) {
    harness
        .gateway
        .subscribe(device, what, qos, harness.now)
        .unwrap();
    let sent = harness.next_sent();
    assert!(matches!(sent, Sent::Subscribe { .. }), "{sent:?}");
}

/// Returns an open gateway whose token is refreshed within 24 s.
fn with_short_token() -> Harness {
    let mut harness = Harness::dialing(Options::default());
    let token = Token::new("short.lived.token", harness.now + seconds(30)).unwrap();
    harness
        .gateway
        .handle_connected(token, UNIX_NOW, harness.now);
    harness.sent();
    harness.connack(0);
    harness.sent();
    harness.suback(1, 0);
    harness
}

/// Returns a message from the bridge.
pub(crate) fn message(topic: &str, payload: &[u8], id: Option<u16>) -> Vec<u8> {
    publish(topic, payload, id, false)
}

/// Returns the message of an error report.
pub(crate) fn report(payload: &str) -> Vec<u8> {
    assert_eq!(ERRORS, format!("/devices/{GATEWAY}/errors"));
    message(ERRORS, payload.as_bytes(), None)
}
