//! Who touches the same port of several birds.
//!
//! *Invariant:* what comes out depends on the set of contacts alone, not on the order in which
//! they came, nor on how often. So that little needs remembering, contacts with one port of one
//! bird that are within the window of each other are one touch: two touches are within the window
//! of each other exactly if two of their contacts are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use coalmine_core::event::{Field, Logtype, Shape};
use coalmine_core::{Endpoint, EventKind, NodeId, Timestamp};
use coalmine_store::incidents::{Sweep, Swept, Touch};

/// Touches remembered of one source.
const MAX_TOUCHES: usize = 32_768;
/// Touches remembered of one source at one bird.
const MAX_OF_BIRD: usize = 1_024;

/// How late a contact may come to be counted.
pub const LATENESS: Duration = Duration::from_hours(24);
/// How far a sensor's clock may be ahead.
pub const AHEAD: Duration = Duration::from_secs(300);
/// Within so long a second bird must be touched, unless the settings say otherwise.
pub const WINDOW: Duration = Duration::from_secs(3_600);

/// One source touched the same port of several birds.
///
/// Written by hand: the names of its fields are numbers.
pub static SWEEP: EventKind = EventKind {
    key: "consolidatednetworkportscan",
    title: "Consolidated Network Port Scan",
    doc: "One source touched the same port of several birds.\n",
    logtypes: &[Logtype {
        code: 5007,
        means: "one source, several birds",
    }],
    fields: &[Field {
        name: "<port>",
        shape: Shape::Strings,
        optional: false,
        doc: "One key for each port: addresses of the birds touched there.\n",
        sample: || serde_json::json!(["192.0.2.10", "192.0.2.11"]),
    }],
    timestamps: false,
};

/// Event kinds of sweeps, for the catalogue.
pub static KINDS: &[&EventKind] = &[&SWEEP];

/// A source touched a port of a bird.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The port.
    pub port: u16,
    /// The bird.
    pub bird: NodeId,
    /// The bird's address.
    pub address: IpAddr,
    /// When.
    pub at: Timestamp,
}

/// What contacts of one source add to what is known of it.
pub fn consolidate(
    known: Vec<Touch>,
    contacts: impl IntoIterator<Item = Contact>,
    window: Duration,
) -> Swept {
    let mut touches = Touches::new(known);
    for contact in contacts {
        touches.add(contact, window);
    }
    let mut touches = touches.into_list();
    touches.sort_by_key(|touch| (touch.first, touch.port, touch.bird, touch.row));
    let seen = pairs(&touches, window);
    let mut sweeps = Vec::new();
    let mut going: Option<Sweep> = None;
    for (position, touch) in touches.iter().enumerate() {
        let created = seen.get(position).copied().flatten();
        // What is part of an incident stays so, though the other bird may be forgotten.
        let is_part = !touch.closed && (created.is_some() || !touch.incidents.is_empty());
        if !is_part {
            continue;
        }
        if let Some(done) = going.take_if(|sweep| touch.first.since(sweep.last) > window) {
            sweeps.push(done);
        }
        let created = created.unwrap_or(touch.first);
        let sweep = going.get_or_insert_with(|| Sweep {
            incidents: BTreeSet::new(),
            touches: Vec::new(),
            ports: BTreeMap::new(),
            first: touch.first,
            created,
            last: touch.last,
            hit: (
                touch.bird,
                Endpoint {
                    ip: touch.address,
                    port: touch.port,
                },
            ),
        });
        sweep.incidents.extend(&touch.incidents);
        sweep.touches.push(position);
        sweep.created = sweep.created.min(created);
        sweep.last = sweep.last.max(touch.last);
    }
    sweeps.extend(going);
    for sweep in &mut sweeps {
        sweep.ports = ports(&touches, &sweep.touches, window);
    }
    Swept { touches, sweeps }
}

/// All touches of a source, by bird and port.
struct Touches {
    by_place: HashMap<(NodeId, u16), Vec<Touch>>,
    of_bird: HashMap<NodeId, usize>,
    count: usize,
}

impl Touches {
    fn new(known: Vec<Touch>) -> Self {
        let mut touches = Self {
            by_place: HashMap::new(),
            of_bird: HashMap::new(),
            count: 0,
        };
        for touch in known {
            touches.put(touch);
        }
        touches
    }

    fn put(&mut self, touch: Touch) {
        let of_bird = self.of_bird.entry(touch.bird).or_default();
        *of_bird = of_bird.saturating_add(1);
        self.count = self.count.saturating_add(1);
        let place = self.by_place.entry((touch.bird, touch.port)).or_default();
        place.push(touch);
    }

