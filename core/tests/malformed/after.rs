//! The checks after a row: the connection still works, or nothing more is sent on it and the next connection works.

use std::time::Duration;

use iotcore_gateway::{Outcome, cause::TransportEnd};

use crate::{
    Expect, Row,
    peer::{Harness, Sent, publish, seconds},
    stage::{CONFIG, Stage},
};

pub(crate) fn check(row: &Row, mut harness: Harness, label: &str) {
    match row.expect {
        Expect::Closes(_) | Expect::Refuses(_) | Expect::TimesOut(_) => {
            stays_silent(&mut harness, label);
            if row.stage.is_closing() {
                closes(&mut harness, label);
            } else {
                harness.lose_connection();
                harness.redial();
                publishes(&mut harness, label);
            }
        }
        Expect::Ignores(_) | Expect::Tolerates(_) if row.stage.is_closing() => {
            if row.stage == Stage::Closing {
                harness.puback(2);
            }
            closes(&mut harness, label);
        }
        Expect::Ignores(_) | Expect::Tolerates(_) => {
            reopens(&mut harness, row.stage);
            publishes(&mut harness, label);
        }
    }
}

/// Asserts that nothing is sent on a connection that has ended, regardless of later input and of the time until the
/// transport is closed.
fn stays_silent(harness: &mut Harness, label: &str) {
    assert!(!harness.gateway.wants_transport(), "{label}");
    harness.receive(&publish(CONFIG, b"late", Some(77), false));
    harness.puback(5);
    harness.wait(Duration::from_millis(500));
    assert_eq!(harness.events(), [], "{label}");
    assert_eq!(harness.sent(), [], "{label}");
}

/// Proceeds to an open connection from any stage that can lead to one.
fn reopens(harness: &mut Harness, stage: Stage) {
    if harness.gateway.is_open() && stage != Stage::Refreshing {
        return;
    }
    match stage {
        Stage::Dialing => harness.connect(),
        Stage::Unwritten | Stage::Connecting => {
            harness.sent();
            harness.connack(0);
        }
        Stage::Refreshing => {
            harness.puback(2);
            assert_eq!(harness.sent(), [Sent::Disconnect]);
            harness.lose_connection();
            harness.redial();
        }
        _ => {
            harness.lose_connection();
            harness.redial();
        }
    }
}

/// Asserts that a publication of the gateway itself is sent and acknowledged.
fn publishes(harness: &mut Harness, label: &str) {
    harness.sent();
    let op = harness.publish(harness.gateway.own_key(), "after the row");
    let id = harness.sent().into_iter().find_map(|sent| match sent {
        Sent::Publish { payload, id, .. } if payload == b"after the row" => id,
        _ => None,
    });
    harness.puback(id.unwrap_or_else(|| panic!("{label}: nothing was published")));
    assert_eq!(
        harness.ended(op),
        Some(Ok(Outcome::Acknowledged)),
        "{label}"
    );
}

/// Asserts that a gateway that is closing is closed before its deadline.
fn closes(harness: &mut Harness, label: &str) {
    harness.sent();
    harness
        .gateway
        .handle_disconnected(TransportEnd::PeerClosed, harness.now);
    harness.wait(seconds(10));
    assert!(harness.gateway.is_closed(), "{label}: it did not close");
    assert_eq!(harness.sent(), [], "{label}");
}
