//! Attaching and detaching.

use iotcore_gateway::{
    Failure, Options,
    command_error::{CommandError, PublishError, PublishErrorKind},
    device::DeviceState,
    driver::{
        Attach, Status,
        error::{AcceptError, AttachError, DeliveryError, OperationError},
    },
    message::{QoS, Subscription},
};
use iotcore_gateway_testkit::packets;

use super::{Opened, Sent, Server, id, open, poll_once, topics};

#[test]
fn an_attach_ends_once_its_subscriptions_are_granted() {
    let mut opened = open(Options::default());
    let Opened {
        world,
        client,
        server,
        ..
    } = &mut opened;
    let attaching = world.spawn(client.attach(id("device-1")));
    let [
        Sent::Publish {
            topic,
            payload,
            id: Some(packet_id),
            ..
        },
    ] = &server.received()[..]
    else {
        panic!("expected an attach");
    };
    assert_eq!(
        (topic.as_str(), &payload[..]),
        ("/devices/device-1/attach", &b"{}"[..])
    );
    server.puback(world, *packet_id);
    assert!(!attaching.is_finished());
    let sent = server.serve(world);
    assert_eq!(
        topics(&sent),
        ["/devices/device-1/config", "/devices/device-1/commands/#"]
    );
    let device = attaching.ended().unwrap();
    assert_eq!(device.status(), Some(DeviceState::Attached));
    let again = world.spawn(client.attach(id("device-1"))).ended().unwrap();
    assert_eq!(again.id(), device.id());
    assert!(server.received().is_empty());
    assert!(
        matches!(&opened.changes()[..], [Status::Attached { device }] if *device == id("device-1"))
    );
}

#[test]
fn unwanted_subscriptions_are_not_made() {
    let opened = open(Options::default());
    let attach = Attach::new(id("device-1"))
        .config(None)
        .commands(QoS::AtMostOnce);
    let attaching = opened.world.spawn(opened.client.attach(attach));
    let sent = opened.server.serve(&opened.world);
    assert_eq!(
        topics(&sent),
        ["/devices/device-1/attach", "/devices/device-1/commands/#"]
    );
    let device = attaching.ended().unwrap();
    let subscribing = opened.world.spawn(async move {
        device
            .subscribe(Subscription::Config, QoS::AtLeastOnce)
            .await?;
        device.unsubscribe(Subscription::Commands).await
    });
    let sent = opened.server.serve(&opened.world);
    assert_eq!(
        topics(&sent),
        ["/devices/device-1/config", "/devices/device-1/commands/#"]
    );
    assert_eq!(subscribing.ended(), Ok(()));
}

#[test]
fn a_refused_attach_returns_the_report_and_the_device() {
    let mut opened = open(Options::default());
    let Opened {
        world,
        client,
        server,
        ..
    } = &mut opened;
    let attaching = world.spawn(client.attach(id("device-1")));
    let Sent::Publish {
        id: Some(packet_id),
        ..
    } = server.received()[0]
    else {
        panic!("expected an attach");
    };
    let report = format!(
        r#"{{"error_type":"GATEWAY_ATTACHMENT_ERROR","device_id":"device-1","description":"not bound",
            "mqtt_message_info":{{"message_type":"PUBLISH","topic":"/devices/device-1/attach","packet_id":{packet_id}}}}}"#
    );
    let report = packets::publish("/devices/gw-1/errors", report.as_bytes(), None, false);
    server.send(world, &report);
    let error = attaching.ended().unwrap_err();
    assert!(
        matches!(error.failure(), Some(Failure::Reported(_))),
        "{error:?}"
    );
    let device = error.into_device().unwrap();
    assert_eq!(device.status(), Some(DeviceState::Refused));
    let refused = poll_once(device.telemetry("lost")).unwrap().unwrap_err();
    assert!(matches!(
        refused,
        AcceptError::Refused(PublishError {
            kind: PublishErrorKind::DeviceRefused,
            ..
        })
    ));
}

#[test]
fn a_refused_subscription_leaves_the_device_attached() {
    let mut opened = open(Options::default());
    let Opened {
        world,
        client,
        server,
        ..
    } = &mut opened;
    let attaching = world.spawn(client.attach(Attach::new(id("device-1")).config(None)));
    let Sent::Publish {
        id: Some(packet_id),
        ..
    } = server.received()[0]
    else {
        panic!("expected an attach");
    };
    server.puback(world, packet_id);
    let Sent::Subscribe { id: packet_id, .. } = server.received()[0] else {
        panic!("expected a SUBSCRIBE");
    };
    server.suback(world, packet_id, 0x80);
    let error = attaching.ended().unwrap_err();
    let AttachError::Subscribe(OperationError::Failed(failure), device) = error else {
        panic!("{error:?}");
    };
    assert_eq!(
        failure,
        Failure::SubscriptionRefused(Subscription::Commands)
    );
    assert_eq!(device.status(), Some(DeviceState::Attached));
}

