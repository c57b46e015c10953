//! SSH keys that were left lying about as breadcrumbs. *Invariant:* the private half is never kept.

use coalmine_core::{NodeId, Timestamp};

use crate::driver::{Row, placeholders, values};
use crate::{Result, Store};

/// Keys looked for in one statement.
const MAX_KEYS: usize = 500;

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreadcrumbKey {
    /// The public half in OpenSSH's one-line form without a comment: type and base64.
    pub key: String,
    /// Where it was left.
    pub reminder: String,
    /// The bird that it leads to; `None` for any.
    pub node_id: Option<NodeId>,
    /// The flock whose key asked for it; `None` for all.
    pub flock_id: Option<String>,
    /// When it was made.
    pub created: Timestamp,
}

/// Breadcrumbs, as the store remembers them.
#[derive(Clone, Debug)]
pub struct Breadcrumbs(pub(crate) Store);

impl Breadcrumbs {
    /// Remembers a fresh key.
    ///
    /// # Errors
    /// The engine's.
    pub async fn create(&self, key: BreadcrumbKey) -> Result<()> {
        let params = values![
            key.key,
            key.reminder,
            key.node_id.map(|id| id.to_string()),
            key.flock_id,
            key.created,
        ];
        self.0
            .write(move |writer| {
                writer.db.execute(
                    "INSERT INTO breadcrumb_keys (key, reminder, node_id, flock_id, created) \
                     VALUES (?, ?, ?, ?, ?)",
                    &params,
                )?;
                Ok(())
            })
            .await
    }

    /// Those of `keys` that are breadcrumbs.
    ///
    /// # Errors
    /// The engine's.
    pub async fn among(&self, keys: Vec<String>) -> Result<Vec<BreadcrumbKey>> {
        self.0
            .read(move |db| {
                let mut found = Vec::new();
                for some in keys.chunks(MAX_KEYS) {
                    let sql = format!(
                        "SELECT key, reminder, node_id, flock_id, created FROM breadcrumb_keys \
                         WHERE key IN ({})",
                        placeholders(some.len())
                    );
                    let params: Vec<_> = some.iter().map(Into::into).collect();
                    for row in db.query(&sql, &params)? {
                        found.push(key(row)?);
                    }
                }
                Ok(found)
            })
            .await
    }
}

fn key(mut row: Row) -> Result<BreadcrumbKey> {
    Ok(BreadcrumbKey {
        key: row.text()?,
        reminder: row.text()?,
        node_id: row.opt_text()?.and_then(|id| id.parse().ok()),
        flock_id: row.opt_text()?,
        created: row.time()?,
    })
}
