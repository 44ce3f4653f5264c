//! The bridge's limits and our own: rates, memory, and a restart of the process.
#![forbid(unsafe_code)]

use core::time::Duration;

use iotcore_gateway::{
    DeviceAuth, DeviceKey, Event, OpId, Options, Outcome, Publication,
    command_error::{PublishError, PublishErrorKind},
    message::PublicationTopic,
    options::QueueLimit,
    quota::Quota,
};
use iotcore_gateway_testkit::link::{BOUND, Link};

const SECOND: Duration = Duration::from_secs(1);

fn open(options: Options) -> (Link, DeviceKey) {
    let mut link = Link::new(options);
    let now = link.now();
    link.gateway.open(now).unwrap();
    let (device, _) = link
        .gateway
        .attach(
            BOUND[0].try_into().unwrap(),
            DeviceAuth::ByAssociation,
            link.unix_now(),
            now,
        )
        .unwrap();
    link.run(SECOND);
    link.events();
    (link, device)
}

/// Reports a state ten times a second for a minute, and returns how often the bridge detached the device because of it.
fn detached(options: Options) -> usize {
    let (mut link, device) = open(options);
    for n in 0..600 {
        let state = Publication::state(device, n.to_string());
        link.gateway.publish(state, link.now()).unwrap();
        link.run(SECOND / 10);
    }
    link.run(10 * SECOND);
    let last = link
        .bridge
        .device(BOUND[0])
        .unwrap()
        .states()
        .last()
        .cloned();
    assert_eq!(
        last.as_deref(),
        Some(&b"599"[..]),
        "the newest state arrives in any case"
    );
    let events = link.events();
    events
        .iter()
        .filter(|event| matches!(event, Event::Detached { .. }))
        .count()
}

#[test]
fn a_device_is_detached_only_by_a_gateway_without_rate_limits() {
    assert_eq!(detached(Options::default()), 0);
    let mut options = Options::default();
    options.quota = Quota::unpaced();
    assert!(detached(options) > 0);
}

#[test]
fn a_gateway_whose_queue_is_full_reports_it_loses_nothing_and_recovers() {
    let mut options = Options::default();
    options.total_queue = QueueLimit {
        messages: 50,
        bytes: 1 << 20,
    };
    let (mut link, device) = open(options);
    link.bridge
        .inject("refuse close".parse().unwrap(), link.now())
        .unwrap();
    link.cut();
    let mut accepted = 0;
    let blocked = loop {
        let publication = Publication::telemetry(device, accepted.to_string());
        match link.gateway.publish(publication, link.now()) {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(
            blocked,
            PublishError {
                kind: PublishErrorKind::Blocked,
                ..
            }
        ),
        "{blocked}"
    );
    assert_eq!(accepted, 50);
    link.run(60 * SECOND);
    assert_eq!(link.gateway.unsent().count(), 50, "no connection, no loss");

    link.bridge
        .inject("clear".parse().unwrap(), link.now())
        .unwrap();
    link.run(60 * SECOND);
    assert!(link.events().contains(&Event::Writable { device }));
    link.gateway
        .publish(blocked.publication, link.now())
        .unwrap();
    link.run(SECOND);
    let record = link.bridge.device(BOUND[0]).unwrap();
    let arrived: Vec<_> = record
        .telemetry()
        .map(|event| event.payload.clone())
        .collect();
    assert_eq!(arrived, (0..=50).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// What a program stores of a message across a restart.
struct Kept {
    device: String,
    topic: PublicationTopic,
    payload: Vec<u8>,
}

#[test]
fn what_was_unsent_when_the_process_ended_is_published_by_the_next_one() {
    let (mut link, device) = open(Options::default());
    for n in 0..10 {
        link.gateway
            .publish(Publication::telemetry(device, n.to_string()), link.now())
            .unwrap();
        link.run(Duration::from_millis(15));
    }
    let subfolder = "alerts".try_into().unwrap();
    link.gateway
        .publish(
            Publication::telemetry(device, "10").subfolder(subfolder),
            link.now(),
        )
        .unwrap();
    link.gateway
        .publish(Publication::state(device, "on"), link.now())
        .unwrap();
    let kept: Vec<_> = link
        .gateway
        .unsent()
        .map(|unsent| Kept {
            device: unsent.device.to_string(),
            topic: unsent.topic.clone(),
            payload: unsent.payload.to_vec(),
        })
        .collect();
    assert!(
        kept.len() > 2 && kept.len() < 12,
        "some were acknowledged: {}",
        kept.len()
    );

    link.restart(Options::default());
    link.gateway.open(link.now()).unwrap();
    let ops: Vec<OpId> = kept
        .into_iter()
        .map(|kept| {
            let (device, _) = link
                .gateway
                .attach(
                    kept.device.try_into().unwrap(),
                    DeviceAuth::ByAssociation,
                    link.unix_now(),
                    link.now(),
                )
                .unwrap();
            let publication = match kept.topic {
                PublicationTopic::State => Publication::state(device, kept.payload),
                PublicationTopic::Telemetry(None) => Publication::telemetry(device, kept.payload),
                PublicationTopic::Telemetry(Some(subfolder)) => {
                    Publication::telemetry(device, kept.payload).subfolder(subfolder)
                }
            };
            link.gateway.publish(publication, link.now()).unwrap()
        })
        .collect();
    link.run(10 * SECOND);
    let events = link.events();
    for op in ops {
        assert!(events.contains(&Event::Done {
            op,
            outcome: Outcome::Acknowledged
        }));
    }
    let record = link.bridge.device(BOUND[0]).unwrap();
    let mut arrived: Vec<u32> = record
        .telemetry()
        .map(|event| str::from_utf8(&event.payload).unwrap().parse().unwrap())
        .collect();
    arrived.sort_unstable();
    arrived.dedup();
    assert_eq!(arrived, (0..=10).collect::<Vec<_>>());
    assert_eq!(
        record.states().last().map(|state| &state[..]),
        Some(&b"on"[..])
    );
}
