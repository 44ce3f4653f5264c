//! Generates a script from a seed: mostly realistic, with every possible fault somewhere in it.

use crate::{
    random::Random,
    script::{Script, Setup, Step},
};

/// The kinds of disturbance in a script.
#[derive(Clone, Copy, Debug)]
struct FaultClasses {
    /// Latency changes, the network stalls, clocks jump.
    has_network_faults: bool,
    /// There are unexpected packets and flipped bits.
    has_false_data: bool,
    /// The bridge misbehaves.
    has_bridge_faults: bool,
    /// The bridge takes its time, and the link is slow.
    is_slow: bool,
    /// The bridge hangs up at some packets.
    has_poison: bool,
    /// The gateway's machine sleeps, or does not know the date.
    has_bad_clocks: bool,
}

/// The frequency of a kind of step, in 1,000: always, or only with a kind of disturbance.
type Weight = (u8, u16, fn(FaultClasses) -> bool);

const ALWAYS: fn(FaultClasses) -> bool = |_| true;
const BRIDGE: fn(FaultClasses) -> bool = |classes| classes.has_bridge_faults;
const NETWORK: fn(FaultClasses) -> bool = |classes| classes.has_network_faults;
const FALSE_DATA: fn(FaultClasses) -> bool = |classes| classes.has_false_data;

const SLOW: fn(FaultClasses) -> bool = |classes| classes.is_slow;
const POISON: fn(FaultClasses) -> bool = |classes| classes.has_poison;
const CLOCKS: fn(FaultClasses) -> bool = |classes| classes.has_bad_clocks;

/// Indexed by the kinds of [`Step::from_bytes`].
const WEIGHTS: [Weight; 58] = [
    (0, 260, ALWAYS),
    (1, 8, ALWAYS),
    (2, 45, ALWAYS),
    (3, 15, ALWAYS),
    (4, 22, ALWAYS),
    (5, 240, ALWAYS),
    (6, 40, ALWAYS),
    (7, 50, ALWAYS),
    (8, 40, ALWAYS),
    (9, 30, ALWAYS),
    (10, 2, ALWAYS),
    (11, 8, ALWAYS),
    (12, 35, ALWAYS),
    (13, 35, ALWAYS),
    (14, 15, ALWAYS),
    (15, 6, ALWAYS),
    (16, 4, ALWAYS),
    (17, 6, ALWAYS),
    (18, 4, ALWAYS),
    (19, 4, ALWAYS),
    (20, 6, BRIDGE),
    (21, 6, BRIDGE),
    (22, 4, BRIDGE),
    (23, 6, BRIDGE),
    (24, 15, BRIDGE),
    (25, 15, BRIDGE),
    (26, 12, BRIDGE),
    (27, 10, BRIDGE),
    (28, 15, BRIDGE),
    (29, 8, BRIDGE),
    (30, 10, BRIDGE),
    (31, 25, BRIDGE),
    (32, 10, BRIDGE),
    (33, 15, FALSE_DATA),
    (34, 8, BRIDGE),
    (35, 12, NETWORK),
    (36, 10, ALWAYS),
    (37, 8, NETWORK),
    (38, 8, ALWAYS),
    (39, 20, ALWAYS),
    (40, 6, NETWORK),
    (41, 15, FALSE_DATA),
    (42, 8, NETWORK),
    (43, 8, ALWAYS),
    (44, 12, ALWAYS),
    (45, 12, NETWORK),
    (46, 12, SLOW),
    (47, 8, SLOW),
    (48, 10, SLOW),
    (49, 15, CLOCKS),
    (50, 15, CLOCKS),
    (51, 45, POISON),
    (52, 12, BRIDGE),
    (53, 110, ALWAYS),
    (54, 20, ALWAYS),
    (55, 35, ALWAYS),
    (56, 5, ALWAYS),
    (57, 10, POISON),
];

/// Returns the script of a seed; it remains the same as long as no kind of step is added.
pub fn script(seed: u64) -> Script {
    let mut random = Random::new(seed);
    // Drawn apart from the rest, so that a seed's steps remain the same in a world that is not slow.
    let mut of_world = Random::new(!seed);
    let is_slow = of_world.percent(33);
    let classes = FaultClasses {
        has_network_faults: random.percent(45),
        has_false_data: random.percent(12),
        has_bridge_faults: random.percent(70),
        is_slow,
        has_poison: of_world.percent(20),
        has_bad_clocks: of_world.percent(20),
    };
    let mut steps = Vec::new();
    if classes.has_bad_clocks && of_world.percent(40) {
        steps.push(Step::ForgetDate);
    }
    if random.percent(90) {
        steps.push(Step::from_bytes([1, 0, 0, 0]));
        for device in 1..=1 + random.below(3) as u8 {
            let [b, c] = lifetime(&mut random).to_le_bytes();
            let tokens = 7 * of_world.pick(&[0, 0, 1, 1, 2]);
            steps.push(Step::from_bytes([2, device + tokens, b, c]));
        }
    }
    let longest = random.pick(&[15, 60, 150]);
    for _ in 0..5 + random.below(longest) {
        steps.push(step(&mut random, classes));
    }
    let mut setup = setup(&mut random);
    if is_slow {
        world(&mut setup, &mut of_world);
    }
    let setup = Setup::from_bytes(&setup);
    Script { setup, steps }
}

