//! Each feature of the virtual network, one at a time.
#![forbid(unsafe_code)]

use core::time::Duration;

use iotcore_gateway::{
    Event, Options, Outcome, Publication,
    cause::{DisconnectReason, Disconnected, TransportEnd},
    message::{QoS, Subscription},
};
use iotcore_gateway_testkit::link::{Link, Network, Side};
use iotcore_gateway_testkit::{CloseReason, EventKind};

const SECOND: Duration = Duration::from_secs(1);

/// Creates an open gateway, and discards its events so far.
fn open(options: Options) -> Link {
    let mut link = Link::new(options);
    link.gateway.open(link.now()).unwrap();
    link.run(SECOND);
    link.events();
    link.bridge_events();
    link
}

fn publish(link: &mut Link, payload: &str) {
    let own = link.gateway.own_key();
    let publication = Publication::telemetry(own, payload.to_owned());
    link.gateway.publish(publication, link.now()).unwrap();
}

fn arrived(link: &Link) -> Vec<String> {
    let record = link.bridge.device("gateway-1").unwrap();
    let payloads = record.telemetry().map(|event| event.payload.to_vec());
    payloads
        .map(|payload| String::from_utf8_lossy(&payload).into_owned())
        .collect()
}

fn reasons(link: &mut Link) -> Vec<DisconnectReason> {
    let events = link.events().into_iter();
    let reasons = events.filter_map(|event| match event {
        Event::Disconnected(Disconnected { reason, .. }) => Some(reason),
        _ => None,
    });
    reasons.collect()
}

#[test]
fn both_sides_detect_a_half_open_connection_by_timeout() {
    let mut link = open(Options::default());
    assert!(link.go_half_open());
    publish(&mut link, "1");
    link.run(50 * SECOND);
    assert_eq!(arrived(&link), [""; 0]);
    assert!(link.gateway.is_open());
    link.run(40 * SECOND);
    let reasons = reasons(&mut link);
    assert!(
        matches!(reasons[..], [DisconnectReason::PingRespTimedOut(_)]),
        "{reasons:?}"
    );
    assert_eq!(arrived(&link), ["1"], "on the next connection");
    let closed = link
        .bridge_events()
        .into_iter()
        .find_map(|event| match event.kind {
            EventKind::Closed { reason, .. } => Some(reason),
            _ => None,
        });
    assert_eq!(closed, Some(CloseReason::TakenOver));
}

#[test]
fn a_bit_is_flipped_once_at_the_given_position() {
    let mut link = open(Options::default());
    // In the payload, the last byte of the PUBLISH.
    let packet = 2 + 2 + "/devices/gateway-1/events".len() + 2 + 3;
    link.flip_after(Side::Bridge, packet - 1, 0);
    publish(&mut link, "abc");
    publish(&mut link, "abc");
    link.run(SECOND);
    assert_eq!(arrived(&link), ["abb", "abc"]);
}

#[test]
fn what_is_stalled_arrives_later() {
    let mut link = open(Options::default());
    publish(&mut link, "1");
    link.stall(5 * SECOND);
    link.run(4 * SECOND);
    assert_eq!(arrived(&link), [""; 0]);
    link.run(2 * SECOND);
    assert_eq!(arrived(&link), ["1"]);
}

#[test]
fn a_full_network_accepts_what_fits() {
    let mut link = open(Options::default());
    link.network = Network {
        capacity: 10,
        ..Network::default()
    };
    publish(&mut link, "1");
    link.run(Duration::from_millis(19));
    assert!(link.gateway.poll_transmit().len() > 10);
    link.run(SECOND);
    assert_eq!(arrived(&link), ["1"]);
}

#[test]
fn dials_fail_the_given_number_of_times_in_the_given_way() {
    let mut link = Link::new(Options::default());
    link.fail_dials(2, TransportEnd::TlsFailed);
    link.gateway.open(link.now()).unwrap();
    link.run(10 * SECOND);
    let failed = DisconnectReason::Transport(TransportEnd::TlsFailed);
    assert_eq!(reasons(&mut link), [failed.clone(), failed]);
    assert!(link.gateway.is_open());
}

#[test]
fn events_wait_until_they_are_polled() {
    let mut link = open(Options::default());
    link.leave_unpolled(10 * SECOND);
    publish(&mut link, "1");
    link.run(9 * SECOND);
    assert_eq!(link.events(), []);
    link.run(2 * SECOND);
    assert!(matches!(
        link.events()[..],
        [Event::Done {
            outcome: Outcome::Acknowledged,
            ..
        }]
    ));
}

#[test]
fn tokens_of_a_wrong_clock_are_refused() {
    let mut link = Link::new(Options::default());
    link.set_clock_error(-7_200);
    link.gateway.open(link.now()).unwrap();
    link.run(SECOND);
    assert!(matches!(
        reasons(&mut link)[..],
        [DisconnectReason::Refused(_)]
    ));
    link.set_clock_error(0);
    link.run(10 * SECOND);
    assert!(link.gateway.is_open());
}

#[test]
fn while_a_machine_sleeps_the_date_the_network_and_the_bridge_go_on() {
    let mut link = open(Options::default());
    link.gateway
        .subscribe(
            link.gateway.own_key(),
            Subscription::Config,
            QoS::AtLeastOnce,
            link.now(),
        )
        .unwrap();
    link.run(SECOND);
    publish(&mut link, "sent before");
    let (now, date, elapsed) = (link.now(), link.unix_now(), link.elapsed());
    link.events();
    link.sleep(80 * SECOND);
    assert_eq!(link.now(), now);
    assert_eq!(link.unix_now(), date.saturating_add(80 * SECOND));
    assert_eq!(link.elapsed(), elapsed + 80 * SECOND);
    assert_eq!(arrived(&link), ["sent before"]);
    let at = link.now();
    link.bridge.send_config("gateway-1", "late", at).unwrap();
    assert!(link.is_up() && link.gateway.is_open());
    link.sleep(11 * SECOND);
    assert!(link.gateway.is_open(), "nothing has reached it");
    assert!(link.bridge.connected().next().is_none());
    link.run(Duration::from_millis(1));
    let told = link.events();
    let is_config =
        |event: &Event| matches!(event, Event::Config { payload, .. } if payload == "late");
    assert!(told.iter().any(is_config), "{told:?}");
    let is_end = |event: &Event| {
        matches!(
            event,
            Event::Disconnected(Disconnected {
                reason: DisconnectReason::Transport(TransportEnd::PeerClosed),
                ..
            })
        )
    };
    assert!(told.iter().any(is_end), "{told:?}");
    let closed = link
        .bridge_events()
        .into_iter()
        .find_map(|event| match event.kind {
            EventKind::Closed { reason, .. } => Some(reason),
            _ => None,
        });
    assert_eq!(closed, Some(CloseReason::KeepAlive { seconds: 60 }));
    link.run(5 * SECOND);
    assert!(link.gateway.is_open(), "with a token of the new date");
}

#[test]
fn a_machine_without_a_date_is_refused_until_the_date_is_set() {
    let mut link = Link::new(Options::default());
    link.run(SECOND);
    link.forget_date();
    assert_eq!(link.unix_now().as_secs(), 0);
    link.gateway.open(link.now()).unwrap();
    link.run(100 * SECOND);
    assert_eq!(link.unix_now().as_secs(), 100);
    assert!(!link.gateway.is_open());
    link.set_clock_error(0);
    link.run(60 * SECOND);
    assert!(link.gateway.is_open());
}
