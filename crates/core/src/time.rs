//! Instants, and how the Console writes them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant: microseconds since 1970-01-01 00:00:00 UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole seconds since the epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// A FILETIME (MS-DTYP section 2.3.3): 100 ns since 1601; zero before that.
    pub fn filetime(self) -> u64 {
        const EPOCH: i64 = 116_444_736_000_000_000;
        let ticks = self.0.saturating_mul(10).saturating_add(EPOCH);
        u64::try_from(ticks).unwrap_or(0)
    }

    /// How long after `earlier` this is; zero if it isn't after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This instant and `by` more.
    pub fn plus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// `2020-04-17 20:29:30 UTC+0000`, the API's `*_std` form.
    pub fn std(self) -> String {
        self.format("%Y-%m-%d %H:%M:%S UTC+0000")
    }

    /// `strftime` in UTC.
    pub fn format(self, pattern: &str) -> String {
        jiff::Timestamp::from_microsecond(self.0)
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .strftime(pattern)
            .to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.std())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn std_form_is_what_the_python_client_parses() {
        let t = Timestamp::from_secs(1_587_155_370);
        assert_eq!(t.std(), "2020-04-17 20:29:30 UTC+0000");
    }

    #[test]
    fn filetimes_count_from_1601() {
        assert_eq!(Timestamp::from_secs(0).filetime(), 116_444_736_000_000_000);
        assert_eq!(
            Timestamp::from_micros(-11_644_473_600_000_000).filetime(),
            0
        );
        assert_eq!(Timestamp::from_secs(i64::MIN).filetime(), 0);
    }

    #[test]
    fn since_never_goes_below_zero() {
        let early = Timestamp::from_secs(1);
        let late = Timestamp::from_secs(3);
        assert_eq!(late.since(early), Duration::from_secs(2));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
