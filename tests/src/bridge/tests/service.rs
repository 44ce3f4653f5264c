//! A bridge that takes its time.

mod unserved;

use super::super::faults::PacketKind;
use super::super::service::{Service, ServiceKind};
use super::packets::{PINGREQ, Received, acknowledgement, publish, subscribe};
use super::*;

const DISCONNECT: &[u8] = &[0xE0, 0];

/// A connected gateway, with `dev1` attached, after which the service is set.
fn slow(service: Service) -> (Harness, ConnectionId) {
    let mut harness = Harness::new(AuthMethod::AssociationOnly);
    let connection = harness.gateway(&["dev1"]);
    harness.bridge.set_service(service, harness.now);
    harness.events();
    (harness, connection)
}

fn attach(device: &str, packet_id: u16) -> Vec<u8> {
    publish(&format!("/devices/{device}/attach"), 1, packet_id, b"{}")
}

fn telemetry(device: &str, packet_id: u16) -> Vec<u8> {
    publish(&format!("/devices/{device}/events"), 1, packet_id, b"x")
}

impl Harness {
    /// Advances time and returns all answers, each with its time in milliseconds from now.
    fn answers(&mut self, connection: ConnectionId, duration: Duration) -> Vec<(u128, Received)> {
        let (start, end) = (self.now, self.now + duration);
        let mut answers = Vec::new();
        loop {
            let at = (self.now - start).as_millis();
            answers.extend(self.read(connection).into_iter().map(|answer| (at, answer)));
            match self.bridge.poll_timeout().filter(|due| *due <= end) {
                Some(due) => self.tick(due),
                None => break,
            }
        }
        self.tick(end);
        answers
    }
}

#[test]
fn one_queue_answers_one_after_the_other_in_the_order_of_arrival() {
    let service = Service::one_queue()
        .attach(seconds(2))
        .subscribe(seconds(1))
        .publish(seconds(3));
    let (mut harness, gateway) = slow(service);
    let input = [
        attach("dev2", 10),
        telemetry("dev1", 11),
        subscribe(12, &[("/devices/dev1/commands/#", 1)]),
        PINGREQ.to_vec(),
        attach("dev3", 13),
    ];
    assert_eq!(harness.send(gateway, &input.concat()), []);
    assert_eq!(
        harness.answers(gateway, seconds(60)),
        [
            (2_000, Received::Puback(10)),
            (5_000, Received::Puback(11)),
            (6_000, Received::Suback(12, vec![1])),
            (6_000, Received::Pingresp),
            (8_000, Received::Puback(13)),
        ]
    );
    assert_eq!(harness.send(gateway, &telemetry("dev1", 14)), []);
    assert_eq!(
        harness.answers(gateway, seconds(60)),
        [(3_000, Received::Puback(14))]
    );
}

#[test]
fn one_queue_for_each_kind_keeps_no_kind_waiting_for_another() {
    let service = Service::per_kind().attach(seconds(2)).publish(seconds(3));
    let (mut harness, gateway) = slow(service);
    let input = [
        attach("dev2", 10),
        telemetry("dev1", 11),
        attach("dev3", 12),
        PINGREQ.to_vec(),
    ];
    assert_eq!(harness.send(gateway, &input.concat()), [Received::Pingresp]);
    assert_eq!(
        harness.answers(gateway, seconds(60)),
        [
            (2_000, Received::Puback(10)),
            (3_000, Received::Puback(11)),
            (4_000, Received::Puback(12)),
        ]
    );
}

#[test]
fn a_packet_has_its_effect_when_it_is_answered() {
    let (mut harness, gateway) = slow(Service::one_queue().attach(seconds(2)));
    harness.send(gateway, &attach("dev2", 10));
    harness.pass(Duration::from_millis(1_999));
    assert!(harness.bridge.attached("gateway").eq(["dev1"]));
    assert_eq!(harness.bridge.traffic().unanswered(ServiceKind::Attach), 1);
    harness.pass(Duration::from_millis(1));
    assert!(harness.bridge.attached("gateway").eq(["dev1", "dev2"]));
    assert_eq!(harness.bridge.traffic().unanswered(ServiceKind::Attach), 0);
    assert_eq!(harness.bridge.traffic().last_completed(), Some(harness.now));
}

