//! The two kinds of time: instants of the monotonic clock, which the machine receives as `now`, and the date, by
//! which tokens are judged. No clock is read here or anywhere in this crate.

use core::fmt;
pub(crate) use std::time::{Duration, Instant};
use std::time::{SystemTime, SystemTimeError, UNIX_EPOCH};

const SECONDS_PER_DAY: u64 = 86_400;

/// A date and time in whole seconds since 1970-01-01T00:00:00Z, as in the claims of a JWT.
///
/// Leap seconds are not counted. `Display` writes RFC 3339 in UTC, so that a token minted by a machine that booted in
/// 1970 is easy to recognize.
///
/// ```
/// # use iotcore_gateway::auth::UnixTime;
/// let time = UnixTime::from_secs(1_795_374_000);
/// assert_eq!(time.to_string(), "2026-11-22T19:00:00Z");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// Returns the time `seconds` after the start of 1970.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Returns the whole seconds since the start of 1970.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// Returns the time `duration` later, at most `u64::MAX` seconds. Drops a fraction of a second.
    #[must_use]
    pub const fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    /// Returns year, month and day in the proleptic Gregorian calendar.
    ///
    /// Years are counted from 1 March, so that the leap day is the last day of a year and the months before it follow
    /// one linear rule.
    const fn date(self) -> (u64, u64, u64) {
        const DAYS_FROM_0000_03_01_TO_1970: u64 = 719_468;
        const DAYS_PER_ERA: u64 = 146_097; // 400 years

        let days = self.0 / SECONDS_PER_DAY + DAYS_FROM_0000_03_01_TO_1970;
        let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let months_since_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
        let month = if months_since_march < 10 {
            months_since_march + 3
        } else {
            months_since_march - 9
        };
        let year = era * 400 + year_of_era + (month <= 2) as u64;
        (year, month, day)
    }
}

/// Fails for a time before 1970. Drops a fraction of a second.
impl TryFrom<SystemTime> for UnixTime {
    type Error = SystemTimeError;

    fn try_from(time: SystemTime) -> Result<Self, SystemTimeError> {
        Ok(Self(time.duration_since(UNIX_EPOCH)?.as_secs()))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let second = self.0 % SECONDS_PER_DAY;
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

impl fmt::Debug for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixTime({} = {self})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from `date --utc --date=@SECONDS +%Y-%m-%dT%H:%M:%SZ`.
    #[test]
    fn a_time_is_shown_as_rfc_3339_in_utc() {
        for (seconds, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (59, "1970-01-01T00:00:59Z"),
            (86_399, "1970-01-01T23:59:59Z"),
            (86_400, "1970-01-02T00:00:00Z"),
            (68_169_599, "1972-02-28T23:59:59Z"),
            (68_169_600, "1972-02-29T00:00:00Z"),
            (68_256_000, "1972-03-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_795_374_000, "2026-11-22T19:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (253_402_300_800, "10000-01-01T00:00:00Z"),
        ] {
            assert_eq!(UnixTime::from_secs(seconds).to_string(), shown);
        }
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_day_before_it() {
        let month_length = |year: u64, month| match month {
            2 if year.is_multiple_of(4) && !year.is_multiple_of(100)
                || year.is_multiple_of(400) =>
            {
                29
            }
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let mut expected = (1970, 1, 1);
        for day in 0..146_097 {
            assert_eq!(UnixTime::from_secs(day * SECONDS_PER_DAY).date(), expected);
            let (year, month, day) = expected;
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, day) if day == month_length(year, month) => (year, month + 1, 1),
                (_, day) => (year, month, day + 1),
            };
        }
        assert_eq!(expected, (2370, 1, 1));
    }

    #[test]
    fn the_latest_time_is_shown_and_never_passed() {
        let latest = UnixTime::from_secs(u64::MAX);
        assert_eq!(latest.saturating_add(Duration::from_secs(1)), latest);
        assert!(latest.to_string().ends_with("T07:00:15Z"), "{latest}");
    }

    #[test]
    fn a_fraction_of_a_second_is_dropped() {
        let time = UnixTime::from_secs(10);
        assert_eq!(
            time.saturating_add(Duration::from_millis(1_999)).as_secs(),
            11
        );
        let system = UNIX_EPOCH + Duration::from_millis(1_999);
        assert_eq!(UnixTime::try_from(system).unwrap().as_secs(), 1);
    }

    #[test]
    fn a_clock_before_1970_is_refused() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert!(UnixTime::try_from(before).is_err());
    }
}
