//! What a link does that carries few bytes a second.
#![forbid(unsafe_code)]

use core::time::Duration;
use std::time::Instant;

use iotcore_gateway::{
    DeviceAuth, DeviceKey, Gateway, Options, Publication,
    message::{QoS, Subscription},
};
use iotcore_gateway_testkit::Settings;
use iotcore_gateway_testkit::bridge::settings::ConfigRedelivery;
use iotcore_gateway_testkit::link::{
    Link, Network, Observation, Observer, Rate, Side, device_id, registry_of,
};

const SECOND: Duration = Duration::from_secs(1);

/// When the gateway read how many bytes, and when the transport took how many from it.
#[derive(Default)]
struct Ledger {
    read: Vec<(Instant, usize)>,
    taken: Vec<(Instant, usize)>,
}

impl Observer for Ledger {
    fn observe(&mut self, observation: Observation<'_>, _: &Gateway, now: Instant) {
        match observation {
            Observation::Received(bytes) => self.read.push((now, bytes.len())),
            Observation::Transmitted(bytes) => self.taken.push((now, bytes.len())),
            _ => {}
        }
    }
}

/// An open gateway on a link without limits.
fn open() -> (Link<Ledger>, DeviceKey) {
    let (options, settings) = (Options::default(), Settings::default());
    let mut link = Link::observed(options, 1, registry_of(2), settings, |_| Ledger::default());
    link.gateway.open(link.now()).unwrap();
    link.run(SECOND);
    assert!(link.gateway.is_open());
    link.bridge_events();
    link.observer = Ledger::default();
    let own = link.gateway.own_key();
    (link, own)
}

fn publish(link: &mut Link<Ledger>, length: usize) {
    let own = link.gateway.own_key();
    let publication = Publication::telemetry(own, vec![b'x'; length]);
    link.gateway.publish(publication, link.now()).unwrap();
}

fn telemetry(link: &Link<Ledger>) -> u64 {
    link.bridge.device("gateway-1").unwrap().telemetry_total()
}

fn slow(bytes_per_second: u32) -> Network {
    Network {
        rate: Rate::both(bytes_per_second),
        ..Network::default()
    }
}

#[test]
fn a_download_arrives_in_small_pieces_at_the_rate_of_the_link() {
    let (mut link, own) = open();
    let now = link.now();
    link.gateway
        .subscribe(own, Subscription::Config, QoS::AtLeastOnce, now)
        .unwrap();
    link.run(SECOND);
    link.observer = Ledger::default();
    link.network = slow(1_500);
    let start = link.now();
    let payload = vec![b'x'; 64 * 1024];
    link.bridge
        .send_config("gateway-1", payload, start)
        .unwrap();
    link.run(40 * SECOND);
    let begun: usize = link.observer.read.iter().map(|(_, length)| length).sum();
    assert!((58_000..=60_000).contains(&begun), "{begun} bytes in 40 s");
    link.run(10 * SECOND);
    let read = &link.observer.read;
    let all: usize = read.iter().map(|(_, length)| length).sum();
    assert!(all > 64 * 1024);
    let mut so_far = 0;
    for (at, length) in read {
        so_far += length;
        assert!(*length <= 1_400);
        let least = Duration::from_secs_f64(so_far as f64 / 1_500.0) + link.network.latency;
        assert_eq!((*at - start).as_micros(), least.as_micros(), "{so_far}");
    }
}

#[test]
fn an_answer_waits_behind_a_download() {
    let (mut link, own) = open();
    let now = link.now();
    link.gateway
        .subscribe(own, Subscription::Config, QoS::AtLeastOnce, now)
        .unwrap();
    link.run(SECOND);
    link.network = slow(1_000);
    let settings = link.bridge.settings_mut();
    settings.config_redelivery = ConfigRedelivery::OnResubscribe;
    let payload = vec![b'x'; 20_000];
    link.bridge.send_config("gateway-1", payload, now).unwrap();
    link.run(2 * SECOND);
    assert!((18_000..19_000).contains(&link.buffered(Side::Gateway)));
    publish(&mut link, 1);
    let published = link.now();
    link.run(60 * SECOND);
    assert_eq!(telemetry(&link), 1);
    let (at, length) = *link.observer.read.last().unwrap();
    assert_eq!(length, 4, "a PUBACK");
    let waited = at - published;
    assert!((18 * SECOND..19 * SECOND).contains(&waited), "{waited:?}");
}

#[test]
fn the_bridge_keeps_what_its_buffer_has_no_room_for() {
    let (mut link, own) = open();
    let now = link.now();
    link.gateway
        .subscribe(own, Subscription::Config, QoS::AtLeastOnce, now)
        .unwrap();
    link.run(SECOND);
    link.observer = Ledger::default();
    link.network = Network {
        capacity: 3_000,
        ..slow(1_000)
    };
    let payload = vec![b'x'; 20_000];
    link.bridge.send_config("gateway-1", payload, now).unwrap();
    for _ in 0..15 {
        link.run(SECOND);
        let buffered = link.buffered(Side::Gateway);
        assert!((1_600..=3_000).contains(&buffered), "{buffered}");
    }
    link.run(7 * SECOND);
    let acknowledged = |link: &Link<Ledger>| {
        let own = link.bridge.device("gateway-1").unwrap();
        own.config_acknowledged()
    };
    assert_eq!(acknowledged(&link), Some(2));
}

