//! Who did what, in order.

use coalmine_core::Timestamp;

use crate::driver::{Row, Value, contains, placeholders, values};
use crate::{Result, Store};

/// One thing that somebody did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditEntry {
    /// Increasing number; given by the store.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Its type, e.g. `user_login`.
    pub action: String,
    /// In words.
    pub message: String,
    /// Who: a user's e-mail or an API key's name.
    pub user: String,
    /// Flock, if it's about one.
    pub flock_id: Option<String>,
    /// More about it.
    pub details: Option<String>,
    /// Address of the user.
    pub user_ip: Option<String>,
    /// Browser of the user.
    pub user_agent: Option<String>,
    /// Languages of the browser.
    pub user_language: Option<String>,
}

/// Which entries. Empty means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only of this type.
    pub action: Option<String>,
    /// Only with this text in message, user or details, in any case.
    pub search: Option<String>,
    /// Only with a greater id.
    pub after_id: Option<i64>,
    /// Only at or after.
    pub from: Option<Timestamp>,
    /// Only before.
    pub to: Option<Timestamp>,
    /// Only about these flocks.
    pub flocks: Option<Vec<String>>,
}

/// The trail, as the store remembers it.
#[derive(Clone, Debug)]
pub struct Audit(pub(crate) Store);

impl Audit {
    /// Appends an entry; its number.
    ///
    /// # Errors
    /// The engine's.
    pub async fn append(&self, entry: AuditEntry) -> Result<i64> {
        let params = values![
            entry.at,
            entry.action,
            entry.message,
            entry.user,
            entry.flock_id,
            entry.details,
            entry.user_ip,
            entry.user_agent,
            entry.user_language,
        ];
        self.0
            .write(move |writer| {
                writer
                    .db
                    .query(
                        "INSERT INTO audit (at, action, message, actor, flock_id, details, \
                         user_ip, user_agent, user_language) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) \
                         RETURNING id",
                        &params,
                    )?
                    .pop()
                    .map_or(Ok(0), |mut row| row.int())
            })
            .await
    }

    /// Entries, newest first, from number `start` (inclusive) on; and how many match in all.
    ///
    /// # Errors
    /// The engine's.
    pub async fn page(
        &self,
        filter: AuditFilter,
        start: Option<i64>,
        limit: usize,
    ) -> Result<(Vec<AuditEntry>, u64)> {
        self.0
            .read(move |db| {
                let (mut wheres, mut params) = conditions(&filter);
                let sql = format!("SELECT COUNT(*) FROM audit WHERE {wheres}");
                let total = db
                    .query(&sql, &params)?
                    .pop()
                    .map_or(Ok(0), |mut row| row.count())?;
                if let Some(start) = start {
                    wheres.push_str(" AND id <= ?");
                    params.push(start.into());
                }
                params.push(limit.into());
                let sql = format!(
                    "SELECT id, at, action, message, actor, flock_id, details, user_ip, \
                     user_agent, user_language FROM audit WHERE {wheres} ORDER BY id DESC LIMIT ?"
                );
                let entries = db
                    .query(&sql, &params)?
                    .into_iter()
                    .map(entry)
                    .collect::<Result<_>>()?;
                Ok((entries, total))
            })
            .await
    }

    /// Forgets entries older than `before`; how many.
    ///
    /// # Errors
    /// The engine's.
    pub async fn purge(&self, before: Timestamp) -> Result<usize> {
        self.0
            .write(move |writer| {
                writer
                    .db
                    .execute("DELETE FROM audit WHERE at < ?", &values![before])
            })
            .await
    }
}

fn conditions(filter: &AuditFilter) -> (String, Vec<Value>) {
    let (mut sql, mut params) = ("1 = 1".to_owned(), Vec::new());
    if let Some(action) = &filter.action {
        sql.push_str(" AND action = ?");
        params.push(action.into());
    }
    if let Some(text) = &filter.search {
        let pattern = contains(text);
        sql.push_str(
            " AND (lower(message) LIKE ? ESCAPE '\\' OR lower(actor) LIKE ? ESCAPE '\\' \
             OR lower(COALESCE(details, '')) LIKE ? ESCAPE '\\')",
        );
        params.extend(values![&pattern, &pattern, &pattern]);
    }
    if let Some(id) = filter.after_id {
        sql.push_str(" AND id > ?");
        params.push(id.into());
    }
    if let Some(from) = filter.from {
        sql.push_str(" AND at >= ?");
        params.push(from.into());
    }
    if let Some(to) = filter.to {
        sql.push_str(" AND at < ?");
        params.push(to.into());
    }
    if let Some(flocks) = &filter.flocks {
        sql.push_str(&format!(
            " AND flock_id IN ({})",
            placeholders(flocks.len())
        ));
        params.extend(flocks.iter().map(Value::from));
    }
    (sql, params)
}

fn entry(mut row: Row) -> Result<AuditEntry> {
    Ok(AuditEntry {
        id: row.int()?,
        at: row.time()?,
        action: row.text()?,
        message: row.text()?,
        user: row.text()?,
        flock_id: row.opt_text()?,
        details: row.opt_text()?,
        user_ip: row.opt_text()?,
        user_agent: row.opt_text()?,
        user_language: row.opt_text()?,
    })
}
