//! Sending, and back-pressure.

use std::time::Duration;

use iotcore_gateway::{
    Failure, Options,
    command_error::{PublishError, PublishErrorKind},
    driver::{
        ReportedState, Status, Telemetry,
        error::{AcceptError, DeliveryError},
    },
    message::QoS,
    options::{Overflow, QueueLimit},
};

use super::{Opened, Sent, Server, World, open, poll_once, read, setup, start};

#[test]
fn a_message_is_accepted_first_and_acknowledged_later() {
    let Opened {
        world,
        client,
        server,
        ..
    } = open(Options::default());
    let gateway = client.gateway();
    let delivery = world.spawn(gateway.telemetry("21.5")).ended().unwrap();
    let op = delivery.op();
    let delivery = world.spawn(delivery);
    assert_eq!(client.unsent()[0].op, op);
    let [(payload, packet_id)] = &server.received_payloads()[..] else {
        panic!("expected one PUBLISH");
    };
    assert_eq!(payload, "21.5");
    assert!(!delivery.is_finished());
    server.puback(&world, *packet_id);
    assert_eq!(delivery.ended(), Ok(()));
    assert!(client.unsent().is_empty());
    assert_eq!(client.stats().published, 1);
}

#[test]
fn a_sequential_caller_fills_its_share_of_the_window() {
    let mut options = Options::default();
    options.window = 500;
    let opened = open(options);
    let client = opened.client.clone();
    let sending = opened.world.spawn(async move {
        let mut deliveries = Vec::new();
        for n in 0..50 {
            let event = Telemetry::new(n.to_string()).subfolder("a/b".try_into().unwrap());
            deliveries.push(client.gateway().telemetry(event).await.unwrap());
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
    });
    let sent = opened.server.received_payloads();
    assert_eq!(sent.len(), 50);
    for (n, (payload, packet_id)) in sent.into_iter().enumerate() {
        assert_eq!(payload, n.to_string());
        assert!(!sending.is_finished());
        opened.server.puback(&opened.world, packet_id);
    }
    sending.ended();
}

#[test]
fn a_full_queue_blocks_the_caller_until_there_is_room() {
    let mut options = Options::default();
    options.device_queue = QueueLimit {
        messages: 2,
        bytes: 1024 * 1024,
    };
    let opened = open(options);
    let gateway = opened.client.gateway();
    let deliveries: Vec<_> = ["1", "2"]
        .map(|payload| gateway.try_telemetry(payload).unwrap())
        .into();
    let error = gateway.try_telemetry("3").unwrap_err();
    assert!(error.is_blocked());
    assert_eq!(error.into_payload(), "3");

    let third = opened.world.spawn(gateway.telemetry("3"));
    assert!(!third.is_finished());
    let sent = opened.server.serve(&opened.world);
    assert_eq!(sent.len(), 3, "{sent:?}");
    let third = opened.world.spawn(third.ended().unwrap());
    assert_eq!(third.ended(), Ok(()));
    for delivery in deliveries {
        assert_eq!(poll_once(delivery), Some(Ok(())));
    }
}

#[test]
fn every_caller_that_waits_for_room_gets_its_turn() {
    let mut options = Options::default();
    options.device_queue.messages = 1;
    let opened = open(options);
    let gateway = opened.client.gateway();
    let waiting = ["1", "2", "3"].map(|payload| {
        let accepting = gateway.telemetry(payload);
        opened.world.spawn(async { accepting.await.unwrap().await })
    });
    let sent = opened.server.serve(&opened.world);
    assert_eq!(sent.len(), 3, "{sent:?}");
    for sent in waiting {
        assert_eq!(sent.ended(), Ok(()));
    }
}

#[test]
fn a_payload_over_the_limit_is_returned() {
    let opened = open(Options::default());
    let gateway = opened.client.gateway();
    let error = poll_once(gateway.report_state(vec![7; 65_537]))
        .unwrap()
        .unwrap_err();
    assert!(matches!(
        error,
        AcceptError::Refused(PublishError {
            kind: PublishErrorKind::TooLarge { .. },
            ..
        })
    ));
    assert_eq!(error.into_payload().len(), 65_537);
}

#[test]
fn a_message_at_qos_0_is_delivered_when_it_is_handed_over() {
    let opened = open(Options::default());
    opened.world.net.shape(|network| network.is_stalled = true);
    let event = Telemetry::new("once").qos(QoS::AtMostOnce);
    let delivery = opened.client.gateway().try_telemetry(event).unwrap();
    let delivery = opened.world.spawn(delivery);
    assert!(!delivery.is_finished());
    opened.world.net.shape(|network| network.is_stalled = false);
    opened.world.run_until_idle();
    assert_eq!(delivery.ended(), Ok(()));
}

#[test]
fn a_newer_state_replaces_the_waiting_one() {
    let opened = open(Options::default());
    let gateway = opened.client.gateway();
    let states = ["1", "2", "3"].map(|state| {
        let state = ReportedState::new(state);
        opened.world.spawn(gateway.try_report_state(state).unwrap())
    });
    opened.server.serve(&opened.world);
    opened.world.pass(Duration::from_secs(2));
    opened.server.serve(&opened.world);
    let [first, second, third] = states.map(|state| state.ended());
    assert_eq!(first, Ok(()));
    let Err(DeliveryError::Failed { failure, unsent }) = second else {
        panic!("{second:?}");
    };
    assert_eq!(failure, Failure::Superseded);
    assert_eq!(unsent.payload, "2");
    assert_eq!(third, Ok(()));
}

#[test]
fn an_unawaited_failure_is_reported_in_the_status_with_its_device() {
    let mut options = Options::default();
    options.window = 1;
    options.overflow = Overflow::DropOldest;
    options.device_queue.messages = 2;
    let mut opened = open(options);
    let gateway = opened.client.gateway();
    let ops = ["1", "2", "3"].map(|event| gateway.try_telemetry(event).unwrap().op());
    let changes = opened.changes();
    let [
        Status::Undelivered {
            device,
            failure,
            messages: 1,
            op,
            tag: None,
        },
    ] = &changes[..]
    else {
        panic!("{changes:?}");
    };
    assert_eq!((*op, device), (ops[1], gateway.id()));
    assert_eq!(*failure, Failure::Dropped);
}

#[test]
fn a_replaced_state_is_reported_in_the_status_only_on_request() {
    for is_asked_for in [false, true] {
        let world = World::new();
        let setup = match is_asked_for {
            true => setup(Options::default()).report_replaced_states(),
            false => setup(Options::default()),
        };
        let (client, driver) = setup.start(world.net.clone()).unwrap();
        let mut status = client.status();
        let _driver = world.spawn(driver.run());
        let _server = Server::open(&world);
        let gateway = client.gateway();
        let ops = ["1", "2", "3"].map(|state| gateway.try_report_state(state).unwrap().op());
        world.run_until_idle();
        let mut failed = Vec::new();
        while let Some(Some(change)) = poll_once(status.next()) {
            if let Status::Undelivered { op, .. } = change {
                failed.push(op);
            }
        }
        assert_eq!(failed, if is_asked_for { vec![ops[1]] } else { vec![] });
    }
}

#[test]
fn a_transport_that_takes_single_bytes_gets_every_one() {
    let world = World::new();
    world.net.shape(|network| network.fragment = 1);
    let (client, driver) = start(&world, Options::default());
    let driver = world.spawn(driver.run());
    let server = Server::open(&world);
    let payload = "x".repeat(5_000);
    let delivery = client.gateway().try_telemetry(payload.clone()).unwrap();
    let delivery = world.spawn(delivery);
    let sent = server.serve(&world);
    assert!(
        matches!(&sent[..], [Sent::Publish { payload: sent, .. }] if *sent == payload.as_bytes())
    );
    assert_eq!(delivery.ended(), Ok(()));
    assert!(driver.polls() < 1_000, "{}", driver.polls());
}

#[test]
fn a_stalled_peer_causes_few_polls() {
    let opened = open(Options::default());
    opened.world.net.shape(|network| network.buffer = 10_000);
    let gateway = opened.client.gateway();
    for _ in 0..100 {
        let _delivery = gateway.try_telemetry(vec![0; 1_000]).unwrap();
    }
    opened.world.run_until_idle();
    let before = opened.driver.polls();
    opened.world.pass(Duration::from_secs(29));
    let turns = opened.driver.polls() - before;
    assert!(turns <= 4, "{turns} turns");
    opened.server.serve(&opened.world);
    assert!(opened.client.unsent().is_empty());
}

#[test]
fn a_slow_reader_of_the_status_gets_the_number_of_missed_changes() {
    let mut opened = open(Options::default());
    for _ in 0..1_030u16 {
        let Opened { world, server, .. } = &mut opened;
        server.publish(world, "/devices/nobody/config", "", 1);
    }
    let changes = opened.changes();
    assert!(matches!(changes[0], Status::Missed(6)), "{:?}", changes[0]);
    assert_eq!(changes.len(), 1_025);
}

#[test]
fn every_reader_of_the_status_gets_every_change() {
    let mut opened = open(Options::default());
    let mut second = opened.client.status();
    let mut third = opened.client.status();
    let Opened { world, server, .. } = &mut opened;
    server.publish(world, "/devices/nobody/config", "", 1);
    drop(opened.changes());
    for status in [&mut second, &mut third] {
        let changes = read(&opened.world, status);
        assert!(
            matches!(changes[..], [Status::Unrequested { .. }]),
            "{changes:?}"
        );
    }
}
