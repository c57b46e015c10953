//! Questions about incidents.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use coalmine_core::{Endpoint, Subject, Timestamp};
use serde_json::value::RawValue;

use super::{BucketCount, Filter, Incident, IncidentPage, Page, StoredEvent, Unacknowledged};
use crate::Result;
use crate::driver::{Driver, Row, Value, contains, escaped, placeholders, values};
use crate::flocks::DEFAULT;

/// Placeholders in one statement at most.
const MAX_PLACEHOLDERS: usize = 500;

const COLUMNS: &str = "i.id, incident_key, hash_id, kind, logtype, title, subject, node_id, \
    i.flock_id, COALESCE(f.name, ''), src_host, src_port, src_reverse, dst_host, dst_port, \
    i.name, memo, i.created, last_event, updated, updated_id, events_count, acknowledged, \
    acknowledged_by, deleted";
const TABLES: &str = "incidents i LEFT JOIN flocks f ON f.id = i.flock_id";

pub(super) fn page(db: &mut dyn Driver, filter: &Filter, page: Page) -> Result<IncidentPage> {
    let (mut wheres, mut params) = conditions(filter);
    let sql =
        format!("SELECT COUNT(*), COALESCE(MAX(updated_id), 0) FROM incidents i WHERE {wheres}");
    let (total, bound) = match db.query(&sql, &params)?.pop() {
        Some(mut row) => (row.count()?, row.int()?),
        None => (0, 0),
    };
    if let Some(start) = page.start {
        wheres.push_str(if page.descending {
            " AND updated_id <= ?"
        } else {
            " AND updated_id >= ?"
        });
        params.push(start.into());
    }
    let order = if page.descending { "DESC" } else { "ASC" };
    params.push(page.limit.into());
    let incidents = incidents(db, &page_sql(&wheres, order), &params)?;
    Ok(IncidentPage {
        incidents,
        total,
        bound,
    })
}

fn page_sql(wheres: &str, order: &str) -> String {
    format!("SELECT {COLUMNS} FROM {TABLES} WHERE {wheres} ORDER BY updated_id {order} LIMIT ?")
}

/// How the engine would find a page.
#[cfg(test)]
pub(crate) fn plan(db: &mut dyn Driver, filter: &Filter) -> Result<Vec<String>> {
    let (wheres, mut params) = conditions(filter);
    params.push(10_u32.into());
    let sql = format!("EXPLAIN QUERY PLAN {}", page_sql(&wheres, "ASC"));
    db.query(&sql, &params)?
        .into_iter()
        .map(|mut row| {
            for _ in 0..3 {
                row.int()?;
            }
            row.text()
        })
        .collect()
}

/// Matching incidents, newest update first.
pub(super) fn list(
    db: &mut dyn Driver,
    filter: &Filter,
    start: Option<i64>,
    limit: usize,
) -> Result<Vec<Incident>> {
    let (mut wheres, mut params) = conditions(filter);
    if let Some(start) = start {
        wheres.push_str(" AND updated_id <= ?");
        params.push(start.into());
    }
    params.push(limit.into());
    incidents(db, &page_sql(&wheres, "DESC"), &params)
}

pub(super) fn with_event(
    db: &mut dyn Driver,
    rows: &[i64],
    text: &str,
    limit_each: usize,
    accept: &dyn Fn(&str) -> bool,
) -> Result<HashSet<i64>> {
    let pattern = contains(text);
    let mut found = HashSet::new();
    for row in rows {
        let events = db.query(
            "SELECT fields FROM (SELECT lower(fields) AS lowered, fields FROM events \
             WHERE incident = ? ORDER BY happened, id LIMIT ?) AS oldest \
             WHERE lowered LIKE ? ESCAPE '\\'",
            &values![*row, limit_each, &pattern],
        )?;
        for mut event in events {
            if accept(&event.text()?) {
                found.insert(*row);
                break;
            }
        }
    }
    Ok(found)
}

pub(super) fn get(db: &mut dyn Driver, key: &str) -> Result<Option<Incident>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE incident_key = ? OR hash_id = ?");
    Ok(incidents(db, &sql, &values![key, key])?.pop())
}

pub(super) fn events(
    db: &mut dyn Driver,
    row: i64,
    limit: usize,
    newest: bool,
) -> Result<Vec<StoredEvent>> {
    let order = if newest { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT sighting, happened, logtype, src_port, dst_port, COALESCE(fields, '{{}}') \
         FROM events WHERE incident = ? ORDER BY happened {order}, id {order} LIMIT ?"
    );
    let mut events = db
        .query(&sql, &values![row, limit])?
        .into_iter()
        .map(event)
        .collect::<Result<Vec<_>>>()?;
    if newest {
        events.reverse();
    }
    Ok(events)
}

