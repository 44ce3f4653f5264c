//! A limit on packets per second: all that count share it, in turns.

use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use iotcore_gateway::{
    DeviceAuth, DeviceKey, Gateway, Options, Publication,
    message::{QoS, Subscription},
};
use iotcore_gateway_testkit::Settings;
use iotcore_gateway_testkit::bridge::service::{Service, ServiceKind};
use iotcore_gateway_testkit::link::{Link, Observation, Observer, device_id, registry_of};
use iotcore_gateway_testkit::packets::{Sent, take};

use super::SECOND;

/// A kind of packets that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Attach,
    Detach,
    Subscription,
    Publication,
    Again,
}

/// What the gateway sends, and when.
#[derive(Default)]
struct Wire {
    stream: Vec<u8>,
    sent: Vec<(Instant, Kind)>,
}

impl Observer for Wire {
    fn observe(&mut self, observation: Observation<'_>, _: &Gateway, now: Instant) {
        if let Observation::Transmitted(bytes) = observation {
            self.stream.extend_from_slice(bytes);
            let sent = take(&mut self.stream);
            let counted = sent.iter().filter_map(kind_of);
            self.sent.extend(counted.map(|kind| (now, kind)));
        }
    }
}

fn kind_of(sent: &Sent) -> Option<Kind> {
    match sent {
        Sent::Publish { topic, .. } if topic.ends_with("/attach") => Some(Kind::Attach),
        Sent::Publish { topic, .. } if topic.ends_with("/detach") => Some(Kind::Detach),
        Sent::Publish { dup: true, .. } => Some(Kind::Again),
        Sent::Publish { .. } => Some(Kind::Publication),
        Sent::Subscribe { .. } | Sent::Unsubscribe { .. } => Some(Kind::Subscription),
        _ => None,
    }
}

fn attach(link: &mut Link<Wire>, number: usize) -> DeviceKey {
    let (id, unix_now, now) = (device_id(number), link.unix_now(), link.now());
    let id = id.as_str().try_into().unwrap();
    link.gateway
        .attach(id, DeviceAuth::ByAssociation, unix_now, now)
        .unwrap()
        .0
}

fn publish(link: &mut Link<Wire>, device: DeviceKey, count: usize) {
    let now = link.now();
    for _ in 0..count {
        let publication = Publication::telemetry(device, "21.5");
        link.gateway.publish(publication, now).unwrap();
    }
}

/// Asserts that from each packet on, at most three were sent, and one for each tenth of a second.
fn assert_paced(sent: &[(Instant, Kind)]) {
    for (first, (begin, _)) in sent.iter().enumerate() {
        for tenths in [0, 1, 5, 10, 20, 50, 100, 200, 600] {
            let end = *begin + tenths * SECOND / 10;
            let count = sent[first..].partition_point(|(at, _)| *at <= end);
            assert!(
                count <= tenths as usize + 3,
                "{count} packets in {tenths} tenths of a second, from packet {first}"
            );
        }
    }
}

#[test]
fn attaches_detaches_subscriptions_publications_and_what_is_sent_again_share_the_pace_in_turns() {
    let mut options = Options::default();
    options.quota.messages_per_second = NonZeroU32::new(10);
    let registry = registry_of(130);
    let settings = Settings::default();
    let mut link = Link::observed(options, 1, registry, settings, |_| Wire::default());
    link.gateway.open(link.now()).unwrap();
    let leaving: Vec<_> = (1..=20).map(|number| attach(&mut link, number)).collect();
    let staying: Vec<_> = (121..=130)
        .map(|number| attach(&mut link, number))
        .collect();
    link.run(10 * SECOND);
    // The bridge loses a hundred publications, and acknowledges one that was sent later: in half a minute, all hundred
    // are to be sent again.
    let deaf = Service::one_queue().losing(ServiceKind::Publish, 1_000);
    link.bridge.set_service(deaf, link.now());
    let own = link.gateway.own_key();
    for device in staying {
        publish(&mut link, device, 10);
    }
    publish(&mut link, leaving[0], 1);
    link.run(10 * SECOND);
    link.bridge.set_service(Service::default(), link.now());
    assert!(link.run_until(60 * SECOND, |link| link.gateway.stats().resent > 0));
    assert_eq!(link.gateway.stats().in_flight, 100);
    // Everything else comes at once.
    let start = link.now();
    publish(&mut link, own, 300);
    for device in leaving {
        link.gateway.detach(device, start).unwrap();
    }
    for number in 21..=120 {
        let device = attach(&mut link, number);
        let (config, qos) = (Subscription::Config, QoS::AtLeastOnce);
        link.gateway.subscribe(device, config, qos, start).unwrap();
    }
    link.run(80 * SECOND);
    let sent = &link.observer.sent;
    assert_paced(sent);
    let mut times = BTreeMap::<Kind, Vec<Duration>>::new();
    for (at, kind) in sent.iter().filter(|(at, _)| *at >= start) {
        times.entry(*kind).or_default().push(*at - start);
    }
    let all = [
        (Kind::Attach, 100),
        (Kind::Detach, 20),
        (Kind::Subscription, 100),
        (Kind::Publication, 300),
        (Kind::Again, 100),
    ];
    for (kind, count) in all {
        let times = &times[&kind];
        assert_eq!(times.len(), count, "{kind:?}");
        // With five kinds, each has its turn within half a second.
        let since_last = times.windows(2).map(|pair| pair[1] - pair[0]);
        let longest = since_last.chain([times[0]]).max();
        assert!(longest <= Some(SECOND / 2), "{kind:?}: {longest:?}");
    }
    assert_eq!(link.gateway.stats().queued, 0);
}
