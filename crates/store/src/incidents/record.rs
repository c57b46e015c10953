//! Changes of incidents.
//!
//! A batch costs one statement or two for each event and one for each incident, however many
//! events join it.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use coalmine_core::sighting::{PORT_CONTACT, SightingId};
use coalmine_core::{Sighting, Subject, Timestamp};
use lru::LruCache;
use md5::{Digest, Md5};
use serde_json::value::RawValue;

use super::{
    Action, BundleKey, Decide, Decision, NewIncident, OpenIncident, Recorded, Which, read,
};
use crate::driver::{Driver, engine, values};
use crate::engine::Writer;
use crate::flocks::DEFAULT;
use crate::{Result, incidents::Filter};

/// Newest incidents kept in memory.
const MAX_KEPT: NonZeroUsize = NonZeroUsize::new(32_768).expect("not zero");

/// Older incidents looked at for a sighting that comes late.
const MAX_OLDER: usize = 4;

/// How far a key's epoch is counted up at most before giving up.
const MAX_KEY_STEPS: i64 = 100_000;

/// The newest incident of bundle keys that were busy lately.
pub(crate) struct Memory(LruCache<BundleKey, Working>);

impl Default for Memory {
    fn default() -> Self {
        Self(LruCache::sparse(MAX_KEPT))
    }
}

impl Memory {
    /// Something was undone or changed otherwise: the tables alone are right.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

/// An incident with what the batch adds to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Working {
    pub(super) row: i64,
    open: OpenIncident,
    added: u64,
    /// Whether one of these came before all it had.
    earlier: bool,
    /// Opened by this batch: it has the number of its update already.
    fresh: bool,
}

/// A counter's new value after `by` more.
pub(crate) fn count(db: &mut dyn Driver, name: &str, by: usize) -> Result<i64> {
    db.query(
        "UPDATE counters SET value = value + ? WHERE name = ? RETURNING value",
        &values![by, name],
    )?
    .pop()
    .map_or_else(
        || Err(engine("count", "the counter is missing")),
        |mut row| row.int(),
    )
}

pub(crate) fn record(
    writer: &mut Writer,
    sightings: &[Sighting],
    decide: &dyn Decide,
) -> Result<Recorded> {
    let mut batch = Batch {
        db: &mut *writer.db,
        memory: &mut writer.memory,
        newest: HashMap::new(),
        changed: Vec::new(),
        recorded: Recorded::default(),
    };
    let (contacts, others): (Vec<_>, Vec<_>) = sightings
        .iter()
        .partition(|sighting| sighting.kind == PORT_CONTACT);
    for sighting in others {
        batch.take(sighting, decide)?;
    }
    if !contacts.is_empty() {
        batch.flush()?;
        batch.sweep(&contacts, decide, &mut writer.upkeep)?;
    }
    batch.finish()
}

pub(super) fn amend(
    db: &mut dyn Driver,
    event: SightingId,
    fields: &RawValue,
    now: Timestamp,
) -> Result<Option<i64>> {
    let event = event.to_bytes();
    let incident = db
        .query(
            "SELECT i.id FROM events e JOIN incidents i ON i.id = e.incident \
             WHERE e.sighting = ? AND i.acknowledged = 0 AND i.deleted = 0",
            &values![event.as_slice()],
        )?
        .pop();
    let Some(mut incident) = incident else {
        return Ok(None);
    };
    let updated_id = count(db, "incident", 1)?;
    db.execute(
        "UPDATE events SET fields = ? WHERE sighting = ?",
        &values![fields.get(), event.as_slice()],
    )?;
    db.execute(
        "UPDATE incidents SET updated = CASE WHEN updated > ? THEN updated ELSE ? END, \
         updated_id = ? WHERE id = ?",
        &values![now, now, updated_id, incident.int()?],
    )?;
    Ok(Some(updated_id))
}

