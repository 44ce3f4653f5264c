//! Every public future, dropped at its k-th poll, for every k until it completes: nothing that was accepted is lost or
//! duplicated, and neither is any message that was not read yet.
//!
//! A future is polled whenever the clock advances, woken or not, so that it is dropped between any two events.
//! Meanwhile other tasks send, receive and acknowledge; at the end their records are compared with the bridge's.
#![forbid(unsafe_code)]

mod stage;

use std::{cell::RefCell, future::poll_fn, rc::Rc, task::Poll, time::Duration};

use iotcore_gateway::{
    Options,
    command_error::CommandError,
    driver::{
        StatusChanges,
        closed::{CloseCause, Closed},
        error::{DeliveryError, OperationError},
    },
    message::{QoS, Subscription},
};
use iotcore_gateway_testkit::{
    AuthMethod, Bridge, EventKind,
    bridge::event::DetachCause,
    link::{GATEWAY, UNBOUND},
    simulation::Simulation,
};

use self::stage::{
    CHATTER, DEVICE, MAX_POLLS, OTHER, Records, at_every_poll, at_every_poll_with, count, id,
    in_time, is_attached, is_command_acknowledged, is_subscribed, is_unsubscribed, read, send,
    telemetry, text, token, with_token,
};

#[test]
fn connected() {
    at_every_poll(async |stage, polls| {
        stage.quiet().await;
        let mut status = stage.client.status();
        stage.world.cut();
        status.next().await.unwrap();
        let connected = stage.dropped(polls, stage.client.connected()).await;
        stage.attach(DEVICE).await;
        stage.finish().await;
        connected.is_some_and(|connected| connected == Ok(()))
    });
}

#[test]
fn attach() {
    at_every_poll(async |stage, polls| {
        let attach = with_token(&stage.world, OTHER);
        let attached = stage.dropped(polls, stage.client.attach(attach)).await;
        let has_ended = attached.is_some();
        let device = stage.attach(OTHER).await;
        stage.publish(&device, "here".to_owned()).await;
        let attaches = stage.happened(|event| is_attached(event, OTHER));
        assert_eq!((attaches, stage.happened(is_subscribed)), (1, 2));
        stage.finish().await;
        has_ended
    });
}

#[test]
fn telemetry_that_waits_for_room() {
    let mut options = Options::default();
    options.device_queue.messages = 1;
    at_every_poll_with(
        AuthMethod::AssociationOnly,
        options,
        async |stage, polls| {
            let device = stage.attach(OTHER).await;
            let mut has_ended = true;
            for n in 0..6 {
                let payload = n.to_string();
                let accepting = device.telemetry(payload.clone());
                match stage.dropped(polls, accepting).await {
                    Some(delivery) => {
                        stage
                            .records
                            .borrow_mut()
                            .accept(&device, payload, delivery.unwrap())
                    }
                    None => has_ended = false,
                }
            }
            stage.finish().await;
            has_ended
        },
    );
}

#[test]
fn state() {
    at_every_poll(async |stage, polls| {
        let device = stage.attach(OTHER).await;
        let accepted = stage.dropped(polls, device.report_state("on")).await;
        let has_ended = accepted.is_some();
        if let Some(delivery) = accepted {
            assert_eq!(delivery.unwrap().await, Ok(()));
        }
        let states = stage.happened(|event| matches!(event, EventKind::State { .. }));
        assert_eq!(states, usize::from(has_ended));
        stage.finish().await;
        has_ended
    });
}

#[test]
fn delivery() {
    at_every_poll(async |stage, polls| {
        let device = stage.attach(OTHER).await;
        let delivery = device.telemetry("kept").await.unwrap();
        let accepted = vec!["kept".to_owned()];
        stage
            .records
            .borrow_mut()
            .accepted
            .insert(OTHER.to_owned(), accepted);
        let delivered = stage.dropped(polls, delivery).await;
        stage.finish().await;
        delivered.is_some_and(|delivered| delivered == Ok(()))
    });
}

