//! Answers that are late, doubled, or out of order.

use super::*;

#[test]
fn pubacks_are_held_until_they_are_released() {
    let mut harness = harness();
    let connection = harness.connect("gateway");
    harness.fault("puback hold 2");
    assert_eq!(harness.publish_all(connection, &[1, 2, 3]), pubacks(&[3]));
    assert_eq!(
        harness.bridge.device("gateway").unwrap().telemetry_total(),
        3
    );
    assert_eq!(harness.faults(), Vec::<String>::new());
    harness.pass(seconds(600));
    assert_eq!(harness.read(connection), []);
    harness.fault("suback release");
    assert_eq!(harness.read(connection), []);
    harness.fault("puback release");
    assert_eq!(harness.read(connection), pubacks(&[1, 2]));
    assert_eq!(
        harness.strikes(),
        [
            "PUBACK 1: puback hold 2",
            "PUBACK 2: puback hold 1",
            "PUBACK 1",
            "PUBACK 2"
        ]
    );
    harness.fault("puback release");
    assert_eq!(harness.read(connection), []);
}

#[test]
fn held_answers_end_with_their_connection() {
    let mut harness = harness();
    let connection = harness.connect("gateway");
    harness.fault("puback hold");
    assert_eq!(harness.publish_all(connection, &[1]), []);
    harness
        .bridge
        .drop_connection("gateway", harness.now)
        .unwrap();
    harness.fault("clear");
    assert_eq!(harness.read(connection), []);
    let connection = harness.connect("gateway");
    assert_eq!(harness.publish_all(connection, &[2]), pubacks(&[2]));
}

#[test]
fn every_kind_of_answer_is_held_on_its_own() {
    let mut harness = harness();
    let connection = harness.connect("gateway");
    let filter = "/devices/gateway/errors";
    for (answer, packet, expected) in [
        ("puback", publish(TELEMETRY, 1, 4, b""), Received::Puback(4)),
        (
            "suback",
            subscribe(5, &[(filter, 0)]),
            Received::Suback(5, vec![0]),
        ),
        ("unsuback", unsubscribe(6, &[filter]), Received::Unsuback(6)),
        ("pingresp", PINGREQ.to_vec(), Received::Pingresp),
    ] {
        for other in ["puback", "suback", "unsuback", "pingresp"] {
            harness.fault(&format!("{other} hold"));
            let held = harness.send(connection, &packet);
            harness.fault("clear");
            let late = harness.read(connection);
            match answer == other {
                true => assert_eq!((held, late), (vec![], vec![expected.clone()])),
                false => assert_eq!((held, late), (vec![expected.clone()], vec![])),
            }
        }
    }
}

#[test]
fn pubacks_are_delayed_to_the_millisecond() {
    let mut harness = harness();
    let connection = harness.connect("gateway");
    harness.fault("puback delay 500 2");
    assert_eq!(harness.publish_all(connection, &[1]), []);
    let due = harness.now + Duration::from_millis(500);
    assert_eq!(harness.bridge.poll_timeout(), Some(due));
    harness.pass(Duration::from_millis(100));
    assert_eq!(harness.publish_all(connection, &[2, 3]), pubacks(&[3]));
    harness.pass(Duration::from_millis(399));
    assert_eq!(harness.read(connection), []);
    harness.pass(Duration::from_millis(1));
    assert_eq!(harness.read(connection), pubacks(&[1]));
    harness.pass(Duration::from_millis(99));
    assert_eq!(harness.read(connection), []);
    harness.pass(Duration::from_millis(1));
    assert_eq!(harness.read(connection), pubacks(&[2]));
}

#[test]
fn pubacks_are_doubled() {
    let mut harness = harness();
    let connection = harness.connect("gateway");
    harness.fault("puback double 1");
    assert_eq!(
        harness.publish_all(connection, &[1, 2]),
        pubacks(&[1, 1, 2])
    );
}

#[test]
fn pubacks_are_repeatedly_collected_and_reversed() {
    let mut harness = harness();
    let connection = harness.connect("gateway");
    harness.fault("puback reorder 3");
    assert_eq!(harness.publish_all(connection, &[1, 2]), []);
    assert_eq!(harness.send(connection, PINGREQ), [Received::Pingresp]);
    assert_eq!(harness.publish_all(connection, &[3]), pubacks(&[3, 2, 1]));
    assert_eq!(
        harness.publish_all(connection, &[4, 5, 6, 7]),
        pubacks(&[6, 5, 4])
    );
    harness.fault("puback release");
    assert_eq!(harness.read(connection), pubacks(&[7]));
}
