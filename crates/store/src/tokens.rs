//! Tokens and the factories that make them.

use std::collections::BTreeMap;
use std::sync::Arc;

use coalmine_core::token::{Alias, Places, TokenChannel, Upload};
use coalmine_core::{Timestamp, TokenId};
use serde_json::{Map, Value as Json};
use tokio::sync::watch;

use crate::driver::{Row, Value, escaped, json, placeholders, values};
use crate::engine::Writer;
use crate::flocks::some;
use crate::incidents::count;
use crate::{Refusal, Result, Store};

/// A token to be remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct NewToken {
    /// Its id.
    pub id: TokenId,
    /// Its kind's id, e.g. `http`.
    pub kind: String,
    /// The reminder that its owner wrote.
    pub memo: String,
    /// Flock.
    pub flock_id: String,
    /// When it was made.
    pub created: Timestamp,
    /// What it was minted from, so that its file can be made again.
    pub params: BTreeMap<String, String>,
    /// The kind's own fields, as minted.
    pub fields: Map<String, Json>,
    /// The factory that made it.
    pub factory_auth: Option<String>,
    /// Where the channels were.
    pub places: Places,
    /// What was uploaded for it, by parameter.
    pub files: BTreeMap<String, Upload>,
    /// Other keys by which channels find it.
    pub aliases: Vec<Alias>,
}

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenRow {
    /// Its id.
    pub id: TokenId,
    /// Its kind's id, e.g. `http`.
    pub kind: String,
    /// The reminder that its owner wrote.
    pub memo: String,
    /// Flock.
    pub flock_id: String,
    /// Whether it alerts.
    pub enabled: bool,
    /// When it was made.
    pub created: Timestamp,
    /// Token-wide counter at its last change.
    pub updated_id: i64,
    /// What it was minted from.
    pub params: BTreeMap<String, String>,
    /// The kind's own fields, as minted.
    pub fields: Map<String, Json>,
    /// The factory that made it.
    pub factory_auth: Option<String>,
    /// Where the channels were when it was made; `None` where that wasn't kept yet.
    pub places: Option<Places>,
    /// How often it was touched: events of its incidents, also of deleted ones. 0 in
    /// [`Tokens::active`]'s answer.
    pub triggered_count: u64,
    /// Its incidents that nobody has acknowledged. 0 in [`Tokens::active`]'s answer.
    pub unacknowledged: u64,
    /// When it was touched last, as far as incidents tell, also deleted ones. `None` in
    /// [`Tokens::active`]'s answer.
    pub last_hit: Option<Timestamp>,
}

/// In which order tokens are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenOrder {
    /// Newest change first.
    Changed,
    /// Touched last first, then those that never were.
    LastHit,
    /// Touched most first.
    Hits,
}

/// Which tokens. Empty means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenFilter {
    /// Only of these flocks.
    pub flocks: Option<Vec<String>>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only enabled (or disabled) ones.
    pub enabled: Option<bool>,
    /// Only those with every word of this at the start of the id or of a word of the memo.
    pub search: Option<String>,
}

/// A page of tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenPage {
    /// Newest change first.
    pub tokens: Vec<TokenRow>,
    /// How many match in all.
    pub total: u64,
}

/// Lets its holder make tokens in one flock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factory {
    /// Its secret. It can only make tokens, and lists show it, so it's kept as it is.
    pub auth: String,
    /// Flock of its tokens.
    pub flock_id: String,
    /// What it's for.
    pub memo: String,
    /// When it was made.
    pub created: Timestamp,
}

/// Tokens, as the store remembers them.
#[derive(Clone, Debug)]
pub struct Tokens(pub(crate) Store);

const COLUMNS: &str = "id, kind, memo, flock_id, enabled, created, updated_id, params, fields, \
    factory_auth, places";
const COUNTED: &str = "id, kind, memo, flock_id, enabled, created, updated_id, params, fields, \
    factory_auth, places, \
    (SELECT COALESCE(SUM(events_count), 0) FROM incidents WHERE node_id = tokens.id), \
    (SELECT COUNT(*) FROM incidents \
     WHERE node_id = tokens.id AND deleted = 0 AND acknowledged = 0), \
    (SELECT MAX(last_event) FROM incidents WHERE node_id = tokens.id)";

