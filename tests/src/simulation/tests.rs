//! Tests of the simulation itself: time, tasks, and network behaviour.

use core::future::pending;
use core::pin::Pin;
use core::task::{Context, Waker};

use futures_io::{AsyncRead, AsyncWrite};
use iotcore_gateway::driver::{Attach, Status};

use super::*;
use crate::bridge::codec::Malformed;
use crate::link::BOUND;
use crate::{CloseReason, EventKind};

const SECOND: Duration = Duration::from_secs(1);

/// Attaches a device, waits for the acknowledgement of some messages and closes, while a fault is active; returns all
/// events of the bridge, and how long it took.
fn session(trouble: impl FnOnce(&SimRuntime)) -> (Vec<EventKind>, Duration) {
    let simulation = Simulation::new();
    let world = simulation.runtime();
    trouble(&world);
    let (client, driver) = simulation.setup().start(world.clone()).unwrap();
    let driver = simulation.spawn(driver.run());
    simulation.run(async {
        let device = Attach::new(BOUND[0].parse().unwrap()).keep_waiting();
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
fn the_same_session_has_the_same_history_each_time() {
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
    // Round trips: the dial, CONNECT, the attach, its subscriptions, three messages, and the end.
    assert_eq!(slow, 2 * 8 * SECOND);
}

#[test]
fn bytes_arrive_in_fragments_from_one_byte_to_the_maximum() {
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
    world.shape(|network| network.dials = Dials::Fail);
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
        world.shape(|network| network.dials = Dials::Succeed);
        client.connected().await.unwrap();
    });
}

#[test]
fn a_dial_that_hangs_gets_no_answer_when_others_do() {
    let simulation = Simulation::new();
    let world = simulation.runtime();
    let dial = |dials| {
        world.shape(|network| network.dials = dials);
        let world = world.clone();
        simulation.spawn(async move { world.connect(([127, 0, 0, 1], 8883).into()).await.unwrap() })
    };
    let hanging = dial(Dials::Hang);
    simulation.pass(SECOND);
    let answered = dial(Dials::Succeed);
    simulation.pass(SECOND);
    assert!(!hanging.is_finished());
    drop(answered.ended());
}

/// Returns a connection whose far end the test controls, on a network with a latency of one second.
fn played() -> (Simulation, SimStream, Peer) {
    let simulation = Simulation::new();
    let world = simulation.runtime();
    world.shape(|network| {
        *network = Network::instant();
        network.latency = SECOND;
        network.buffer = 4;
    });
    world.play_bridge();
    assert!(world.accept().is_none());
    let stream = simulation
        .run(world.connect(([127, 0, 0, 1], 8883).into()))
        .unwrap();
    let peer = world.accept().unwrap();
    assert_eq!(world.elapsed(), 2 * SECOND);
    (simulation, stream, peer)
}

fn poll<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    match poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ready) => Some(ready),
        Poll::Pending => None,
    }
}

fn write(stream: &mut SimStream, bytes: &[u8]) -> Option<io::Result<usize>> {
    poll(|cx| Pin::new(stream).poll_write(cx, bytes))
}

fn read(stream: &mut SimStream) -> Option<io::Result<usize>> {
    poll(|cx| Pin::new(stream).poll_read(cx, &mut [0; 100]))
}

#[test]
fn written_data_is_sent_on_a_flush_or_when_the_buffer_is_full() {
    let (simulation, mut stream, peer) = played();
    assert!(matches!(write(&mut stream, b"ab"), Some(Ok(2))));
    simulation.pass(SECOND);
    assert_eq!(peer.receive(), b"");
    assert!(poll(|cx| Pin::new(&mut stream).poll_flush(cx)).is_some());
    assert_eq!(peer.receive(), b"");
    simulation.pass(SECOND);
    assert!(matches!(write(&mut stream, b"cde"), Some(Ok(2))));
    assert!(write(&mut stream, b"e").is_none());
    assert_eq!(peer.receive(), b"ab");
    simulation.pass(SECOND);
    assert_eq!(peer.receive(), b"cd");
    assert!(matches!(write(&mut stream, b"e"), Some(Ok(1))));
}

#[test]
fn a_peer_observes_how_the_gateway_disconnects() {
    for (is_closed, end) in [(true, GatewayEnd::Gone), (false, GatewayEnd::Reset)] {
        let (simulation, mut stream, peer) = played();
        assert!(poll(|cx| Pin::new(&mut stream).poll_close(cx)).is_some());
        assert_eq!(peer.gateway_end(), GatewayEnd::Open);
        simulation.pass(SECOND);
        assert_eq!(peer.gateway_end(), GatewayEnd::Closed);
        if is_closed {
            peer.close();
        }
        simulation.pass(SECOND);
        assert_eq!(read(&mut stream).is_some(), is_closed);
        drop(stream);
        simulation.pass(SECOND);
        assert_eq!(peer.gateway_end(), end);
    }
}