#[test]
fn workers_process_as_many_packets_at_once() {
    let service = Service::one_queue().workers(2).publish(seconds(2));
    let (mut harness, gateway) = slow(service);
    let input: Vec<u8> = (10..15).flat_map(|id| telemetry("dev1", id)).collect();
    harness.send(gateway, &input);
    let answers = harness.answers(gateway, seconds(60));
    let times: Vec<u128> = answers.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [2_000, 2_000, 4_000, 4_000, 6_000]);
    let traffic = harness.bridge.traffic();
    assert_eq!(traffic.most_unanswered(ServiceKind::Publish), 5);
    assert_eq!(traffic.completed(ServiceKind::Publish), 5);
}

#[test]
fn answers_leave_in_bursts() {
    let service = Service::one_queue().publish(seconds(2)).bursts(seconds(10));
    let (mut harness, gateway) = slow(service);
    harness.pass(seconds(1));
    let mut input: Vec<u8> = (10..16).flat_map(|id| telemetry("dev1", id)).collect();
    input.extend_from_slice(PINGREQ);
    harness.send(gateway, &input);
    let answers = harness.answers(gateway, seconds(60));
    // Finished 3, 5, 7, 9, 11 and 13 s after the service was set, 1 s before.
    let times: Vec<u128> = answers.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [9_000, 9_000, 9_000, 9_000, 12_000, 19_000, 19_000]);
    assert_eq!(answers.get(4), Some(&(12_000, Received::Pingresp)));
}

#[test]
fn a_stall_is_made_good_at_its_end() {
    let service = Service::per_kind()
        .publish(seconds(2))
        .stall(seconds(3), seconds(10));
    let (mut harness, gateway) = slow(service);
    let input: Vec<u8> = (10..13).flat_map(|id| telemetry("dev1", id)).collect();
    harness.send(gateway, &input);
    assert_eq!(
        harness.answers(gateway, seconds(4)),
        [(2_000, Received::Puback(10))]
    );
    assert_eq!(
        harness.send(gateway, PINGREQ),
        [],
        "also what takes no time"
    );
    let answers = harness.answers(gateway, seconds(20));
    assert_eq!(
        answers,
        [
            (9_000, Received::Puback(11)),
            (9_000, Received::Pingresp),
            (9_000, Received::Puback(12)),
        ]
    );
    harness.bridge.stall(seconds(5), harness.now);
    harness.bridge.stall(seconds(1), harness.now);
    assert_eq!(harness.send(gateway, PINGREQ), []);
    assert_eq!(
        harness.answers(gateway, seconds(9)),
        [(5_000, Received::Pingresp)]
    );
    assert_eq!(harness.send(gateway, PINGREQ), [Received::Pingresp]);
}

#[test]
fn random_times_are_the_same_in_each_run_and_between_their_limits() {
    let service = Service::one_queue()
        .publish(Duration::from_millis(100))
        .heavy_tail(1.5, 10);
    let run = |seed| {
        let (mut harness, gateway) = slow(service.clone().seed(seed));
        let mut times = Vec::new();
        for id in 10..60 {
            harness.send(gateway, &telemetry("dev1", id));
            let answers = harness.answers(gateway, seconds(2));
            times.extend(answers.into_iter().map(|(at, _)| at));
        }
        times
    };
    let times = run(1);
    assert_eq!(times.len(), 50);
    assert!(
        times.iter().all(|time| (100..=1_000).contains(time)),
        "{times:?}"
    );
    assert!(times.iter().any(|time| *time > 300));
    assert_eq!(times, run(1));
    assert_ne!(times, run(2));
}

#[test]
fn acknowledgements_and_disconnect_do_not_wait_and_what_waits_is_lost_with_the_connection() {
    let service = Service::one_queue().publish(seconds(2));
    let (mut harness, gateway) = slow(service);
    let config = subscribe(9, &[("/devices/dev1/config", 1)]);
    assert_eq!(harness.send(gateway, &config).len(), 2);
    let input = [telemetry("dev1", 10), acknowledgement(0x40, 1)].concat();
    assert_eq!(harness.send(gateway, &input), []);
    let acknowledged = harness.bridge.device("dev1").unwrap().config_acknowledged();
    assert_eq!(acknowledged, Some(1));
    harness.send(gateway, DISCONNECT);
    assert_eq!(harness.close_reason(), CloseReason::Disconnect);
    assert_eq!(harness.bridge.poll_timeout(), None);
    harness.pass(seconds(60));
    assert_eq!(harness.bridge.device("dev1").unwrap().telemetry_total(), 0);
    assert_eq!(harness.bridge.traffic().unanswered(ServiceKind::Publish), 0);
}

