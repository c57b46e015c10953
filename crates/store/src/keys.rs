//! API keys. *Invariant:* the secret itself is never kept, only its SHA-256: keys are random, so
//! a slow hash would protect nothing more.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use coalmine_core::Timestamp;
use sha2::{Digest, Sha256};

use crate::driver::{Row, values};
use crate::flocks::some;
use crate::{Refusal, Result, Store};

/// How exact [`ApiKey::last_used`] is.
const USED_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Read.
    ReadOnly,
    /// Read, and act on incidents.
    Analyst,
    /// Everything in scope.
    Admin,
    /// Create and download tokens.
    TokenDeploy,
    /// Breadcrumbs.
    BreadcrumbDeploy,
}

impl Role {
    /// Wire name, e.g. `read-only`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Analyst => "analyst",
            Self::Admin => "admin",
            Self::TokenDeploy => "canarytoken-deploy",
            Self::BreadcrumbDeploy => "breadcrumb-deploy",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        [
            Self::ReadOnly,
            Self::Analyst,
            Self::Admin,
            Self::TokenDeploy,
            Self::BreadcrumbDeploy,
        ]
        .into_iter()
        .find(|role| role.name().eq_ignore_ascii_case(text))
        .ok_or_else(|| format!("{text:?} is no type of key"))
    }
}

/// A key to be remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// 8 hex digits, random.
    pub key_id: String,
    /// What it may do.
    pub role: Role,
    /// The flock it's for; `None` for all.
    pub flock_id: Option<String>,
    /// What it's for.
    pub note: String,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: String,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// 8 hex digits.
    pub key_id: String,
    /// What it may do.
    pub role: Role,
    /// The flock it's for; `None` for all.
    pub flock_id: Option<String>,
    /// What it's for.
    pub note: String,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it was used last, to the minute.
    pub last_used: Option<Timestamp>,
}

/// API keys, as the store remembers them.
#[derive(Clone, Debug)]
pub struct Keys(pub(crate) Store);

const COLUMNS: &str = "key_id, role, flock_id, note, created, created_by, last_used";

impl Keys {
    /// Remembers a key whose secret the caller made from real randomness.
    ///
    /// # Errors
    /// [`Refusal::Taken`] if id or secret are there.
    pub async fn create(&self, key: NewKey, secret: &str) -> Result<()> {
        let params = values![
            key.key_id,
            &*hash(secret),
            key.role.name(),
            key.flock_id,
            key.note,
            key.created,
            key.created_by,
        ];
        self.0
            .write(move |writer| {
                let made = writer.db.execute(
                    "INSERT INTO api_keys (key_id, secret_hash, role, flock_id, note, created, \
                     created_by, last_used) VALUES (?, ?, ?, ?, ?, ?, ?, NULL) \
                     ON CONFLICT DO NOTHING",
                    &params,
                )?;
                some(made, Refusal::Taken)
            })
            .await
    }

    /// The key of this secret, if there is one; notes that it was used. Made for every request.
    ///
    /// # Errors
    /// The engine's.
    pub async fn authenticate(&self, secret: &str, now: Timestamp) -> Result<Option<Arc<ApiKey>>> {
        let hash = hash(secret);
        let key = match self.0.caches().keys.get(&hash) {
            Ok(key) => key,
            Err(generation) => {
                let params = values![&*hash];
                let found = self
                    .0
                    .read(move |db| {
                        let sql = format!("SELECT {COLUMNS} FROM api_keys WHERE secret_hash = ?");
                        db.query(&sql, &params)?.pop().map(key).transpose()
                    })
                    .await?;
                let Some(key) = found.map(Arc::new) else {
                    return Ok(None);
                };
                let caches = self.0.caches();
                caches.keys.keep(generation, hash, key.clone());
                key
            }
        };
        if key
            .last_used
            .is_none_or(|used| now.since(used) >= USED_EVERY)
        {
            let params = values![now, &key.key_id];
            self.0
                .write(move |writer| {
                    writer.db.execute(
                        "UPDATE api_keys SET last_used = ? WHERE key_id = ?",
                        &params,
                    )?;
                    Ok(())
                })
                .await?;
            self.0.caches().keys.forget();
        }
        Ok(Some(key))
    }

    /// Keys of a flock (`Some(Some(id))`), for all flocks (`Some(None)`), or all there are.
    ///
    /// # Errors
    /// The engine's.
    pub async fn list(&self, scope: Option<Option<&str>>) -> Result<Vec<ApiKey>> {
        let (all, flock) = match scope {
            None => (true, None),
            Some(flock) => (false, flock),
        };
        let params = values![all, flock, flock];
        self.0
            .read(move |db| {
                let sql = format!(
                    "SELECT {COLUMNS} FROM api_keys WHERE ? = 1 OR flock_id = ? \
                     OR (? IS NULL AND flock_id IS NULL) ORDER BY created, key_id"
                );
                db.query(&sql, &params)?.into_iter().map(key).collect()
            })
            .await
    }

    /// Removes a key by its id.
    ///
    /// # Errors
    /// [`Refusal::Missing`].
    pub async fn remove(&self, key_id: &str) -> Result<()> {
        self.remove_where("key_id = ?", key_id.into()).await
    }

    /// Removes a key by its secret.
    ///
    /// # Errors
    /// [`Refusal::Missing`].
    pub async fn remove_secret(&self, secret: &str) -> Result<()> {
        self.remove_where("secret_hash = ?", (&*hash(secret)).into())
            .await
    }

    async fn remove_where(
        &self,
        condition: &'static str,
        value: crate::driver::Value,
    ) -> Result<()> {
        let outcome = self
            .0
            .write(move |writer| {
                let sql = format!("DELETE FROM api_keys WHERE {condition}");
                some(writer.db.execute(&sql, &[value])?, Refusal::Missing)
            })
            .await;
        self.0.caches().keys.forget();
        outcome
    }
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

fn key(mut row: Row) -> Result<ApiKey> {
    Ok(ApiKey {
        key_id: row.text()?,
        role: row.parsed(|text| text.parse().ok())?,
        flock_id: row.opt_text()?,
        note: row.text()?,
        created: row.time()?,
        created_by: row.text()?,
        last_used: row.opt_time()?,
    })
}