#[test]
fn a_bit_is_flipped_in_one_byte_on_either_side() {
    let (simulation, mut stream, peer) = played();
    let world = simulation.runtime();
    let receive = |stream: &mut SimStream| {
        peer.send(b"abc");
        simulation.pass(SECOND);
        let mut buffer = [0; 3];
        let read = poll(|cx| Pin::new(stream).poll_read(cx, &mut buffer));
        assert!(matches!(read, Some(Ok(3))));
        buffer
    };
    world.flip_after(Side::Gateway, 4, 1);
    assert_eq!(receive(&mut stream), *b"abc");
    assert_eq!(receive(&mut stream), *b"a`c");
    assert_eq!(receive(&mut stream), *b"abc");
    let (events, _) = session(|world| world.flip_after(Side::Bridge, 0, 7));
    let is_malformed = |event: &&EventKind| {
        let reason = CloseReason::Malformed(Malformed::PacketType { first: 0x90 });
        matches!(event, EventKind::Closed { reason: found, .. } if *found == reason)
    };
    assert_eq!(events.iter().filter(is_malformed).count(), 1, "{events:?}");
}

#[test]
fn data_lost_on_a_half_open_connection_occupies_the_buffer() {
    let (simulation, mut stream, peer) = played();
    simulation.runtime().half_open();
    assert!(matches!(write(&mut stream, b"abcde"), Some(Ok(4))));
    peer.send(b"f");
    simulation.pass(SECOND);
    assert!(write(&mut stream, b"e").is_none());
    assert!(read(&mut stream).is_none());
    assert_eq!((peer.receive(), peer.unread()), (Vec::new(), 1));
}

#[test]
fn the_last_bytes_of_a_peer_can_be_read_after_a_failed_write() {
    let (_simulation, mut stream, peer) = played();
    peer.fail_next_write(b"no");
    assert!(read(&mut stream).is_none());
    assert!(matches!(write(&mut stream, b"a"), Some(Err(_))));
    assert!(matches!(read(&mut stream), Some(Ok(2))));
    assert!(matches!(write(&mut stream, b"a"), Some(Err(_))));
}

#[test]
fn a_cancelled_task_is_dropped_and_a_detached_one_keeps_running() {
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
#[should_panic(expected = "a deadlock")]
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

#[test]
fn a_slow_link_and_a_slow_service_take_their_time() {
    let with = |lines: &'static [&str]| {
        session(move |world| {
            world.shape(|network| network.latency = Duration::ZERO);
            for line in lines {
                let fault = line.parse().unwrap();
                world.with(|bridge, now| bridge.inject(fault, now)).unwrap();
            }
        })
    };
    let (events, took) = with(&["service attach=5s publish=2s"]);
    assert_eq!(telemetry(&events), 3);
    assert_eq!(took, 11 * SECOND);
    let (events, up) = with(&["rate up 100"]);
    assert_eq!(telemetry(&events), 3);
    let (events, down) = with(&["rate down 10"]);
    assert_eq!(telemetry(&events), 3);
    // Most of what goes up is the token.
    assert!((5 * SECOND..20 * SECOND).contains(&up), "{up:?}");
    assert!((SECOND..20 * SECOND).contains(&down), "{down:?}");
}

#[test]
fn a_machine_that_sleeps_has_a_monotonic_clock_that_stands_still_and_a_wall_clock_that_goes_on() {
    let simulation = Simulation::new();
    let world = simulation.runtime();
    let (now, date) = (world.now(), world.unix_now());
    let hour = Duration::from_secs(3_600);
    let sleeper = simulation.spawn({
        let world = world.clone();
        async move { world.sleep(2 * hour).await }
    });
    simulation.pass(hour);
    world.suspend(5 * hour);
    simulation.run_until_idle();
    assert_eq!(world.now() - now, hour);
    assert_eq!(world.unix_now(), date.saturating_add(6 * hour));
    assert_eq!(world.elapsed(), 6 * hour);
    simulation.pass(hour - Duration::from_nanos(1));
    assert!(!sleeper.is_finished());
    simulation.pass(Duration::from_nanos(1));
    assert!(sleeper.is_finished());
}

#[test]
fn the_wall_clock_can_be_set_and_goes_on_from_there() {
    let simulation = Simulation::new();
    let world = simulation.runtime();
    world.set_date(UnixTime::from_secs(60));
    simulation.pass(Duration::from_secs(5));
    assert_eq!(world.unix_now(), UnixTime::from_secs(65));
}
