//! Random numbers that depend only on a seed.

use core::time::Duration;

use super::Tail;

/// A sequence of pseudorandom numbers (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns whether the next packet is one of so many in a thousand.
    pub(super) fn is_one_of(&mut self, per_thousand: u16) -> bool {
        // The bias of the remainder is far below a thousandth.
        per_thousand > 0 && self.next() % 1_000 < u64::from(per_thousand)
    }

    /// Draws a time from a distribution whose shortest time is given, in whole microseconds unless it is that.
    ///
    /// The rounding hides that the power function may differ in its last bit from one machine to another.
    pub(super) fn time(&mut self, shortest: Duration, tail: Option<Tail>) -> Duration {
        let Some(tail) = tail.filter(|_| !shortest.is_zero()) else {
            return shortest;
        };
        let (shape, limit) = (
            f64::from(tail.shape.get()) / 1_000.0,
            f64::from(tail.limit.get()),
        );
        // 53 bits, from 0 to just below 1.
        let share = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let factor = (1.0 - share * (1.0 - limit.powf(-shape))).powf(-1.0 / shape);
        let micros = shortest.as_secs_f64() * factor.clamp(1.0, limit) * 1e6;
        shortest.max(Duration::from_micros(micros.round() as u64))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Service;
    use super::*;

    #[test]
    fn times_have_the_tail_that_was_asked_for() {
        let tail = Service::one_queue().heavy_tail(1.5, 50).tail;
        let shortest = Duration::from_millis(100);
        let mut random = Random::new(7);
        let times: Vec<Duration> = (0..30_000).map(|_| random.time(shortest, tail)).collect();
        let at_least = |factor: u32| {
            times
                .iter()
                .filter(|time| **time >= shortest * factor)
                .count()
        };
        assert_eq!(at_least(1), 30_000);
        assert!((10_000..11_000).contains(&at_least(2)), "{}", at_least(2));
        assert!((800..1_000).contains(&at_least(10)), "{}", at_least(10));
        assert!(at_least(40) > 0);
        assert_eq!(
            times.iter().filter(|time| **time > shortest * 50).count(),
            0
        );
        let mut same = Random::new(7);
        assert!(times.iter().all(|time| *time == same.time(shortest, tail)));
    }

    #[test]
    fn a_share_of_the_packets_is_drawn() {
        let mut random = Random::new(1);
        let drawn = (0..10_000).filter(|_| random.is_one_of(100)).count();
        assert!((950..1_050).contains(&drawn), "{drawn}");
        assert!((0..1_000).all(|_| random.is_one_of(1_000)));
        assert!((0..1_000).all(|_| !random.is_one_of(0)));
    }
}
