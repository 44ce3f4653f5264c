//! Futures dropped at their k-th poll, for every k until they complete before it.

use std::task::{Context, Poll, Waker};

use iotcore_gateway::{Options, driver::Device};

use super::{Opened, Sent, id, open};

/// Polls a future at most `polls` times, with a step of the world between the polls, and drops it.
fn poll_times<T>(
    opened: &mut Opened,
    future: impl Future<Output = T>,
    polls: usize,
    mut step: impl FnMut(&mut Opened),
) -> Option<T> {
    let mut future = std::pin::pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(output) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            return Some(output);
        }
        step(opened);
    }
    None
}

/// Reads one packet at a time, so that every state between two packets is reached.
fn answer_one(opened: &mut Opened, log: &mut Vec<Sent>) {
    let Opened { world, server, .. } = opened;
    for packet in server.received() {
        if let Some(answer) = packet.answer() {
            server.send(world, &answer);
        }
        log.push(packet);
    }
    world.run_until_idle();
}

fn payloads(log: &[Sent]) -> Vec<String> {
    let events = log.iter().filter_map(|packet| match packet {
        Sent::Publish { topic, payload, .. } if topic.ends_with("/events") => {
            Some(String::from_utf8(payload.clone()).unwrap())
        }
        _ => None,
    });
    events.collect()
}

#[test]
fn a_message_is_sent_once_if_its_acceptance_ended_and_never_if_it_was_dropped_before() {
    for polls in 0..4 {
        let mut options = Options::default();
        options.device_queue.messages = 1;
        let mut opened = open(options);
        let gateway = opened.client.gateway();
        let mut log = Vec::new();
        let mut accepted = Vec::new();
        for n in 0..6 {
            let payload = n.to_string();
            let future = gateway.telemetry(payload.clone());
            // The queue is answered only on every other poll, so that futures are dropped while they wait for room.
            let mut steps = n;
            let result = poll_times(&mut opened, future, polls, |opened| {
                steps += 1;
                if steps % 2 == 0 {
                    opened.world.run_until_idle();
                    answer_one(opened, &mut log);
                }
            });
            if let Some(delivery) = result {
                let delivery = delivery.unwrap();
                accepted.push(payload);
                // Dropped immediately, after one poll, or after two.
                poll_times(&mut opened, delivery, n % 3, |_| {});
            }
        }
        for _ in 0..10 {
            opened.world.run_until_idle();
            answer_one(&mut opened, &mut log);
        }
        assert_eq!(payloads(&log), accepted, "{polls} polls");
        assert_eq!(polls == 0, accepted.is_empty());
        assert!(opened.client.unsent().is_empty());
    }
}

#[test]
fn an_attach_dropped_at_any_poll_leaves_a_device_that_can_be_attached_again() {
    for polls in 0..7 {
        let mut opened = open(Options::default());
        let mut log = Vec::new();
        let attach = opened.client.attach(id("device-1"));
        poll_times(&mut opened, attach, polls, |opened| {
            answer_one(opened, &mut log)
        });
        let attach = opened.client.attach(id("device-1"));
        let device: Device = poll_times(&mut opened, attach, 20, |opened| {
            opened.world.run_until_idle();
            answer_one(opened, &mut log);
        })
        .expect("it ends")
        .unwrap();
        let delivery = opened.world.spawn(device.try_telemetry("here").unwrap());
        answer_one(&mut opened, &mut log);
        assert_eq!(delivery.ended(), Ok(()));
        let attaches = |packet: &&Sent| matches!(packet, Sent::Publish { topic, .. } if topic.ends_with("/attach"));
        assert_eq!(
            log.iter().filter(attaches).count(),
            1,
            "{polls} polls: {log:?}"
        );
        let subscribes = |packet: &&Sent| matches!(packet, Sent::Subscribe { .. });
        assert_eq!(
            log.iter().filter(subscribes).count(),
            2,
            "{polls} polls: {log:?}"
        );
    }
}

#[test]
fn no_message_is_lost_or_duplicated_when_its_reader_is_dropped() {
    for polls in 1..4 {
        let mut opened = open(Options::default());
        let device = opened.attach(id("device-1"));
        let mut messages = device.messages();
        let mut taken = Vec::new();
        let mut sent = 0;
        for _ in 0..40 {
            let message = poll_times(&mut opened, messages.next(), polls, |opened| {
                if sent < 10 {
                    sent += 1;
                    let Opened { world, server, .. } = opened;
                    server.publish(world, "/devices/device-1/commands", &sent.to_string(), sent);
                }
            });
            taken.extend(message.map(|message| message.unwrap().payload));
            opened.world.run_until_idle();
        }
        assert_eq!(taken, Vec::from_iter((1..11).map(|n: u16| n.to_string())));
        assert_eq!(opened.server.received_pubacks(), Vec::from_iter(1..11));
    }
}

#[test]
fn a_close_dropped_at_any_poll_closes_or_has_no_effect() {
    for polls in 0..4 {
        let mut opened = open(Options::default());
        let client = opened.client.clone();
        let closed = poll_times(&mut opened, client.close(), polls, |opened| {
            opened.world.run_until_idle();
        });
        assert!(closed.is_none(), "the peer has not closed");
        opened.world.run_until_idle();
        let sent = opened.server.received();
        assert_eq!(
            sent.contains(&Sent::Disconnect),
            polls > 0,
            "{polls} polls: {sent:?}"
        );
        opened.server.close(&opened.world);
        assert_eq!(opened.driver.is_finished(), polls > 0);
    }
}
