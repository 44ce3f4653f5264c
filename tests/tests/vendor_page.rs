//! The vendor's page on gateways, end to end: the gateway against the emulator in virtual time.
//!
//! `docs/conformance/vendor-page.md` lists every statement of the page with the tests that prove it, of which these are some.
#![forbid(unsafe_code)]

use core::time::Duration;

use iotcore_gateway::{
    Algorithm, DeviceAuth, DeviceKey, Event, Failure, OpId, Options, Outcome, Publication,
    auth::{SigningKey, Token},
    cause::DetachCause,
    device::DeviceState,
    error_report::ErrorType,
    message::{QoS, Subscription},
};
use iotcore_gateway_testkit::bridge::event::EventKind;
use iotcore_gateway_testkit::link::{BOUND, GATEWAY, Link, UNBOUND, registry};
use iotcore_gateway_testkit::{AuthMethod, Settings};

const SECOND: Duration = Duration::from_secs(1);

fn open(method: AuthMethod) -> Link {
    let mut link = Link::with_registry(Options::default(), registry(method), Settings::default());
    link.gateway.open(link.now()).unwrap();
    link.run(SECOND);
    assert!(link.gateway.is_open());
    link.events();
    link
}

fn attach(link: &mut Link, id: &str, auth: DeviceAuth) -> (DeviceKey, OpId) {
    let attached = link
        .gateway
        .attach(id.try_into().unwrap(), auth, link.unix_now(), link.now())
        .unwrap();
    link.run(SECOND);
    attached
}

fn attached(link: &mut Link) -> DeviceKey {
    let (device, op) = attach(link, BOUND[0], DeviceAuth::ByAssociation);
    assert_eq!(ended(link, op), Some(Ok(Outcome::Attached)));
    device
}

fn device_token(link: &Link) -> Token {
    let pem = include_bytes!("../src/link/gateway.key.pem");
    let key = SigningKey::from_pem(pem, Algorithm::Es256).unwrap();
    let project = link.gateway.client_id().project();
    key.token(project, 60 * SECOND, link.now(), link.unix_now())
        .unwrap()
}

fn ended(link: &mut Link, op: OpId) -> Option<Result<Outcome, Failure>> {
    link.events().into_iter().find_map(|event| match event {
        Event::Done { op: ended, outcome } if ended == op => Some(Ok(outcome)),
        Event::Failed {
            op: ended, failure, ..
        } if ended == op => Some(Err(failure)),
        _ => None,
    })
}

fn refused_as(link: &mut Link, op: OpId) -> Option<ErrorType> {
    match ended(link, op) {
        Some(Err(Failure::Reported(report))) => Some(report.error_type().clone()),
        _ => None,
    }
}

#[test]
fn a_gateway_connects_with_its_client_id_and_a_token_for_its_project() {
    let mut link = open(AuthMethod::AssociationOnly);
    let events = link.bridge_events();
    assert!(events.iter().any(|event| matches!(
        event.kind,
        EventKind::Connected {
            gateway: true,
            keep_alive: 60,
            ..
        }
    ) && event.client.as_deref() == Some(GATEWAY)));
    assert!(
        link.bridge
            .subscriptions(GATEWAY)
            .any(|(filter, qos)| (filter, qos) == (format!("/devices/{GATEWAY}/errors"), 0))
    );
}

#[test]
fn without_tokens_of_their_own_devices_are_authenticated_by_their_binding() {
    let mut link = open(AuthMethod::AssociationOnly);
    let (_, bound) = attach(&mut link, BOUND[0], DeviceAuth::ByAssociation);
    assert_eq!(ended(&mut link, bound), Some(Ok(Outcome::Attached)));
    let (stranger, unbound) = attach(&mut link, UNBOUND, DeviceAuth::ByAssociation);
    assert_eq!(
        refused_as(&mut link, unbound),
        Some(ErrorType::AttachmentError)
    );
    assert_eq!(
        link.gateway.device_state(stranger),
        Some(DeviceState::Refused)
    );
    assert!(link.gateway.is_open(), "the connection stays up");
}

