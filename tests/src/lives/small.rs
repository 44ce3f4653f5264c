//! Two devices and three publications, and the end of the life at every operation of the disk, in every way.

use core::time::Duration;

use iotcore_gateway::{message::QoS, store::LogOptions};

use super::{
    Broken, Counts,
    life::Death,
    message::{Draft, Lane, payload},
    setup::Setup,
    world::World,
};
use crate::{
    disk::{Fate, LossyDisk},
    random::Random,
};

/// The number of scenarios of [`small_scope`].
pub const SCENARIOS: u64 = 8 * 4 * 2 * 3;

/// So many things that are not durable are kept or lost in every combination; of more, so many combinations are drawn.
const MOST_UNDECIDED: usize = 8;

/// Sectors of a page that are kept when it is torn: the first, the second half, all but one.
const TORN: [u8; 3] = [0b0000_0001, 0b1111_0000, 0b1111_1011];

/// Ends the life of a scenario at each operation of the disk, by `kill -9` and by power cuts that keep every subset of what
/// was not synced, and tear each page. In the next life everything that was reported as stored is delivered, in order. That
/// life is ended at each operation, too, of which all or nothing is kept.
///
/// # Errors
/// A guarantee does not hold.
pub fn small_scope(scenario: u64) -> Result<Counts, Broken> {
    let mut counts = Counts::default();
    for operations in 0.. {
        let before = Scenario::new(scenario).play(operations);
        let is_over = !before.is_dead;
        if before.model.is_broken() {
            return before.finish(scenario);
        }
        for fates in fates(&before.disk, scenario) {
            for result in Aftermath::of(&before, fates.as_deref(), scenario) {
                counts.add(&result?);
            }
        }
        if is_over {
            break;
        }
    }
    counts.one("scenarios");
    Ok(counts)
}

/// Returns the ways in which a life may end: `None` is a kill.
fn fates(disk: &LossyDisk, seed: u64) -> Vec<Option<Vec<Fate>>> {
    let undecided = disk.undecided();
    let mut random = Random::new(seed);
    let fate = |is_kept| if is_kept { Fate::Kept } else { Fate::Lost };
    let mut fates = vec![None];
    for subset in 0..1_u64 << undecided.min(MOST_UNDECIDED) {
        // The first ones are none and all, however many there are.
        let kept = match (undecided > MOST_UNDECIDED, subset) {
            (true, 1) => u64::MAX,
            (true, 2..) => random.next(),
            _ => subset,
        };
        fates.push(Some(
            (0..undecided).map(|at| fate(kept >> at & 1 == 1)).collect(),
        ));
    }
    for torn in 0..undecided {
        for (sectors, others) in TORN.iter().flat_map(|torn| [(torn, false), (torn, true)]) {
            let mut some: Vec<_> = (0..undecided).map(|_| fate(others)).collect();
            some[torn] = Fate::Torn(*sectors);
            fates.push(Some(some));
        }
    }
    fates
}

/// What happens before the life ends.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    number: u64,
    /// The devices of the three publications.
    devices: [usize; 3],
    lanes: [Lane; 3],
    linger: Duration,
    world: Connection,
}

#[derive(Clone, Copy, Debug)]
enum Connection {
    Missing,
    Fast,
    /// The disk takes longer than the bridge.
    FasterThanDisk,
}

impl Scenario {
    fn new(number: u64) -> Self {
        let device = |at: u64| 1 + (number >> at & 1) as usize;
        let rest = number / 8;
        use Lane::{Ordinary, State, Urgent};
        Self {
            number,
            devices: [device(0), device(1), device(2)],
            lanes: match rest % 4 {
                0 => [Ordinary; 3],
                1 => [State; 3],
                2 => [Ordinary, Urgent, State],
                _ => [State, State, Ordinary],
            },
            linger: Duration::from_secs(rest / 4 % 2),
            world: match rest / 8 {
                0 => Connection::Missing,
                1 => Connection::Fast,
                _ => Connection::FasterThanDisk,
            },
        }
    }

    fn setup() -> Setup {
        Setup {
            has_store: true,
            log: LogOptions {
                segment_bytes: 4_096,
                max_bytes: 64 * 4_096,
            },
            is_orderly: true,
            flips: false,
            reads_fail: false,
        }
    }

    /// Lives until the disk has executed so many operations, or to the end.
    fn play(self, operations: u64) -> World {
        let random = Random::new(self.number);
        let disk = LossyDisk::new(self.number);
        let mut world = World::with_setup(Self::setup(), random, disk);
        world.begin(world.setup.calm_options(self.linger));
        world.connect_if(!matches!(self.world, Connection::Missing));
        world.run(Duration::from_millis(500));
        world.dies_after = Some(operations);
        if let Connection::FasterThanDisk = self.world {
            world.disk_time = Duration::from_millis(25);
        }
        for (device, lane) in self.devices.into_iter().zip(self.lanes) {
            if world.is_alive() {
                let number = world.model.next_number();
                world.publish_draft(Draft {
                    device,
                    lane,
                    qos: QoS::AtLeastOnce,
                    // Two fill a segment.
                    payload: payload(number, 1_500),
                    has_subfolder: false,
                    is_tagged: false,
                    expires_after: None,
                });
                world.run(Duration::from_millis(15));
            }
        }
        world.run(Duration::from_secs(8));
        world
    }
}

/// The lives after the first one.
struct Aftermath;

impl Aftermath {
    /// Returns the results of the next life, and of those in which that one ends at each operation, too.
    fn of(before: &World, fates: Option<&[Fate]>, seed: u64) -> Vec<Result<Counts, Broken>> {
        let mut results = Vec::new();
        for operations in 0.. {
            let mut world = Self::next(before, fates);
            world.dies_after = Some(operations);
            world.run(Duration::from_secs(3));
            if !world.is_dead {
                results.push(Self::deliver(world, seed));
                return results;
            }
            let undecided = world.disk.undecided();
            for fate in [Fate::Kept, Fate::Lost] {
                let again = Self::next(&world, Some(&vec![fate; undecided]));
                results.push(Self::deliver(again, seed));
            }
        }
        results
    }

    /// Begins the life after this one.
    fn next(before: &World, fates: Option<&[Fate]>) -> World {
        let disk = before.disk.clone();
        let mut world = World::with_setup(before.setup, before.random.clone(), disk);
        world.model = before.model.clone();
        world.model.counts = Counts::default();
        world.model.change_bridge();
        world.die(match fates {
            None => Death::Killed,
            Some(fates) => Death::Cut(fates),
        });
        world.begin(world.setup.calm_options(Duration::ZERO));
        world
    }

    fn deliver(mut world: World, seed: u64) -> Result<Counts, Broken> {
        world.dies_after = None;
        world.connect_if(true);
        world.run_until(Duration::from_secs(60), |world| {
            world.model.live().is_empty()
        });
        world.model.check_ended();
        world.finish(seed)
    }
}