pub(super) fn event_times(
    db: &mut dyn Driver,
    rows: &[i64],
    limit_each: usize,
) -> Result<HashMap<i64, Vec<Timestamp>>> {
    rows.iter()
        .map(|row| {
            let times = db
                .query(
                    "SELECT happened FROM events WHERE incident = ? ORDER BY happened, id LIMIT ?",
                    &values![*row, limit_each],
                )?
                .into_iter()
                .map(|mut row| row.time())
                .collect::<Result<_>>()?;
            Ok((*row, times))
        })
        .collect()
}

pub(super) fn source_counts(db: &mut dyn Driver, filter: &Filter) -> Result<Vec<(String, u64)>> {
    let (wheres, params) = conditions(filter);
    let sql = format!(
        "SELECT src_host, COUNT(*) FROM incidents i WHERE {wheres} \
         GROUP BY src_host ORDER BY 2 DESC, 1"
    );
    counts(db, &sql, &params)
}

pub(super) fn previously_seen(
    db: &mut dyn Driver,
    sources: &[String],
) -> Result<HashMap<String, u64>> {
    let mut seen = HashMap::new();
    for sources in sources.chunks(MAX_PLACEHOLDERS) {
        let sql = format!(
            "SELECT src_host, COUNT(*) FROM incidents WHERE src_host IN ({}) GROUP BY src_host",
            placeholders(sources.len())
        );
        let params: Vec<_> = sources.iter().map(Value::from).collect();
        seen.extend(counts(db, &sql, &params)?);
    }
    Ok(seen)
}

pub(super) fn unacknowledged(db: &mut dyn Driver) -> Result<Unacknowledged> {
    let mut by = |column: &str| -> Result<HashMap<String, u64>> {
        let sql = format!(
            "SELECT {column}, COUNT(*) FROM incidents \
             WHERE deleted = 0 AND acknowledged = 0 GROUP BY {column}"
        );
        Ok(counts(db, &sql, &[])?.into_iter().collect())
    };
    Ok(Unacknowledged {
        flocks: by("flock_id")?,
        nodes: by("node_id")?,
    })
}

pub(super) fn histogram(
    db: &mut dyn Driver,
    from: Timestamp,
    to: Timestamp,
    bucket: Duration,
    filter: &Filter,
) -> Result<Vec<BucketCount>> {
    let bucket = i64::try_from(bucket.as_micros()).unwrap_or(i64::MAX).max(1);
    let (wheres, wheres_params) = conditions(filter);
    let mut params = values![from, bucket, from, to].to_vec();
    params.extend(wheres_params);
    let sql = format!(
        "SELECT (e.happened - ?) / ? AS bucket, COUNT(*) FROM events e \
         JOIN incidents i ON i.id = e.incident \
         WHERE e.happened >= ? AND e.happened < ? AND {wheres} GROUP BY 1 ORDER BY 1"
    );
    db.query(&sql, &params)?
        .into_iter()
        .map(|mut row| {
            let offset = row.int()?.saturating_mul(bucket);
            Ok(BucketCount {
                at: Timestamp::from_micros(from.micros().saturating_add(offset)),
                events: row.count()?,
            })
        })
        .collect()
}

pub(super) fn updated_id(db: &mut dyn Driver) -> Result<i64> {
    db.query("SELECT value FROM counters WHERE name = 'incident'", &[])?
        .pop()
        .map_or(Ok(0), |mut row| row.int())
}

pub(super) fn unnamed_sources(
    db: &mut dyn Driver,
    after: i64,
    limit: usize,
) -> Result<(Vec<std::net::IpAddr>, i64)> {
    let (mut sources, mut upto) = (Vec::new(), after);
    for mut row in db.query(
        "SELECT src_host, src_reverse, updated_id FROM incidents \
         WHERE deleted = 0 AND updated_id > ? ORDER BY updated_id LIMIT ?",
        &values![after, limit],
    )? {
        let source = row.parsed(|text| text.parse().ok())?;
        let named = !row.text()?.is_empty();
        upto = row.int()?;
        if !named && !sources.contains(&source) {
            sources.push(source);
        }
    }
    Ok((sources, upto))
}

