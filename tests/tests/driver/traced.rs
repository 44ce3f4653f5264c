//! The `tracing` output: nested spans, every change, and no secret.

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use iotcore_gateway::{
    Options,
    auth::Token,
    driver::{Attach, Runtime, Telemetry},
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use super::{Dials, Sent, Server, Tokens, World, id, open, setup_with};

/// A subscriber that records every span and event, each with its parent span.
#[derive(Clone, Default)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    spans: Arc<Mutex<Vec<String>>>,
}

impl Log {
    fn name(&self, span: Option<&Id>) -> String {
        let spans = self.spans.lock().unwrap();
        let at = span.map(|id| id.into_u64() as usize - 1);
        at.map_or_else(String::new, |at| spans[at].clone())
    }
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut name = format!(
            "{}/{}",
            self.name(attributes.parent()),
            attributes.metadata().name()
        );
        attributes.record(&mut Fields(&mut name));
        let mut spans = self.spans.lock().unwrap();
        spans.push(name);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = self.name(event.parent());
        event.record(&mut Fields(&mut line));
        self.lines.lock().unwrap().push(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Runs a gateway that attaches a device, delivers, cancels, receives an error report and a command, and is disconnected until
/// the device's token has expired.
fn play() {
    let mut opened = open(Options::default());
    let now = opened.world.net.now();
    let token = Token::new("marked-device-token", now + Duration::from_secs(60)).unwrap();
    let device = opened.attach(Attach::new(id("device-1")).token(token));
    let accepting = opened.world.spawn(device.telemetry("marked-payload"));
    let _delivery = accepting.ended().unwrap();
    opened.server.serve(&opened.world);
    let late = Telemetry::new("marked-late").tag("reading 17".parse().unwrap());
    device.try_telemetry(late).unwrap().cancel().unwrap();
    opened.server.serve(&opened.world);
    let report = r#"{"error_type":"GATEWAY_DETACHMENT_DEVICE_ERROR","device_id":"device-1","description":"marked-description"}"#;
    let errors = format!("/devices/{}/errors", opened.client.gateway().id());
    opened.server.publish(&opened.world, &errors, report, 900);
    opened.server.publish(
        &opened.world,
        "/devices/device-1/commands/x",
        "marked-command",
        901,
    );
    opened
        .server
        .publish(&opened.world, "/elsewhere", "marked-unrequested", 902);
    opened.world.dials(Dials::Fail);
    opened.server.close(&opened.world);
    opened.world.pass(Duration::from_secs(61));
    opened.world.dials(Dials::Succeed);
    let _server = Server::accept_again(&opened.world);
    opened.changes();
}

/// Runs a gateway that gets no token first, and is refused then.
fn fail() {
    let world = World::new();
    let tokens = Tokens::default();
    tokens.failing.store(1, Ordering::Relaxed);
    let setup = setup_with(Options::default(), tokens);
    let (_client, driver) = setup.start(world.net.clone()).unwrap();
    let _driver = world.spawn(driver.run());
    world.pass(Duration::from_secs(2));
    let server = Server::accept(&world);
    assert!(
        matches!(&server.received()[..], [Sent::Connect { password, .. }] if password == "token-1")
    );
    server.send(&world, &[0x20, 2, 0, 5]);
    server.close(&world);
}

#[test]
fn spans_are_nested_and_every_change_is_logged_without_a_secret() {
    let log = Log::default();
    // Set for the whole process: a call site that a thread without a subscriber reaches first stays disabled for the
    // subscribers of other threads.
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    play();
    fail();
    let lines = log.lines.lock().unwrap().join("\n");
    let gateway = "/gateway client_id=projects/plant/";
    let connection = "/connection";
    for parts in [
        &[gateway, connection, "message=connected"][..],
        &[
            gateway,
            connection,
            "/device id=device-1",
            "message=attached",
        ],
        &[
            gateway,
            connection,
            "message=messages undelivered",
            "device=device-1 failure=it was cancelled",
            "messages=1",
            r#"tag="reading 17""#,
        ],
        &[
            gateway,
            "/device id=device-1",
            "detached by the bridge",
            "GATEWAY_DETACHMENT_DEVICE_ERROR",
        ],
        &[
            gateway,
            connection,
            "message=error report",
            "GATEWAY_DETACHMENT_DEVICE_ERROR",
        ],
        &[
            gateway,
            connection,
            "message=unrequested message",
            "/elsewhere",
        ],
        &[
            gateway,
            connection,
            "message=disconnected",
            "reason=the peer closed the connection",
        ],
        &[
            gateway,
            connection,
            "message=token needed",
            "device=device-1",
        ],
        &[
            gateway,
            "message=disconnected",
            "reason=no token could be obtained",
            "the key is unavailable",
        ],
        &[gateway, "message=disconnected", "with return code 5"],
    ] {
        assert!(
            lines
                .lines()
                .any(|line| parts.iter().all(|part| line.contains(part))),
            "{parts:?} in:\n{lines}"
        );
    }
    for secret in ["marked", "token-1"] {
        assert!(!lines.contains(secret), "{secret} in:\n{lines}");
    }
}
