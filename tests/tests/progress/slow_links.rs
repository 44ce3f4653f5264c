//! Links that carry few bytes a second, behind kernel buffers that take many at once.

use iotcore_gateway::{
    Event, Options,
    message::{QoS, Subscription},
};
use iotcore_gateway_testkit::bridge::faults::PacketKind;
use iotcore_gateway_testkit::bridge::settings::ConfigRedelivery;
use iotcore_gateway_testkit::link::{GATEWAY, Link, Rate};
use iotcore_gateway_testkit::progress::{Workload, run};

use super::{SECOND, assert_done_within};

const KIB: usize = 1024;

#[test]
fn a_message_for_which_the_link_needs_longer_than_any_timeout_is_sent_once_on_one_connection() {
    let mut options = Options::default();
    options.keep_alive = 180 * SECOND;
    let progress = run(&Workload::publish(1, 250_000), options, |link| {
        link.network.rate = Rate::both(2_500);
        link.network.capacity = 4 * KIB * KIB;
    });
    assert_done_within(&progress, 101 * SECOND, 1);
    assert!(progress.elapsed >= 100 * SECOND);
}

#[test]
fn four_megabytes_go_out_on_one_connection_while_pubacks_come() {
    for capacity in [64 * KIB, 256 * KIB, 4 * KIB * KIB] {
        let workload = Workload::attach(5).and_publish(400, 10_000);
        let progress = run(&workload, Options::default(), |link| {
            link.network.rate = Rate::both(16_000);
            link.network.capacity = capacity;
        });
        assert_done_within(&progress, 255 * SECOND, 405);
    }
}

#[test]
fn a_config_that_takes_longer_than_the_keep_alive_arrives_because_bytes_are_life() {
    let mut options = Options::default();
    options.keep_alive = 20 * SECOND;
    let mut link = Link::new(options);
    let (now, own) = (link.now(), link.gateway.own_key());
    link.gateway.open(now).unwrap();
    let (config, qos) = (Subscription::Config, QoS::AtLeastOnce);
    link.gateway.subscribe(own, config, qos, now).unwrap();
    link.run(SECOND);
    link.events();
    link.network.rate = Rate::both(1_500);
    link.bridge.settings_mut().config_redelivery = ConfigRedelivery::OnResubscribe;
    let acknowledged = link.bridge.traffic().received(PacketKind::Puback);
    let (payload, now) = (vec![b'x'; 64 * KIB], link.now());
    link.bridge
        .send_config(GATEWAY, payload.clone(), now)
        .unwrap();
    link.run(43 * SECOND);
    assert_eq!(link.events(), [], "it has not arrived");
    link.run(2 * SECOND);
    let events = link.events();
    let is_it =
        |event: &Event| matches!(event, Event::Config { payload: it, .. } if it[..] == payload);
    assert!(events.len() == 1 && is_it(&events[0]), "{}", events.len());
    link.run(60 * SECOND);
    assert_eq!(link.events(), [], "nothing else happens");
    let traffic = link.bridge.traffic();
    assert_eq!(traffic.connections(), 1);
    assert_eq!(traffic.received(PacketKind::Puback), acknowledged + 1);
}
