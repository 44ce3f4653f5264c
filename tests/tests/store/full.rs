//! A disk that is full to the last byte: the room of what was delivered is used again, and none is added.

use iotcore_gateway::store::LogOptions;
use iotcore_gateway_testkit::disk::Fate;

use super::World;

const SMALL: LogOptions = LogOptions {
    segment_bytes: 4096,
    max_bytes: 64 * 4096,
};

/// How often a group may fail before it has to be durable: the backoff of a gateway tries on.
const ATTEMPTS: u64 = 3;

/// How a gateway says that all was delivered.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// In one group.
    AtOnce,
    /// A group for each.
    OneByOne,
    /// In one group, with a message that is new.
    Mixed,
    /// All but the oldest, which nobody claims.
    AllButTheOldest,
}

const WAYS: [Way; 4] = [Way::AtOnce, Way::OneByOne, Way::Mixed, Way::AllButTheOldest];

/// Puts messages until the disk is full, and takes back what does not fit.
fn fill(world: &mut World, len: usize) {
    let failures = world.failures;
    while world.failures == failures {
        world.put(1, len);
        world.commit();
        world.run();
    }
    world.take_back();
    world.commit();
    world.run();
}

/// Returns a world whose disk has so much room, and is full.
fn full(len: usize, room: u64) -> World {
    let mut world = World::new(1, SMALL);
    world.disk.set_limit(room);
    fill(&mut world, len);
    world
}

/// Commits until it succeeds, with the disk as full as it is.
fn commit(world: &mut World, what: &str) {
    let (commits, failures) = (world.commits, world.failures);
    while world.commits == commits {
        world.commit();
        world.run();
        assert!(world.failures - failures < ATTEMPTS, "{what}");
    }
}

fn deliver(world: &mut World, way: Way, what: &str) -> Vec<u64> {
    let mut live = world.live();
    let kept = match way {
        Way::AllButTheOldest => vec![live.remove(0)],
        _ => Vec::new(),
    };
    for number in live {
        world.remove(number);
        if matches!(way, Way::OneByOne) {
            commit(world, what);
        }
    }
    let new = matches!(way, Way::Mixed).then(|| world.put(1, 100));
    commit(world, what);
    kept.into_iter().chain(new).collect()
}

#[test]
fn all_that_was_delivered_gives_its_room_back() {
    for way in WAYS {
        for len in [10, 150, 1_000, 3_800] {
            for files in 5..12 {
                let what = format!("{way:?} of {len} bytes in {files} segments");
                let mut world = full(len, files * 4096 + 100);
                let before = world.disk.counts().operations;
                let all = world.live().len() as u64;
                let kept = deliver(&mut world, way, &what);
                let operations = world.disk.counts().operations - before;
                assert!(
                    operations <= 10 * all + 20 * files,
                    "{what}: {operations} operations"
                );
                world.disk.cut_power_with(|| Fate::Lost);
                world.restart();
                assert_eq!(world.live(), kept, "{what}");
                world.put(1, len);
                commit(&mut world, &what);
            }
        }
    }
}

#[test]
fn what_a_group_removes_is_durable_although_what_it_puts_does_not_fit() {
    for len in [150, 1_000, 3_800] {
        let mut world = full(len, 8 * 4096);
        let oldest = world.live()[1];
        for _ in 0..6 {
            world.put(1, 3_800);
        }
        world.remove(oldest);
        let failures = world.failures;
        world.commit();
        world.run();
        assert_eq!(world.failures, failures + 1);
        world.disk.cut_power_with(|| Fate::Lost);
        world.restart();
        assert!(!world.live().contains(&oldest));
    }
}

#[test]
fn all_that_was_delivered_gives_its_room_back_whenever_the_disk_has_filled_up() {
    for way in WAYS {
        for len in [150, 1_000] {
            for full_at in 0..120 {
                let what = format!("{way:?} of {len} bytes, full at {full_at}");
                let mut world = World::new(full_at, SMALL);
                while world.disk.counts().operations < full_at && world.failures == 0 {
                    world.put(1, len);
                    if world.live().len().is_multiple_of(5) {
                        let oldest = world.live()[0];
                        world.remove(oldest);
                    }
                    world.commit();
                    while world.disk.counts().operations < full_at && world.step() {}
                }
                world.disk.set_limit(world.disk.used());
                world.run();
                if full_at.is_multiple_of(2) {
                    world.disk.cut_power();
                    world.restart();
                }
                fill(&mut world, len);
                if world.live().is_empty() {
                    continue;
                }
                let kept = deliver(&mut world, way, &what);
                world.disk.cut_power();
                world.restart();
                assert_eq!(world.live(), kept, "{what}");
            }
        }
    }
}

#[test]
fn a_restart_on_a_full_disk_keeps_everything_and_gives_back_what_is_delivered() {
    for way in WAYS {
        for len in [150, 1_000, 3_800] {
            for cut in 0..60 {
                let what = format!("{way:?} of {len} bytes, cut at {cut}");
                let mut world = full(len, 7 * 4096);
                world.restart();
                let confirmed = world.live();
                for _ in 0..cut {
                    world.step();
                }
                world.disk.cut_power();
                world.restart();
                assert_eq!(world.live(), confirmed, "{what}");
                let kept = deliver(&mut world, way, &what);
                world.disk.cut_power();
                world.restart();
                assert_eq!(world.live(), kept, "{what}");
            }
        }
    }
}