pub(super) fn act(
    writer: &mut Writer,
    which: &Which,
    action: Action,
    delete_unacknowledged: bool,
    by: &str,
    now: Timestamp,
) -> Result<Vec<String>> {
    writer.memory.forget();
    let db = &mut *writer.db;
    match which {
        Which::Filter(filter) => act_on(db, filter, action, delete_unacknowledged, by, now),
        Which::Keys(keys) => {
            let mut changed = Vec::new();
            for key in keys {
                let filter = Filter {
                    key: Some(key.clone()),
                    ..Filter::default()
                };
                changed.extend(act_on(db, &filter, action, delete_unacknowledged, by, now)?);
            }
            Ok(changed)
        }
    }
}

fn act_on(
    db: &mut dyn Driver,
    filter: &Filter,
    action: Action,
    delete_unacknowledged: bool,
    by: &str,
    now: Timestamp,
) -> Result<Vec<String>> {
    let (mut wheres, params) = read::conditions(&Filter {
        with_deleted: false,
        ..filter.clone()
    });
    wheres.push_str(match action {
        Action::Acknowledge => " AND i.acknowledged = 0",
        Action::Unacknowledge => " AND i.acknowledged = 1",
        Action::Delete if delete_unacknowledged => "",
        Action::Delete => " AND i.acknowledged = 1",
    });
    let sql =
        format!("SELECT i.id, incident_key FROM incidents i WHERE {wheres} ORDER BY updated_id");
    let rows = db.query(&sql, &params)?;
    let mut updated_id = count(db, "incident", rows.len())?;
    updated_id = updated_id.saturating_sub(i64::try_from(rows.len()).unwrap_or(i64::MAX));
    let mut keys = Vec::with_capacity(rows.len());
    for mut row in rows {
        let id = row.int()?;
        keys.push(row.text()?);
        updated_id = updated_id.saturating_add(1);
        match action {
            Action::Acknowledge | Action::Unacknowledge => {
                let acknowledged = action == Action::Acknowledge;
                db.execute(
                    "UPDATE incidents SET acknowledged = ?, acknowledged_by = ?, updated = ?, \
                     updated_id = ? WHERE id = ?",
                    &values![
                        acknowledged,
                        if acknowledged { by } else { "" },
                        now,
                        updated_id,
                        id
                    ],
                )?;
            }
            Action::Delete => {
                db.execute(
                    "UPDATE incidents SET deleted = 1, updated = ?, updated_id = ? WHERE id = ?",
                    &values![now, updated_id, id],
                )?;
                db.execute(
                    "UPDATE events SET fields = NULL WHERE incident = ?",
                    &values![id],
                )?;
            }
        }
    }
    Ok(keys)
}

/// One batch on its way into the tables.
pub(super) struct Batch<'a> {
    pub(super) db: &'a mut dyn Driver,
    memory: &'a mut Memory,
    /// The newest incident of each key in this batch; `None` where there is none.
    newest: HashMap<BundleKey, Option<Working>>,
    /// Keys of `newest` with additions, in the order of their first.
    changed: Vec<BundleKey>,
    pub(super) recorded: Recorded,
}