#[test]
fn a_detached_device_accepts_no_messages_and_its_stream_ends() {
    let mut opened = open(Options::default());
    let device = opened.attach(id("device-1"));
    let mut messages = device.messages();
    let reading = opened.world.spawn(async move { messages.next().await });
    let delivery = opened.world.spawn(device.try_telemetry("last").unwrap());
    let detaching = opened.world.spawn({
        let device = device.clone();
        async move { device.detach().await }
    });
    let sent = opened.server.serve(&opened.world);
    assert_eq!(
        topics(&sent),
        ["/devices/device-1/events", "/devices/device-1/detach"]
    );
    assert_eq!(delivery.ended(), Ok(()));
    assert_eq!(detaching.ended(), Ok(()));
    assert!(reading.ended().is_none());
    assert_eq!(device.status(), None);
    let error = poll_once(device.telemetry("late")).unwrap().unwrap_err();
    assert!(matches!(
        error,
        AcceptError::Refused(PublishError {
            kind: PublishErrorKind::UnknownDevice,
            ..
        })
    ));
    let error = poll_once(device.detach()).unwrap().unwrap_err();
    assert_eq!(error, OperationError::Refused(CommandError::UnknownDevice));
}

#[test]
fn messages_of_a_detached_device_can_still_be_read() {
    let mut opened = open(Options::default());
    let device = opened.attach(id("device-1"));
    let Opened { world, server, .. } = &mut opened;
    server.publish(world, "/devices/device-1/config", "last", 1);
    let detaching = world.spawn(device.detach());
    server.serve(world);
    assert_eq!(detaching.ended(), Ok(()));
    let mut messages = device.messages();
    let message = poll_once(messages.next()).unwrap().unwrap();
    assert_eq!(message.payload, "last");
    assert!(poll_once(messages.next()).unwrap().is_none());
}

#[test]
fn a_caller_that_waits_for_room_gets_an_error_when_its_device_is_removed() {
    let mut options = Options::default();
    options.device_queue.messages = 1;
    let mut opened = open(options);
    let device = opened.attach(id("device-1"));
    let first = opened.world.spawn(device.try_telemetry("1").unwrap());
    let second = opened.world.spawn(device.telemetry("2"));
    assert!(!second.is_finished());
    let detaching = opened.world.spawn(async move { device.detach().await });
    opened.server.close(&opened.world);
    let server = Server::accept_again(&opened.world);
    server.serve(&opened.world);
    assert!(matches!(
        first.ended(),
        Ok(())
            | Err(DeliveryError::Failed {
                failure: Failure::Detached,
                ..
            })
    ));
    let error = second.ended().unwrap_err();
    assert_eq!(error.into_payload(), "2");
    assert_eq!(detaching.ended(), Ok(()));
}

#[test]
fn a_command_is_accepted_when_it_is_called_and_named_by_its_operation() {
    let opened = open(Options::default());
    let gateway = opened.client.gateway();
    let subscribing = gateway.subscribe(Subscription::Config, QoS::AtLeastOnce);
    let op = subscribing.op();
    assert!(op.is_some());
    let again = gateway.subscribe(Subscription::Config, QoS::AtLeastOnce);
    assert_eq!(again.op(), op, "a pending attach is the same operation");
    let sent = opened.server.serve(&opened.world);
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(poll_once(subscribing), Some(Ok(())));
    assert_eq!(poll_once(again), Some(Ok(())));
}

#[test]
fn a_client_lists_itself_and_its_devices_and_finds_one_by_its_id() {
    let mut opened = open(Options::default());
    let found = |opened: &Opened| -> Vec<String> {
        let devices = opened.client.devices().into_iter();
        devices.map(|device| device.id.to_string()).collect()
    };
    assert_eq!(found(&opened), ["gw-1"]);
    let first = opened.attach(id("device-1"));
    let second = opened.attach(id("device-2"));
    assert_eq!(found(&opened), ["gw-1", "device-1", "device-2"]);
    let again = opened.client.device(&id("device-2")).unwrap();
    assert_eq!(again.status(), Some(DeviceState::Attached));
    assert_eq!(
        opened.client.device(&id("gw-1")).unwrap().id(),
        opened.client.gateway().id()
    );
    drop(second);

    let detaching = opened.world.spawn(again.detach());
    opened.server.serve(&opened.world);
    assert_eq!(detaching.ended(), Ok(()));
    assert_eq!(found(&opened), ["gw-1", "device-1"]);
    assert!(opened.client.device(&id("device-2")).is_none());
    assert_eq!(first.status(), Some(DeviceState::Attached));
}
