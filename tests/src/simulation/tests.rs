//! The simulation itself: time, tasks, and what the network does.

use core::future::pending;

use iotcore_gateway::DeviceId;
use iotcore_gateway::driver::Status;

use super::*;
use crate::EventKind;
use crate::link::BOUND;

const SECOND: Duration = Duration::from_secs(1);

/// Attaches a device, has some messages acknowledged and closes, while something goes wrong; gives all that happened at
/// the bridge, and how long it took.
fn session(trouble: impl FnOnce(&SimRuntime)) -> (Vec<EventKind>, Duration) {
    let simulation = Simulation::new();
    let world = simulation.runtime();
    trouble(&world);
    let (client, driver) = simulation.setup().start(world.clone()).unwrap();
    let driver = simulation.spawn(driver.run());
    simulation.run(async {
        let device: DeviceId = BOUND[0].parse().unwrap();
        let device = client.attach(device).await.unwrap();
        for n in 0..3 {
            device
                .telemetry(n.to_string())
                .await
                .unwrap()
                .await
                .unwrap();
        }
        assert!(client.close().await.unsent.is_empty());
        driver.await;
    });
    let events = |bridge: &mut Bridge, _| {
        let events = core::iter::from_fn(|| bridge.poll_event());
        events.map(|event| event.kind).collect()
    };
    (world.with(events), world.elapsed())
}

fn telemetry(events: &[EventKind]) -> usize {
    let is_telemetry = |event: &&EventKind| matches!(event, EventKind::Telemetry { .. });
    events.iter().filter(is_telemetry).count()
}

#[test]
fn the_same_session_happens_in_the_same_way_each_time() {
    let trouble = |world: &SimRuntime| {
        world.shape(|network| network.fragment = 7);
        world.cut_after(Side::Bridge, 700);
    };
    let session = || session(trouble);
    assert_eq!(session(), session());
}

#[test]
fn a_cut_at_any_byte_of_either_side_loses_nothing() {
    for side in [Side::Gateway, Side::Bridge] {
        for bytes in 1..2_000 {
            let (events, _) = session(|world| world.cut_after(side, bytes));
            assert!(telemetry(&events) >= 3, "{side:?} after {bytes} bytes");
        }
    }
}

#[test]
fn latency_is_the_time_that_answers_take() {
    let (_, fast) = session(|world| world.shape(|network| network.latency = Duration::ZERO));
    let (_, slow) = session(|world| world.shape(|network| network.latency = SECOND));
    assert_eq!(fast, Duration::ZERO);
    // There and back: the dial, CONNECT, the attach, its subscriptions, three messages, and the end.
    assert_eq!(slow, 2 * 8 * SECOND);
}

#[test]
fn bytes_come_in_fragments_of_one_to_the_most_allowed() {
    let simulation = Simulation::new();
    simulation.runtime.shape(|network| network.fragment = 3);
    let drawn = simulation.runtime.with_world(|world| {
        let mut drawn = [0; 4];
        for _ in 0..300 {
            drawn[world.fragment(100)] += 1;
        }
        assert_eq!(world.fragment(1), 1);
        drawn
    });
    assert_eq!(drawn[0], 0);
    assert!(drawn[1..].iter().all(|times| *times > 50), "{drawn:?}");
}

#[test]
fn nobody_can_be_reached_while_the_network_is_down() {
    let simulation = Simulation::new();
    let world = simulation.runtime();
    world.shape(|network| network.is_down = true);
    let (client, driver) = simulation.setup().start(world.clone()).unwrap();
    drop(simulation.spawn(driver.run()));
    let mut status = client.status();
    simulation.run(async {
        let change = status.next().await;
        assert!(
            matches!(change, Some(Status::Disconnected { error: Some(_), .. })),
            "{change:?}"
        );
        world.sleep(3_600 * SECOND).await;
        assert!(!client.is_connected());
        world.shape(|network| network.is_down = false);
        client.connected().await.unwrap();
    });
}

#[test]
fn a_task_that_is_cancelled_is_dropped_and_one_that_is_let_go_runs_on() {
    let simulation = Simulation::new();
    let world = simulation.runtime();
    let held = Rc::new(());
    let waiting = |time: Duration| {
        let (world, held) = (world.clone(), Rc::clone(&held));
        async move {
            world.sleep(time).await;
            drop(held);
        }
    };
    let cancelled = simulation.spawn(waiting(10 * SECOND));
    drop(simulation.spawn(waiting(10 * SECOND)));
    simulation.run(world.sleep(SECOND));
    assert_eq!((Rc::strong_count(&held), cancelled.polls()), (3, 1));
    cancelled.cancel();
    assert_eq!(Rc::strong_count(&held), 2);
    simulation.run(world.sleep(10 * SECOND));
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
#[should_panic(expected = "nothing will ever happen")]
fn a_deadlock_is_found() {
    Simulation::new().run(pending::<()>());
}

#[test]
#[should_panic(expected = "a busy loop")]
fn a_busy_loop_is_found() {
    let busy = poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    });
    Simulation::new().run(busy);
}
