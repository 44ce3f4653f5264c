//! How many bytes a slow link has carried in one direction of a connection.

use core::num::NonZeroU32;
use core::time::Duration;
use std::time::Instant;

/// Billionths of a byte: what a link of one byte a second carries in a nanosecond.
const BYTE: u128 = 1_000_000_000;

/// The maximum number of bytes that arrive at once.
const MAX_PIECE: u32 = 16 * 1024;

/// The bytes that a link may carry now: none that it could have carried earlier, except for one piece of a tenth of a
/// second, at least a byte.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the link last carried something, and what more it could have carried then, in billionths of a byte.
    last: Option<(Instant, u128)>,
}

impl Pace {
    /// Returns how many of the bytes that wait can go now: a whole piece, all of them, or none.
    pub(super) fn ready(&self, waiting: usize, rate: NonZeroU32, now: Instant) -> usize {
        let credit = self.credit(rate, now);
        match credit >= wanted(waiting, rate) {
            true => usize::try_from(credit / BYTE).map_or(waiting, |credit| credit.min(waiting)),
            false => 0,
        }
    }

    /// Returns when bytes that wait can go, if none can now.
    pub(super) fn due(&self, waiting: usize, rate: NonZeroU32, now: Instant) -> Option<Instant> {
        let missing = wanted(waiting, rate).checked_sub(self.credit(rate, now))?;
        let nanos = missing.div_ceil(u128::from(rate.get()));
        let nanos = u64::try_from(nanos).ok().filter(|nanos| *nanos > 0)?;
        Some(now + Duration::from_nanos(nanos))
    }

    /// Records that bytes went.
    pub(super) fn spend(&mut self, bytes: usize, rate: NonZeroU32, now: Instant) {
        let left = self.credit(rate, now).saturating_sub(bytes as u128 * BYTE);
        self.last = Some((now, left));
    }

    fn credit(&self, rate: NonZeroU32, now: Instant) -> u128 {
        let most = u128::from(piece(rate)) * BYTE;
        self.last.map_or(most, |(at, left)| {
            let nanos = now.saturating_duration_since(at).as_nanos();
            most.min(left + nanos * u128::from(rate.get()))
        })
    }
}

fn piece(rate: NonZeroU32) -> u32 {
    (rate.get() / 10).clamp(1, MAX_PIECE)
}

/// Returns how much a link must be able to carry before anything goes.
fn wanted(waiting: usize, rate: NonZeroU32) -> u128 {
    u128::from(piece(rate)).min(waiting as u128) * BYTE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "an instant has no other beginning"
    )]
    fn a_link_carries_a_piece_at_once_and_then_as_much_as_its_rate() {
        let start = Instant::now();
        for (rate, piece) in [(1_500, 150), (7, 1), (1, 1), (10_000_000, 16_384)] {
            let rate = NonZeroU32::new(rate).unwrap();
            let (mut pace, mut now, mut carried) = (Pace::default(), start, 0);
            assert_eq!(pace.ready(0, rate, now), 0);
            assert_eq!(pace.due(0, rate, now), None);
            while now < start + Duration::from_secs(100) {
                let ready = pace.ready(1_000_000, rate, now);
                assert!(ready == 0 || ready == piece, "{ready}");
                pace.spend(ready, rate, now);
                carried += ready as u64;
                now = pace.due(1_000_000, rate, now).unwrap();
                assert_eq!(pace.due(1_000_000, rate, now), None);
            }
            let all = u64::from(rate.get()) * 100;
            let most = all + 2 * piece as u64;
            assert!((all..=most).contains(&carried), "{carried} of {all}");
            assert_eq!(
                pace.ready(3.min(piece), rate, now),
                3.min(piece),
                "less than a piece"
            );
        }
    }
}