/// A filter as SQL over `incidents i`.
pub(super) fn conditions(filter: &Filter) -> (String, Vec<Value>) {
    let few = filter.node_id.is_some() || filter.src_host.is_some();
    let sql = match (filter.with_deleted, few) {
        (true, _) => "1 = 1",
        (false, false) => "i.deleted = 0",
        // With the sign no index of all that aren't deleted is taken in place of one of those few.
        (false, true) => "+i.deleted = 0",
    };
    let mut sql = sql.to_owned();
    let mut params = Vec::new();
    let mut also = |condition: &str, value: Value| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        params.push(value);
    };
    if let Some(acknowledged) = filter.acknowledged {
        also("i.acknowledged = ?", acknowledged.into());
    }
    if let Some(node_id) = &filter.node_id {
        also("i.node_id = ?", node_id.into());
    }
    if let Some(id) = filter.updated_after {
        also("i.updated_id > ?", id.into());
    }
    if let Some(at) = filter.newer_than {
        also("i.created > ?", at.into());
    }
    if let Some(at) = filter.older_than {
        also("i.created < ?", at.into());
    }
    if let Some(source) = &filter.src_host {
        also("i.src_host = ?", source.into());
    }
    if let Some(prefix) = &filter.src_prefix {
        let pattern = format!("{}%", escaped(prefix));
        also("i.src_host LIKE ? ESCAPE '\\'", pattern.into());
    }
    if let Some(port) = filter.dst_port {
        also("i.dst_port = ?", port.into());
    }
    if let Some(flocks) = &filter.flocks {
        sql.push_str(&format!(
            " AND i.flock_id IN ({})",
            placeholders(flocks.len())
        ));
        params.extend(flocks.iter().map(Value::from));
    }
    if let Some(logtypes) = &filter.logtypes {
        sql.push_str(&format!(
            " AND i.logtype IN ({})",
            placeholders(logtypes.len())
        ));
        params.extend(logtypes.iter().map(|code| Value::from(*code)));
    }
    if let Some(key) = &filter.key {
        sql.push_str(" AND (i.incident_key = ? OR i.hash_id = ?)");
        params.extend(values![key, key]);
    }
    if let Some(text) = &filter.text {
        let pattern = contains(text);
        let columns = [
            "title",
            "name",
            "node_id",
            "src_host",
            "dst_host",
            "src_reverse",
            "memo",
        ]
        .map(|column| format!("lower(i.{column}) LIKE ? ESCAPE '\\'"));
        sql.push_str(&format!(" AND ({})", columns.join(" OR ")));
        params.extend(columns.iter().map(|_| Value::from(&pattern)));
    }
    (sql, params)
}

fn incidents(db: &mut dyn Driver, sql: &str, params: &[Value]) -> Result<Vec<Incident>> {
    db.query(sql, params)?.into_iter().map(incident).collect()
}

fn incident(mut row: Row) -> Result<Incident> {
    let (id, key, hash_id) = (row.int()?, row.text()?, row.text()?);
    let (kind, logtype, title) = (row.text()?, row.code()?, row.text()?);
    let (subject, node_id) = (row.text()?, row.text()?);
    let (flock_id, flock_name) = (row.text()?, row.text()?);
    let src = endpoint(&mut row)?;
    let src_reverse = row.text()?;
    let dst = endpoint(&mut row)?;
    Ok(Incident {
        row: id,
        key,
        hash_id,
        kind,
        logtype,
        title,
        subject: subject_from(&subject, &node_id),
        // A flock that is gone has given its incidents to the default one; this is for safety.
        flock_id: if flock_name.is_empty() {
            DEFAULT.to_owned()
        } else {
            flock_id
        },
        flock_name,
        src,
        src_reverse,
        dst,
        name: row.text()?,
        memo: row.text()?,
        created: row.time()?,
        last: row.time()?,
        updated: row.time()?,
        updated_id: row.int()?,
        events_count: row.count()?,
        acknowledged: row.flag()?,
        acknowledged_by: row.text()?,
        deleted: row.flag()?,
    })
}

fn endpoint(row: &mut Row) -> Result<Endpoint> {
    Ok(Endpoint {
        ip: row.parsed(|text| text.parse().ok())?,
        port: row.port()?,
    })
}

fn event(mut row: Row) -> Result<StoredEvent> {
    Ok(StoredEvent {
        id: coalmine_core::SightingId::from_bytes(sighting_id(&row.bytes()?)),
        at: row.time()?,
        logtype: row.code()?,
        src_port: row.port()?,
        dst_port: row.port()?,
        fields: row.parsed(|text| RawValue::from_string(text.to_owned()).ok())?,
    })
}

fn sighting_id(bytes: &[u8]) -> [u8; 16] {
    bytes.try_into().unwrap_or_default()
}

fn subject_from(subject: &str, node_id: &str) -> Subject {
    match subject {
        "bird" => node_id.parse().map_or(Subject::Console, Subject::Bird),
        "token" => node_id.parse().map_or(Subject::Console, Subject::Token),
        _ => Subject::Console,
    }
}

fn counts(db: &mut dyn Driver, sql: &str, params: &[Value]) -> Result<Vec<(String, u64)>> {
    db.query(sql, params)?
        .into_iter()
        .map(|mut row| Ok((row.text()?, row.count()?)))
        .collect()
}
