//! Flocks: groups of birds and tokens, and who looks after them.

use std::collections::BTreeMap;

use coalmine_core::Timestamp;
use serde_json::{Map, Value as Json};

use crate::driver::{Row, contains, json, placeholders, values};
use crate::{Refusal, Result, Store, StoreError};

/// The flock that is always there.
pub const DEFAULT: &str = "flock:default";

/// One flock.
#[derive(Clone, Debug, PartialEq)]
pub struct Flock {
    /// `flock:default` or `flock:<32 hex>`.
    pub id: String,
    /// 1 to 100 characters.
    pub name: String,
    /// What people wrote about it.
    pub note: Option<String>,
    /// Its own settings; what isn't there is inherited.
    pub settings: Map<String, Json>,
    /// When it was made.
    pub created: Timestamp,
}

/// How many things are in a flock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlockCounts {
    /// Birds that report.
    pub live_devices: u64,
    /// Birds that don't.
    pub dead_devices: u64,
    /// Tokens that alert.
    pub enabled_tokens: u64,
    /// Tokens that don't.
    pub disabled_tokens: u64,
    /// Incidents that nobody has acknowledged.
    pub unacknowledged: u64,
}

/// Flocks, as the store remembers them.
#[derive(Clone, Debug)]
pub struct Flocks(pub(crate) Store);

const COLUMNS: &str = "id, name, note, settings, created";

impl Flocks {
    /// All flocks, the default one first, then by name.
    ///
    /// # Errors
    /// The engine's.
    pub async fn list(&self) -> Result<Vec<Flock>> {
        self.0
            .read(|db| {
                let sql = format!(
                    "SELECT {COLUMNS} FROM flocks \
                     ORDER BY CASE WHEN id = '{DEFAULT}' THEN 0 ELSE 1 END, name, id"
                );
                db.query(&sql, &[])?.into_iter().map(flock).collect()
            })
            .await
    }

    /// Flocks with `text` in name, note or id, in any case.
    ///
    /// # Errors
    /// The engine's.
    pub async fn find(&self, text: &str) -> Result<Vec<Flock>> {
        let pattern = contains(text);
        self.0
            .read(move |db| {
                let sql = format!(
                    "SELECT {COLUMNS} FROM flocks WHERE lower(name) LIKE ? ESCAPE '\\' \
                     OR lower(COALESCE(note, '')) LIKE ? ESCAPE '\\' \
                     OR lower(id) LIKE ? ESCAPE '\\' ORDER BY name, id"
                );
                db.query(&sql, &values![&pattern, &pattern, &pattern])?
                    .into_iter()
                    .map(flock)
                    .collect()
            })
            .await
    }

    /// One flock.
    ///
    /// # Errors
    /// The engine's.
    pub async fn get(&self, id: &str) -> Result<Option<Flock>> {
        let id = id.to_owned();
        self.0
            .read(move |db| {
                let sql = format!("SELECT {COLUMNS} FROM flocks WHERE id = ?");
                db.query(&sql, &values![id])?.pop().map(flock).transpose()
            })
            .await
    }

    /// Makes a flock of this id (`flock:<32 hex>`, random, made by the caller).
    ///
    /// # Errors
    /// [`Refusal::Taken`] if the id is there.
    pub async fn create(&self, id: &str, name: &str, now: Timestamp) -> Result<()> {
        let params = values![id, name, now];
        self.0
            .write(move |writer| {
                let made = writer.db.execute(
                    "INSERT INTO flocks (id, name, note, settings, created) \
                     VALUES (?, ?, NULL, '{}', ?) ON CONFLICT (id) DO NOTHING",
                    &params,
                )?;
                some(made, Refusal::Taken)
            })
            .await
    }

    /// Gives a flock another name.
    ///
    /// # Errors
    /// [`Refusal::Missing`].
    pub async fn rename(&self, id: &str, name: &str) -> Result<()> {
        let params = values![name, id];
        self.0
            .write(move |writer| {
                let changed = writer
                    .db
                    .execute("UPDATE flocks SET name = ? WHERE id = ?", &params)?;
                some(changed, Refusal::Missing)
            })
            .await
    }

    /// Writes or removes a flock's note.
    ///
    /// # Errors
    /// [`Refusal::Missing`].
    pub async fn set_note(&self, id: &str, note: Option<&str>) -> Result<()> {
        let params = values![note, id];
        self.0
            .write(move |writer| {
                let changed = writer
                    .db
                    .execute("UPDATE flocks SET note = ? WHERE id = ?", &params)?;
                some(changed, Refusal::Missing)
            })
            .await
    }

    /// Replaces a flock's own settings.
    ///
    /// # Errors
    /// [`Refusal::Missing`].
    pub async fn set_settings(&self, id: &str, settings: &Map<String, Json>) -> Result<()> {
        let params = values![json(settings)?, id];
        self.0
            .write(move |writer| {
                let changed = writer
                    .db
                    .execute("UPDATE flocks SET settings = ? WHERE id = ?", &params)?;
                some(changed, Refusal::Missing)
            })
            .await
    }

