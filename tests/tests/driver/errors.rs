//! The texts of the driver's errors, and the `Debug` output of handles.

use std::{error::Error, io, time::Duration};

use iotcore_gateway::{
    Failure, Options,
    command_error::{CommandError, PublishError, PublishErrorKind},
    driver::{
        Attach,
        error::{
            AcceptError, AttachError, DeliveryError, DriverStopped, OperationError, SetupError,
            TokenFailure, TransportError,
        },
        tls::{HostError, TlsError},
    },
    options::OptionsError,
};
use rustls::CertificateError;

use super::{World, id, open, poll_once, start};

const STOPPED: &str = "the driver was dropped: its `run` must be kept running until it ends";

#[test]
fn every_error_caused_by_a_dropped_driver_says_so() {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    drop(driver);
    let gateway = client.gateway();
    let refused = gateway.try_telemetry("x").unwrap_err();
    assert!(!refused.is_blocked());
    let attach = poll_once(client.attach(id("device-1"))).unwrap();
    let attach = attach.unwrap_err();
    assert!(attach.failure().is_none());
    for shown in [
        DriverStopped.to_string(),
        refused.to_string(),
        DeliveryError::DriverStopped.to_string(),
        OperationError::DriverStopped.to_string(),
    ] {
        assert_eq!(shown, STOPPED);
    }
    assert!(attach.to_string().ends_with(STOPPED), "{attach}");
}

#[test]
fn an_error_of_a_handle_has_the_text_of_the_gateway_error() {
    let opened = open(Options::default());
    let error = opened.client.gateway().try_report_state(vec![0; 65_537]);
    let AcceptError::Refused(refused) = error.unwrap_err() else {
        panic!("refused");
    };
    assert!(matches!(
        refused,
        PublishError {
            kind: PublishErrorKind::TooLarge { .. },
            ..
        }
    ));
    let failure = Failure::TimedOut(Duration::from_secs(30));
    for (shown, says) in [
        (
            AcceptError::Refused(refused.clone()).to_string(),
            refused.to_string(),
        ),
        (
            OperationError::Failed(failure.clone()).to_string(),
            failure.to_string(),
        ),
        (
            OperationError::Failed(failure.clone()).to_string(),
            failure.to_string(),
        ),
        (
            OperationError::Refused(CommandError::Closed).to_string(),
            CommandError::Closed.to_string(),
        ),
    ] {
        assert_eq!(shown, says);
        assert!(!shown.is_empty());
    }
}

#[test]
fn a_failed_attach_names_what_failed_and_its_reason() {
    let mut opened = open(Options::default());
    let device = opened.attach(Attach::new(id("device-1")));
    let failed = || OperationError::Failed(Failure::Closed);
    let closed = "the gateway was closed before it was acknowledged";
    for (error, shown) in [
        (
            AttachError::Token(TokenFailure::Source("no key".into())),
            "the device was not attached: the token source failed: no key".to_owned(),
        ),
        (
            AttachError::Attach(failed(), None),
            format!("the device was not attached: {closed}"),
        ),
        (
            AttachError::Attach(failed(), Some(device.clone())),
            format!("device-1 was not attached: {closed}"),
        ),
        (
            AttachError::Subscribe(failed(), device),
            format!("device-1 is attached, but a subscription did not succeed: {closed}"),
        ),
    ] {
        assert_eq!(error.to_string(), shown);
        assert!(error.source().is_none(), "{error}");
    }
    let unreadable = TlsError::File("ca.pem".into(), io::Error::other("locked"));
    let error = AttachError::Token(TokenFailure::Source(Box::new(unreadable)));
    assert_eq!(error.source().unwrap().to_string(), "locked");
}

#[test]
fn a_token_source_s_own_reason_is_the_source_of_its_failure() {
    let unreadable = TlsError::File("ca.pem".into(), io::Error::other("locked"));
    let failure = TokenFailure::Source(Box::new(unreadable));
    assert_eq!(failure.source().unwrap().to_string(), "locked");
    let late = TokenFailure::TimedOut(Duration::from_secs(20));
    assert!(late.source().is_none());
    assert_eq!(
        late.to_string(),
        "the token source gave no answer within 20s"
    );
    let transport = TransportError::Token(failure);
    assert_eq!(transport.source().unwrap().to_string(), "locked");
}

