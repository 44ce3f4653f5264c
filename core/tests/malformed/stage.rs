//! The stages at which a row's bytes come.

use iotcore_gateway::{
    Acknowledge, DeviceKey, Options, Publication, QoS, Subscription, Token, TransportEnd,
};

use crate::peer::{GATEWAY, Sent, Session, UNIX_NOW, publish, seconds};

/// How far a gateway has come. The numbers are the packet identifiers that a peer has seen by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Opened; there is no transport.
    Dialing,
    /// CONNECT waits to be written.
    Unwritten,
    /// CONNECT was written.
    Connecting,
    /// CONNACK 0 came; SUBSCRIBE 1 of the errors topic was written.
    Accepted,
    /// SUBACK 1 came.
    Open,
    /// PUBLISH 2 attaches a device.
    Attaching,
    /// PUBACK 2 came.
    Attached,
    /// SUBSCRIBE 3 asks for the device's configs at QoS 1.
    Subscribing,
    /// SUBACKs 3 and 4 granted its configs and its commands.
    Subscribed,
    /// As before, but the configs at QoS 0 only.
    SubscribedAtQoS0,
    /// UNSUBSCRIBE 5 ends the configs.
    Unsubscribing,
    /// UNSUBACK 5 came.
    Unsubscribed,
    /// PUBLISH 5 is a telemetry event of the device's, which is subscribed.
    InFlight,
    /// PUBACK 5 came.
    Acknowledged,
    /// PUBLISH 2 waits to be written.
    PublishUnwritten,
    /// The attach with PUBLISH 2 has timed out.
    Quarantined,
    /// PUBLISH 3 detaches the device.
    Detaching,
    /// PINGREQ was written.
    Pinging,
    /// The user has not yet acknowledged config 11.
    Unacknowledged,
    /// The token is about to expire, and PUBLISH 2 is waited for.
    Refreshing,
    /// The gateway is being closed, and PUBLISH 2 is waited for.
    Closing,
    /// The gateway is being closed, and DISCONNECT waits to be written.
    Leaving,
    /// As before, and PUBLISH 2 was not acknowledged in time.
    LeavingWithUnsent,
    /// DISCONNECT was written; the transport is still up.
    Left,
    /// A violation has ended the connection; the transport is still up.
    HangingUp,
    /// The transport has ended; the next attempt is to come.
    Waiting,
    /// The gateway is closed for good.
    Closed,
}

pub(crate) const CONFIG: &str = "/devices/device-1/config";
pub(crate) const ERRORS: &str = "/devices/gw-1/errors";

