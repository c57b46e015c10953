//! How the Console writes and reads instants.

use std::time::Duration;

use coalmine_core::Timestamp;
use jiff::tz::TimeZone;

/// Longest time zone name looked up.
const MAX_ZONE: usize = 64;

/// `2020-04-17 20:29:30 UTC+0000`, in `zone`: the `*_std` form.
pub fn std_in(at: Timestamp, zone: &TimeZone) -> String {
    jiff::Timestamp::from_microsecond(at.micros())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S %Z%z")
        .to_string()
}

/// `Fri, 17 Apr 2020 20:29:30 GMT`.
pub fn rfc1123(at: Timestamp) -> String {
    at.format("%a, %d %b %Y %H:%M:%S GMT")
}

/// `Fri Apr 17 2020 20:29:30 GMT+0000 (UTC)`.
pub fn printable(at: Timestamp) -> String {
    at.format("%a %b %d %Y %H:%M:%S GMT+0000 (UTC)")
}

/// `2020-04-17 20:29:30`.
pub fn plain(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%S")
}

/// `2020-04-17 20:29:30 (UTC)`.
pub fn plain_utc(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%S (UTC)")
}

/// `1586249510.069870`.
pub fn fractional(at: Timestamp) -> String {
    format!(
        "{}.{:06}",
        at.secs(),
        at.micros().rem_euclid(1_000_000).unsigned_abs()
    )
}

/// `8 seconds`, `1 week`: the largest unit, rounded down.
pub fn age(span: Duration) -> String {
    let secs = span.as_secs();
    let (count, unit) = match secs {
        0..60 => (secs, "second"),
        60..3_600 => (secs / 60, "minute"),
        3_600..86_400 => (secs / 3_600, "hour"),
        86_400..604_800 => (secs / 86_400, "day"),
        _ => (secs / 604_800, "week"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// Reads `yyyy-mm-dd-hh:mm:ss` in UTC.
pub fn parse_instant(text: &str) -> Option<Timestamp> {
    if text.len() != 19 {
        return None;
    }
    let time = jiff::civil::DateTime::strptime("%Y-%m-%d-%H:%M:%S", text).ok()?;
    let at = time.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(Timestamp::from_secs(at.as_second()))
}

/// Reads `4h`, `2d`, `1w`.
pub fn parse_span(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        'h' | 'H' => 3_600,
        'd' | 'D' => 86_400,
        'w' | 'W' => 604_800,
        _ => return None,
    };
    let digits = text.get(..text.len().checked_sub(1)?)?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    // A thousand years is as good as for ever, and keeps the arithmetic in range.
    Some(Duration::from_secs(
        count.checked_mul(unit)?.min(1_000 * 366 * 86_400),
    ))
}

/// The time zone of this name, e.g. `Africa/Johannesburg`.
pub fn zone(name: &str) -> Option<TimeZone> {
    if name.len() > MAX_ZONE {
        return None;
    }
    if name.eq_ignore_ascii_case("utc") {
        return Some(TimeZone::UTC);
    }
    TimeZone::get(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_micros(1_586_902_278_069_870);

    #[test]
    fn forms_are_those_documented() {
        assert_eq!(std_in(AT, &TimeZone::UTC), "2020-04-14 22:11:18 UTC+0000");
        let johannesburg = zone("Africa/Johannesburg").unwrap();
        assert_eq!(std_in(AT, &johannesburg), "2020-04-15 00:11:18 SAST+0200");
        assert_eq!(rfc1123(AT), "Tue, 14 Apr 2020 22:11:18 GMT");
        assert_eq!(printable(AT), "Tue Apr 14 2020 22:11:18 GMT+0000 (UTC)");
        assert_eq!(plain_utc(AT), "2020-04-14 22:11:18 (UTC)");
        assert_eq!(fractional(AT), "1586902278.069870");
        assert!(zone("Nowhere/Land").is_none() && zone(&"x".repeat(99)).is_none());
    }

    #[test]
    fn ages_floor_to_the_largest_unit() {
        let of = |secs| age(Duration::from_secs(secs));
        assert_eq!(of(0), "0 seconds");
        assert_eq!(of(1), "1 second");
        assert_eq!(of(599), "9 minutes");
        assert_eq!(of(19_579), "5 hours");
        assert_eq!(of(3 * 86_400 + 5), "3 days");
        assert_eq!(of(1_029_740), "1 week");
    }

    #[test]
    fn parameters_are_read_or_refused() {
        assert_eq!(
            parse_instant("2020-04-14-22:11:18"),
            Some(Timestamp::from_secs(1_586_902_278))
        );
        for bad in [
            "",
            "2020-04-14",
            "2020-13-14-22:11:18",
            "yesterday at one!!",
        ] {
            assert_eq!(parse_instant(bad), None, "{bad}");
        }
        assert_eq!(parse_span("0h"), Some(Duration::ZERO));
        assert_eq!(parse_span("2d"), Some(Duration::from_secs(172_800)));
        for bad in ["", "h", "-1h", "1m", "1é", "99999999999999999999w", "1"] {
            assert_eq!(parse_span(bad), None, "{bad}");
        }
    }
}