impl Tokens {
    /// Tells whenever a token was made, changed or deleted. Touches change incidents, not tokens.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.token_changes().subscribe()
    }

    /// Remembers a token, enabled, with its files and aliases.
    ///
    /// # Errors
    /// [`Refusal::Taken`] if the id or an alias is there, [`Refusal::Missing`] if the flock isn't.
    pub async fn create(&self, token: NewToken) -> Result<()> {
        let id = token.id.to_string();
        let (params, fields) = (json(&token.params)?, json(&token.fields)?);
        let places = json(&token.places)?;
        self.0
            .write(move |writer| {
                let flock = values![&token.flock_id];
                let flock = writer
                    .db
                    .query("SELECT 1 FROM flocks WHERE id = ?", &flock)?;
                some(flock.len(), Refusal::Missing)?;
                let updated_id = count(&mut *writer.db, "token", 1)?;
                let made = writer.db.execute(
                    "INSERT INTO tokens (id, kind, memo, flock_id, enabled, created, updated_id, \
                     params, fields, factory_auth, places) \
                     VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                    &values![
                        &id,
                        token.kind,
                        token.memo,
                        token.flock_id,
                        token.created,
                        updated_id,
                        params,
                        fields,
                        token.factory_auth,
                        places,
                    ],
                )?;
                some(made, Refusal::Taken)?;
                for (param, file) in token.files {
                    keep_file(writer, &id, &param, &file)?;
                }
                for alias in token.aliases {
                    let made = writer.db.execute(
                        "INSERT INTO token_aliases (channel, key, token) VALUES (?, ?, ?) \
                         ON CONFLICT (channel, key) DO NOTHING",
                        &values![alias.channel.name(), alias.key, &id],
                    )?;
                    some(made, Refusal::Taken)?;
                }
                Ok(())
            })
            .await?;
        self.0.token_changes().send_replace(());
        Ok(())
    }

    /// One token with its counts.
    ///
    /// # Errors
    /// The engine's.
    pub async fn get(&self, id: &TokenId) -> Result<Option<TokenRow>> {
        let params = values![id.as_str()];
        self.0
            .read(move |db| {
                let sql = format!("SELECT {COUNTED} FROM tokens WHERE id = ?");
                db.query(&sql, &params)?.pop().map(counted).transpose()
            })
            .await
    }

    /// The token a touch found, if it is there and enabled. Made for every hit: cached, without
    /// counts.
    ///
    /// # Errors
    /// The engine's.
    pub async fn active(&self, id: &TokenId) -> Result<Option<Arc<TokenRow>>> {
        let key = id.as_str().to_owned();
        let generation = match self.0.caches().tokens.get(&key) {
            Ok(token) => return Ok(Some(token).filter(|token| token.enabled)),
            Err(generation) => generation,
        };
        let params = values![&key];
        let token = self
            .0
            .read(move |db| {
                let sql = format!("SELECT {COLUMNS} FROM tokens WHERE id = ?");
                db.query(&sql, &params)?.pop().map(plain).transpose()
            })
            .await?;
        Ok(token.map(Arc::new).and_then(|token| {
            let caches = self.0.caches();
            caches.tokens.keep(generation, key, token.clone());
            Some(token).filter(|token| token.enabled)
        }))
    }

    /// The token that a channel knows by another key, if it is there and enabled; cached like
    /// [`Tokens::active`].
    ///
    /// # Errors
    /// The engine's.
    pub async fn by_alias(
        &self,
        channel: TokenChannel,
        key: &str,
    ) -> Result<Option<Arc<TokenRow>>> {
        let alias = Alias {
            channel,
            key: key.to_owned(),
        };
        let id = match self.0.caches().aliases.get(&alias) {
            Ok(id) => id,
            Err(generation) => {
                let params = values![channel.name(), key];
                let found = self
                    .0
                    .read(move |db| {
                        let sql = "SELECT token FROM token_aliases WHERE channel = ? AND key = ?";
                        let row = db.query(sql, &params)?.pop();
                        row.map(|mut row| row.parsed(|text| text.parse::<TokenId>().ok()))
                            .transpose()
                    })
                    .await?;
                let Some(id) = found.map(Arc::new) else {
                    return Ok(None);
                };
                let caches = self.0.caches();
                caches.aliases.keep(generation, alias, id.clone());
                id
            }
        };
        self.active(&id).await
    }

    /// The file that was uploaded for a token as `param`.
    ///
    /// # Errors
    /// The engine's.
    pub async fn upload(&self, id: &TokenId, param: &str) -> Result<Option<Upload>> {
        Ok(self
            .uploads_where(id, Some(param))
            .await?
            .pop_first()
            .map(|(_, file)| file))
    }

    /// All files that were uploaded for a token, by parameter.
    ///
    /// # Errors
    /// The engine's.
    pub async fn uploads(&self, id: &TokenId) -> Result<BTreeMap<String, Upload>> {
        self.uploads_where(id, None).await
    }

    async fn uploads_where(
        &self,
        id: &TokenId,
        param: Option<&str>,
    ) -> Result<BTreeMap<String, Upload>> {
        let params = values![id.as_str(), param, param];
        self.0
            .read(move |db| {
                let rows = db.query(
                    "SELECT param, name, mime, content FROM token_uploads \
                     WHERE token = ? AND (? IS NULL OR param = ?)",
                    &params,
                )?;
                rows.into_iter().map(upload).collect()
            })
            .await
    }

    /// Makes a token alert, or not.
    ///
    /// # Errors
    /// [`Refusal::Missing`].
    pub async fn set_enabled(&self, id: &TokenId, enabled: bool) -> Result<()> {
        self.set("enabled", enabled.into(), id).await
    }

    /// Writes a token's reminder.
    ///
    /// # Errors
    /// [`Refusal::Missing`].
    pub async fn set_memo(&self, id: &TokenId, memo: &str) -> Result<()> {
        self.set("memo", memo.into(), id).await
    }

    /// Replaces what a token was minted from and its kind's own fields.
    ///
    /// # Errors
    /// [`Refusal::Missing`].
    pub async fn set_fields(
        &self,
        id: &TokenId,
        params: &BTreeMap<String, String>,
        fields: &Map<String, Json>,
    ) -> Result<()> {
        self.set("params", json(params)?.into(), id).await?;
        self.set("fields", json(fields)?.into(), id).await
    }

    /// Forgets a token with its files; what happens to its incidents is the caller's choice.
    ///
    /// # Errors
    /// [`Refusal::Missing`].
    pub async fn delete(&self, id: &TokenId) -> Result<()> {
        let params = values![id.as_str()];
        let outcome = self
            .0
            .write(move |writer| {
                for table in ["token_uploads", "token_aliases"] {
                    let sql = format!("DELETE FROM {table} WHERE token = ?");
                    writer.db.execute(&sql, &params)?;
                }
                let gone = writer
                    .db
                    .execute("DELETE FROM tokens WHERE id = ?", &params)?;
                some(gone, Refusal::Missing)
            })
            .await;
        self.0.caches().tokens.forget();
        self.0.caches().aliases.forget();
        self.0.token_changes().send_replace(());
        outcome
    }

    /// A page of tokens, newest change first, from `start` (an `updated_id`, inclusive) on.
    ///
    /// # Errors
    /// The engine's.
    pub async fn page(
        &self,
        filter: TokenFilter,
        start: Option<i64>,
        limit: usize,
    ) -> Result<TokenPage> {
        self.some(filter, start, "", (0, limit)).await
    }

    /// Tokens in this order, `limit` of them after the first `skip`.
    ///
    /// # Errors
    /// The engine's.
    pub async fn list(
        &self,
        filter: TokenFilter,
        order: TokenOrder,
        skip: usize,
        limit: usize,
    ) -> Result<TokenPage> {
        let order = match order {
            TokenOrder::Changed => "",
            TokenOrder::LastHit => {
                "(SELECT COALESCE(MAX(last_event), 0) FROM incidents WHERE node_id = tokens.id) DESC, "
            }
            TokenOrder::Hits => {
                "(SELECT COALESCE(SUM(events_count), 0) FROM incidents WHERE node_id = tokens.id) DESC, "
            }
        };
        self.some(filter, None, order, (skip, limit)).await
    }

    /// Those from `start` on, ordered by `order` first and by their changes then.
    async fn some(
        &self,
        filter: TokenFilter,
        start: Option<i64>,
        order: &'static str,
        (skip, limit): (usize, usize),
    ) -> Result<TokenPage> {
        self.0
            .read(move |db| {
                let (mut wheres, mut params) = conditions(&filter);
                let sql = format!("SELECT COUNT(*) FROM tokens WHERE {wheres}");
                let total = db
                    .query(&sql, &params)?
                    .pop()
                    .map_or(Ok(0), |mut row| row.count())?;
                if let Some(start) = start {
                    wheres.push_str(" AND updated_id <= ?");
                    params.push(start.into());
                }
                params.extend(values![limit, skip]);
                let sql = format!(
                    "SELECT {COUNTED} FROM tokens WHERE {wheres} \
                     ORDER BY {order}updated_id DESC LIMIT ? OFFSET ?"
                );
                let tokens = db
                    .query(&sql, &params)?
                    .into_iter()
                    .map(counted)
                    .collect::<Result<_>>()?;
                Ok(TokenPage { tokens, total })
            })
            .await
    }

    /// Remembers a factory.
    ///
    /// # Errors
    /// The engine's, also when the flock isn't there.
    pub async fn create_factory(&self, factory: Factory) -> Result<()> {
        let params = values![
            factory.auth,
            factory.flock_id,
            factory.memo,
            factory.created
        ];
        self.0
            .write(move |writer| {
                writer.db.execute(
                    "INSERT INTO factories (auth, flock_id, memo, created) VALUES (?, ?, ?, ?)",
                    &params,
                )?;
                Ok(())
            })
            .await
    }

    /// The factory of this secret.
    ///
    /// # Errors
    /// The engine's.
    pub async fn factory(&self, auth: &str) -> Result<Option<Factory>> {
        let params = values![auth];
        self.0
            .read(move |db| {
                db.query(
                    "SELECT auth, flock_id, memo, created FROM factories WHERE auth = ?",
                    &params,
                )?
                .pop()
                .map(factory)
                .transpose()
            })
            .await
    }

    /// Factories of a flock, or all.
    ///
    /// # Errors
    /// The engine's.
    pub async fn factories(&self, flock_id: Option<&str>) -> Result<Vec<Factory>> {
        let params = values![flock_id, flock_id];
        self.0
            .read(move |db| {
                db.query(
                    "SELECT auth, flock_id, memo, created FROM factories \
                     WHERE flock_id = ? OR ? IS NULL ORDER BY created, auth",
                    &params,
                )?
                .into_iter()
                .map(factory)
                .collect()
            })
            .await
    }

    /// Forgets a factory; its tokens stay.
    ///
    /// # Errors
    /// [`Refusal::Missing`].
    pub async fn delete_factory(&self, auth: &str) -> Result<()> {
        let params = values![auth];
        self.0
            .write(move |writer| {
                let gone = writer
                    .db
                    .execute("DELETE FROM factories WHERE auth = ?", &params)?;
                some(gone, Refusal::Missing)
            })
            .await
    }

    async fn set(&self, column: &'static str, value: Value, id: &TokenId) -> Result<()> {
        let id = id.to_string();
        let outcome = self
            .0
            .write(move |writer| {
                let updated_id = count(&mut *writer.db, "token", 1)?;
                let sql = format!("UPDATE tokens SET {column} = ?, updated_id = ? WHERE id = ?");
                let changed = writer.db.execute(&sql, &values![value, updated_id, id])?;
                some(changed, Refusal::Missing)
            })
            .await;
        self.0.caches().tokens.forget();
        self.0.token_changes().send_replace(());
        outcome
    }
}

