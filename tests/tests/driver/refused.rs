//! What the bridge refuses: devices and subscriptions, and what becomes of their messages.

use std::time::Duration;

use iotcore_gateway::{
    Failure, Options,
    cause::DetachCause,
    command_error::CommandError,
    device::DeviceState,
    driver::{
        Attach, Status,
        error::{DeliveryError, OperationError},
    },
    message::{QoS, Subscription},
    options::OnRefusal,
};
use iotcore_gateway_testkit::packets;

use super::{Opened, Sent, id, open, poll_once};

/// Sends a report that the bridge has refused the attach with this packet identifier.
fn refuse(opened: &Opened, packet_id: u16) {
    let report = format!(
        r#"{{"error_type":"GATEWAY_ATTACHMENT_ERROR","device_id":"device-1","description":"not bound",
            "mqtt_message_info":{{"topic":"/devices/device-1/attach","packet_id":{packet_id}}}}}"#
    );
    let report = packets::publish("/devices/gw-1/errors", report.as_bytes(), None, false);
    opened.server.send(&opened.world, &report);
}

fn attach_id(sent: &[Sent]) -> u16 {
    match sent {
        [
            Sent::Publish {
                topic,
                id: Some(id),
                ..
            },
            ..,
        ] if topic.ends_with("/attach") => *id,
        other => panic!("not an attach: {other:?}"),
    }
}

#[test]
fn a_device_that_is_refused_after_its_attach_hands_its_messages_back() {
    let mut opened = open(Options::default());
    let attaching = opened.world.spawn(opened.client.attach(id("device-1")));
    let sent = opened.server.serve(&opened.world);
    let device = attaching.ended().unwrap();
    let delivery = opened.world.spawn(device.try_telemetry("kept").unwrap());
    opened.server.received();
    opened.changes();
    refuse(&opened, attach_id(&sent));
    let Err(DeliveryError::Failed { failure, unsent }) = delivery.ended() else {
        panic!("it was delivered");
    };
    assert_eq!(failure, Failure::DeviceRefused);
    assert_eq!(unsent.payload, "kept");
    assert_eq!(device.status(), Some(DeviceState::Refused));
    let changes = opened.changes();
    assert!(
        matches!(&changes[..], [Status::Detached { device, cause: DetachCause::Reported(_) }, Status::ErrorReport(_)]
            if *device == id("device-1")),
        "{changes:?}"
    );
    let subscribing = device.subscribe(Subscription::Config, QoS::AtLeastOnce);
    let refused = poll_once(subscribing).unwrap().unwrap_err();
    assert_eq!(
        refused,
        OperationError::Refused(CommandError::DeviceRefused)
    );
}

#[test]
fn the_messages_of_a_refused_device_can_be_kept_until_it_is_attached() {
    let mut options = Options::default();
    options.on_refusal = OnRefusal::KeepQueue;
    let opened = open(options);
    let attaching = opened.client.attach(id("device-1"));
    let mut attaching = Box::pin(attaching);
    assert!(poll_once(attaching.as_mut()).is_none());
    let device = attaching.device().unwrap();
    let delivery = opened.world.spawn(device.try_telemetry("kept").unwrap());
    refuse(&opened, attach_id(&opened.server.received()));
    assert!(!delivery.is_finished());
    let again = opened.world.spawn(opened.client.attach(id("device-1")));
    opened.server.serve(&opened.world);
    assert!(again.ended().is_ok());
    assert_eq!(delivery.ended(), Ok(()));
}

#[test]
fn a_subscription_that_was_refused_once_is_made_without_the_user() {
    let mut opened = open(Options::default());
    let device = opened.attach(Attach::new(id("device-1")).config(None).commands(None));
    let subscribing = device.subscribe(Subscription::Commands, QoS::AtLeastOnce);
    let subscribing = opened.world.spawn(subscribing);
    let Opened { world, server, .. } = &mut opened;
    let Sent::Subscribe { id: packet_id, .. } = server.received()[0] else {
        panic!("expected a SUBSCRIBE");
    };
    server.suback(world, packet_id, 0x80);
    let refused = Failure::SubscriptionRefused(Subscription::Commands);
    assert_eq!(subscribing.ended(), Err(OperationError::Failed(refused)));
    world.pass(Duration::from_secs(3));
    let sent = server.serve(world);
    assert!(matches!(&sent[..], [Sent::Subscribe { .. }]), "{sent:?}");
    server.publish(world, "/devices/device-1/commands", "open", 1);
    let message = poll_once(device.messages().next()).flatten().unwrap();
    assert_eq!(message.payload, "open");
}

#[test]
fn a_subscription_that_is_granted_at_qos_0_is_a_status() {
    let mut opened = open(Options::default());
    let attach = Attach::new(id("device-1")).commands(None);
    let attaching = opened.world.spawn(opened.client.attach(attach));
    let Opened { world, server, .. } = &mut opened;
    server.puback(world, attach_id(&server.received()));
    let Sent::Subscribe { id: packet_id, .. } = server.received()[0] else {
        panic!("expected a SUBSCRIBE");
    };
    server.suback(world, packet_id, 0);
    assert!(attaching.ended().is_ok());
    let changes = opened.changes();
    let [Status::Attached { .. }, downgraded] = &changes[..] else {
        panic!("{changes:?}");
    };
    assert_eq!(
        downgraded.to_string(),
        "the bridge granted device-1 its subscription to config at QoS 0 only"
    );
}

#[test]
fn a_detach_without_a_connection_hands_the_messages_back_within_the_drain_timeout() {
    let mut opened = open(Options::default());
    let device = opened.attach(id("device-1"));
    opened.server.close(&opened.world);
    let delivery = opened.world.spawn(device.try_telemetry("kept").unwrap());
    let detaching = opened.world.spawn(device.detach());
    opened.world.pass(Duration::from_secs(9));
    assert!(!detaching.is_finished());
    opened.world.pass(Duration::from_secs(1));
    let unsent = delivery.ended().unwrap_err().into_unsent().unwrap();
    assert_eq!(unsent.payload, "kept");
    assert_eq!(detaching.ended(), Ok(()));
    assert_eq!(device.status(), None);
}
