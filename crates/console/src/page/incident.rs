//! One incident in full.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use coalmine_core::Subject;
use coalmine_core::text::cut;
use coalmine_store::incidents::{Filter, Incident, StoredEvent};
use coalmine_store::{Result, Store};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::inert::inert;
use super::rows::{Row, buckets, iso, rows, std};
use super::words::advice;
use crate::sweep::SWEEP;

/// Events read to count what was tried.
const MAX_READ: usize = 5_000;
/// Events in one answer.
pub const MAX_EVENTS: usize = 200;
/// Furthest that events can be paged to.
const MAX_PAGED: usize = 20_000;
/// Different users with passwords, hashes, ports, files. A sensor's list of a scan's ports ends at
/// as many.
const MAX_DIFFERENT: usize = 1_000;
/// Ports in one line.
const MAX_PORTS: usize = 20;
/// Bars of the timeline.
const BARS: u32 = 120;
/// Other incidents of the same source.
const MAX_RELATED: usize = 8;
/// An incident whose newest event is younger is still going on.
const GOING_SECONDS: u64 = 120;

/// Everything that is shown of an incident.
#[derive(Debug, Serialize)]
pub struct Detail {
    /// It, as a row.
    pub row: Row,
    /// Whether it is still going on.
    pub going: bool,
    /// The token that was touched.
    pub token: Option<String>,
    /// Source, bird, times.
    pub facts: Vec<Fact>,
    /// The rule that would ignore such as this; `None` without a source.
    pub ignore: Option<Ignore>,
    /// What it usually means and what to do.
    pub advice: [&'static str; 3],
    /// Events counted over time: start in milliseconds, events.
    pub marks: Vec<(i64, u64)>,
    /// What a mark stands for, in milliseconds.
    pub step: u64,
    /// How many events were read for what follows, the oldest ones; absent where all were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<usize>,
    /// Users and passwords.
    pub tried: Vec<Tried>,
    /// Hashes for a cracking tool.
    pub hashes: Vec<Hash>,
    /// Ports touched, each when it was first told: milliseconds, port.
    pub ports: Vec<(i64, u16)>,
    /// Whether there may be more of them.
    pub more_ports: bool,
    /// Birds touched on each port, where there are several; by port.
    pub reach: Vec<(u16, Vec<IpAddr>)>,
    /// Files asked for.
    pub files: Vec<String>,
    /// The oldest events.
    pub events: Vec<Event>,
    /// Where more events start.
    pub cursor: Option<usize>,
    /// Newest other incidents of the same source.
    pub related: Vec<Row>,
}

/// A rule that isn't made yet.
#[derive(Debug, Serialize)]
pub struct Ignore {
    source: IpAddr,
    /// Destination port.
    port: u16,
}

/// One fact.
#[derive(Debug, Serialize)]
pub struct Fact {
    /// What it is about.
    pub label: &'static str,
    /// What it says.
    pub text: String,
    /// Whether somebody else wrote the text.
    pub captured: bool,
    /// An instant in milliseconds, instead of a text.
    pub at: Option<i64>,
}

impl Fact {
    /// For the server-rendered page.
    pub fn shown(&self) -> String {
        self.at.map_or_else(|| inert(&self.text), std)
    }
}

/// A user with a password, and how often.
#[derive(Debug, Serialize)]
pub struct Tried {
    user: String,
    password: Option<String>,
    count: u64,
}

/// A hash.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Hash {
    user: String,
    /// As the cracking tool reads it.
    line: String,
    /// How to call the tool.
    how: &'static str,
}

/// One event.
#[derive(Debug, Serialize)]
pub struct Event {
    at: i64,
    src_port: u16,
    dst_port: u16,
    logtype: u32,
    fields: Box<RawValue>,
}

impl Event {
    fn new(event: &StoredEvent) -> Self {
        Self {
            at: event.at.millis(),
            src_port: event.src_port,
            dst_port: event.dst_port,
            logtype: event.logtype,
            fields: event.fields.clone(),
        }
    }

