//! Packets at which the bridge always hangs up, and topic filters that are granted less than usual.

use super::*;

const CONFIG: &str = "/devices/dev1/config";

/// Returns whether a packet ends a new connection on which `dev1` and `dev2` are attached, without an answer.
fn ends(harness: &mut Harness, packet: &[u8]) -> bool {
    let connection = harness.gateway(&["dev1", "dev2"]);
    let before = harness.bridge.device("dev1").unwrap().telemetry_total();
    let answer = harness.send(connection, packet);
    let is_over = !harness.is_up(connection);
    if is_over {
        let after = harness.bridge.device("dev1").unwrap().telemetry_total();
        assert_eq!((answer, after), (vec![], before));
        assert_eq!(harness.close_reason(), CloseReason::Fault);
    }
    is_over
}

#[test]
fn each_packet_of_a_kind_about_a_device_ends_the_connection() {
    let on = |topic: &str| publish(topic, 1, 7, b"x");
    for (kind, poisonous) in [
        ("publish", &[0, 1, 2, 3][..]),
        ("attach", &[2]),
        ("detach", &[3]),
        ("telemetry", &[0]),
        ("state", &[1]),
        ("subscribe", &[4]),
        ("unsubscribe", &[5]),
    ] {
        let mut harness = harness();
        let packets = [
            on("/devices/dev1/events/a"),
            on("/devices/dev1/state"),
            on("/devices/dev1/attach"),
            on("/devices/dev1/detach"),
            subscribe(5, &[("/devices/dev2/config", 1), (CONFIG, 1)]),
            unsubscribe(6, &[CONFIG]),
            on("/devices/dev2/events"),
            on("/devices/dev2/state"),
            subscribe(5, &[("/devices/dev2/config", 1)]),
            PINGREQ.to_vec(),
        ];
        // The attaches are older than the fault, which no fault of another client affects.
        for (index, packet) in packets.iter().enumerate() {
            for _ in 0..2 {
                harness.pass(seconds(10));
                let connection = harness.gateway(&["dev1", "dev2"]);
                harness.fault(&format!("poison {kind} dev1 --client gateway"));
                harness.fault(&format!("poison {kind} dev2 --client solo"));
                harness.send(connection, packet);
                let is_over = !harness.is_up(connection);
                assert_eq!(is_over, poisonous.contains(&index), "{kind} {index}");
                harness.fault("clear");
            }
        }
    }
}

#[test]
fn a_poisonous_payload_ends_every_connection_until_the_fault_is_cleared() {
    let mut harness = harness();
    harness.fault("poison telemetry dev1 bad0");
    let telemetry =
        |device: &str, payload: &[u8]| publish(&format!("/devices/{device}/events"), 1, 9, payload);
    for _ in 0..3 {
        assert!(ends(
            &mut harness,
            &telemetry("dev1", b"\xBA\xD0, and more")
        ));
        assert!(!ends(&mut harness, &telemetry("dev1", b"\xBA")));
        assert!(!ends(&mut harness, &telemetry("dev1", b"")));
        assert!(!ends(&mut harness, &telemetry("dev2", b"\xBA\xD0")));
    }
    assert_eq!(harness.faults(), ["poison telemetry dev1 bad0"]);
    harness.fault("clear");
    assert!(!ends(&mut harness, &telemetry("dev1", b"\xBA\xD0")));
}

#[test]
fn a_poisonous_packet_strikes_when_a_slow_bridge_comes_to_it() {
    let mut harness = harness();
    let connection = harness.gateway(&["dev1"]);
    let service = crate::Service::one_queue().publish(seconds(2));
    harness.bridge.set_service(service, harness.now);
    harness.fault("poison telemetry dev1");
    let packets: Vec<u8> = [
        publish(TELEMETRY, 1, 5, b""),
        publish("/devices/dev1/events", 1, 6, b""),
    ]
    .concat();
    assert_eq!(harness.send(connection, &packets), []);
    harness.pass(seconds(3));
    assert_eq!(harness.read(connection), pubacks(&[5]));
    assert!(harness.is_up(connection));
    harness.pass(seconds(1));
    assert!(!harness.is_up(connection));
}

#[test]
fn the_next_topic_filters_are_refused_once() {
    let mut harness = harness();
    let connection = harness.gateway(&["dev1"]);
    harness.fault("grant failure 2");
    let commands = "/devices/dev1/commands/#";
    let all = [
        (CONFIG, 1),
        ("/devices/dev3/config", 1),
        (commands, 0),
        ("/devices/gateway/config", 0),
    ];
    let answer = harness.send(connection, &subscribe(5, &all));
    assert_eq!(
        answer.first(),
        Some(&Received::Suback(5, vec![0x80, 0x80, 0x80, 0]))
    );
    assert_eq!(harness.strikes().len(), 2, "one is forbidden anyway");
    assert!(
        harness
            .bridge
            .send_command("dev1", None, "x", harness.now)
            .is_err()
    );
    let answer = harness.send(connection, &subscribe(6, &[(CONFIG, 1)]));
    assert_eq!(answer.first(), Some(&Received::Suback(6, vec![1])));
}

#[test]
fn the_next_topic_filters_are_granted_qos_0() {
    let mut harness = harness();
    let connection = harness.gateway(&["dev1"]);
    harness.fault("grant qos0 1");
    let errors = "/devices/gateway/errors";
    let both = [(errors, 1), ("/devices/dev1/commands/#", 0), (CONFIG, 1)];
    let answer = harness.send(connection, &subscribe(5, &both));
    assert_eq!(
        answer,
        [
            Received::Suback(5, vec![0, 0, 0]),
            Received::message(CONFIG, "")
        ]
    );
    let answer = harness.send(connection, &subscribe(6, &[(CONFIG, 1)]));
    assert_eq!(answer.first(), Some(&Received::Suback(6, vec![1])));
}

#[test]
fn a_packet_beyond_a_limit_ends_the_connection_when_its_length_has_arrived() {
    let mut harness = harness();
    harness.fault("limit 200 --client gateway");
    let of_size = |size: usize| {
        let around = publish(TELEMETRY, 1, 9, b"").len() + 1;
        publish(TELEMETRY, 1, 9, &vec![b'x'; size - around])
    };
    let connection = harness.gateway(&["dev1"]);
    assert_eq!(harness.send(connection, &of_size(200)), pubacks(&[9]));
    for _ in 0..2 {
        let connection = harness.gateway(&["dev1"]);
        let large = of_size(201);
        assert_eq!(harness.send(connection, &large[..2]), []);
        assert!(harness.is_up(connection));
        assert_eq!(harness.send(connection, &large[2..3]), []);
        assert!(!harness.is_up(connection));
        assert_eq!(harness.close_reason(), CloseReason::Fault);
        harness.pass(seconds(10));
    }
    harness.fault("clear");
    assert!(!ends(&mut harness, &of_size(201)));
}
