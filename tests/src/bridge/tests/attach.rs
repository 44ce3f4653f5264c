//! Attach and detach.

use super::packets::{Received, publish, subscribe, token};
use super::*;

fn attach(
    harness: &mut Harness,
    gateway: ConnectionId,
    device: &str,
    payload: &str,
) -> Vec<Received> {
    let topic = format!("/devices/{device}/attach");
    harness.send(gateway, &publish(&topic, 1, 7, payload.as_bytes()))
}

fn detach(harness: &mut Harness, gateway: ConnectionId, device: &str) -> Vec<Received> {
    let topic = format!("/devices/{device}/detach");
    harness.send(gateway, &publish(&topic, 1, 8, b"{}"))
}

fn authorization(token: &str) -> String {
    format!(r#"{{"authorization" : "{token}"}}"#)
}

fn attached(harness: &Harness) -> Vec<&str> {
    harness.bridge.attached("gateway").collect()
}

/// Asserts that the one answer is a report about the attach, and returns its description.
fn refusal(answer: &[Received]) -> String {
    let [report @ Received::Publish { topic, payload, .. }] = answer else {
        panic!("{answer:?} is not one report");
    };
    assert_eq!(report.error_type(), "GATEWAY_ATTACHMENT_ERROR");
    assert_eq!(topic, "/devices/gateway/errors");
    let json: serde_json::Value = serde_json::from_str(payload).unwrap();
    assert_eq!(json["mqtt_message_info"]["message_type"], "PUBLISH");
    assert_eq!(json["mqtt_message_info"]["packet_id"], 7);
    let device = json["device_id"].as_str().unwrap();
    assert_eq!(
        json["mqtt_message_info"]["topic"],
        format!("/devices/{device}/attach")
    );
    json["description"].as_str().unwrap().to_owned()
}

#[test]
fn a_bound_device_attaches_with_any_payload_that_has_no_token() {
    for payload in [
        "",
        "{}",
        r#"{"authorization" : ""}"#,
        r#"{"authorization":"ignored"}"#,
    ] {
        let mut harness = Harness::new(AuthMethod::AssociationOnly);
        let gateway = harness.gateway(&[]);
        assert_eq!(
            attach(&mut harness, gateway, "dev1", payload),
            [Received::Puback(7)]
        );
        assert_eq!(attached(&harness), ["dev1"]);
    }
}

#[test]
fn attaching_again_is_acknowledged_and_changes_nothing() {
    let mut harness = Harness::new(AuthMethod::AssociationOnly);
    let gateway = harness.gateway(&["dev1"]);
    assert_eq!(
        attach(&mut harness, gateway, "dev1", "{}"),
        [Received::Puback(7)]
    );
    assert_eq!(attached(&harness), ["dev1"]);
    let again = EventKind::Attached {
        device: "dev1".to_owned(),
        again: true,
    };
    assert_eq!(harness.events().last(), Some(&again));
}

#[test]
fn a_device_that_may_not_attach_is_reported_and_the_connection_stays_up() {
    let mut harness = Harness::new(AuthMethod::AssociationOnly);
    let gateway = harness.gateway(&[]);
    harness
        .bridge
        .set_blocked("dev2", true, harness.now)
        .unwrap();
    for (device, reason) in [
        ("nobody", "no such device"),
        ("solo", "not bound"),
        ("dev2", "blocked"),
        ("gateway2", "a gateway itself"),
    ] {
        let description = refusal(&attach(&mut harness, gateway, device, "{}"));
        assert!(description.contains(reason), "{description}");
    }
    assert_eq!(attached(&harness), [""; 0]);
    assert!(harness.is_up(gateway));
}

#[test]
fn a_refused_attach_is_silent_without_the_errors_subscription() {
    let mut harness = Harness::new(AuthMethod::AssociationOnly);
    let gateway = harness.connect("gateway");
    assert_eq!(attach(&mut harness, gateway, "solo", "{}"), []);
    let heard = harness.events().into_iter().find_map(|event| match event {
        EventKind::ErrorReport { delivered, .. } => Some(delivered),
        _ => None,
    });
    assert_eq!(heard, Some(false));
}

#[test]
fn a_refused_attach_is_acknowledged_before_or_after_the_report_if_set_so() {
    for (value, puback) in [("before_report", 0), ("after_report", 1)] {
        let mut harness = Harness::new(AuthMethod::AssociationOnly).set("failed_puback", value);
        let gateway = harness.gateway(&[]);
        let mut answer = attach(&mut harness, gateway, "solo", "{}");
        assert_eq!(answer.remove(puback), Received::Puback(7));
        refusal(&answer);
    }
}

#[test]
fn a_gateway_that_requires_tokens_needs_no_binding() {
    let mut harness = Harness::new(AuthMethod::DeviceAuthTokenOnly);
    let gateway = harness.gateway(&[]);
    let good = authorization(&harness.token());
    assert_eq!(
        attach(&mut harness, gateway, "solo", &good),
        [Received::Puback(7)]
    );
    let forged = token(START, START + 60, "my-project", ES256_OTHER_PRIVATE);
    for (payload, reason) in [
        ("", "asks for the device's token"),
        ("{}", "asks for the device's token"),
        (r#"{"authorization" : ""}"#, "asks for the device's token"),
        ("{'authorization' : 'x'}", "the payload is not"),
        (r#"{"authorization" : 5}"#, "the payload is not"),
        (r#""TOP-SECRET""#, "the payload is not"),
        (r#"{"authorization" : "TOP-SECRET"}"#, "its token"),
        (&authorization(&forged), "verifies the signature"),
    ] {
        let description = refusal(&attach(&mut harness, gateway, "dev1", payload));
        assert!(description.contains(reason), "{payload}: {description}");
        assert!(!description.contains("SECRET"), "{description}");
    }
    assert_eq!(attached(&harness), ["solo"]);
}

#[test]
fn a_gateway_that_requires_both_needs_both() {
    let mut harness = Harness::new(AuthMethod::AssociationAndDeviceAuthToken);
    let gateway = harness.gateway(&[]);
    let good = authorization(&harness.token());
    assert!(refusal(&attach(&mut harness, gateway, "solo", &good)).contains("not bound"));
    assert!(refusal(&attach(&mut harness, gateway, "dev1", "{}")).contains("token"));
    assert_eq!(
        attach(&mut harness, gateway, "dev1", &good),
        [Received::Puback(7)]
    );
}

#[test]
fn no_device_may_use_a_gateway_without_auth_method() {
    let mut harness = Harness::new(AuthMethod::Unspecified);
    let gateway = harness.gateway(&[]);
    let good = authorization(&harness.token());
    assert!(refusal(&attach(&mut harness, gateway, "dev1", &good)).contains("no auth method"));
}

#[test]
fn a_device_whose_token_expired_is_detached_ten_minutes_later() {
    let mut harness = Harness::new(AuthMethod::DeviceAuthTokenOnly);
    let gateway = harness.gateway(&[]);
    let short = authorization(&token(START, START + 60, "my-project", ES256_PRIVATE));
    attach(&mut harness, gateway, "dev1", &short);
    attach(&mut harness, gateway, "dev2", &short);
    harness.pass(seconds(600));
    let renewed = authorization(&harness.token());
    assert_eq!(
        attach(&mut harness, gateway, "dev2", &renewed),
        [Received::Puback(7)]
    );
    harness.pass(seconds(59));
    assert_eq!(attached(&harness), ["dev1", "dev2"]);
    harness.pass(seconds(1));
    assert_eq!(attached(&harness), ["dev2"]);
    let answer = harness.read(gateway);
    assert_eq!(answer.len(), 1);
    assert_eq!(answer[0].error_type(), "GATEWAY_DETACHMENT_DEVICE_ERROR");
}

#[test]
fn a_device_whose_token_expired_stays_if_set_so() {
    let mut harness =
        Harness::new(AuthMethod::DeviceAuthTokenOnly).set("device_token_expiry", "ignore");
    let gateway = harness.gateway(&[]);
    let short = authorization(&token(START, START + 60, "my-project", ES256_PRIVATE));
    attach(&mut harness, gateway, "dev1", &short);
    harness.pass(seconds(1000));
    assert_eq!(attached(&harness), ["dev1"]);
    assert_eq!(harness.read(gateway), []);
}

#[test]
fn a_thousand_devices_attach_and_no_more() {
    let mut registry = Registry::new("my-project", "us-central1", "my-registry").unwrap();
    registry
        .add_gateway("gateway", &[ES256_PUBLIC], AuthMethod::AssociationOnly)
        .unwrap();
    for number in 0..=1000 {
        let device = format!("dev{number}");
        registry.add_device(&device, &[]).unwrap();
        registry.bind("gateway", &device).unwrap();
    }
    let mut harness = Harness::with_registry(registry);
    let gateway = harness.gateway(&[]);
    for number in 0..1000 {
        let device = format!("dev{number}");
        assert_eq!(
            attach(&mut harness, gateway, &device, "{}"),
            [Received::Puback(7)]
        );
    }
    let description = refusal(&attach(&mut harness, gateway, "dev1000", "{}"));
    assert!(
        description.contains("1000 devices are attached"),
        "{description}"
    );
    assert_eq!(
        attach(&mut harness, gateway, "dev5", "{}"),
        [Received::Puback(7)]
    );
    harness = harness.set("attach_limit", "silence");
    assert_eq!(attach(&mut harness, gateway, "dev1000", "{}"), []);
    assert_eq!(detach(&mut harness, gateway, "dev5"), [Received::Puback(8)]);
    assert_eq!(
        attach(&mut harness, gateway, "dev1000", "{}"),
        [Received::Puback(7)]
    );
}

#[test]
fn detach_is_acknowledged_whether_attached_or_not() {
    let mut harness = Harness::new(AuthMethod::AssociationOnly);
    let gateway = harness.gateway(&["dev1"]);
    assert_eq!(detach(&mut harness, gateway, "dev1"), [Received::Puback(8)]);
    assert_eq!(attached(&harness), [""; 0]);
    assert_eq!(detach(&mut harness, gateway, "dev1"), [Received::Puback(8)]);
    assert_eq!(
        detach(&mut harness, gateway, "nobody"),
        [Received::Puback(8)]
    );
    let detached = |event: &EventKind| matches!(event, EventKind::Detached { .. });
    assert_eq!(
        harness
            .events()
            .iter()
            .filter(|event| detached(event))
            .count(),
        1
    );
}

#[test]
fn control_messages_of_a_device_end_its_connection() {
    for kind in ["attach", "detach"] {
        let mut harness = Harness::new(AuthMethod::AssociationOnly);
        let device = harness.connect("solo");
        let topic = format!("/devices/dev1/{kind}");
        assert_eq!(harness.send(device, &publish(&topic, 1, 1, b"{}")), []);
        assert_eq!(harness.close_reason(), CloseReason::NotGateway { topic });
    }
}

#[test]
fn attachments_last_as_long_as_the_connection() {
    let mut harness = Harness::new(AuthMethod::AssociationOnly);
    let older = harness.gateway(&["dev1"]);
    let newer = harness.connect("gateway");
    assert!(!harness.is_up(older));
    assert_eq!(attached(&harness), [""; 0]);
    assert_eq!(
        attach(&mut harness, newer, "dev1", "{}"),
        [Received::Puback(7)]
    );
}

#[test]
fn a_second_gateway_takes_shares_or_is_refused_a_device_as_set() {
    for (value, stays, comes) in [
        ("detach_old", false, true),
        ("share", true, true),
        ("refuse_new", true, false),
    ] {
        let mut harness = Harness::new(AuthMethod::AssociationOnly).set("second_gateway", value);
        let older = harness.gateway(&["dev1"]);
        let newer = harness.connect("gateway2");
        let answer = attach(&mut harness, newer, "dev1", "{}");
        assert_eq!(answer == [Received::Puback(7)], comes, "{value}");
        assert_eq!(
            harness.bridge.attached("gateway2").count(),
            usize::from(comes),
            "{value}"
        );
        assert_eq!(attached(&harness).len(), usize::from(stays), "{value}");
        let told = harness.read(older);
        assert_eq!(told.is_empty(), stays, "{value}");
        for report in &told {
            assert_eq!(report.error_type(), "GATEWAY_DETACHMENT_DEVICE_ERROR");
        }
    }
}

#[test]
fn a_device_of_a_disconnected_gateway_is_not_attached() {
    let mut harness = Harness::new(AuthMethod::AssociationOnly).set("second_gateway", "refuse_new");
    let older = harness.gateway(&["dev1"]);
    let newer = harness.connect("gateway2");
    assert_eq!(attach(&mut harness, newer, "dev1", "{}"), []);
    harness.bridge.handle_closed(older, harness.now);
    assert_eq!(
        attach(&mut harness, newer, "dev1", "{}"),
        [Received::Puback(7)]
    );
}

#[test]
fn a_gateway_counts_as_attached_to_itself() {
    let mut harness = Harness::new(AuthMethod::AssociationOnly);
    let gateway = harness.gateway(&[]);
    assert_eq!(
        attach(&mut harness, gateway, "gateway", "{}"),
        [Received::Puback(7)]
    );
    assert_eq!(attached(&harness), [""; 0]);
    harness = harness.set("attach_self", "close");
    assert_eq!(attach(&mut harness, gateway, "gateway", "{}"), []);
    assert_eq!(harness.close_reason(), CloseReason::AttachSelf);
}

#[test]
fn attaching_a_gateway_ends_the_connection_if_set_so() {
    let mut harness = Harness::new(AuthMethod::AssociationOnly).set("nested_gateway", "close");
    let gateway = harness.gateway(&[]);
    assert_eq!(attach(&mut harness, gateway, "gateway2", "{}"), []);
    let device = "gateway2".to_owned();
    assert_eq!(
        harness.close_reason(),
        CloseReason::NestedGateway { device }
    );
}

#[test]
fn subscriptions_of_a_detached_device_are_dropped_or_kept_as_set() {
    for (value, kept) in [("dropped", false), ("kept", true)] {
        let mut harness =
            Harness::new(AuthMethod::AssociationOnly).set("subscriptions_after_detach", value);
        let gateway = harness.gateway(&["dev1"]);
        let filters = [("/devices/dev1/commands/#", 0), ("/devices/dev1/config", 0)];
        harness.send(gateway, &subscribe(3, &filters));
        detach(&mut harness, gateway, "dev1");
        harness
            .bridge
            .send_config("dev1", "early", harness.now)
            .unwrap();
        assert_eq!(harness.read(gateway), []);
        assert!(
            harness
                .bridge
                .send_command("dev1", None, "early", harness.now)
                .is_err()
        );
        attach(&mut harness, gateway, "dev1", "{}");
        let sent = harness
            .bridge
            .send_command("dev1", None, "late", harness.now);
        assert_eq!(sent.is_ok(), kept);
        let expected = Received::message("/devices/dev1/commands", "late");
        assert_eq!(
            harness.read(gateway),
            if kept { vec![expected] } else { vec![] }
        );
    }
}