impl Stage {
    /// A gateway that has come so far; its events are taken.
    pub(crate) fn session(self) -> Session {
        let mut session = match self {
            Self::Dialing
            | Self::Unwritten
            | Self::Connecting
            | Self::Accepted
            | Self::Open
            | Self::Pinging => self.before_any_device(),
            Self::Attaching | Self::Attached | Self::Quarantined | Self::Detaching => {
                self.attachment()
            }
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
        session.events();
        session
    }

    /// Whether the gateway was told to close.
    pub(crate) fn is_closing(self) -> bool {
        matches!(
            self,
            Self::Closing | Self::Leaving | Self::LeavingWithUnsent | Self::Left | Self::Closed
        )
    }

    fn before_any_device(self) -> Session {
        let mut session = Session::dialing(Options::default());
        if self == Self::Dialing {
            return session;
        }
        session.transport_up();
        if self == Self::Unwritten {
            return session;
        }
        session.sent();
        if self == Self::Connecting {
            return session;
        }
        session.connack(0);
        assert!(matches!(session.next_sent(), Sent::Subscribe { id: 1, .. }));
        if self == Self::Accepted {
            return session;
        }
        session.suback(1, 0);
        if self == Self::Pinging {
            session.wait(seconds(55));
            assert_eq!(session.sent(), [Sent::PingReq]);
        }
        session
    }

    fn attachment(self) -> Session {
        let mut session = Session::open(Options::default());
        let (device, _) = session.begin_attach("device-1");
        assert_eq!(session.expect_publish("/devices/device-1/attach"), 2);
        match self {
            Self::Attaching => {}
            Self::Quarantined => session.wait(seconds(30)),
            _ => session.puback(2),
        }
        if self == Self::Detaching {
            session.gateway.detach(device, session.now).unwrap();
            assert_eq!(session.expect_publish("/devices/device-1/detach"), 3);
        }
        session
    }

    fn subscription(self) -> Session {
        let mut options = Options::default();
        if self == Self::Unacknowledged {
            options.acknowledge = Acknowledge::Manual;
        }
        let (mut session, device) = Session::attached(options);
        let qos = match self {
            Self::SubscribedAtQoS0 => QoS::AtMostOnce,
            _ => QoS::AtLeastOnce,
        };
        subscribe(&mut session, device, Subscription::Config, qos);
        if self == Self::Subscribing {
            return session;
        }
        session.suback(3, qos as u8);
        subscribe(&mut session, device, Subscription::Commands, qos);
        session.suback(4, qos as u8);
        match self {
            Self::Unsubscribing | Self::Unsubscribed => {
                session
                    .gateway
                    .unsubscribe(device, Subscription::Config, session.now)
                    .unwrap();
                let sent = session.next_sent();
                assert!(matches!(sent, Sent::Unsubscribe { id: 5, .. }), "{sent:?}");
            }
            Self::InFlight | Self::Acknowledged => {
                session.publish(device, "21.5");
                assert_eq!(session.expect_publish("/devices/device-1/events"), 5);
            }
            Self::Unacknowledged => session.deliver(CONFIG, "x", Some(11)),
            _ => {}
        }
        match self {
            Self::Unsubscribed => session.unsuback(5),
            Self::Acknowledged => session.puback(5),
            _ => {}
        }
        session
    }

    fn ending(self) -> Session {
        let mut session = match self {
            Self::Refreshing => with_short_token(),
            _ => Session::open(Options::default()),
        };
        let own = session.gateway.own_key();
        match self {
            Self::PublishUnwritten | Self::Refreshing | Self::Closing | Self::LeavingWithUnsent => {
                session
                    .gateway
                    .publish(Publication::telemetry(own, "last"), session.now)
                    .unwrap();
            }
            _ => {}
        }
        match self {
            Self::PublishUnwritten => {}
            Self::Refreshing => {
                session.sent();
                session.wait(seconds(24));
            }
            Self::Closing => {
                session.sent();
                session.gateway.close(session.now);
            }
            Self::LeavingWithUnsent => {
                session.sent();
                session.gateway.close(session.now);
                session.wait(seconds(10));
            }
            Self::HangingUp => session.receive(&[0xf0]),
            Self::Waiting => session.lose_connection(),
            _ => {
                session.gateway.close(session.now);
            }
        }
        match self {
            Self::Left | Self::Closed => assert_eq!(session.sent(), [Sent::Disconnect]),
            _ => {}
        }
        if self == Self::Closed {
            session
                .gateway
                .handle_disconnected(TransportEnd::PeerClosed, session.now);
            assert!(session.gateway.is_closed());
        }
        session
    }
}

fn subscribe(session: &mut Session, device: DeviceKey, what: Subscription, qos: QoS) {
    session
        .gateway
        .subscribe(device, what, qos, session.now)
        .unwrap();
    let sent = session.next_sent();
    assert!(matches!(sent, Sent::Subscribe { .. }), "{sent:?}");
}

/// An open gateway whose token is refreshed within 24 s.
fn with_short_token() -> Session {
    let mut session = Session::dialing(Options::default());
    let token = Token::new("short.lived.token", session.now + seconds(30)).unwrap();
    session
        .gateway
        .handle_connected(token, UNIX_NOW, session.now);
    session.sent();
    session.connack(0);
    session.sent();
    session.suback(1, 0);
    session
}

/// A message of the bridge's.
pub(crate) fn message(topic: &str, payload: &[u8], id: Option<u16>) -> Vec<u8> {
    publish(topic, payload, id, false)
}

/// An error report's message.
pub(crate) fn report(payload: &str) -> Vec<u8> {
    assert_eq!(ERRORS, format!("/devices/{GATEWAY}/errors"));
    message(ERRORS, payload.as_bytes(), None)
}