#[test]
fn with_tokens_of_their_own_devices_need_no_binding() {
    let mut link = open(AuthMethod::DeviceAuthTokenOnly);
    let token = device_token(&link);
    let (_, with) = attach(&mut link, UNBOUND, DeviceAuth::Token(token));
    assert_eq!(ended(&mut link, with), Some(Ok(Outcome::Attached)));
    let (_, without) = attach(&mut link, BOUND[0], DeviceAuth::ByAssociation);
    assert_eq!(
        refused_as(&mut link, without),
        Some(ErrorType::AttachmentError)
    );
}

#[test]
fn a_gateway_that_asks_for_both_takes_neither_alone() {
    let mut link = open(AuthMethod::AssociationAndDeviceAuthToken);
    let token = device_token(&link);
    for (id, auth, taken) in [
        (BOUND[0], DeviceAuth::Token(token.clone()), true),
        (BOUND[1], DeviceAuth::ByAssociation, false),
        (UNBOUND, DeviceAuth::Token(token), false),
    ] {
        let (_, op) = attach(&mut link, id, auth);
        assert_eq!(
            ended(&mut link, op) == Some(Ok(Outcome::Attached)),
            taken,
            "{id}"
        );
    }
}

#[test]
fn telemetry_and_state_are_relayed_for_devices_and_sent_for_the_gateway_itself() {
    let mut link = open(AuthMethod::AssociationOnly);
    let device = attached(&mut link);
    let own = link.gateway.own_key();
    for key in [device, own] {
        let alert = Publication::telemetry(key, "alert").subfolder("alerts".try_into().unwrap());
        for publication in [
            Publication::telemetry(key, "21.5"),
            alert,
            Publication::state(key, "ok"),
        ] {
            link.gateway.publish(publication, link.now()).unwrap();
        }
    }
    link.run(SECOND);
    for id in [BOUND[0], GATEWAY] {
        let record = link.bridge.device(id).unwrap();
        let telemetry: Vec<_> = record
            .telemetry()
            .map(|event| (event.subfolder.as_deref(), &event.payload[..]))
            .collect();
        assert_eq!(
            telemetry,
            [(None, &b"21.5"[..]), (Some("alerts"), b"alert")]
        );
        assert_eq!(
            record.states().map(|state| &state[..]).collect::<Vec<_>>(),
            [b"ok"]
        );
    }
    let done = link.events().into_iter().filter(|event| {
        matches!(
            event,
            Event::Done {
                outcome: Outcome::Acknowledged,
                ..
            }
        )
    });
    assert_eq!(done.count(), 6);
}

#[test]
fn configs_and_commands_reach_the_device_that_they_are_for() {
    let mut link = open(AuthMethod::AssociationOnly);
    let device = attached(&mut link);
    let own = link.gateway.own_key();
    for key in [device, own] {
        for subscription in [Subscription::Config, Subscription::Commands] {
            link.gateway
                .subscribe(key, subscription, QoS::AtLeastOnce, link.now())
                .unwrap();
        }
    }
    link.run(SECOND);
    let configs = link
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::Config { payload, .. } if payload.is_empty()));
    assert_eq!(
        configs.count(),
        2,
        "a device without a configuration has an empty config"
    );
    for (key, id) in [(device, BOUND[0]), (own, GATEWAY)] {
        let now = link.now();
        link.bridge.send_config(id, "rate=5", now).unwrap();
        link.bridge
            .send_command(id, Some("valve"), "open", now)
            .unwrap();
        link.run(SECOND);
        let events = link.events();
        assert!(events.iter().any(|event| matches!(event, Event::Config { device, payload, .. } if *device == key && payload == "rate=5")));
        assert!(events.iter().any(
            |event| matches!(event, Event::Command { device, subfolder, payload, .. }
            if *device == key && subfolder.as_deref() == Some("valve") && payload == "open")
        ));
        assert_eq!(
            link.bridge.device(id).unwrap().config_acknowledged(),
            Some(2)
        );
    }
}

#[test]
fn attaching_twice_is_acknowledged_by_the_bridge_too() {
    let mut link = open(AuthMethod::AssociationOnly);
    attached(&mut link);
    link.cut();
    link.run(5 * SECOND);
    assert_eq!(
        link.bridge.attached(GATEWAY).collect::<Vec<_>>(),
        [BOUND[0]]
    );
    let (_, op) = attach(&mut link, BOUND[0], DeviceAuth::ByAssociation);
    assert_eq!(ended(&mut link, op), Some(Ok(Outcome::Attached)));
}