    /// When, for a `datetime` attribute.
    pub fn at_iso(&self) -> String {
        iso(self.at)
    }

    /// When, for people.
    pub fn at_std(&self) -> String {
        std(self.at)
    }

    /// The fields as text, passwords hidden: what stands on a screen unasked is read by others.
    pub fn without_secrets(&self) -> String {
        let fields: Map<String, Value> =
            serde_json::from_str(self.fields.get()).unwrap_or_default();
        let parts: Vec<String> = fields
            .iter()
            .map(|(name, value)| {
                if name.to_ascii_lowercase().contains("password") {
                    format!("{name}: ••••••")
                } else {
                    format!("{name}: {}", text(value))
                }
            })
            .collect();
        inert(&parts.join("  "))
    }
}

/// Everything about this incident, as far as `flocks` may see (`None`: all).
///
/// # Errors
/// The store's.
pub async fn detail(
    store: &Store,
    incident: &Incident,
    flocks: Option<Vec<String>>,
    now: coalmine_core::Timestamp,
) -> Result<Detail> {
    let events = store
        .incidents()
        .events(incident.row, MAX_READ, false)
        .await?;
    let (marks, step) = buckets(store, incident, BARS).await?;
    let going = incident.events_count > 1 && now.since(incident.last).as_secs() < GOING_SECONDS;
    let (related, before) = related(store, incident, flocks).await?;
    let row = rows(store, std::slice::from_ref(incident)).await?;
    let Some(row) = row.into_iter().next() else {
        return Err(coalmine_store::StoreError::Closed);
    };
    let seen = Seen::of(&incident.kind, &events);
    let read = Some(events.len())
        .filter(|read| u64::try_from(*read).is_ok_and(|read| read < incident.events_count));
    let touched = events.iter().map(|event| event.dst_port);
    let touched = touched.chain(seen.ports.iter().map(|(_, port)| *port));
    let more_ports = read.is_some() || seen.ports.len() >= MAX_DIFFERENT;
    Ok(Detail {
        row,
        going,
        token: match &incident.subject {
            Subject::Token(id) => Some(id.to_string()),
            Subject::Bird(_) | Subject::Console => None,
        },
        facts: facts(incident, before, ports(touched, more_ports)),
        ignore: (!incident.src.ip.is_unspecified()).then_some(Ignore {
            source: incident.src.ip,
            port: incident.dst.port,
        }),
        advice: advice(&incident.kind),
        marks: marks.into_iter().map(|(at, n)| (at.millis(), n)).collect(),
        step: u64::try_from(step.as_millis()).unwrap_or(1).max(1),
        read,
        tried: seen.tried,
        hashes: seen.hashes,
        ports: seen.ports,
        more_ports,
        reach: seen.reach,
        files: seen.files,
        cursor: (events.len() > MAX_EVENTS).then_some(MAX_EVENTS),
        events: events.iter().take(MAX_EVENTS).map(Event::new).collect(),
        related,
    })
}

/// More events, from number `cursor` on.
#[derive(Debug, Serialize)]
pub struct More {
    events: Vec<Event>,
    cursor: Option<usize>,
}

/// Events from number `cursor` on.
///
/// # Errors
/// The store's.
pub async fn more(store: &Store, incident: &Incident, cursor: usize) -> Result<More> {
    let cursor = cursor.min(MAX_PAGED);
    let end = cursor.saturating_add(MAX_EVENTS);
    let events = store
        .incidents()
        .events(incident.row, end.saturating_add(1), false)
        .await?;
    Ok(More {
        cursor: (events.len() > end && end < MAX_PAGED).then_some(end),
        events: events
            .iter()
            .skip(cursor)
            .take(MAX_EVENTS)
            .map(Event::new)
            .collect(),
    })
}

/// The fields of an event.
pub fn fields(event: &StoredEvent) -> Map<String, Value> {
    serde_json::from_str(event.fields.get()).unwrap_or_default()
}

