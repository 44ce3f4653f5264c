//! What is kept after a peak of publications.

use core::{
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use iotcore_gateway::{DeviceAuth, OpId, Publication, cause::TransportEnd};
use iotcore_gateway_testkit::simulation::{Network, Simulation};

use super::{Bench, OWN_BYTES, PAYLOAD, bytes_kept, options, peer};

/// The number of publications of a peak.
const PEAK: usize = 100_000;

/// Ends all publications of a peak but every thousandth.
type End = fn(&mut Bench, &[OpId]);

/// Delivers all publications but those of devices that are not attached.
fn deliver(bench: &mut Bench, _: &[OpId]) {
    bench.connect();
    while bench.converse() > 0 {}
    let now = bench.now;
    bench.gateway.handle_disconnected(TransportEnd::Broken, now);
}

/// Cancels all but every thousandth, and takes the events at once or at the end.
fn cancel(bench: &mut Bench, ops: &[OpId], is_taken_at_once: bool) {
    for (_, op) in ops.iter().enumerate().filter(|(n, _)| n % 1_000 != 0) {
        bench.gateway.cancel(*op, bench.now).unwrap();
        if is_taken_at_once {
            bench.events();
        }
    }
}

/// Lets all expire but every thousandth.
fn expire(bench: &mut Bench, _: &[OpId]) {
    bench.now += Duration::from_secs(60);
    bench.gateway.handle_timeout(bench.now);
}

#[test]
fn the_memory_of_a_peak_is_given_back() {
    let ways: [(&str, End); 4] = [
        ("delivered", deliver),
        ("cancelled", |bench, ops| cancel(bench, ops, true)),
        ("cancelled before events are taken", |bench, ops| {
            cancel(bench, ops, false)
        }),
        ("expired", expire),
    ];
    for (way, end) in ways {
        let (kept, bench) = bytes_kept(|| {
            let mut bench = Bench::new();
            let own = bench.gateway.own_key();
            // It waits for a token.
            let waiting = bench.attach("device-1".to_owned(), DeviceAuth::Renewable(None));
            let ops: Vec<_> = (0..PEAK)
                .map(|n| match n % 1_000 {
                    0 => bench.publish(Publication::telemetry(waiting, vec![7; PAYLOAD])),
                    _ => bench.publish(
                        Publication::telemetry(own, vec![7; PAYLOAD])
                            .expires_after(Duration::from_secs(30)),
                    ),
                })
                .collect();
            end(&mut bench, &ops);
            bench.events();
            // What was exceptional shows in comparison with what follows.
            let op = bench.publish(Publication::telemetry(own, vec![7; PAYLOAD]));
            bench.gateway.cancel(op, bench.now).unwrap();
            bench.events();
            bench
        });
        let left = bench.gateway.unsent().count();
        assert_eq!(left, PEAK / 1_000, "{way}");
        let most = OWN_BYTES + 2 * 1_024 + left as i64 * (4 * 100 + 64);
        assert!(
            kept <= most,
            "{kept} bytes after a peak that was {way}, not {most}"
        );
    }
}

/// Returns what a gateway, its driver and a simulated network hold after so many messages were awaited at once and
/// acknowledged.
fn bytes_of_driver_after(peak: usize) -> i64 {
    let (kept, _) = bytes_kept(|| {
        let simulation = Simulation::new();
        let net = simulation.runtime();
        net.shape(|network| *network = Network::instant());
        net.play_bridge();
        let setup = simulation.setup().options(options());
        let (client, driver) = setup.start(net.clone()).unwrap();
        let driver = simulation.spawn(driver.run());
        let gateway = client.gateway();
        let mut deliveries: Vec<_> = (0..peak)
            .map(|_| gateway.try_telemetry(vec![7; PAYLOAD]).unwrap())
            .collect();
        // Without tasks, because the simulation keeps their memory.
        let cx = &mut Context::from_waker(Waker::noop());
        for delivery in &mut deliveries {
            assert!(Pin::new(delivery).poll(cx).is_pending());
        }
        simulation.run_until_idle();
        let peer = net.accept().expect("the driver dials");
        let mut answers = Vec::new();
        while {
            simulation.run_until_idle();
            peer::answer(&peer.receive(), &mut answers);
            peer.send(&answers);
            !core::mem::take(&mut answers).is_empty()
        } {}
        for delivery in &mut deliveries {
            assert_eq!(Pin::new(delivery).poll(cx), Poll::Ready(Ok(())));
        }
        peer.close();
        simulation.run_until_idle();
        (simulation, client, driver)
    });
    kept
}

#[test]
fn the_driver_gives_the_memory_of_a_peak_back() {
    let [small, large] = [10, PEAK].map(bytes_of_driver_after);
    assert!(
        large - small <= OWN_BYTES,
        "{small} bytes without, {large} after"
    );
}
