//! Touched ports, and the incidents of those who touch several birds.
//!
//! What a sweep is, the engine decides as a pure function of all that is remembered of a source;
//! here its answer is written down, in the transaction that takes the sightings in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use coalmine_core::{Endpoint, EventKind, NodeId, Sighting, SightingId, Subject, Timestamp};
use md5::{Digest as _, Md5};
use serde_json::value::RawValue;

use super::record::{Batch, count};
use super::{BundleKey, Decide, NewIncident};
use crate::driver::{Driver, Row, engine, json, values};
use crate::{Result, StoreError};

/// Touches remembered in all; of more the oldest are forgotten.
const MAX_TOUCHES: u64 = 1_000_000;
/// Sightings remembered so that copies change nothing; of more the oldest are forgotten.
const MAX_SIGHTINGS: u64 = 1_000_000;
/// So many new rows, or this much time, between two clearings.
const CLEAR_AFTER: (usize, std::time::Duration) = (50_000, std::time::Duration::from_secs(60));
/// Ports in one event, the lowest.
const MAX_PORTS: usize = 1_000;
/// Birds of one port in one event.
const MAX_BIRDS: usize = 256;

/// One source's contacts with one port of one bird, each within the window of the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Row number; `None` for what isn't stored yet.
    pub row: Option<i64>,
    /// The port.
    pub port: u16,
    /// The bird.
    pub bird: NodeId,
    /// Address under which it was touched first.
    pub address: IpAddr,
    /// First contact.
    pub first: Timestamp,
    /// Last contact.
    pub last: Timestamp,
    /// Incidents to which it belongs, by row: none, one, or several that have turned out to be one.
    pub incidents: BTreeSet<i64>,
    /// Whether its incident is acknowledged or deleted, and so takes no more.
    pub closed: bool,
}

/// One source touched the same port of several birds: what has to be one incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Its incidents so far: none, one, or several that have turned out to be one.
    pub incidents: BTreeSet<i64>,
    /// Its parts, as positions in [`Swept::touches`].
    pub touches: Vec<usize>,
    /// Addresses of the birds by port.
    pub ports: BTreeMap<u16, BTreeSet<IpAddr>>,
    /// First contact.
    pub first: Timestamp,
    /// When the second bird was touched, and so the sweep could be seen.
    pub created: Timestamp,
    /// Last contact.
    pub last: Timestamp,
    /// The bird that was hit first, and where.
    pub hit: (NodeId, Endpoint),
}

/// All that is known of a source afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// What is to be remembered; what is missing is forgotten.
    pub touches: Vec<Touch>,
    /// What has to be an incident.
    pub sweeps: Vec<Sweep>,
}

/// Circumstances of touched ports.
#[derive(Clone, Copy, Debug)]
pub struct Horizon {
    /// The event kind of sweeps.
    pub kind: &'static EventKind,
    /// When the sightings came.
    pub now: Timestamp,
    /// What was last touched before is forgotten.
    pub forget_before: Timestamp,
}

/// When old rows were last cleared away.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    at: Timestamp,
    added: usize,
}

