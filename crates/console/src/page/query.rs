//! The search grammar: words and fields, `src:10.1.4.0/24 kind:ssh is:open user:root since:2d`.
//!
//! What the store can filter becomes a [`Filter`]; the rest is asked of each incident.

use std::net::IpAddr;
use std::time::Duration;

use coalmine_core::{Subject, Timestamp};
use coalmine_store::incidents::{Filter, Incident};

use crate::Catalogue;

/// Longest query, in bytes; what is beyond is not read.
pub const MAX_QUERY: usize = 1000;
/// Most words and fields of a query.
const MAX_TERMS: usize = 32;

/// A query, understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// What the store filters.
    pub filter: Filter,
    /// Sources in this network.
    pub network: Option<(IpAddr, u8)>,
    /// This user name was tried.
    pub user: Option<String>,
    /// In the bird's name or the token's reminder, lower case.
    pub place: Option<String>,
    /// One of these kinds.
    pub kinds: Option<Vec<&'static str>>,
    /// Something happened at or after this.
    pub since: Option<Timestamp>,
    /// All of these, lower case.
    pub words: Vec<String>,
    /// What was not understood, for people.
    pub problems: Vec<String>,
}

impl Query {
    /// Understands `text`; never fails, but says what it did not understand.
    pub fn parse(text: &str, now: Timestamp, catalogue: &Catalogue) -> Self {
        let mut query = Self::default();
        let end = text.floor_char_boundary(MAX_QUERY.min(text.len()));
        for term in terms(text.get(..end).unwrap_or_default()) {
            let (field, value) = match term.split_once(':') {
                Some((field, value)) if FIELDS.contains(&field.to_ascii_lowercase().as_str()) => {
                    (field.to_ascii_lowercase(), value.to_owned())
                }
                _ => {
                    query.words.push(term.to_lowercase());
                    continue;
                }
            };
            if value.is_empty() {
                continue;
            }
            query.field(&field, &value, now, catalogue);
        }
        query.filter.text = query.words.first().cloned();
        query.filter.src_prefix = query.network.and_then(beginning);
        query
    }

    fn field(&mut self, field: &str, value: &str, now: Timestamp, catalogue: &Catalogue) {
        match field {
            "src" => match network(value) {
                Some((address, bits)) if bits == full(address) => {
                    self.filter.src_host = Some(address.to_string());
                }
                Some(network) => self.network = Some(network),
                None => self.problem("src: takes an address or a network such as 10.1.4.0/24"),
            },
            "kind" => {
                let wanted = value.to_lowercase();
                let found: Vec<_> = catalogue
                    .events
                    .iter()
                    .filter(|kind| {
                        kind.key.contains(&wanted) || kind.title.to_lowercase().contains(&wanted)
                    })
                    .map(|kind| kind.key)
                    .collect();
                if found.is_empty() {
                    self.problem("kind: no kind of incident has this in its name");
                }
                self.kinds = Some(found);
            }
            "is" => match value.to_lowercase().as_str() {
                "open" | "unacknowledged" | "new" => self.filter.acknowledged = Some(false),
                "acknowledged" | "ack" | "closed" => self.filter.acknowledged = Some(true),
                _ => self.problem("is: takes open or acknowledged"),
            },
            "user" => self.user = Some(value.to_lowercase()),
            "bird" => {
                if is_id(value) {
                    self.filter.node_id = Some(value.to_lowercase());
                } else {
                    self.place = Some(value.to_lowercase());
                }
            }
            "since" => match moment(value, now) {
                Some(at) => self.since = Some(at),
                None => self.problem("since: takes 30m, 2h, 7d or 2026-01-31T12:00Z"),
            },
            "until" => match moment(value, now) {
                Some(at) => self.filter.older_than = Some(at),
                None => self.problem("until: takes 30m, 2h, 7d or 2026-01-31T12:00Z"),
            },
            _ => {}
        }
    }

    fn problem(&mut self, text: &str) {
        self.problems.push(text.to_owned());
    }

    /// Whether an incident that the store gave matches the rest, but for [`Query::user`].
    pub fn matches(&self, incident: &Incident) -> bool {
        self.network
            .is_none_or(|(network, bits)| within(incident.src.ip, network, bits))
            && self
                .kinds
                .as_ref()
                .is_none_or(|kinds| kinds.contains(&incident.kind.as_str()))
            && self.since.is_none_or(|since| incident.last >= since)
            && self.place.as_ref().is_none_or(|place| {
                incident.name.to_lowercase().contains(place)
                    || incident.memo.to_lowercase().contains(place)
            })
            && self.words.iter().skip(1).all(|word| said(incident, word))
    }

    /// Whether no incident last changed at or before `updated` can match any more.
    pub fn ends_at(&self, updated: Timestamp) -> bool {
        self.since.is_some_and(|since| updated < since)
    }
}

const FIELDS: [&str; 7] = ["src", "kind", "is", "user", "bird", "since", "until"];

/// Words at blanks; a quoted part may hold blanks.
fn terms(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut term = String::new();
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if !term.is_empty() {
                    out.push(std::mem::take(&mut term));
                }
            }
            c => term.push(c),
        }
    }
    if !term.is_empty() {
        out.push(term);
    }
    out.truncate(MAX_TERMS);
    out
}