#[test]
fn subscribe_and_unsubscribe() {
    at_every_poll(async |stage, polls| {
        let attach = with_token(&stage.world, OTHER).config(None).commands(None);
        let device = stage.client.attach(attach).await.unwrap();
        let subscribe = || device.subscribe(Subscription::Commands, QoS::AtLeastOnce);
        let subscribed = stage.dropped(polls, subscribe()).await;
        subscribe().await.unwrap();
        assert_eq!(stage.happened(is_subscribed), 1);
        let send = |bridge: &mut Bridge, now| bridge.send_command(OTHER, None, "once", now);
        let mut messages = device.messages();
        stage.world.with(send).unwrap();
        assert_eq!(messages.next().await.unwrap().payload, "once");

        let unsubscribe = || device.unsubscribe(Subscription::Commands);
        let unsubscribed = stage.dropped(polls, unsubscribe()).await;
        unsubscribe().await.unwrap();
        assert_eq!(stage.happened(is_unsubscribed), 1);
        stage.world.with(send).unwrap_err();
        stage.finish().await;
        subscribed.is_some() && unsubscribed.is_some()
    });
}

#[test]
fn authorize() {
    let method = AuthMethod::DeviceAuthTokenOnly;
    at_every_poll_with(method, Options::default(), async |stage, polls| {
        let refused = stage.client.attach(id(UNBOUND)).await.unwrap_err();
        let device = refused.into_device().unwrap();
        let authorize = || device.authorize(token(&stage.world));
        let authorized = stage.dropped(polls, authorize()).await;
        authorize().await.unwrap();
        stage.publish(&device, "let in".to_owned()).await;
        stage.delivered().await;
        assert_eq!(stage.happened(|event| is_attached(event, UNBOUND)), 1);
        stage.finish().await;
        authorized.is_some()
    });
}

#[test]
fn detach() {
    at_every_poll(async |stage, polls| {
        let device = stage.attach(OTHER).await;
        for n in 0..3 {
            stage.publish(&device, n.to_string()).await;
        }
        let detached = stage.dropped(polls, device.detach()).await;
        match device.detach().await {
            Ok(()) | Err(OperationError::Refused(CommandError::UnknownDevice)) => {}
            Err(error) => panic!("{error}"),
        }
        let requested = |event: &_| matches!(event, EventKind::Detached { device, cause: DetachCause::Requested } if device == OTHER);
        stage.until(1, requested).await;
        assert_eq!(stage.happened(requested), 1);
        stage.finish().await;
        detached.is_some()
    });
}

#[test]
fn next_message() {
    at_every_poll(async |stage, polls| {
        let device = stage.attach(OTHER).await;
        let mut messages = device.messages();
        messages.next().await.unwrap();
        let (mut taken, mut has_ended) = (Vec::new(), true);
        for n in 0..6 {
            let send =
                |bridge: &mut Bridge, now| bridge.send_command(OTHER, None, n.to_string(), now);
            stage.world.with(send).unwrap();
            match stage.dropped(polls, messages.next()).await {
                Some(message) => taken.push(text(&message.unwrap().payload)),
                None => has_ended = false,
            }
            let acknowledged = stage.happened(is_other_acknowledged);
            assert!(acknowledged <= taken.len(), "{acknowledged} of {taken:?}");
        }
        // A message that is not read is not acknowledged, after any time.
        stage.world.sleep(Duration::from_secs(1)).await;
        assert!(stage.happened(is_other_acknowledged) <= taken.len());
        while taken.len() < 6 {
            taken.push(text(&messages.next().await.unwrap().payload));
        }
        assert_eq!(taken, ["0", "1", "2", "3", "4", "5"]);
        stage.until(6, is_other_acknowledged).await;
        stage.finish().await;
        has_ended
    });
}

fn is_other_acknowledged(event: &EventKind) -> bool {
    matches!(event, EventKind::CommandAcknowledged { device, .. } if device == OTHER)
}