    /// Deletes an empty flock. Its old incidents go to the default flock; its keys go with it.
    ///
    /// # Errors
    /// [`Refusal::DefaultFlock`], [`Refusal::NotEmpty`], [`Refusal::Missing`].
    pub async fn delete(&self, id: &str) -> Result<()> {
        if id == DEFAULT {
            return Err(StoreError::Refused(Refusal::DefaultFlock));
        }
        let id = id.to_owned();
        let store = self.0.clone();
        let outcome = self
            .0
            .write(move |writer| {
                let things = writer
                    .db
                    .query(
                        "SELECT (SELECT COUNT(*) FROM devices WHERE flock_id = ?) \
                         + (SELECT COUNT(*) FROM tokens WHERE flock_id = ?)",
                        &values![&id, &id],
                    )?
                    .pop()
                    .map_or(Ok(0), |mut row| row.int())?;
                if things > 0 {
                    return Err(StoreError::Refused(Refusal::NotEmpty));
                }
                writer.db.execute(
                    "UPDATE incidents SET flock_id = ? WHERE flock_id = ?",
                    &values![DEFAULT, &id],
                )?;
                let gone = writer
                    .db
                    .execute("DELETE FROM flocks WHERE id = ?", &values![id])?;
                some(gone, Refusal::Missing)
            })
            .await;
        store.caches().keys.forget();
        outcome
    }

    /// Users that look after a flock: managers if `managers`, else watchers.
    ///
    /// # Errors
    /// The engine's.
    pub async fn users(&self, id: &str, managers: bool) -> Result<Vec<String>> {
        let params = values![id, managers];
        self.0
            .read(move |db| {
                db.query(
                    "SELECT email FROM flock_users WHERE flock_id = ? AND manager = ? ORDER BY email",
                    &params,
                )?
                .into_iter()
                .map(|mut row| row.text())
                .collect()
            })
            .await
    }

    /// Replaces a flock's managers (or watchers).
    ///
    /// # Errors
    /// [`Refusal::Missing`].
    pub async fn set_users(&self, id: &str, managers: bool, emails: Vec<String>) -> Result<()> {
        let id = id.to_owned();
        self.0
            .write(move |writer| {
                let there = writer
                    .db
                    .query("SELECT 1 FROM flocks WHERE id = ?", &values![&id])?;
                some(there.len(), Refusal::Missing)?;
                writer.db.execute(
                    "DELETE FROM flock_users WHERE flock_id = ? AND manager = ?",
                    &values![&id, managers],
                )?;
                for email in emails {
                    writer.db.execute(
                        "INSERT INTO flock_users (flock_id, email, manager) VALUES (?, ?, ?) \
                         ON CONFLICT (flock_id, email, manager) DO NOTHING",
                        &values![&id, email, managers],
                    )?;
                }
                Ok(())
            })
            .await
    }

    /// Flocks that this user looks after: managed, watched.
    ///
    /// # Errors
    /// The engine's.
    pub async fn of_user(&self, email: &str) -> Result<(Vec<String>, Vec<String>)> {
        let params = values![email];
        self.0
            .read(move |db| {
                let (mut managed, mut watched) = (Vec::new(), Vec::new());
                for mut row in db.query(
                    "SELECT flock_id, manager FROM flock_users WHERE email = ? ORDER BY flock_id",
                    &params,
                )? {
                    let id = row.text()?;
                    if row.flag()? {
                        managed.push(id);
                    } else {
                        watched.push(id);
                    }
                }
                Ok((managed, watched))
            })
            .await
    }

    /// What is in each flock, by flock id; flocks with nothing have an entry too.
    ///
    /// # Errors
    /// The engine's.
    pub async fn counts(&self) -> Result<BTreeMap<String, FlockCounts>> {
        self.0
            .read(|db| {
                let mut counts = BTreeMap::new();
                for mut row in db.query("SELECT id FROM flocks", &[])? {
                    counts.insert(row.text()?, FlockCounts::default());
                }
                let mut each = |sql: &str, put: fn(&mut FlockCounts, bool, u64)| -> Result<()> {
                    for mut row in db.query(sql, &[])? {
                        let id = row.text()?;
                        let (state, count) = (row.flag()?, row.count()?);
                        put(counts.entry(id).or_default(), state, count);
                    }
                    Ok(())
                };
                each(
                    "SELECT flock_id, live, COUNT(*) FROM devices GROUP BY flock_id, live",
                    |counts, live, count| {
                        if live {
                            counts.live_devices = count;
                        } else {
                            counts.dead_devices = count;
                        }
                    },
                )?;
                each(
                    "SELECT flock_id, enabled, COUNT(*) FROM tokens GROUP BY flock_id, enabled",
                    |counts, enabled, count| {
                        if enabled {
                            counts.enabled_tokens = count;
                        } else {
                            counts.disabled_tokens = count;
                        }
                    },
                )?;
                each(
                    "SELECT flock_id, acknowledged, COUNT(*) FROM incidents \
                     WHERE deleted = 0 AND acknowledged = 0 GROUP BY flock_id, acknowledged",
                    |counts, _, count| counts.unacknowledged = count,
                )?;
                Ok(counts)
            })
            .await
    }

    /// Whether all of these flocks are there.
    ///
    /// # Errors
    /// The engine's.
    pub async fn exist(&self, ids: &[String]) -> Result<bool> {
        let mut ids = ids.to_vec();
        ids.sort();
        ids.dedup();
        self.0
            .read(move |db| {
                let sql = format!(
                    "SELECT id FROM flocks WHERE id IN ({})",
                    placeholders(ids.len())
                );
                let params: Vec<_> = ids.iter().map(Into::into).collect();
                Ok(db.query(&sql, &params)?.len() == ids.len())
            })
            .await
    }
}

fn flock(mut row: Row) -> Result<Flock> {
    Ok(Flock {
        id: row.text()?,
        name: row.text()?,
        note: row.opt_text()?,
        settings: row.json()?,
        created: row.time()?,
    })
}

/// `refusal` if a statement changed nothing.
pub(crate) fn some(changed: usize, refusal: Refusal) -> Result<()> {
    if changed == 0 {
        return Err(StoreError::Refused(refusal));
    }
    Ok(())
}
