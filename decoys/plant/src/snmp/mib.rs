//! What the agent tells: a small tree of objects that fits the claimed product, sorted by name.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coalmine_core::{Bird, Seed, Timestamp};

use super::ber::{self, ADDRESS, COUNTER, COUNTER64, GAUGE, INTEGER, OCTETS, OPAQUE, Oid, TICKS};
use super::products::Product;

/// Objects of the `snmp` group (1.3.6.1.2.1.11), by their number.
pub(super) const SNMP_GROUP: usize = 33;
/// The agent starts so long after the machine, in milliseconds.
const AGENT_START: (u64, u64) = (6_000, 19_000);

/// What the agent counts of itself, by number in the `snmp` group.
pub(super) type Counts = [AtomicU32; SNMP_GROUP];

/// An object's value now.
pub(super) enum Value {
    Integer(i64),
    Text(Vec<u8>),
    Object(Oid),
    Address(Ipv4Addr),
    Counter(u64),
    Gauge(u64),
    Ticks(u64),
    Counter64(u64),
    Float(f32),
}

impl Value {
    /// Writes tag, length and contents.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Integer(number) => ber::put_integer(out, INTEGER, *number),
            Self::Text(text) => ber::put(out, OCTETS, text),
            Self::Object(oid) => ber::put_oid(out, oid),
            Self::Address(address) => ber::put(out, ADDRESS, &address.octets()),
            Self::Counter(count) => ber::put_unsigned(out, COUNTER, count & 0xffff_ffff),
            Self::Gauge(level) => ber::put_unsigned(out, GAUGE, *level),
            Self::Ticks(ticks) => ber::put_unsigned(out, TICKS, ticks & 0xffff_ffff),
            Self::Counter64(count) => ber::put_unsigned(out, COUNTER64, *count),
            Self::Float(number) => {
                let mut wrapped = vec![0x9f, 0x78, 4];
                wrapped.extend(number.to_be_bytes());
                ber::put(out, OPAQUE, &wrapped);
            }
        }
    }
}

/// Where a value comes from.
pub(super) enum Source {
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
    Object(Oid),
    Address(Ipv4Addr),
    Gauge(u64),
    Ticks(u64),
    Counter64(u64),
    /// A counter that rises by this much a second, never evenly.
    Rising(u64),
    /// The agent's age.
    AgentUptime,
    /// The machine's age.
    Uptime,
    /// The time of day, as `DateAndTime` (RFC 2579).
    Date,
    /// A number that wanders between these two.
    Wandering(u64, u64, Wandering),
    /// What the agent counted under this number of the `snmp` group.
    Counted(usize),
}

/// What a wandering number is.
#[derive(Clone, Copy)]
pub(super) enum Wandering {
    Integer,
    Gauge,
    Counter64,
    /// Hundredths, as text with two decimals, as a number and as a float.
    LoadText,
    LoadInteger,
    LoadFloat,
}

/// One object.
struct Entry {
    oid: Oid,
    /// How much of the name is the object's, without the instance.
    object: usize,
    source: Source,
}

/// The tree.
pub(super) struct Mib {
    entries: Vec<Entry>,
    seed: Seed,
    booted: Timestamp,
    agent_started: Timestamp,
    counts: Arc<Counts>,
}

/// Why there's no value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Object,
    Instance,
}

impl Mib {
    /// The tree that `product` shows at its address `local`.
    pub(super) fn new(product: &Product, bird: &Bird, local: IpAddr, counts: Arc<Counts>) -> Self {
        let seed = bird.seed.derive("snmp");
        let delay = Duration::from_millis(seed.number("start", AGENT_START.0, AGENT_START.1));
        let mut mib = Self {
            entries: Vec::new(),
            booted: bird.booted,
            agent_started: bird.booted.plus(delay),
            seed,
            counts,
        };
        product.fill(&mut mib, local);
        mib.entries.sort_by(|a, b| a.oid.cmp(&b.oid));
        mib
    }

    /// Adds `instance` of `object` (under `1.3.6.1`).
    pub(super) fn add(&mut self, object: &[u32], instance: &[u32], source: Source) {
        let mut oid = vec![43, 6, 1];
        oid.extend(object);
        let object = oid.len();
        oid.extend(instance);
        self.entries.push(Entry {
            oid,
            object,
            source,
        });
    }

    /// The value of exactly this object.
    pub(super) fn get(&self, oid: &[u32], now: Timestamp) -> Result<Value, Missing> {
        match self.entries.binary_search_by(|e| e.oid.as_slice().cmp(oid)) {
            Ok(at) => self
                .entries
                .get(at)
                .map(|entry| self.value(entry, now))
                .ok_or(Missing::Object),
            Err(at) => {
                // All instances of an object stand together.
                let near = [at.checked_sub(1), Some(at)];
                let is_instance = near
                    .iter()
                    .filter_map(|at| self.entries.get((*at)?))
                    .filter_map(|entry| entry.oid.get(..entry.object))
                    .any(|object| oid.starts_with(object));
                Err(if is_instance {
                    Missing::Instance
                } else {
                    Missing::Object
                })
            }
        }
    }