#[test]
fn next_change_of_status() {
    at_every_poll(async |stage, polls| {
        let (mut dropping, mut patient) = (stage.client.status(), stage.client.status());
        // A cut causes more than one change; it follows the other messages, which it would duplicate.
        stage.quiet().await;
        stage.world.cut();
        let mut seen = Vec::new();
        let mut has_ended = true;
        for _ in 0..3 {
            match stage.dropped(polls, dropping.next()).await {
                Some(change) => seen.push(format!("{:?}", change.unwrap())),
                None => has_ended = false,
            }
        }
        stage.client.connected().await.unwrap();
        stage.attach(DEVICE).await;
        stage.finish().await;
        seen.extend(rest(&mut dropping).await);
        assert_eq!(seen, rest(&mut patient).await);
        let changes = ["Disconnected", "Connected", "Attached"];
        assert!(
            seen.iter()
                .zip(changes)
                .all(|(seen, change)| seen.starts_with(change)),
            "{seen:?}"
        );
        has_ended
    });
}

async fn rest(changes: &mut StatusChanges) -> Vec<String> {
    let mut rest = Vec::new();
    while let Some(change) = changes.next().await {
        rest.push(format!("{change:?}"));
    }
    rest
}

#[test]
fn close() {
    at_every_poll(async |stage, polls| {
        let device = stage.attach(OTHER).await;
        stage.quiet().await;
        for n in 0..3 {
            stage.publish(&device, n.to_string()).await;
        }
        let closed = stage.dropped(polls, stage.client.close()).await;
        if polls == 0 {
            stage.finish().await;
        } else {
            // It closes, whether or not the future is awaited.
            stage.delivered().await;
            stage.compare().await;
        }
        closed.is_some_and(|closed| closed.unsent.is_empty())
    });
}

/// Here the driver itself is polled, and dropping it ends everything.
#[test]
fn run() {
    for polls in 0..MAX_POLLS {
        let simulation = Simulation::new();
        let world = simulation.runtime();
        let (client, driver) = simulation.setup().start(world.clone()).unwrap();
        let driver = simulation.spawn(polled(polls, driver.run()));
        let records = Rc::<RefCell<Records>>::default();
        let playing = async {
            if let Ok(device) = client.attach(id(DEVICE)).await {
                let reading = simulation.spawn(read(device, Rc::clone(&records)));
                send(client.gateway(), world.clone(), Rc::clone(&records)).await;
                client.close().await;
                reading.await;
            }
            (client.close().await, driver.await)
        };
        let (closed, run) = simulation.run(in_time(world.clone(), playing));
        let records = &mut *records.borrow_mut();
        world.with(|bridge, _| records.look(bridge).len());
        compare_with_unsent(&simulation, records, &closed);
        if run.is_some() {
            assert_eq!((run, records.read.len()), (Some(closed), CHATTER));
            return;
        }
        assert_eq!(closed.cause, CloseCause::DriverStopped);
    }
    panic!("the driver does not end");
}

/// Polls a future at most this many times, and drops it.
async fn polled<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Pending if left == 0 => Poll::Ready(None),
            polled => polled.map(Some),
        }
    })
    .await
}

/// Checks that everything accepted was acknowledged or is returned, and that no message was acknowledged before it was
/// read.
fn compare_with_unsent(simulation: &Simulation, records: &mut Records, closed: &Closed) {
    let mut acknowledged = Vec::new();
    let mut unsent = Vec::new();
    let gateway = records.accepted.remove(GATEWAY).unwrap_or_default();
    for (payload, delivery) in gateway.into_iter().zip(records.deliveries.drain(..)) {
        match simulation.run(delivery) {
            Ok(()) => acknowledged.push(payload),
            Err(DeliveryError::DriverStopped) => unsent.push(payload),
            Err(error) => panic!("{payload}: {error}"),
        }
    }
    let handed_back = closed.unsent.iter().map(|unsent| text(&unsent.payload));
    assert_eq!(Vec::from_iter(handed_back), unsent);
    let taken = telemetry(&records.happened)
        .remove(GATEWAY)
        .unwrap_or_default();
    assert!(
        taken.starts_with(&acknowledged),
        "{acknowledged:?} of {taken:?}"
    );
    acknowledged.extend(unsent);
    assert!(
        acknowledged.starts_with(&taken),
        "{taken:?} of {acknowledged:?}"
    );
    assert!(records.sent.starts_with(&records.read));
    assert!(count(&records.happened, is_command_acknowledged) <= records.read.len());
}
