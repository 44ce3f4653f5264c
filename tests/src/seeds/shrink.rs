//! Shrinks a failing script to make it easier to read.

use crate::script::{Script, Setup, Step};

/// The maximum number of scripts to try.
const MAX_TRIALS: u32 = 3_000;

/// Returns a script that still fails and is smaller: fewer steps, lower numbers, fewer changed knobs.
///
/// Deterministic; calls `fails` at most 3,000 times. If the script does not fail, it is returned unchanged.
pub fn shrink(script: Script, fails: impl FnMut(&Script) -> bool) -> Script {
    let mut shrinking = Shrinking {
        smallest: script,
        fails,
        trials: 0,
    };
    loop {
        let before = shrinking.smallest.clone();
        shrinking.drop_steps();
        shrinking.lower_knobs();
        shrinking.lower_numbers();
        if shrinking.smallest == before || shrinking.trials >= MAX_TRIALS {
            return shrinking.smallest;
        }
    }
}

struct Shrinking<F> {
    smallest: Script,
    fails: F,
    trials: u32,
}

impl<F: FnMut(&Script) -> bool> Shrinking<F> {
    /// Adopts a script if it also fails.
    fn attempt(&mut self, script: Script) -> bool {
        if self.trials >= MAX_TRIALS || script == self.smallest {
            return false;
        }
        self.trials += 1;
        let is_failing = (self.fails)(&script);
        if is_failing {
            self.smallest = script;
        }
        is_failing
    }

    /// Drops halves, quarters, and so on down to single steps, from the end.
    fn drop_steps(&mut self) {
        let mut length = self.smallest.steps.len().div_ceil(2);
        while length > 0 {
            let mut end = self.smallest.steps.len();
            while end > 0 {
                let start = end.saturating_sub(length);
                let mut fewer = self.smallest.clone();
                fewer.steps.drain(start..end);
                self.attempt(fewer);
                end = start.min(self.smallest.steps.len());
            }
            length /= 2;
        }
    }

    fn lower_knobs(&mut self) {
        let mut untouched = self.smallest.clone();
        untouched.setup = Setup::default();
        if self.attempt(untouched) {
            return;
        }
        for knob in 0..Setup::KNOBS {
            for lower in 0..self.smallest.setup.as_bytes()[knob] {
                let mut bytes = self.smallest.setup.as_bytes().to_vec();
                bytes[knob] = lower;
                let mut script = self.smallest.clone();
                script.setup = Setup::from_bytes(&bytes);
                if self.attempt(script) {
                    break;
                }
            }
        }
    }

    fn lower_numbers(&mut self) {
        for index in 0..self.smallest.steps.len() {
            for place in 1..4 {
                for lower in [
                    |_| 0,
                    |byte: u8| byte / 2,
                    |byte: u8| byte.saturating_sub(1),
                ] {
                    self.lower_number(index, place, lower);
                }
            }
        }
    }

    /// Lowers one number of a step as long as the script fails.
    fn lower_number(&mut self, index: usize, place: usize, lower: fn(u8) -> u8) {
        loop {
            let mut script = self.smallest.clone();
            let mut bytes = script.steps[index].to_bytes();
            let lowered = lower(bytes[place]);
            if lowered == bytes[place] {
                return;
            }
            bytes[place] = lowered;
            script.steps[index] = Step::from_bytes(bytes);
            if !self.attempt(script) {
                return;
            }
        }
    }
}