impl Batch<'_> {
    fn take(&mut self, sighting: &Sighting, decide: &dyn Decide) -> Result<()> {
        let key = BundleKey {
            kind: sighting.kind.clone().into_owned(),
            subject: sighting.subject.clone(),
            source: sighting.src.ip,
        };
        let newest = self.newest(&key)?;
        let open = newest.map(|working| working.open);
        match decide.decide(open.as_ref(), &key, sighting) {
            Decision::Ignore => Ok(()),
            Decision::Join => match newest {
                Some(working) => self.join(&key, working, sighting),
                None => Err(engine("record", "the engine joined what isn't there")),
            },
            // Inserting sees by itself whether it's known; opening must know before.
            Decision::Open(_) if self.is_known(sighting)? => {
                self.recorded.repeated = self.recorded.repeated.saturating_add(1);
                Ok(())
            }
            Decision::Open(new) => {
                let late = newest.filter(|working| sighting.at < working.open.first);
                if late.is_some() {
                    self.flush()?;
                    if let Some(older) = self.older(&key, sighting, decide)? {
                        return self.join_older(older, sighting);
                    }
                }
                let opened = self.open(&key, &new, sighting)?;
                self.insert_event(opened.row, sighting)?;
                if late.is_some_and(|newest| !newest.open.acknowledged) {
                    return Ok(());
                }
                // What the old one gained must not be lost with it.
                if newest.is_some_and(|newest| newest.added > 0) {
                    self.flush()?;
                }
                self.newest.insert(key, Some(opened));
                Ok(())
            }
        }
    }

    /// Whether it has been stored before.
    fn is_known(&mut self, sighting: &Sighting) -> Result<bool> {
        let known = self.db.query(
            "SELECT 1 FROM events WHERE sighting = ?",
            &values![sighting.id.to_bytes().as_slice()],
        )?;
        Ok(!known.is_empty())
    }

    /// The incident that sightings of `key` may join: unacknowledged before acknowledged, then
    /// the newest. Those of one key don't overlap, so that their first events order them.
    fn newest(&mut self, key: &BundleKey) -> Result<Option<Working>> {
        if let Some(newest) = self.newest.get(key) {
            return Ok(*newest);
        }
        let found = match self.memory.0.get(key) {
            Some(working) => Some(*working),
            None => self
                .db
                .query(
                    "SELECT id, first_event, last_event, acknowledged FROM incidents \
                     WHERE node_id = ? AND kind = ? AND src_host = ? AND deleted = 0 \
                     ORDER BY acknowledged, first_event DESC LIMIT 1",
                    &values![node_id(&key.subject), &key.kind, key.source.to_string()],
                )?
                .pop()
                .map(working)
                .transpose()?,
        };
        self.newest.insert(key.clone(), found);
        Ok(found)
    }

    /// An older incident that a late sighting joins.
    fn older(
        &mut self,
        key: &BundleKey,
        sighting: &Sighting,
        decide: &dyn Decide,
    ) -> Result<Option<Working>> {
        let (node_id, source) = (node_id(&key.subject), key.source.to_string());
        // On both sides of the sighting, the nearest first.
        for (side, order) in [("<=", "DESC"), (">", "ASC")] {
            let sql = format!(
                "SELECT id, first_event, last_event, acknowledged FROM incidents \
                 WHERE node_id = ? AND kind = ? AND src_host = ? AND deleted = 0 \
                 AND acknowledged = 0 AND first_event {side} ? ORDER BY first_event {order} LIMIT ?"
            );
            let rows = self.db.query(
                &sql,
                &values![&node_id, &key.kind, &source, sighting.at, MAX_OLDER],
            )?;
            for row in rows {
                let older = working(row)?;
                if decide.decide(Some(&older.open), key, sighting) == Decision::Join {
                    return Ok(Some(older));
                }
            }
        }
        Ok(None)
    }

    fn join(&mut self, key: &BundleKey, mut working: Working, sighting: &Sighting) -> Result<()> {
        if !self.insert_event(working.row, sighting)? {
            return Ok(());
        }
        if working.added == 0 {
            self.changed.push(key.clone());
        }
        working.grow(sighting);
        self.newest.insert(key.clone(), Some(working));
        Ok(())
    }

    /// For the rare late one: straight into the table.
    fn join_older(&mut self, mut older: Working, sighting: &Sighting) -> Result<()> {
        if !self.insert_event(older.row, sighting)? {
            return Ok(());
        }
        older.grow(sighting);
        let updated_id = count(self.db, "incident", 1)?;
        write_back(self.db, &older, updated_id)?;
        self.recorded.updated_id = updated_id;
        Ok(())
    }

    /// Stores an event unless it is there already; whether it was stored.
    pub(super) fn insert_event(&mut self, incident: i64, sighting: &Sighting) -> Result<bool> {
        let new = self.db.execute(
            "INSERT INTO events (sighting, incident, happened, logtype, src_port, dst_port, \
             fields) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (sighting) DO NOTHING",
            &values![
                sighting.id.to_bytes().as_slice(),
                incident,
                sighting.at,
                sighting.logtype,
                sighting.src.port,
                sighting.dst.port,
                sighting.fields.get(),
            ],
        )?;
        let count = match new {
            0 => &mut self.recorded.repeated,
            _ => &mut self.recorded.stored,
        };
        *count = count.saturating_add(1);
        Ok(new > 0)
    }

    /// Makes an incident that counts `sighting` as its one event.
    pub(super) fn open(
        &mut self,
        key: &BundleKey,
        new: &NewIncident,
        sighting: &Sighting,
    ) -> Result<Working> {
        let node_id = node_id(&key.subject);
        let about = about(self.db, &key.subject, &node_id)?;
        let updated_id = count(self.db, "incident", 1)?;
        let prefix = format!("incident:{}:{}:{}", key.kind, md5_hex(&node_id), key.source);
        let epoch = sighting.at.secs();
        for step in 0..MAX_KEY_STEPS {
            let incident_key = format!("{prefix}:{}", epoch.saturating_add(step));
            let row = self.db.query(
                "INSERT INTO incidents (incident_key, hash_id, kind, logtype, title, subject, \
                 node_id, flock_id, src_host, src_port, src_reverse, dst_host, dst_port, name, \
                 memo, created, first_event, last_event, updated, updated_id, events_count, \
                 acknowledged, acknowledged_by, deleted) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 0, '', 0) \
                 ON CONFLICT (incident_key) DO NOTHING RETURNING id",
                &values![
                    &incident_key,
                    md5_hex(&incident_key),
                    &key.kind,
                    sighting.logtype,
                    &new.title,
                    subject_name(&key.subject),
                    &node_id,
                    &about.flock_id,
                    key.source.to_string(),
                    sighting.src.port,
                    sighting.dst.ip.to_string(),
                    sighting.dst.port,
                    &about.name,
                    &about.memo,
                    sighting.at,
                    sighting.at,
                    sighting.at,
                    sighting.at,
                    updated_id,
                ],
            )?;
            if let Some(mut row) = row.into_iter().next() {
                self.recorded.updated_id = updated_id;
                self.recorded.opened.push((incident_key, key.source));
                return Ok(Working {
                    row: row.int()?,
                    open: OpenIncident {
                        first: sighting.at,
                        last: sighting.at,
                        acknowledged: false,
                    },
                    added: 0,
                    earlier: false,
                    fresh: true,
                });
            }
        }
        Err(engine("name an incident", "all names near are taken"))
    }

    /// What the tables know of a subject, with its id as they hold it.
    pub(super) fn about(&mut self, subject: &Subject) -> Result<(String, About)> {
        let node_id = node_id(subject);
        let about = about(self.db, subject, &node_id)?;
        Ok((node_id, about))
    }

    /// Writes what incidents have gained so far.
    fn flush(&mut self) -> Result<()> {
        let changed = std::mem::take(&mut self.changed);
        if changed.is_empty() {
            return Ok(());
        }
        let changed: Vec<&mut Working> = {
            let mut all: HashMap<_, _> = self
                .newest
                .iter_mut()
                .filter_map(|(key, working)| Some((key, working.as_mut()?)))
                .collect();
            changed.iter().filter_map(|key| all.remove(key)).collect()
        };
        let old = changed.iter().filter(|working| !working.fresh).count();
        if old > 0 {
            self.recorded.updated_id = count(self.db, "incident", old)?;
        }
        let old = i64::try_from(old).unwrap_or(i64::MAX);
        let mut updated_id = self.recorded.updated_id.saturating_sub(old);
        for working in changed {
            if working.fresh {
                write_more(self.db, working)?;
            } else {
                updated_id = updated_id.saturating_add(1);
                write_back(self.db, working, updated_id)?;
            }
            working.added = 0;
            working.earlier = false;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Recorded> {
        self.flush()?;
        if self.recorded.updated_id == 0 {
            self.recorded.updated_id = read::updated_id(self.db)?;
        }
        for (key, newest) in self.newest {
            if let Some(working) = newest {
                let fresh = false;
                self.memory.0.put(key, Working { fresh, ..working });
            }
        }
        Ok(self.recorded)
    }
}

impl Working {
    fn grow(&mut self, sighting: &Sighting) {
        self.earlier |= sighting.at < self.open.first;
        self.open.first = self.open.first.min(sighting.at);
        self.open.last = self.open.last.max(sighting.at);
        self.added = self.added.saturating_add(1);
    }
}

fn working(mut row: crate::driver::Row) -> Result<Working> {
    Ok(Working {
        row: row.int()?,
        open: OpenIncident {
            first: row.time()?,
            last: row.time()?,
            acknowledged: row.flag()?,
        },
        added: 0,
        earlier: false,
        fresh: false,
    })
}

/// `updated` is the newest event's time unless somebody acted later. Columns that stay as they are
/// aren't named: each index that holds one would be written.
fn write_back(db: &mut dyn Driver, working: &Working, updated_id: i64) -> Result<()> {
    let last = working.open.last;
    db.execute(
        "UPDATE incidents SET last_event = ?, \
         updated = CASE WHEN updated > ? THEN updated ELSE ? END, updated_id = ?, \
         events_count = events_count + ? WHERE id = ?",
        &values![last, last, last, updated_id, working.added, working.row],
    )?;
    write_first(db, working)
}

/// The same for an incident that has its number: the indexes by update stay as they are.
fn write_more(db: &mut dyn Driver, working: &Working) -> Result<()> {
    let last = working.open.last;
    db.execute(
        "UPDATE incidents SET last_event = ?, updated = ?, events_count = events_count + ? \
         WHERE id = ?",
        &values![last, last, working.added, working.row],
    )?;
    write_first(db, working)
}

fn write_first(db: &mut dyn Driver, working: &Working) -> Result<()> {
    if working.earlier {
        db.execute(
            "UPDATE incidents SET first_event = ? WHERE id = ?",
            &values![working.open.first, working.row],
        )?;
    }
    Ok(())
}

/// What the tables know of a bird or token.
pub(super) struct About {
    pub(super) name: String,
    memo: String,
    pub(super) flock_id: String,
}

fn about(db: &mut dyn Driver, subject: &Subject, node_id: &str) -> Result<About> {
    let sql = match subject {
        Subject::Bird(_) => "SELECT name, '', flock_id FROM devices WHERE node_id = ?",
        Subject::Token(_) => "SELECT '', memo, flock_id FROM tokens WHERE id = ?",
        Subject::Console => {
            return Ok(About {
                name: "Console".to_owned(),
                memo: String::new(),
                flock_id: DEFAULT.to_owned(),
            });
        }
    };
    match db.query(sql, &values![node_id])?.pop() {
        Some(mut row) => Ok(About {
            name: row.text()?,
            memo: row.text()?,
            flock_id: row.text()?,
        }),
        // A bird that hasn't reported yet, or a token just deleted.
        None => Ok(About {
            name: match subject {
                Subject::Bird(_) => node_id.to_owned(),
                Subject::Token(_) | Subject::Console => String::new(),
            },
            memo: String::new(),
            flock_id: DEFAULT.to_owned(),
        }),
    }
}

fn subject_name(subject: &Subject) -> &'static str {
    match subject {
        Subject::Bird(_) => "bird",
        Subject::Token(_) => "token",
        Subject::Console => "console",
    }
}

/// The subject's id as the tables hold it; the Console's is what the API shows for it.
fn node_id(subject: &Subject) -> String {
    super::node_id_text(subject, "Console")
}

fn md5_hex(text: &str) -> String {
    hex::encode(Md5::digest(text.as_bytes()))
}
