//! A device whose publications the bridge never acknowledges.

use iotcore_gateway_testkit::bridge::service::Service;

use super::crowd::{Crowd, MILLI, Speed, Trouble};

/// The bridges: fast, slow with one queue, and slow with workers.
fn bridges() -> [Service; 3] {
    [
        Service::one_queue(),
        Service::one_queue().publish(5 * MILLI),
        Service::one_queue().workers(50).publish(200 * MILLI),
    ]
}

/// Asserts that at each bridge, the others need at most so many percent of the time that they need alone, and twice the
/// latency.
fn assert_isolated(crowd: Crowd, percent: u32) {
    for bridge in bridges() {
        let [alone, beside] = [Trouble::None, Trouble::Unacknowledged]
            .map(|trouble| crowd.run(bridge.clone(), trouble));
        let Speed {
            time,
            median,
            worst,
        } = alone;
        let is_isolated = beside.time <= time * percent / 100
            && beside.median <= 2 * median
            && beside.worst <= 2 * worst;
        assert!(
            is_isolated,
            "{crowd:?} at {bridge:?}: {alone:?} alone, {beside:?} beside it"
        );
    }
}

#[test]
fn one_of_two_devices_needs_hardly_longer_beside_one_that_is_never_acknowledged() {
    for (pending, measured) in [(1, 200), (200, 2_000)] {
        let devices = 2;
        let crowd = Crowd {
            devices,
            pending,
            measured,
        };
        assert_isolated(crowd, 120);
    }
}

#[test]
fn nineteen_devices_need_hardly_longer_beside_one_that_is_never_acknowledged() {
    for (pending, measured) in [(1, 100), (30, 400)] {
        let devices = 20;
        let crowd = Crowd {
            devices,
            pending,
            measured,
        };
        assert_isolated(crowd, 110);
    }
}

#[test]
fn nine_hundred_ninety_nine_devices_need_hardly_longer_beside_one_that_is_never_acknowledged() {
    let crowd = Crowd {
        devices: 1_000,
        pending: 1,
        measured: 10,
    };
    assert_isolated(crowd, 110);
}