    fn add(&mut self, contact: Contact, window: Duration) {
        let place = self.by_place.entry((contact.bird, contact.port));
        let place = place.or_default();
        let inside = |touch: &Touch| touch.first <= contact.at && contact.at <= touch.last;
        if place.iter().any(|touch| touch.closed && inside(touch)) {
            return;
        }
        let mut all = Touch {
            row: None,
            port: contact.port,
            bird: contact.bird,
            address: contact.address,
            first: contact.at,
            last: contact.at,
            incidents: BTreeSet::new(),
            closed: false,
        };
        let before = place.len();
        place.retain(|touch| {
            let near = contact.at.since(touch.last) <= window
                && touch.first.since(contact.at) <= window
                && !touch.closed;
            if near {
                all.unite(touch);
            }
            !near
        });
        let removed = before.saturating_sub(place.len());
        self.count = self.count.saturating_sub(removed);
        let of_bird = self.of_bird.entry(contact.bird).or_default();
        *of_bird = of_bird.saturating_sub(removed);
        let is_room = *of_bird < MAX_OF_BIRD && self.count < MAX_TOUCHES;
        if is_room || removed > 0 {
            self.put(all);
        }
    }

    fn into_list(self) -> Vec<Touch> {
        self.by_place.into_values().flatten().collect()
    }
}

/// Grows by another touch with the same port of the same bird.
trait Unite {
    fn unite(&mut self, other: &Touch);
}

impl Unite for Touch {
    fn unite(&mut self, other: &Touch) {
        self.address = match self.first.cmp(&other.first) {
            std::cmp::Ordering::Less => self.address,
            std::cmp::Ordering::Equal => self.address.min(other.address),
            std::cmp::Ordering::Greater => other.address,
        };
        self.row = match (self.row, other.row) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.incidents.extend(&other.incidents);
    }
}

/// For each touch: when it could first be seen that another bird was touched on the same port
/// within the window. `touches` are sorted by their first contact.
fn pairs(touches: &[Touch], window: Duration) -> Vec<Option<Timestamp>> {
    let mut seen: Vec<Option<Timestamp>> = vec![None; touches.len()];
    // Of each port the two birds whose touches reach furthest.
    let mut reach: HashMap<u16, [Option<(NodeId, Timestamp)>; 2]> = HashMap::new();
    for (touch, seen) in touches.iter().zip(&mut seen) {
        let reach = reach.entry(touch.port).or_default();
        let other = other_than(touch.bird, reach);
        if other.is_some_and(|last| touch.first.since(last) <= window) {
            *seen = Some(touch.first);
        }
        keep(reach, touch.bird, touch.last, |new, old| new > old);
    }
    // And those whose touches begin next.
    let mut next: HashMap<u16, [Option<(NodeId, Timestamp)>; 2]> = HashMap::new();
    for (touch, seen) in touches.iter().zip(&mut seen).rev() {
        let next = next.entry(touch.port).or_default();
        if seen.is_none() {
            let other = other_than(touch.bird, next);
            *seen = other.filter(|first| first.since(touch.last) <= window);
        }
        keep(next, touch.bird, touch.first, |_, _| true);
    }
    seen
}

fn other_than(bird: NodeId, two: &[Option<(NodeId, Timestamp)>; 2]) -> Option<Timestamp> {
    let mut others = two.iter().flatten().filter(|(other, _)| *other != bird);
    others.next().map(|(_, at)| *at)
}

/// Keeps the better one of each of the two best birds, the best first.
fn keep(
    two: &mut [Option<(NodeId, Timestamp)>; 2],
    bird: NodeId,
    at: Timestamp,
    better: fn(Timestamp, Timestamp) -> bool,
) {
    let [best, second] = two;
    match *best {
        Some((known, old)) if known == bird => {
            if better(at, old) {
                *best = Some((bird, at));
            }
        }
        Some((_, old)) if !better(at, old) => match *second {
            Some((_, old)) if !better(at, old) => {}
            _ => *second = Some((bird, at)),
        },
        _ => {
            *second = *best;
            *best = Some((bird, at));
        }
    }
}

/// Ports that several birds share, with the birds' addresses. What has become part of an incident
/// that takes no more counts where it's within the window.
fn ports(touches: &[Touch], sweep: &[usize], window: Duration) -> BTreeMap<u16, BTreeSet<IpAddr>> {
    let mut open: HashMap<u16, Vec<&Touch>> = HashMap::new();
    for touch in sweep.iter().filter_map(|position| touches.get(*position)) {
        open.entry(touch.port).or_default().push(touch);
    }
    let mut shared: HashMap<u16, Vec<&Touch>> = open.clone();
    for touch in touches.iter().filter(|touch| touch.closed) {
        let near = open.get(&touch.port).is_some_and(|open| {
            open.iter().any(|other| {
                touch.first.since(other.last) <= window && other.first.since(touch.last) <= window
            })
        });
        if near {
            shared.entry(touch.port).or_default().push(touch);
        }
    }
    shared
        .into_iter()
        .filter(|(_, touches)| {
            let birds: BTreeSet<NodeId> = touches.iter().map(|touch| touch.bird).collect();
            birds.len() > 1
        })
        .map(|(port, touches)| (port, touches.iter().map(|touch| touch.address).collect()))
        .collect()
}

#[cfg(test)]
mod tests;