fn said(incident: &Incident, word: &str) -> bool {
    let subject = match &incident.subject {
        Subject::Bird(id) => id.to_string(),
        Subject::Token(id) => id.to_string(),
        Subject::Console => String::new(),
    };
    [
        incident.title.as_str(),
        &incident.name,
        &incident.memo,
        &incident.src_reverse,
        &subject,
        &incident.src.ip.to_string(),
        &incident.dst.ip.to_string(),
    ]
    .iter()
    .any(|text| text.to_lowercase().contains(word))
}

/// A bird's 16 hex digits or a token's 25 characters.
fn is_id(value: &str) -> bool {
    (value.len() == 16 && value.bytes().all(|b| b.is_ascii_hexdigit()))
        || (value.len() == 25 && value.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn full(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn network(value: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match value.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (value, None),
    };
    let address: IpAddr = address.parse::<IpAddr>().ok()?.to_canonical();
    let bits = bits.unwrap_or_else(|| full(address));
    (bits <= full(address)).then_some((address, bits))
}

/// What every address of the network begins with, so that the store leaves out most others.
fn beginning((network, bits): (IpAddr, u8)) -> Option<String> {
    let IpAddr::V4(v4) = network else {
        return None;
    };
    let whole = usize::from(bits / 8);
    let octets = v4.octets();
    let parts: Vec<String> = octets.iter().take(whole).map(u8::to_string).collect();
    (whole > 0).then(|| format!("{}.", parts.join(".")))
}

fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    fn wide(address: IpAddr) -> (u128, u32) {
        match address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        }
    }
    let ((a, width), (n, other)) = (wide(address), wide(network));
    let rest = width.saturating_sub(u32::from(bits));
    width == other && a.checked_shr(rest).unwrap_or(0) == n.checked_shr(rest).unwrap_or(0)
}

/// `2h` before now, or an instant in UTC.
fn moment(value: &str, now: Timestamp) -> Option<Timestamp> {
    let instant = value.trim_end_matches('Z');
    for pattern in ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"] {
        if let Ok(parsed) = jiff::fmt::strtime::parse(pattern, instant) {
            let at = parsed
                .to_datetime()
                .or_else(|_| parsed.to_date().map(|date| date.at(0, 0, 0, 0)))
                .ok()?;
            let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
            return Some(Timestamp::from_micros(at.timestamp().as_microsecond()));
        }
    }
    let unit = value.chars().last()?;
    let number: u64 = value.strip_suffix(unit)?.parse().ok()?;
    let seconds = number.checked_mul(match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    })?;
    let back = i64::try_from(Duration::from_secs(seconds).as_micros()).ok()?;
    Some(Timestamp::from_micros(now.micros().saturating_sub(back)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn parse(text: &str) -> Query {
        let catalogue = Catalogue {
            events: vec![],
            decoys: vec![],
            tokens: &[],
        };
        Query::parse(text, NOW, &catalogue)
    }

    #[test]
    fn fields_and_words_are_told_apart() {
        let query = parse("files-02 src:10.1.4.0/24 is:open user:Root \"two words\" 10:30");
        assert_eq!(query.words, ["files-02", "two words", "10:30"]);
        assert_eq!(query.filter.text.as_deref(), Some("files-02"));
        assert_eq!(query.network, Some(("10.1.4.0".parse().unwrap(), 24)));
        assert_eq!(query.filter.acknowledged, Some(false));
        assert_eq!(query.user.as_deref(), Some("root"));
        assert!(query.problems.is_empty());
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for text in [
            "src:house",
            "is:blue",
            "since:soon",
            "src:10.0.0.0/33",
            "until:5x",
        ] {
            assert_eq!(parse(text).problems.len(), 1, "{text}");
        }
        assert_eq!(parse("kind:nothing").kinds, Some(vec![]));
    }

    #[test]
    fn times_are_relative_or_absolute() {
        assert_eq!(
            parse("since:2h").since,
            Some(Timestamp::from_secs(1_799_992_800))
        );
        assert_eq!(
            parse("since:2020-04-17T20:29Z").since,
            Some(Timestamp::from_secs(1_587_155_340))
        );
        assert_eq!(
            parse("until:2020-04-17").filter.older_than,
            Some(Timestamp::from_secs(1_587_081_600))
        );
        assert!(parse("since:99999999999999999999d").since.is_none());
        assert!(parse("since:99999999999999999d").since.is_none());
    }

    #[test]
    fn networks_hold_what_they_should() {
        let net: IpAddr = "10.1.4.0".parse().unwrap();
        assert!(within("10.1.4.255".parse().unwrap(), net, 24));
        assert!(!within("10.1.5.0".parse().unwrap(), net, 24));
        assert!(within("203.0.113.9".parse().unwrap(), net, 0));
        assert!(!within("::1".parse().unwrap(), net, 0));
        assert!(within(
            "fe80::9".parse().unwrap(),
            "fe80::".parse().unwrap(),
            10
        ));
    }

    #[test]
    fn a_network_is_sought_by_what_its_addresses_begin_with() {
        assert_eq!(
            parse("src:10.1.4.0/23").filter.src_prefix.as_deref(),
            Some("10.1.")
        );
        assert_eq!(parse("src:10.0.0.0/7").filter.src_prefix, None);
        assert_eq!(parse("src:fe80::/10").filter.src_prefix, None);
    }

    #[test]
    fn odd_queries_never_panic() {
        for text in [
            "",
            "\"",
            ":",
            "::::",
            "src:",
            "src:/",
            "é:é",
            "since:é",
            "since:1é",
        ] {
            parse(text);
        }
        parse(&"é".repeat(MAX_QUERY));
        assert_eq!(parse(&"a ".repeat(400)).words.len(), MAX_TERMS);
    }
}
