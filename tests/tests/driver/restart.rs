//! What one run leaves unsent, and the next sends again.

use std::time::Duration;

use iotcore_gateway::{
    Options,
    driver::{Client, ReportedState, Telemetry},
    message::{Priority, Unsent},
};

use super::{Sent, Server, World, open, start};

/// Publishes telemetry and a state that cannot be sent, and returns what is left of them.
fn left_unsent() -> Vec<Unsent> {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    let gateway = client.gateway();
    let reading = Telemetry::new("21.5")
        .subfolder("alerts".parse().unwrap())
        .priority(Priority::Urgent)
        .expires_after(Duration::from_secs(3_600))
        .tag("reading 17".parse().unwrap());
    let _reading = gateway.try_telemetry(reading).unwrap();
    let _state = gateway
        .try_report_state(ReportedState::new("open"))
        .unwrap();
    client.unsent()
}

#[test]
fn what_was_left_unsent_is_sent_again_as_what_it_was() {
    let left = left_unsent();
    let opened = open(Options::default());
    let gateway = opened.client.gateway();
    for unsent in left.clone() {
        let accepting = gateway.send_again(unsent);
        let _delivery = super::poll_once(accepting).unwrap().unwrap();
    }
    let facts = |client: &Client| {
        let kept = client.unsent().into_iter();
        Vec::from_iter(kept.map(|kept| (kept.topic, kept.priority, kept.tag, kept.expires_after)))
    };
    let expected = left
        .into_iter()
        .map(|kept| (kept.topic, kept.priority, kept.tag, kept.expires_after));
    assert_eq!(facts(&opened.client), Vec::from_iter(expected));
    let sent = opened.server.serve(&opened.world);
    let topics = Vec::from_iter(sent.iter().filter_map(|packet| match packet {
        Sent::Publish { topic, .. } => Some(topic.as_str()),
        _ => None,
    }));
    assert_eq!(
        topics,
        ["/devices/gw-1/events/alerts", "/devices/gw-1/state"]
    );
    assert!(opened.client.unsent().is_empty());
}

#[test]
fn sending_again_waits_for_room() {
    let left = left_unsent();
    let world = World::new();
    let mut options = Options::default();
    options.device_queue.messages = 1;
    let (client, driver) = start(&world, options);
    let _driver = world.spawn(driver.run());
    let gateway = client.gateway();
    let _first = gateway.try_telemetry("first").unwrap();
    let again = world.spawn(gateway.send_again(left[0].clone()));
    assert!(!again.is_finished());
    Server::accept_again(&world).serve(&world);
    let _delivery = again.ended().unwrap();
}
