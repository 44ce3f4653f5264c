//! Every crash of a small scope: two devices, three publications, a power cut after each operation of the disk, and every
//! subset of what was not synced.

use std::env;

use iotcore_gateway::store::LogOptions;
use iotcore_gateway_testkit::disk::{DiskFault, Fate};

use super::World;

/// Each page that was not synced is decided on its own up to this number; what is beyond it is lost.
const MOST_DECISIONS: usize = 8;

const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 4096,
    max_bytes: 16 * 4096,
};

/// What the user does between two Commits, in any order: puts one for a device, and removes the oldest one.
#[derive(Clone, Copy, Debug)]
enum Action {
    Put(u8),
    Remove,
    Commit,
}

/// Returns each way to put three publications for two devices, and to remove and commit in between.
fn scripts() -> Vec<Vec<Action>> {
    let mut scripts = vec![vec![]];
    for device in [0, 1, 0] {
        let mut longer = Vec::new();
        for script in scripts {
            for with in [
                &[Action::Put(device)][..],
                &[Action::Put(device), Action::Commit],
                &[Action::Put(device), Action::Commit, Action::Remove],
                &[Action::Put(device), Action::Remove, Action::Commit],
                &[
                    Action::Put(device),
                    Action::Commit,
                    Action::Remove,
                    Action::Commit,
                ],
            ] {
                longer.push([&script[..], with].concat());
            }
        }
        scripts = longer;
    }
    for script in &mut scripts {
        script.push(Action::Commit);
    }
    scripts
}

/// Plays a script, and stops after so many operations of the disk, of which one fails. Returns whether it was stopped.
fn play(script: &[Action], payload: usize, operations: u64, failing: Option<u64>) -> (World, bool) {
    let mut world = World::new(operations, OPTIONS);
    for action in script {
        match action {
            Action::Put(device) => {
                world.put(*device, payload);
            }
            Action::Remove => {
                if let Some(number) = world.live().first() {
                    world.remove(*number);
                }
            }
            Action::Commit => world.commit(),
        }
        loop {
            let done = world.disk.counts().operations;
            if done == operations {
                return (world, true);
            }
            if failing == Some(done) {
                world.disk.fail(DiskFault::Any);
            }
            if !world.step() {
                break;
            }
        }
    }
    (world, false)
}

/// Cuts the power in every way; returns the number of ways.
fn cut(script: &[Action], payload: usize, operations: u64, failing: Option<u64>) -> (u64, bool) {
    let (world, was_stopped) = play(script, payload, operations, failing);
    let decisions = world.disk.undecided().min(MOST_DECISIONS);
    for kept in 0..1u32 << decisions {
        let (mut world, _) = play(script, payload, operations, failing);
        let mut at = 0;
        world.disk.fail_nothing();
        world.disk.cut_power_with(|| {
            let is_kept = at < decisions && kept & (1 << at) != 0;
            at += 1;
            if is_kept { Fate::Kept } else { Fate::Lost }
        });
        world.restart();
        // What is there after the first restart is there after the next ones, and can be worked with.
        world.run();
        world.put(1, payload);
        world.commit();
        world.run();
        world.disk.cut_power_with(|| Fate::Lost);
        world.restart();
    }
    (1 << decisions, was_stopped)
}

#[test]
#[expect(clippy::print_stdout, reason = "the test prints its figures")]
fn every_power_cut_at_every_operation_keeps_what_was_confirmed() {
    // All of them take minutes: `LOG_EXHAUSTIVE=1` asks for that.
    let step = if env::var_os("LOG_EXHAUSTIVE").is_some() {
        1
    } else {
        75
    };
    let (mut cuts, mut scripts_played) = (0, 0);
    for (number, script) in scripts().iter().enumerate() {
        for payload in [10, 1_500, 3_800] {
            if (number + payload) % step != 0 {
                continue;
            }
            scripts_played += 1;
            let mut operations = 0;
            let total = loop {
                let (ways, was_stopped) = cut(script, payload, operations, None);
                cuts += ways;
                if !was_stopped {
                    break operations;
                }
                operations += 1;
            };
            for failing in 0..total {
                for operations in (failing + 1..total + 20).step_by(3) {
                    let (ways, was_stopped) = cut(script, payload, operations, Some(failing));
                    cuts += ways;
                    if !was_stopped {
                        break;
                    }
                }
            }
        }
    }
    println!("{scripts_played} scripts, {cuts} power cuts");
    assert!(cuts > 1_000);
}