    /// The first object behind this name; without 64-bit counters where the version has none.
    pub(super) fn next(&self, oid: &[u32], wide: bool, now: Timestamp) -> Option<(&Oid, Value)> {
        let at = self.entries.partition_point(|e| e.oid.as_slice() <= oid);
        self.entries
            .get(at..)?
            .iter()
            .map(|entry| (&entry.oid, self.value(entry, now)))
            .find(|(_, value)| wide || !matches!(value, Value::Counter64(_)))
    }

    /// How long the agent has run.
    pub(super) fn uptime(&self, now: Timestamp) -> Duration {
        now.since(self.agent_started)
    }

    fn value(&self, entry: &Entry, now: Timestamp) -> Value {
        match &entry.source {
            Source::Integer(number) => Value::Integer(*number),
            Source::Text(text) => Value::Text(text.clone().into_bytes()),
            Source::Bytes(bytes) => Value::Text(bytes.clone()),
            Source::Object(oid) => Value::Object(oid.clone()),
            Source::Address(address) => Value::Address(*address),
            Source::Gauge(level) => Value::Gauge(*level),
            Source::Ticks(ticks) => Value::Ticks(*ticks),
            Source::Counter64(count) => Value::Counter64(*count),
            Source::Rising(rate) => Value::Counter(risen(*rate, now.since(self.booted))),
            Source::AgentUptime => Value::Ticks(ticks(self.uptime(now))),
            Source::Uptime => Value::Ticks(ticks(now.since(self.booted))),
            Source::Date => Value::Text(date_and_time(now)),
            Source::Wandering(low, high, what) => {
                // All loads and all memory readings of a moment belong together.
                let label = match what {
                    Wandering::LoadText | Wandering::LoadInteger | Wandering::LoadFloat => {
                        format!("load {}", entry.oid.last().unwrap_or(&0))
                    }
                    Wandering::Integer | Wandering::Counter64 | Wandering::Gauge => {
                        format!("level {low} {high}")
                    }
                };
                wandering(self.level(&label, *low, *high, now), *what)
            }
            Source::Counted(number) => {
                let counted = self.counts.get(*number);
                Value::Counter(counted.map_or(0, |c| c.load(Ordering::Relaxed).into()))
            }
        }
    }

    /// A number that goes from one random level to the next within each quarter of a minute.
    fn level(&self, label: &str, low: u64, high: u64, now: Timestamp) -> u64 {
        const STEP: u64 = 15_000;
        let millis = u64::try_from(now.millis()).unwrap_or(0);
        let (step, within) = (millis / STEP, millis % STEP);
        let at = |step: u64| self.seed.number(&format!("{label} {step}"), low, high);
        let (from, to) = (at(step), at(step.saturating_add(1)));
        let share = |level: u64, part: u64| level.saturating_mul(part) / STEP;
        share(from, STEP.saturating_sub(within)).saturating_add(share(to, within))
    }
}

/// What a counter of `rate` a second has come to: it never falls, and rises by between half and
/// one and a half of its rate.
fn risen(rate: u64, age: Duration) -> u64 {
    const PERIOD: u64 = 94_000;
    let millis = u64::try_from(age.as_millis()).unwrap_or(0);
    let phase = millis % PERIOD;
    let wave = phase.min(PERIOD.saturating_sub(phase)) / 2;
    rate.saturating_mul(millis.saturating_add(wave)) / 1_000
}

fn wandering(level: u64, what: Wandering) -> Value {
    let signed = i64::try_from(level).unwrap_or(i64::MAX);
    match what {
        Wandering::Integer | Wandering::LoadInteger => Value::Integer(signed),
        Wandering::Gauge => Value::Gauge(level),
        Wandering::Counter64 => Value::Counter64(level),
        Wandering::LoadText => {
            Value::Text(format!("{}.{:02}", level / 100, level % 100).into_bytes())
        }
        Wandering::LoadFloat => Value::Float(f32::from(u16::try_from(level).unwrap_or(0)) / 100.0),
    }
}

/// Hundredths of a second.
fn ticks(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(0) / 10
}

fn date_and_time(now: Timestamp) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(11);
    let mut numbers = now
        .format("%Y %m %d %H %M %S")
        .split(' ')
        .map(|part| part.parse::<u16>().unwrap_or(0))
        .collect::<Vec<_>>()
        .into_iter();
    bytes.extend(numbers.next().unwrap_or(0).to_be_bytes());
    bytes.extend(numbers.map(|number| u8::try_from(number).unwrap_or(0)));
    bytes.extend(*b"\0+\0\0");
    bytes
}