fn conditions(filter: &TokenFilter) -> (String, Vec<Value>) {
    let (mut sql, mut params) = ("1 = 1".to_owned(), Vec::new());
    if let Some(flocks) = &filter.flocks {
        sql.push_str(&format!(
            " AND flock_id IN ({})",
            placeholders(flocks.len())
        ));
        params.extend(flocks.iter().map(Value::from));
    }
    if let Some(kind) = &filter.kind {
        sql.push_str(" AND kind = ?");
        params.push(kind.into());
    }
    if let Some(enabled) = filter.enabled {
        sql.push_str(" AND enabled = ?");
        params.push(enabled.into());
    }
    for word in filter
        .search
        .iter()
        .flat_map(|text| text.split_whitespace())
    {
        sql.push_str(
            " AND (id LIKE ? ESCAPE '\\' OR lower(memo) LIKE ? ESCAPE '\\' \
             OR lower(memo) LIKE ? ESCAPE '\\')",
        );
        let word = escaped(word);
        params.extend(values![
            format!("{word}%"),
            format!("{word}%"),
            format!("% {word}%")
        ]);
    }
    (sql, params)
}

fn plain(row: Row) -> Result<TokenRow> {
    columns(row).map(|(token, _)| token)
}

fn counted(row: Row) -> Result<TokenRow> {
    let (mut token, mut rest) = columns(row)?;
    token.triggered_count = rest.count()?;
    token.unacknowledged = rest.count()?;
    token.last_hit = rest.opt_time()?;
    Ok(token)
}