/// The user name that an event holds, if any.
pub fn user_of(fields: &Map<String, Value>) -> Option<&str> {
    ["USERNAME", "USER", "user", "DN"]
        .iter()
        .find_map(|name| fields.get(*name))
        .and_then(Value::as_str)
}

async fn related(
    store: &Store,
    incident: &Incident,
    flocks: Option<Vec<String>>,
) -> Result<(Vec<Row>, u64)> {
    if incident.src.ip.is_unspecified() {
        return Ok((Vec::new(), 0));
    }
    let source = incident.src.ip.to_string();
    let filter = Filter {
        src_host: Some(source.clone()),
        flocks: flocks.clone(),
        older_than: Some(incident.created),
        with_deleted: true,
        ..Filter::default()
    };
    let before = store
        .incidents()
        .source_counts(filter)
        .await?
        .first()
        .map_or(0, |(_, count)| *count);
    let others: Vec<Incident> = store
        .incidents()
        .history(&source, flocks, MAX_RELATED.saturating_mul(4))
        .await?
        .into_iter()
        .filter(|other| !other.deleted && other.row != incident.row)
        .take(MAX_RELATED)
        .collect();
    Ok((rows(store, &others).await?, before))
}

fn facts(incident: &Incident, before: u64, ports: String) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut fact = |label, text: String, captured| {
        if !text.is_empty() {
            facts.push(Fact {
                label,
                text,
                captured,
                at: None,
            });
        }
    };
    if !incident.src.ip.is_unspecified() {
        fact("Source", incident.src.ip.to_string(), true);
        fact("Reverse name", incident.src_reverse.clone(), true);
        fact("Network", network(incident.src.ip).to_owned(), false);
        let history = match before {
            0 => "never seen before".to_owned(),
            1 => "seen once before".to_owned(),
            n => format!("seen {n} times before"),
        };
        fact("History", history, false);
    }
    match &incident.subject {
        Subject::Bird(id) => {
            fact("Bird", incident.name.clone(), true);
            fact("Bird's id", id.to_string(), true);
        }
        Subject::Token(id) => {
            fact("Placed", incident.memo.clone(), true);
            fact("Token", id.to_string(), true);
        }
        Subject::Console => {}
    }
    if !incident.dst.ip.is_unspecified() {
        fact("Address touched", incident.dst.ip.to_string(), true);
    }
    fact("Ports", ports, true);
    fact("Flock", incident.flock_name.clone(), false);
    fact("Events", incident.events_count.to_string(), false);
    fact("Acknowledged by", incident.acknowledged_by.clone(), false);
    for (label, at) in [("First", incident.created), ("Last", incident.last)] {
        facts.push(Fact {
            label,
            text: String::new(),
            captured: false,
            at: Some(at.millis()),
        });
    }
    facts
}

/// Ports in words; `more`: there may be others than these.
fn ports(ports: impl Iterator<Item = u16>, more: bool) -> String {
    let ports: BTreeSet<u16> = ports.filter(|port| *port != 0).collect();
    let named: Vec<String> = ports
        .iter()
        .take(MAX_PORTS)
        .map(ToString::to_string)
        .collect();
    let named = named.join(", ");
    match ports.len().saturating_sub(MAX_PORTS) {
        0 => named,
        rest if more => format!("{named} and at least {rest} more"),
        rest => format!("{named} and {rest} more"),
    }
}

/// What sort of network an address belongs to.
fn network(address: IpAddr) -> &'static str {
    match address {
        ip if ip.is_loopback() => "this machine itself (loopback)",
        IpAddr::V4(v4) if v4.is_private() => "private (RFC 1918): inside your network",
        IpAddr::V4(v4) if v4.is_link_local() => "link-local: same segment",
        IpAddr::V4(v4) if v4.octets().first() == Some(&100) && (v4.to_bits() >> 22) == 0x191 => {
            "shared (RFC 6598): behind a carrier's NAT"
        }
        IpAddr::V4(v4) if v4.is_documentation() => "reserved for examples (RFC 5737)",
        IpAddr::V6(v6) if v6.is_unique_local() => "private (RFC 4193): inside your network",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => "link-local: same segment",
        _ => "public Internet",
    }
}