#[test]
fn detaching_ends_the_attachment_and_nothing_else() {
    let mut link = open(AuthMethod::AssociationOnly);
    let device = attached(&mut link);
    let (_, other) = attach(&mut link, BOUND[1], DeviceAuth::ByAssociation);
    assert_eq!(ended(&mut link, other), Some(Ok(Outcome::Attached)));
    let op = link.gateway.detach(device, link.now()).unwrap();
    link.run(SECOND);
    assert_eq!(ended(&mut link, op), Some(Ok(Outcome::Detached)));
    assert_eq!(
        link.bridge.attached(GATEWAY).collect::<Vec<_>>(),
        [BOUND[1]]
    );
}

#[test]
fn an_error_of_a_device_reaches_the_gateway_with_the_fields_of_the_page() {
    let mut link = open(AuthMethod::AssociationOnly);
    let (_, _) = attach(&mut link, UNBOUND, DeviceAuth::ByAssociation);
    let report = link.events().into_iter().find_map(|event| match event {
        Event::ErrorReport(report) => Some(report),
        _ => None,
    });
    let report = report.unwrap();
    assert_eq!(*report.error_type(), ErrorType::AttachmentError);
    assert_eq!(report.device_id(), Some(UNBOUND));
    assert_ne!(report.description(), "");
    let message = report.message().unwrap();
    assert_eq!(message.message_type(), Some("PUBLISH"));
    assert_eq!(
        message.topic(),
        Some(&*format!("/devices/{UNBOUND}/attach"))
    );
    assert!(message.packet_id().is_some());
}

#[test]
fn a_device_that_the_bridge_detaches_comes_back_and_delivers() {
    let mut link = open(AuthMethod::AssociationOnly);
    let device = attached(&mut link);
    let now = link.now();
    link.bridge.detach_with_error(BOUND[0], now).unwrap();
    let op = link
        .gateway
        .publish(Publication::telemetry(device, "after"), now)
        .unwrap();
    link.run(10 * SECOND);
    let events = link.events();
    assert!(events.iter().any(
        |event| matches!(event, Event::Detached { cause: DetachCause::Reported(report), .. }
        if *report.error_type() == ErrorType::DetachmentDeviceError)
    ));
    assert!(events.contains(&Event::Done {
        op,
        outcome: Outcome::Acknowledged
    }));
    let record = link.bridge.device(BOUND[0]).unwrap();
    assert!(record.telemetry().any(|event| event.payload == "after"));
}

#[test]
fn an_expiring_token_is_replaced_without_loss() {
    let mut link = Link::new(Options::default());
    link.set_token_lifetime(60 * SECOND);
    link.gateway.open(link.now()).unwrap();
    let (device, _) = attach(&mut link, BOUND[0], DeviceAuth::ByAssociation);
    for n in 0..300 {
        link.gateway
            .publish(Publication::telemetry(device, n.to_string()), link.now())
            .unwrap();
        link.run(SECOND);
    }
    let received: Vec<_> = link
        .bridge
        .device(BOUND[0])
        .unwrap()
        .telemetry()
        .map(|event| event.payload.clone())
        .collect();
    let expected: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    assert_eq!(received, expected, "each once, in order");
    assert!(link.gateway.stats().connections >= 5);
}

#[test]
fn a_cut_connection_comes_back_with_everything_and_loses_nothing() {
    let mut link = open(AuthMethod::AssociationOnly);
    let device = attached(&mut link);
    link.gateway
        .subscribe(device, Subscription::Commands, QoS::AtLeastOnce, link.now())
        .unwrap();
    for n in 0..50 {
        link.gateway
            .publish(Publication::telemetry(device, n.to_string()), link.now())
            .unwrap();
        link.run(Duration::from_millis(7));
        if n % 10 == 9 {
            link.cut();
            link.run(40 * SECOND);
        }
    }
    let mut received: Vec<u32> = link
        .bridge
        .device(BOUND[0])
        .unwrap()
        .telemetry()
        .map(|event| str::from_utf8(&event.payload).unwrap().parse().unwrap())
        .collect();
    received.dedup();
    received.sort_unstable();
    received.dedup();
    assert_eq!(received, (0..50).collect::<Vec<_>>());
    assert!(
        link.bridge
            .subscriptions(GATEWAY)
            .any(|(filter, _)| filter == format!("/devices/{}/commands/#", BOUND[0]))
    );
    assert_eq!(link.gateway.unsent().count(), 0);
}
