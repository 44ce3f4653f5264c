//! Scripts that are drawn from seeds.

use std::env;

use iotcore_gateway::store::{LogOptions, SegmentNumber};
use iotcore_gateway_testkit::{
    disk::{DiskCounts, FaultRates},
    random::Random,
};

use super::World;

/// The number of seeds; `LOG_SEEDS` asks for another, and `LOG_SEED` for one only.
const SEEDS: u64 = 2_000;

fn number(name: &str) -> Option<u64> {
    env::var(name)
        .ok()
        .map(|value| value.parse().expect("a number"))
}

/// What a script may contain, besides Puts, Removes, Commits and restarts.
#[derive(Clone, Copy, Debug)]
struct Faults {
    rates: FaultRates,
    fills: bool,
    flips: bool,
    /// How many of 100 reads fail at a start, if any do.
    unread: u8,
}

impl Faults {
    fn draw(random: &mut Random) -> Self {
        let mut rate = |of_100| match random.percent(of_100) {
            true => 1 + random.below(30) as u8,
            false => 0,
        };
        Self {
            rates: FaultRates {
                write: rate(20),
                sync: rate(30),
                read: 0,
                entry: rate(20),
            },
            fills: random.percent(20),
            flips: random.percent(15),
            unread: match random.percent(15) {
                true => 1 + random.below(40) as u8,
                false => 0,
            },
        }
    }
}

fn options(random: &mut Random) -> LogOptions {
    let segment_bytes = random.pick(&[4_096, 4_096, 8_192, 16_384]);
    LogOptions {
        segment_bytes,
        max_bytes: u64::from(segment_bytes) * random.pick(&[8, 30, 1_000]),
    }
}

fn payload(random: &mut Random) -> usize {
    match random.below(40) {
        0 => 5_000 + random.below(12_000) as usize,
        1..=10 => 500 + random.below(2_000) as usize,
        _ => random.below(200) as usize,
    }
}

fn change(world: &mut World, random: &mut Random) {
    // In turn, more is put than removed, and the other way round.
    let live = world.live();
    let puts = if world.recoveries.is_multiple_of(2) {
        70
    } else {
        40
    };
    if random.percent(puts) || live.is_empty() {
        let device = random.below(3) as u8;
        world.put(device, payload(random));
    } else {
        // Mostly the oldest, as messages are acknowledged in order.
        let at = match random.percent(80) {
            true => 0,
            false => random.below(live.len() as u64) as usize,
        };
        world.remove(live[at]);
    }
}

fn flip(world: &mut World, random: &mut Random) {
    let files = world.disk.files();
    if files.is_empty() {
        return;
    }
    let (segment, len) = random.pick::<(SegmentNumber, u64)>(&files);
    world.is_damaged = true;
    let offset = random.below(len.max(1));
    world.disk.flip_bit(segment, offset, random.byte());
}

fn crash(world: &mut World, random: &mut Random, faults: Faults) {
    let cuts = random.percent(70);
    if cuts {
        world.disk.cut_power();
    }
    if faults.flips && random.percent(50) {
        flip(world, random);
    }
    world.disk.set_rates(FaultRates {
        read: match random.percent(50) {
            true => faults.unread,
            false => 0,
        },
        ..FaultRates::default()
    });
    world.restart();
    world.disk.set_rates(faults.rates);
}

fn play(seed: u64) -> World {
    let mut random = Random::new(seed);
    let faults = Faults::draw(&mut random);
    let mut world = World::new(seed, options(&mut random));
    world.disk.set_rates(faults.rates);
    for _ in 0..50 + random.below(250) {
        match random.below(100) {
            0..45 => change(&mut world, &mut random),
            45..60 => world.commit(),
            60..90 => {
                for _ in 0..random.below(12) {
                    world.step();
                }
            }
            90..94 => {
                let limit = match faults.fills && random.percent(50) {
                    true => world.disk.used() + random.below(10_000),
                    false => u64::MAX,
                };
                world.disk.set_limit(limit);
            }
            94..97 => crash(&mut world, &mut random, faults),
            _ => world.run(),
        }
    }
    world.disk.set_rates(FaultRates::default());
    if faults.fills {
        drain(&mut world);
    }
    finish(&mut world);
    world
}

/// Delivers everything while the disk is as full as it is: what is removed is gone, without any room that is added.
fn drain(world: &mut World) {
    world.disk.set_limit(world.disk.used());
    world.run();
    let stats = world.log.stats();
    // Files that are set aside may have all the room.
    if stats.records == 0 || stats.set_aside > 0 {
        return;
    }
    let commits = world.commits;
    for attempt in 0.. {
        world
            .not_gone()
            .into_iter()
            .for_each(|number| world.remove(number));
        world.commit();
        world.run();
        if world.commits > commits {
            break;
        }
        assert!(attempt < 3, "it stays full");
    }
    world.disk.cut_power();
    world.restart();
    assert!(world.is_damaged || world.was_unread || world.live().is_empty());
}

/// Ends all faults: then everything can be committed, and is there after a power cut; and once all is removed, the folder
/// is small.
fn finish(world: &mut World) {
    world.disk.set_rates(FaultRates::default());
    world.disk.set_limit(u64::MAX);
    if world.log.stats().set_aside > 0 {
        // Files that are set aside count, too: they are read now.
        world.restart();
    }
    world.run();
    for attempt in 0.. {
        let failures = world.failures;
        world.commit();
        world.run();
        if world.failures == failures {
            break;
        }
        // It is full: something must be removed.
        world
            .live()
            .into_iter()
            .take(3 * (attempt + 1))
            .for_each(|number| world.remove(number));
        assert!(attempt < 100, "it stays full");
    }
    world.disk.cut_power();
    world.restart();
    world
        .live()
        .into_iter()
        .for_each(|number| world.remove(number));
    world.run();
    world.commit();
    world.run();
    world.commit();
    world.run();
    let stats = world.log.stats();
    assert_eq!((stats.records, stats.live_bytes), (0, 0));
    assert!(stats.files <= 5, "{stats:?}");
    assert_eq!(stats.disk_bytes, world.disk.used());
    world.disk.cut_power();
    world.restart();
    assert!(world.is_damaged || world.live().is_empty());
}

#[test]
#[expect(clippy::print_stdout, reason = "the test prints its figures")]
fn whatever_happens_what_is_confirmed_is_there_and_what_was_removed_is_not() {
    let seeds = match number("LOG_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LOG_SEEDS").unwrap_or(SEEDS),
    };
    let count = seeds.end - seeds.start;
    let mut total = DiskCounts::default();
    let (mut commits, mut failures, mut recoveries, mut damage) = (0, 0, 0, 0);
    for seed in seeds {
        let played = std::panic::catch_unwind(|| play(seed));
        let world = played.unwrap_or_else(|_| panic!("seed {seed}"));
        total.add(&world.disk.counts());
        commits += world.commits;
        failures += world.failures;
        recoveries += world.recoveries;
        damage += world.damage.places;
    }
    println!(
        "{count} seeds: {recoveries} restarts, {} power cuts, {} pages lost, {} torn, {} entries lost, {} bits flipped, \
         {} operations, {} failed, {} of them syncs; {commits} commits, {failures} failed; {damage} places reported",
        total.power_cuts,
        total.lost_pages,
        total.torn_pages,
        total.lost_entries,
        total.flipped_bits,
        total.operations,
        total.failed,
        total.failed_syncs,
    );
    assert!(commits > failures && recoveries >= 2 * count);
}