#[derive(Default)]
struct Seen {
    tried: Vec<Tried>,
    hashes: Vec<Hash>,
    ports: Vec<(i64, u16)>,
    reach: Vec<(u16, Vec<IpAddr>)>,
    files: Vec<String>,
}

impl Seen {
    fn of(kind: &str, events: &[StoredEvent]) -> Self {
        let mut tried: BTreeMap<(String, Option<String>), u64> = BTreeMap::new();
        let mut hashes = BTreeSet::new();
        let mut files = BTreeSet::new();
        let mut ports = Vec::new();
        let mut reach = Vec::new();
        // Each event of a scan lists the ports of those before it, too.
        let mut told = std::collections::HashSet::new();
        for event in events {
            let fields = fields(event);
            let password = ["PASSWORD", "password"]
                .iter()
                .find_map(|name| fields.get(*name))
                .and_then(Value::as_str)
                .map(cut);
            let user = user_of(&fields).map(cut);
            if user.is_some() || password.is_some() {
                let pair = (user.clone().unwrap_or_default(), password);
                if tried.len() < MAX_DIFFERENT || tried.contains_key(&pair) {
                    let count = tried.entry(pair).or_default();
                    *count = count.saturating_add(1);
                }
            }
            if let Some(hash) = hash(kind, &fields, user.unwrap_or_default())
                && hashes.len() < MAX_DIFFERENT
            {
                hashes.insert(hash);
            }
            if let Some(file) = fields.get("FILENAME").and_then(Value::as_str)
                && files.len() < MAX_DIFFERENT
                && !file.is_empty()
            {
                files.insert(cut(file));
            }
            for port in scanned(kind, &fields) {
                if ports.len() < MAX_DIFFERENT && told.insert(port) {
                    ports.push((event.at.millis(), port));
                }
            }
            if kind == SWEEP.key {
                reach = reached(&fields);
            }
        }
        let mut tried: Vec<Tried> = tried
            .into_iter()
            .map(|((user, password), count)| Tried {
                user,
                password,
                count,
            })
            .collect();
        tried.sort_by_key(|pair| std::cmp::Reverse(pair.count));
        Self {
            tried,
            hashes: hashes.into_iter().collect(),
            ports,
            reach,
            files: files.into_iter().collect(),
        }
    }
}

/// A challenge and its answer in the form that a cracking tool reads.
fn hash(kind: &str, fields: &Map<String, Value>, user: String) -> Option<Hash> {
    let hex = |name: &str| {
        fields
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty() && text.len() <= 512)
            .filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))
            .map(str::to_ascii_lowercase)
    };
    let (line, how) = match kind {
        "mysqllogin" => (
            format!("$mysqlna${}*{}", hex("SALT")?, hex("CLIENT_HASH")?),
            "hashcat -m 11200 reads these lines.",
        ),
        "vnclogin" => (
            format!(
                "$vnc$*{}*{}",
                hex("SERVER_CHALLENGE")?,
                hex("CLIENT_RESPONSE")?
            ),
            "john --format=VNC reads these lines.",
        ),
        _ => return None,
    };
    Some(Hash { user, line, how })
}

/// Ports named by a scan's event.
fn scanned(kind: &str, fields: &Map<String, Value>) -> Vec<u16> {
    match kind {
        "hostportscan" => fields
            .get("ports")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .split(',')
            .filter_map(|port| port.trim().parse().ok())
            .collect(),
        "consolidatednetworkportscan" => {
            fields.keys().filter_map(|port| port.parse().ok()).collect()
        }
        _ => Vec::new(),
    }
}