impl Batch<'_> {
    /// Takes sightings of touched ports in.
    pub(super) fn sweep(
        &mut self,
        contacts: &[&Sighting],
        decide: &dyn Decide,
        upkeep: &mut Upkeep,
    ) -> Result<()> {
        let Some(horizon) = decide.horizon() else {
            return Ok(());
        };
        let mut order = Vec::new();
        let mut by_source: HashMap<IpAddr, Vec<&Sighting>> = HashMap::new();
        for contact in contacts {
            let id = contact.id.to_bytes();
            let new = self.db.execute(
                "INSERT INTO contact_sightings (sighting, received) VALUES (?, ?) \
                 ON CONFLICT (sighting) DO NOTHING",
                &values![id.as_slice(), horizon.now],
            )?;
            if new == 0 {
                self.recorded.repeated = self.recorded.repeated.saturating_add(1);
                continue;
            }
            upkeep.added = upkeep.added.saturating_add(1);
            let source = by_source.entry(contact.src.ip).or_default();
            if source.is_empty() {
                order.push(contact.src.ip);
            }
            source.push(contact);
        }
        for source in order {
            let contacts = by_source.remove(&source).unwrap_or_default();
            let known = touches(self.db, source)?;
            let mut swept = decide.sweeps(known.clone(), &contacts);
            for sweep in &swept.sweeps {
                let row = self.apply(source, sweep, &horizon)?;
                for position in &sweep.touches {
                    if let Some(touch) = swept.touches.get_mut(*position) {
                        touch.incidents = BTreeSet::from([row]);
                    }
                }
            }
            upkeep.added =
                upkeep
                    .added
                    .saturating_add(remember(self.db, source, &known, &swept.touches)?);
        }
        upkeep.clear(self.db, &horizon)
    }

    /// Makes a sweep one incident with one event; its row.
    fn apply(&mut self, source: IpAddr, sweep: &Sweep, horizon: &Horizon) -> Result<i64> {
        let mut rows = sweep.incidents.iter().copied();
        let Some(row) = rows.next() else {
            return self.open_sweep(source, sweep, horizon);
        };
        let mut all = vec![ports_of(self.db, row)?];
        for merged in rows {
            all.push(ports_of(self.db, merged)?);
            self.merge(merged, horizon.now)?;
        }
        let stands = all.first().cloned().unwrap_or_default();
        all.push(sweep.ports.clone());
        let ports = united(all);
        let incident = standing(self.db, row)?;
        let (bird, dst) = sweep.hit;
        // Of birds hit at the same instant the one counts that the sweep names.
        let elsewhere = (bird.to_string(), dst.ip.to_string(), dst.port) != incident.hit;
        let tie = sweep.first < incident.first || (sweep.first == incident.first && elsewhere);
        let grown = tie || sweep.created < incident.created || sweep.last > incident.last;
        if ports == stands && !grown {
            return Ok(row);
        }
        let updated_id = count(self.db, "incident", 1)?;
        let created = sweep.created.min(incident.created);
        let last = sweep.last.max(incident.last);
        self.db.execute(
            "UPDATE incidents SET created = ?, first_event = ?, last_event = ?, \
             updated = CASE WHEN updated > ? THEN updated ELSE ? END, updated_id = ? WHERE id = ?",
            &values![
                created,
                sweep.first.min(incident.first),
                last,
                last,
                last,
                updated_id,
                row
            ],
        )?;
        if tie {
            self.tie(row, sweep)?;
        }
        self.db.execute(
            "UPDATE events SET fields = ?, happened = ? WHERE incident = ?",
            &values![fields(&ports)?.get(), created, row],
        )?;
        self.recorded.updated_id = updated_id;
        Ok(row)
    }

    fn open_sweep(&mut self, source: IpAddr, sweep: &Sweep, horizon: &Horizon) -> Result<i64> {
        let (bird, dst) = sweep.hit;
        let mut sighting = Sighting {
            id: SightingId::nil(),
            at: sweep.created,
            subject: Subject::Bird(bird),
            kind: horizon.kind.key.into(),
            logtype: horizon.kind.logtype(),
            // One of many ports, which tells nothing.
            src: Endpoint {
                ip: source,
                port: 0,
            },
            dst,
            fields: fields(&united(vec![sweep.ports.clone()]))?,
        };
        let key = BundleKey {
            kind: horizon.kind.key.to_owned(),
            subject: sighting.subject.clone(),
            source,
        };
        let new = NewIncident {
            title: horizon.kind.title.to_owned(),
        };
        let row = self.open(&key, &new, &sighting)?.row;
        // No sensor made this event, and it must have an id that no other has.
        if let Some((key, _)) = self.recorded.opened.last() {
            sighting.id = SightingId::from_bytes(Md5::digest(key.as_bytes()).into());
        }
        self.insert_event(row, &sighting)?;
        self.db.execute(
            "UPDATE incidents SET first_event = ?, last_event = ?, updated = ? WHERE id = ?",
            &values![sweep.first, sweep.last, sweep.last, row],
        )?;
        Ok(row)
    }

    /// Ties an incident to the bird that was hit first.
    fn tie(&mut self, row: i64, sweep: &Sweep) -> Result<()> {
        let (bird, dst) = sweep.hit;
        let (node_id, about) = self.about(&Subject::Bird(bird))?;
        self.db.execute(
            "UPDATE incidents SET node_id = ?, flock_id = ?, name = ?, dst_host = ?, dst_port = ? \
             WHERE id = ?",
            &values![
                node_id,
                about.flock_id,
                about.name,
                dst.ip.to_string(),
                dst.port,
                row
            ],
        )?;
        Ok(())
    }

    /// Takes an incident away whose event is part of another's from now on.
    fn merge(&mut self, row: i64, now: Timestamp) -> Result<()> {
        let updated_id = count(self.db, "incident", 1)?;
        self.db.execute(
            "UPDATE incidents SET deleted = 1, updated = ?, updated_id = ? WHERE id = ?",
            &values![now, updated_id, row],
        )?;
        self.db.execute(
            "UPDATE events SET fields = NULL WHERE incident = ?",
            &values![row],
        )?;
        Ok(())
    }
}