#[test]
fn a_setup_that_cannot_start_reports_its_mistake() {
    for (host, parts) in [
        (HostError::Invalid("a b".into()), ["`a b`", "a DNS name"]),
        (
            HostError::NotLoopback("10.0.0.1".into()),
            ["`10.0.0.1`", "use TLS"],
        ),
    ] {
        let shown = SetupError::Host(host.clone()).to_string();
        assert_eq!(shown, host.to_string());
        for part in parts {
            assert!(shown.contains(part), "{part:?} is not in {shown}");
        }
    }
    let world = World::new();
    let mut options = Options::default();
    options.max_events = 0;
    let Err(error) = super::setup(options).start(world.net.clone()) else {
        panic!("started with a limit of zero events");
    };
    let SetupError::Options(problem) = &error else {
        panic!("{error:?}");
    };
    let problem: &OptionsError = problem;
    assert_eq!(error.to_string(), problem.to_string());
    assert!(error.to_string().contains("max_events"), "{error}");
}

#[test]
fn a_time_limit_that_is_zero_or_longer_than_a_week_is_refused() {
    let week = Duration::from_secs(7 * 86_400);
    for (limit, shown) in [
        (Duration::ZERO, "0ns"),
        (week + Duration::from_nanos(1), "604800.000000001s"),
        (Duration::MAX, "18446744073709551615.999999999s"),
    ] {
        let world = World::new();
        let setup = super::setup(Options::default()).dial_timeout(limit);
        let Err(error) = setup.start(world.net.clone()) else {
            panic!("started with {limit:?}");
        };
        assert_eq!(error, SetupError::DialTimeout(limit));
        let expected =
            format!("dial_timeout is {shown}: it must be longer than zero, and at most 7 days");
        assert_eq!(error.to_string(), expected);
    }
    let world = World::new();
    let setup = super::setup(Options::default()).dial_timeout(week);
    let (_client, driver) = setup.start(world.net.clone()).unwrap();
    let _driver = world.spawn(driver.run());
    super::Server::open(&world);
}

#[test]
fn a_failed_handshake_names_the_host_and_has_the_error_of_rustls_as_its_source() {
    let unknown = rustls::Error::from(CertificateError::UnknownIssuer);
    let source = || io::Error::new(io::ErrorKind::InvalidData, unknown.clone());
    let host = "mqtt.example.org".into();
    let error = TransportError::Tls {
        host,
        proxy: None,
        address: "192.0.2.7:8883".parse().unwrap(),
        source: source(),
    };
    let start = "no TLS connection with mqtt.example.org at 192.0.2.7:8883: its CA is not among the trusted ones: ";
    assert!(error.to_string().starts_with(start), "{error}");
    assert!(error.is_ca_unknown());
    assert_eq!(error.source().unwrap().to_string(), unknown.to_string());
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
    let broken = TransportError::TlsBroken(io::Error::new(io::ErrorKind::InvalidData, alert));
    let start = "the TLS connection broke: the server demands a client certificate: ";
    assert!(broken.to_string().starts_with(start), "{broken}");
    assert!(!broken.is_ca_unknown());
}

#[test]
fn every_handle_s_debug_output_names_its_owner() {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    let shown = format!("{driver:?}");
    for part in ["gw-1", "localhost", "8883"] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    let _driver = world.spawn(driver.run());
    let server = super::Server::open(&world);
    let mut attaching = Box::pin(client.attach(id("device-1")));
    assert!(poll_once(attaching.as_mut()).is_none());
    let op = attaching.op().unwrap();
    assert!(format!("{attaching:?}").contains(&format!("{op:?}")));
    let device = attaching.device().unwrap();
    server.serve(&world);
    server.publish(&world, "/devices/device-1/config", "warm", 1);
    let mut messages = device.messages();
    let message = poll_once(messages.next()).unwrap().unwrap();
    for (shown, parts) in [
        (format!("{client:?}"), &["Client", "gw-1"][..]),
        (format!("{device:?}"), &["Device", "device-1"]),
        (format!("{messages:?}"), &["Messages", "device-1"]),
        (
            format!("{:?}", client.status()),
            &["StatusChanges", "Shared"],
        ),
        (
            format!("{message:?}"),
            &["Message", "device-1", "Config", "warm", "DeliveryId"],
        ),
        (
            format!("{:?}", device.telemetry("cold")),
            &["Accepting", "cold"],
        ),
    ] {
        for part in parts {
            assert!(shown.contains(part), "{part:?} is not in {shown}");
        }
    }
}