/// Birds touched on each port, as the event of a sweep says, by port.
fn reached(fields: &Map<String, Value>) -> Vec<(u16, Vec<IpAddr>)> {
    let mut reach: Vec<(u16, Vec<IpAddr>)> = fields
        .iter()
        .filter_map(|(port, birds)| {
            let birds = birds.as_array()?.iter().filter_map(Value::as_str);
            let birds = birds.filter_map(|bird| bird.parse().ok()).collect();
            Some((port.parse().ok()?, birds))
        })
        .take(MAX_DIFFERENT)
        .collect();
    reach.sort_unstable();
    reach
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn mysql_hashes_have_the_form_that_hashcat_reads() {
        let fields = object(&serde_json::json!({"USERNAME": "root",
            "SALT": "1C24AB8D0EE94D70AB1F2E814D8F0948A14D10B9",
            "CLIENT_HASH": "437e93572f18ae44d9e779160c2505271f85821d"}));
        let hash = hash("mysqllogin", &fields, "root".to_owned()).unwrap();
        assert_eq!(
            hash.line,
            "$mysqlna$1c24ab8d0ee94d70ab1f2e814d8f0948a14d10b9*437e93572f18ae44d9e779160c2505271f85821d"
        );
        let fields = object(&serde_json::json!({"SALT": "zz", "CLIENT_HASH": "00"}));
        assert!(super::hash("mysqllogin", &fields, String::new()).is_none());
    }

    #[test]
    fn scans_name_their_ports() {
        let fields = object(&serde_json::json!({"ports": "23, 80,x,443,99999"}));
        assert_eq!(scanned("hostportscan", &fields), [23, 80, 443]);
        let fields = object(&serde_json::json!({"22": ["192.0.2.1"], "no": []}));
        assert_eq!(scanned("consolidatednetworkportscan", &fields), [22]);
        assert!(scanned("sshlogin", &fields).is_empty());
    }

    #[test]
    fn sweeps_name_their_birds_by_port() {
        let fields = object(&serde_json::json!({"443": ["192.0.2.1", "192.0.2.2"],
            "22": ["192.0.2.1", "x", 3], "no": ["192.0.2.1"], "80": 1}));
        let (one, two): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        assert_eq!(reached(&fields), [(22, vec![one]), (443, vec![one, two])]);
    }

    #[test]
    fn a_port_is_drawn_when_it_was_first_told() {
        let event = |secs: i64, ports: &str| StoredEvent {
            id: coalmine_core::SightingId::nil(),
            at: coalmine_core::Timestamp::from_secs(secs),
            logtype: 5003,
            src_port: 0,
            dst_port: 0,
            fields: RawValue::from_string(format!(r#"{{"ports":"{ports}"}}"#)).unwrap(),
        };
        let seen = Seen::of("hostportscan", &[event(1, "22,80"), event(3, "22,80,443")]);
        assert_eq!(seen.ports, [(1_000, 22), (1_000, 80), (3_000, 443)]);
        assert!(seen.reach.is_empty());
    }

    #[test]
    fn ports_that_are_not_named_are_counted() {
        assert_eq!(ports([80, 0, 22, 80].into_iter(), true), "22, 80");
        assert_eq!(ports([0].into_iter(), false), "");
        let twenty = ports(1..=20, true);
        assert!(twenty.ends_with(", 19, 20"), "{twenty}");
        assert_eq!(ports(1..=21, false), format!("{twenty} and 1 more"));
        assert_eq!(
            ports(1..=1_000, true),
            format!("{twenty} and at least 980 more")
        );
    }

    #[test]
    fn networks_are_told_apart() {
        assert!(network("10.1.2.3".parse().unwrap()).starts_with("private"));
        assert!(network("100.64.0.1".parse().unwrap()).starts_with("shared"));
        assert_eq!(network("100.128.0.1".parse().unwrap()), "public Internet");
        assert_eq!(network("8.8.8.8".parse().unwrap()), "public Internet");
        assert!(network("fe80::1".parse().unwrap()).starts_with("link-local"));
    }
}
