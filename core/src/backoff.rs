//! Exponential backoff with jitter. The jitter is the only randomness, and its seed is an argument.

use crate::{options::Backoff, time::Duration};

/// A pseudo-random sequence that depends only on its seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Jitter {
    state: u64,
}

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns a duration from zero to `most`, in whole milliseconds.
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX - 1);
        Duration::from_millis(self.next() % (most + 1))
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Backoff {
    /// Returns the delay before attempt `attempts` + 1, after `attempts` failures in a row.
    pub(crate) fn wait(&self, attempts: u32, jitter: &mut Jitter) -> Duration {
        let spread = self.min.min(Duration::from_secs(1));
        let base = 2u32
            .checked_pow(attempts)
            .and_then(|factor| self.min.checked_mul(factor))
            .filter(|base| base.saturating_add(spread) <= self.max);
        match base {
            Some(base) => base + jitter.up_to(spread),
            None => {
                let spread = self.max / 4;
                self.max - spread + jitter.up_to(spread)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        // Test vector published by the authors for the seed 1234567.
        let mut jitter = Jitter::new(1_234_567);
        let numbers: [u64; 5] = core::array::from_fn(|_| jitter.next());
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(numbers, published);
    }

    #[test]
    fn the_wait_doubles_has_jitter_and_never_passes_its_maximum() {
        let backoff = Backoff::default();
        for seed in 0..200 {
            let mut jitter = Jitter::new(seed);
            for attempts in 0..70 {
                let (least, most) = match attempts {
                    0..5 => (1 << attempts, (1 << attempts) + 1),
                    _ => (24, 32),
                };
                let wait = backoff.wait(attempts, &mut jitter);
                assert!(
                    wait >= Duration::from_secs(least) && wait <= Duration::from_secs(most),
                    "{wait:?} after {attempts} failures"
                );
            }
        }
    }

    #[test]
    fn the_longest_wait_has_jitter_up_to_a_quarter_of_it() {
        let (second, four) = (Duration::from_secs(1), Duration::from_secs(4));
        for (min, max, attempts) in [
            (second, four, 2),
            (second, four, 70),
            (four, four, 0),
            (Duration::from_secs(3), four, 1),
        ] {
            let backoff = Backoff { min, max };
            let waits: Vec<_> = (0..20_000)
                .map(|seed| backoff.wait(attempts, &mut Jitter::new(seed)))
                .collect();
            assert_eq!(waits.iter().min(), Some(&Duration::from_secs(3)));
            assert_eq!(waits.iter().max(), Some(&four));
        }
        let tiny = Duration::from_nanos(1);
        let backoff = Backoff {
            min: tiny,
            max: tiny,
        };
        assert_eq!(backoff.wait(0, &mut Jitter::new(1)), tiny);
    }

    #[test]
    fn jitter_is_at_most_the_first_wait() {
        let backoff = Backoff {
            min: Duration::from_millis(10),
            max: Duration::from_secs(1),
        };
        let waits: Vec<_> = (0..200)
            .map(|seed| backoff.wait(0, &mut Jitter::new(seed)))
            .collect();
        assert_eq!(waits.iter().min(), Some(&Duration::from_millis(10)));
        assert_eq!(waits.iter().max(), Some(&Duration::from_millis(20)));
    }

    #[test]
    fn jitter_has_no_duration_that_is_too_long_for_it() {
        let jitter = Jitter::new(1).up_to(Duration::MAX);
        assert!(jitter < Duration::MAX, "{jitter:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_waits() {
        let waits = |seed| {
            let mut jitter = Jitter::new(seed);
            (0..6)
                .map(|n| Backoff::default().wait(n, &mut jitter))
                .collect::<Vec<_>>()
        };
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
    }
}