#[test]
fn connections_wait_for_themselves_only_and_are_answered_in_the_order_of_time() {
    let (mut harness, gateway) = slow(Service::one_queue().publish(seconds(2)));
    let solo = harness.connect("solo");
    harness.send(
        gateway,
        &[telemetry("dev1", 10), telemetry("dev1", 11)].concat(),
    );
    harness.pass(seconds(1));
    harness.send(
        solo,
        &[telemetry("solo", 10), telemetry("solo", 11)].concat(),
    );
    harness.events();
    // Late, so that all is due at once.
    harness.tick(harness.now + seconds(60));
    let devices: Vec<String> = harness
        .events()
        .into_iter()
        .filter_map(|event| match event {
            EventKind::Telemetry { device, .. } => Some(device),
            _ => None,
        })
        .collect();
    assert_eq!(devices, ["dev1", "solo", "dev1", "solo"]);
}

#[test]
fn the_keep_alive_counts_from_the_arrival_of_a_packet() {
    let mut harness = Harness::new(AuthMethod::AssociationOnly);
    let connection = harness.bridge.accept(harness.now);
    let token = harness.token();
    harness.send(connection, &connect("solo", &token, 10));
    let service = Service::one_queue().ping(seconds(30));
    harness.bridge.set_service(service, harness.now);
    harness.send(connection, PINGREQ);
    harness.pass(seconds(14));
    assert!(harness.is_up(connection));
    harness.pass(seconds(1));
    assert_eq!(
        harness.close_reason(),
        CloseReason::KeepAlive { seconds: 10 }
    );
}

#[test]
fn a_service_that_recovers_answers_at_once_and_one_that_slows_down_begins_anew() {
    let (mut harness, gateway) = slow(Service::one_queue().publish(seconds(100)));
    harness.send(
        gateway,
        &[telemetry("dev1", 10), telemetry("dev1", 11)].concat(),
    );
    harness.pass(seconds(50));
    let slower = Service::per_kind().publish(seconds(200));
    harness.bridge.set_service(slower.clone(), harness.now);
    assert_eq!(*harness.bridge.service(), slower);
    assert_eq!(
        harness.answers(gateway, seconds(250)),
        [(200_000, Received::Puback(10))]
    );
    harness.bridge.set_service(Service::default(), harness.now);
    assert_eq!(harness.read(gateway), [Received::Puback(11)]);
}

#[test]
fn traffic_is_counted_by_kind() {
    let (mut harness, gateway) = slow(Service::default());
    let mut again = telemetry("dev1", 11);
    again[0] |= 8;
    let detach = publish("/devices/dev2/detach", 1, 12, b"");
    let state = publish("/devices/dev1/state", 0, 0, b"x");
    let input = [
        telemetry("dev1", 11),
        again,
        detach,
        state,
        PINGREQ.to_vec(),
    ]
    .concat();
    harness.send(gateway, &input);
    let traffic = harness.bridge.traffic();
    for (kind, count) in [
        (PacketKind::Connect, 1),
        (PacketKind::Attach, 1),
        (PacketKind::Detach, 1),
        (PacketKind::Telemetry, 2),
        (PacketKind::State, 1),
        (PacketKind::Publish, 5),
        (PacketKind::Subscribe, 1),
        (PacketKind::Unsubscribe, 0),
        (PacketKind::Pingreq, 1),
    ] {
        assert_eq!(traffic.received(kind), count, "{kind:?}");
    }
    assert_eq!(traffic.received_again(PacketKind::Telemetry), 1);
    assert_eq!(traffic.received_again(PacketKind::Publish), 1);
    assert_eq!(traffic.connections(), 1);
    assert_eq!(traffic.most_unanswered(ServiceKind::Publish), 1);
}

#[test]
fn a_fault_strikes_when_a_packet_is_processed() {
    let (mut harness, gateway) = slow(Service::one_queue().publish(seconds(2)));
    let cut = "cut instead telemetry".parse().unwrap();
    harness.bridge.inject(cut, harness.now).unwrap();
    harness.send(
        gateway,
        &[telemetry("dev1", 10), telemetry("dev1", 11)].concat(),
    );
    harness.pass(seconds(1));
    assert!(harness.is_up(gateway));
    harness.pass(seconds(1));
    assert_eq!(harness.close_reason(), CloseReason::Fault);
    assert_eq!(harness.bridge.device("dev1").unwrap().telemetry_total(), 1);
}
