//! What a gateway is good for after a row: the connection still works, or nothing more is sent on it and the next works.

use std::time::Duration;

use iotcore_gateway::{Outcome, TransportEnd};

use crate::{
    Expect, Row,
    peer::{Sent, Session, publish, seconds},
    stage::{CONFIG, Stage},
};

pub(crate) fn check(row: &Row, mut session: Session, label: &str) {
    match row.expect {
        Expect::Closes(_) | Expect::Refuses(_) | Expect::TimesOut(_) => {
            stays_silent(&mut session, label);
            if row.stage.is_closing() {
                closes(&mut session, label);
            } else {
                session.lose_connection();
                session.redial();
                publishes(&mut session, label);
            }
        }
        Expect::Ignores(_) | Expect::Tolerates(_) if row.stage.is_closing() => {
            if row.stage == Stage::Closing {
                session.puback(2);
            }
            closes(&mut session, label);
        }
        Expect::Ignores(_) | Expect::Tolerates(_) => {
            reopens(&mut session, row.stage);
            publishes(&mut session, label);
        }
    }
}

/// Nothing is transmitted on a connection that has ended, whatever still comes and however long it takes to hang up.
fn stays_silent(session: &mut Session, label: &str) {
    assert!(!session.gateway.wants_transport(), "{label}");
    session.receive(&publish(CONFIG, b"late", Some(77), false));
    session.puback(5);
    session.wait(Duration::from_millis(500));
    assert_eq!(session.events(), [], "{label}");
    assert_eq!(session.sent(), [], "{label}");
}

/// Comes to an open connection from any stage that leads to one.
fn reopens(session: &mut Session, stage: Stage) {
    if session.gateway.is_open() && stage != Stage::Refreshing {
        return;
    }
    match stage {
        Stage::Dialing => session.connect(),
        Stage::Unwritten | Stage::Connecting => {
            session.sent();
            session.connack(0);
        }
        Stage::Refreshing => {
            session.puback(2);
            assert_eq!(session.sent(), [Sent::Disconnect]);
            session.lose_connection();
            session.redial();
        }
        _ => {
            session.lose_connection();
            session.redial();
        }
    }
}

/// A publication of the gateway's own is sent and acknowledged.
fn publishes(session: &mut Session, label: &str) {
    session.sent();
    let op = session.publish(session.gateway.own_key(), "still here");
    let id = session.sent().into_iter().find_map(|sent| match sent {
        Sent::Publish { payload, id, .. } if payload == b"still here" => id,
        _ => None,
    });
    session.puback(id.unwrap_or_else(|| panic!("{label}: nothing is published")));
    assert_eq!(
        session.ended(op),
        Some(Ok(Outcome::Acknowledged)),
        "{label}"
    );
}

/// A gateway that was told to close does, within the time that it may take.
fn closes(session: &mut Session, label: &str) {
    session.sent();
    session
        .gateway
        .handle_disconnected(TransportEnd::PeerClosed, session.now);
    session.wait(seconds(10));
    assert!(session.gateway.is_closed(), "{label}: it did not close");
    assert_eq!(session.sent(), [], "{label}");
}