/// Generates a setup: each knob is at its default in most scripts, and in some scripts all of them are.
fn setup(random: &mut Random) -> [u8; Setup::KNOBS] {
    let share = random.pick(&[0, 5, 15, 40]);
    let mut bytes = [0; Setup::KNOBS];
    for byte in &mut bytes[..Setup::PLAIN_KNOBS] {
        if random.percent(share) {
            *byte = random.byte();
        }
    }
    // In a setup in which no device may be attached, little happens.
    bytes[0] = random.pick(&[0, 0, 0, 1, 2, 2]);
    bytes[1] = random.byte();
    // A user who acknowledges, and mostly does so late or never.
    if random.percent(15) {
        bytes[17] = 1;
    }
    bytes
}

/// How often each knob of the world is turned, in percent, in their order: queues, workers, four times, tail, burst,
/// buffer, losses, stall, ignored devices, seed, link, its buffer, and a kind calm.
const WORLD: [u64; Setup::KNOBS - Setup::PLAIN_KNOBS] = [
    60, 30, 70, 60, 70, 40, 15, 15, 15, 15, 15, 15, 100, 50, 40, 60,
];

/// Turns the knobs of the world.
fn world(setup: &mut [u8; Setup::KNOBS], random: &mut Random) {
    for (byte, share) in setup[Setup::PLAIN_KNOBS..].iter_mut().zip(WORLD) {
        if random.percent(share) {
            *byte = random.byte();
        }
    }
}

fn step(random: &mut Random, classes: FaultClasses) -> Step {
    let fitting = WEIGHTS.iter().filter(|(_, _, fits)| fits(classes));
    let total: u64 = fitting
        .clone()
        .map(|(_, weight, _)| u64::from(*weight))
        .sum();
    let mut ticket = random.below(total);
    for (kind, weight, _) in fitting {
        match ticket.checked_sub(u64::from(*weight)) {
            Some(rest) => ticket = rest,
            None => return step_of(*kind, random),
        }
    }
    unreachable!("a ticket is below the sum of all weights")
}

fn step_of(kind: u8, random: &mut Random) -> Step {
    let device = random.pick(&[0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 5, 6]);
    // Values above 127 request QoS 0; 133 is a multiple of the number of devices.
    let mixed = if random.percent(20) {
        133 + device
    } else {
        device
    };
    let (a, number) = match kind {
        0 => waiting(random),
        2 => (device + 7 * random.pick(&[0, 0, 1, 1, 2]), lifetime(random)),
        3 => (device, lifetime(random)),
        5 | 6 => (mixed, size(random)),
        53 | 54 => (mixed, with_terms(random)),
        55 => (random.byte(), random.below(16) as u16),
        7 => (mixed, random.byte().into()),
        4 | 8 | 12..=19 | 34 => (device, random.next() as u16),
        35 => (0, random.pick(&[0, 1, 20, 100, 400, 1_500, 4_000])),
        36 => (0, random.pick(&[1, 2, 3, 7, 20, 500, 16_000])),
        37 => (0, random.pick(&[1, 10, 100, 1_000, 30_000])),
        39 => (random.byte(), random.below(600) as u16),
        42 | 44 => (random.pick(&[1, 2]), random.below(90) as u16),
        45 if random.percent(50) => (
            0,
            random
                .pick(&[0_u16, 30, 700, 4_000, 30_000])
                .wrapping_mul(random.pick(&[1, u16::MAX])),
        ),
        45 => (1, lifetime(random)),
        47 => (random.pick(&[1, 2]), random.below(200) as u16),
        49 => (2, random.pick(&[1, 30, 80, 200, 1_000, 3_600, 7_200])),
        51 => (device, poison(random)),
        57 => (random.pick(&[4, 8, 20, 100]), 0),
        48 => (
            random.byte(),
            random.pick(&[0, 50, 500, 2_000, 10_000, 60_000]),
        ),
        _ => (random.byte(), random.next() as u16),
    };
    let [b, c] = number.to_le_bytes();
    Step::from_bytes([kind, a, b, c])
}

/// Returns the packet of a poison and, half the time, the first digits of the numbers of publications.
fn poison(random: &mut Random) -> u16 {
    let packet = random.pick(&[0, 1, 1, 3, 3, 3, 4, 5, 5, 6]);
    let number = match random.percent(50) {
        true => 0,
        false => random.below(60) as u8,
    };
    u16::from_le_bytes([packet, number])
}

/// Returns a wait between zero and a quarter of an hour, as its unit and number.
fn waiting(random: &mut Random) -> (u8, u16) {
    match random.below(20) {
        0..=6 => (0, random.below(100) as u16),
        7..=13 => (1, random.below(60) as u16),
        14..=18 => (2, random.below(60) as u16),
        _ => (3, random.below(90) as u16),
    }
}

/// Returns a lifetime in seconds.
fn lifetime(random: &mut Random) -> u16 {
    random.pick(&[1, 5, 30, 60, 300, 3_600, 3_600, 3_600])
}

/// Returns the size of a publication and its terms, of which at least one is not the default.
fn with_terms(random: &mut Random) -> u16 {
    let size = match random.below(40) {
        0 => random.byte(),
        _ => random.below(60) as u8,
    };
    let [urgent, tagged] = [0x80, 0x40];
    let terms = match random.below(10) {
        0..=4 => expiry(random),
        5 | 6 => urgent | expiry(random),
        7 | 8 => urgent,
        _ => tagged,
    };
    let tagged = if random.percent(40) { tagged } else { 0 };
    u16::from_le_bytes([size, terms | tagged])
}

/// Returns when a publication expires: at once, within milliseconds, or after hours.
fn expiry(random: &mut Random) -> u8 {
    1 + random.below(13) as u8
}

/// Returns a size in bytes.
fn size(random: &mut Random) -> u16 {
    match random.below(40) {
        0 => random.pick(&[1_000, 5_000, 20_000, 65_535]),
        1..=5 => random.below(1_000) as u16,
        _ => random.below(60) as u16,
    }
}