impl Upkeep {
    /// Forgets what is too old or too much, from time to time.
    fn clear(&mut self, db: &mut dyn Driver, horizon: &Horizon) -> Result<()> {
        let (rows, pause) = CLEAR_AFTER;
        let early = horizon.now >= self.at && horizon.now.since(self.at) < pause;
        if early && self.added < rows {
            return Ok(());
        }
        *self = Self {
            at: horizon.now,
            added: 0,
        };
        for (table, key, time, most) in [
            ("contacts", "id", "last_contact", MAX_TOUCHES),
            ("contact_sightings", "sighting", "received", MAX_SIGHTINGS),
        ] {
            let sql = format!("DELETE FROM {table} WHERE {time} < ?");
            db.execute(&sql, &values![horizon.forget_before])?;
            let there = db
                .query(&format!("SELECT COUNT(*) FROM {table}"), &[])?
                .pop()
                .map_or(Ok(0), |mut row| row.count())?;
            if there > most {
                let sql = format!(
                    "DELETE FROM {table} WHERE {key} IN \
                     (SELECT {key} FROM {table} ORDER BY {time} LIMIT ?)"
                );
                db.execute(&sql, &values![there.saturating_sub(most)])?;
            }
        }
        Ok(())
    }
}

/// All that is remembered of a source.
fn touches(db: &mut dyn Driver, source: IpAddr) -> Result<Vec<Touch>> {
    db.query(
        "SELECT c.id, c.port, c.node_id, c.address, c.first_contact, c.last_contact, c.incident, \
         COALESCE(i.acknowledged, 0), COALESCE(i.deleted, 0) \
         FROM contacts c LEFT JOIN incidents i ON i.id = c.incident WHERE c.src = ? ORDER BY c.id",
        &values![source.to_string()],
    )?
    .into_iter()
    .map(touch)
    .collect()
}

fn touch(mut row: Row) -> Result<Touch> {
    Ok(Touch {
        row: Some(row.int()?),
        port: row.port()?,
        bird: row.parsed(|text| text.parse().ok())?,
        address: row.parsed(|text| text.parse().ok())?,
        first: row.time()?,
        last: row.time()?,
        incidents: row.opt_int()?.into_iter().collect(),
        closed: row.flag()? | row.flag()?,
    })
}

/// Writes what has changed; how many rows are new.
fn remember(
    db: &mut dyn Driver,
    source: IpAddr,
    known: &[Touch],
    touches: &[Touch],
) -> Result<usize> {
    let mut old: HashMap<i64, &Touch> = known
        .iter()
        .filter_map(|touch| Some((touch.row?, touch)))
        .collect();
    let mut added: usize = 0;
    for touch in touches {
        let incident = touch.incidents.first().copied();
        match touch.row {
            Some(row) => {
                if old.remove(&row) == Some(touch) {
                    continue;
                }
                db.execute(
                    "UPDATE contacts SET address = ?, first_contact = ?, last_contact = ?, \
                     incident = ? WHERE id = ?",
                    &values![
                        touch.address.to_string(),
                        touch.first,
                        touch.last,
                        incident,
                        row
                    ],
                )?;
            }
            None => {
                db.execute(
                    "INSERT INTO contacts (src, port, node_id, address, first_contact, \
                     last_contact, incident) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    &values![
                        source.to_string(),
                        touch.port,
                        touch.bird.to_string(),
                        touch.address.to_string(),
                        touch.first,
                        touch.last,
                        incident
                    ],
                )?;
                added = added.saturating_add(1);
            }
        }
    }
    for row in old.into_keys() {
        db.execute("DELETE FROM contacts WHERE id = ?", &values![row])?;
    }
    Ok(added)
}

/// What is known of an incident.
struct Standing {
    created: Timestamp,
    first: Timestamp,
    last: Timestamp,
    /// Bird, address, port.
    hit: (String, String, u16),
}

fn standing(db: &mut dyn Driver, row: i64) -> Result<Standing> {
    db.query(
        "SELECT created, first_event, last_event, node_id, dst_host, dst_port FROM incidents \
         WHERE id = ?",
        &values![row],
    )?
    .pop()
    .map_or_else(
        || Err(missing()),
        |mut row| {
            Ok(Standing {
                created: row.time()?,
                first: row.time()?,
                last: row.time()?,
                hit: (row.text()?, row.text()?, row.port()?),
            })
        },
    )
}

fn missing() -> StoreError {
    engine("grow a sweep", "its incident is missing")
}

type Ports = BTreeMap<u16, BTreeSet<IpAddr>>;

/// The ports and birds that an incident's event shows.
fn ports_of(db: &mut dyn Driver, row: i64) -> Result<Ports> {
    let text = db
        .query(
            "SELECT fields FROM events WHERE incident = ? ORDER BY id LIMIT 1",
            &values![row],
        )?
        .pop()
        .map_or(Ok(None), |mut row| row.opt_text())?;
    Ok(text
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default())
}

/// All of them, as far as there's room.
fn united(all: Vec<Ports>) -> Ports {
    let mut ports = Ports::new();
    for (port, birds) in all.into_iter().flatten() {
        ports.entry(port).or_default().extend(birds);
    }
    ports
        .into_iter()
        .take(MAX_PORTS)
        .map(|(port, birds)| (port, birds.into_iter().take(MAX_BIRDS).collect()))
        .collect()
}

fn fields(ports: &Ports) -> Result<Box<RawValue>> {
    RawValue::from_string(json(ports)?).map_err(|error| engine("write JSON", error))
}