#[test]
fn the_buffer_takes_what_it_has_room_for_and_more_when_a_fragment_has_left_it() {
    let (mut link, _) = open();
    link.network = Network {
        capacity: 4_000,
        fragment: 1_000,
        ..slow(1_000)
    };
    let start = link.now();
    publish(&mut link, 10_000);
    link.run(SECOND / 2);
    assert_eq!(link.buffered(Side::Bridge), 4_000);
    let unsent = link.gateway.poll_transmit().len();
    assert!(unsent > 6_000);
    link.run(2 * SECOND);
    assert_eq!(link.buffered(Side::Bridge), 4_000, "refilled");
    assert_eq!(link.gateway.poll_transmit().len(), unsent - 2_000);
    link.run(60 * SECOND);
    assert_eq!(telemetry(&link), 1);
    let taken: Vec<(u128, usize)> = link
        .observer
        .taken
        .iter()
        .map(|(at, length)| ((*at - start).as_millis(), *length))
        .collect();
    assert_eq!(taken.first(), Some(&(0, 4_000)));
    assert_eq!(taken.get(1), Some(&(1_000, 1_000)), "{taken:?}");
    assert_eq!(taken.get(2), Some(&(2_000, 1_000)));
}

#[test]
fn bytes_on_their_way_do_not_occupy_the_buffer() {
    let (mut link, _) = open();
    link.network = Network {
        capacity: 1_000,
        fragment: 1_000,
        latency: 30 * SECOND,
        ..slow(1_000)
    };
    publish(&mut link, 5_000);
    link.run(6 * SECOND);
    assert_eq!(link.gateway.poll_transmit().len(), 0);
    assert_eq!(link.buffered(Side::Bridge), 0);
    assert_eq!(telemetry(&link), 0);
    link.run(30 * SECOND);
    assert_eq!(telemetry(&link), 1);
}

#[test]
fn each_direction_has_its_own_rate() {
    let (mut link, _) = open();
    link.network.rate.to_gateway = Some(1);
    publish(&mut link, 100_000);
    link.run(SECOND);
    assert_eq!(telemetry(&link), 1);
    assert_eq!(link.buffered(Side::Bridge), 0);
    assert_eq!(
        link.buffered(Side::Gateway),
        4,
        "a PUBACK leaves as a whole"
    );
    link.events();
    link.run(2 * SECOND);
    assert_eq!(link.events(), []);
    link.run(2 * SECOND);
    assert_eq!(link.events().len(), 1);
}

#[test]
fn a_stall_keeps_the_bytes_in_the_buffer_and_the_rate_holds_after_it() {
    let (mut link, _) = open();
    link.network = Network {
        fragment: 1_000,
        ..slow(1_000)
    };
    publish(&mut link, 9_000);
    link.run(2 * SECOND);
    let before = link.buffered(Side::Bridge);
    link.stall(20 * SECOND);
    link.run(19 * SECOND);
    assert_eq!(link.buffered(Side::Bridge), before);
    link.stall(4 * SECOND);
    link.run(4 * SECOND);
    assert_eq!(link.buffered(Side::Bridge), before, "stalled until 25 s");
    link.run(3 * SECOND);
    let after = link.buffered(Side::Bridge);
    assert!(
        (2_000..=4_000).contains(&(before - after)),
        "{before} {after}"
    );
    assert_eq!(telemetry(&link), 0);
    link.run(5 * SECOND);
    assert_eq!(telemetry(&link), 1);
}

#[test]
fn a_cut_empties_the_buffer_and_a_vanished_peer_does_not() {
    let (mut link, _) = open();
    link.network = slow(1_000);
    publish(&mut link, 50_000);
    link.run(SECOND);
    let before = link.buffered(Side::Bridge);
    assert!(link.go_half_open());
    link.run(20 * SECOND);
    assert_eq!(link.buffered(Side::Bridge), before);
    link.cut();
    assert_eq!(link.buffered(Side::Bridge), 0);
    link.network = Network::default();
    link.run(60 * SECOND);
    assert_eq!(telemetry(&link), 1, "on the next connection");
}

#[test]
fn many_devices_are_bound_to_the_gateway() {
    let mut link = Link::with_devices(Options::default(), 1_000);
    let now = link.now();
    link.gateway.open(now).unwrap();
    for number in [1, 1_000] {
        let device = device_id(number);
        let device = device.as_str().try_into().unwrap();
        link.gateway
            .attach(device, DeviceAuth::ByAssociation, link.unix_now(), now)
            .unwrap();
    }
    link.run(SECOND);
    let attached: Vec<&str> = link.bridge.attached("gateway-1").collect();
    assert_eq!(attached, ["device-0001", "device-1000"]);
}