fn columns(mut row: Row) -> Result<(TokenRow, Row)> {
    let token = TokenRow {
        id: row.parsed(|text| text.parse().ok())?,
        kind: row.text()?,
        memo: row.text()?,
        flock_id: row.text()?,
        enabled: row.flag()?,
        created: row.time()?,
        updated_id: row.int()?,
        params: row.json()?,
        fields: row.json()?,
        factory_auth: row.opt_text()?,
        places: row
            .opt_text()?
            .and_then(|places| serde_json::from_str(&places).ok()),
        triggered_count: 0,
        unacknowledged: 0,
        last_hit: None,
    };
    Ok((token, row))
}

fn keep_file(writer: &mut Writer, id: &str, param: &str, file: &Upload) -> Result<()> {
    writer.db.execute(
        "INSERT INTO token_uploads (token, param, name, mime, content) VALUES (?, ?, ?, ?, ?)",
        &values![id, param, &file.name, &file.mime, &*file.bytes],
    )?;
    Ok(())
}

fn upload(mut row: Row) -> Result<(String, Upload)> {
    let param = row.text()?;
    let file = Upload {
        name: row.text()?,
        mime: row.text()?,
        bytes: row.bytes()?,
    };
    Ok((param, file))
}

fn factory(mut row: Row) -> Result<Factory> {
    Ok(Factory {
        auth: row.text()?,
        flock_id: row.text()?,
        memo: row.text()?,
        created: row.time()?,
    })
}
