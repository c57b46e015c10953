//! The list of incidents, and the strip above it.

use std::collections::HashMap;
use std::time::Duration;

use coalmine_core::Timestamp;
use coalmine_store::incidents::{Filter, Incident, Page};
use coalmine_store::{Result, Store};
use serde::Serialize;

use super::inert::inert;
use super::query::Query;
use super::words::{Sentence, sentence};

/// Rows of one answer.
pub const MAX_ROWS: usize = 50;
/// Changed rows of one answer.
const MAX_CHANGED: usize = 200;
/// Incidents asked one by one for what the store cannot filter, in one answer.
const MAX_SCANNED: usize = 10_000;
/// The same when their events have to be read too.
const MAX_SCANNED_EVENTS: usize = 400;
/// Events of one incident read in search of a user name.
const MAX_EVENTS_SEARCHED: usize = 500;
/// Incidents taken from the store at once.
const BATCH: usize = 1_000;
/// Bars of a sparkline.
const BARS: usize = 16;
/// Events whose times are read for a sparkline; more are counted by the store.
const MAX_TIMES: usize = 200;
/// Bars of the strip.
const STRIP_BARS: i64 = 96;
/// What a bar of the strip stands for.
const STRIP_STEP: Duration = Duration::from_mins(15);
/// Names offered by the completion.
const MAX_NAMES: usize = 500;

/// A row: an incident as one sentence.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its hash id, part of its address.
    pub hash: String,
    /// Its id in the API.
    pub key: String,
    /// Its title.
    pub title: String,
    /// What it says.
    #[serde(flatten)]
    pub sentence: Sentence,
    /// Reverse name of the source; captured text.
    pub reverse: String,
    /// Name of the flock.
    pub flock: String,
    /// When it opened, in milliseconds.
    pub created: i64,
    /// Its newest event, in milliseconds.
    pub last: i64,
    /// How many events it has.
    pub events: u64,
    /// Not acknowledged yet.
    pub open: bool,
    /// Its place in the order of changes.
    pub updated_id: i64,
    /// Events from first to last, counted in equal parts.
    pub spark: Vec<u64>,
    /// Whether the search lists it (a changed row may have left the list).
    pub listed: bool,
}

impl Row {
    fn new(incident: &Incident, spark: Vec<u64>) -> Self {
        Self {
            hash: incident.hash_id.clone(),
            key: incident.key.clone(),
            title: incident.title.clone(),
            sentence: sentence(incident),
            reverse: incident.src_reverse.clone(),
            flock: incident.flock_name.clone(),
            created: incident.created.millis(),
            last: incident.last.millis(),
            events: incident.events_count,
            open: !incident.acknowledged,
            updated_id: incident.updated_id,
            spark,
            listed: true,
        }
    }

    /// Source, inert.
    pub fn source(&self) -> String {
        inert(&self.sentence.source)
    }

    /// What the source did.
    pub fn did(&self) -> &str {
        &self.sentence.did
    }

    /// Bird or token, inert.
    pub fn place(&self) -> String {
        inert(&self.sentence.place)
    }

    /// Flock, inert.
    pub fn flock_shown(&self) -> String {
        inert(&self.flock)
    }

    /// Newest event, for a `datetime` attribute.
    pub fn last_iso(&self) -> String {
        iso(self.last)
    }

    /// Newest event, for people.
    pub fn last_std(&self) -> String {
        std(self.last)
    }
}

/// Milliseconds as `2026-11-22T02:41:34Z`.
pub fn iso(millis: i64) -> String {
    Timestamp::from_micros(millis.saturating_mul(1000)).format("%Y-%m-%dT%H:%M:%SZ")
}

/// Milliseconds as `2026-11-22 02:41:34 UTC`.
pub fn std(millis: i64) -> String {
    Timestamp::from_micros(millis.saturating_mul(1000)).format("%Y-%m-%d %H:%M:%S UTC")
}

/// A part of the list.
#[derive(Debug, Serialize)]
pub struct Rows {
    /// Newest change first.
    pub rows: Vec<Row>,
    /// Where the next part starts; `None` at the end.
    pub cursor: Option<i64>,
    /// The newest change there is.
    pub newest: i64,
    /// What was not understood of the search.
    pub problems: Vec<String>,
    /// Incidents nobody has acknowledged.
    pub open: Open,
    /// More has changed than this answer holds.
    pub more: bool,
}

/// How many incidents nobody has acknowledged.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Open {
    /// So many.
    pub count: u64,
    /// Or more.
    pub more: bool,
}

/// The incidents that match, from `cursor` on, newest change first.
///
/// # Errors
/// The store's.
pub async fn list(store: &Store, query: &Query, cursor: Option<i64>) -> Result<Rows> {
    // Read before the rows, so that a change in between is told twice rather than never.
    let newest = store.incidents().updated_id().await?;
    let (found, cursor) = if query.kinds.as_ref().is_some_and(Vec::is_empty) {
        (Vec::new(), None)
    } else {
        scan(store, query, cursor).await?
    };
    Ok(Rows {
        rows: rows(store, &found).await?,
        cursor,
        newest,
        problems: query.problems.clone(),
        open: open(store, query.filter.flocks.clone()).await?,
        more: false,
    })
}

/// Incidents changed after `after`, oldest change first.
///
/// # Errors
/// The store's.
pub async fn changed(store: &Store, query: &Query, after: i64) -> Result<Rows> {
    let filter = Filter {
        updated_after: Some(after),
        acknowledged: None,
        ..query.filter.clone()
    };
    let page = Page {
        descending: false,
        start: None,
        limit: MAX_CHANGED,
    };
    let found = store.incidents().page(filter, page).await?;
    let more = found.incidents.len() >= MAX_CHANGED;
    let newest = found
        .incidents
        .last()
        .map_or(after, |incident| incident.updated_id);
    let mut kept = Vec::new();
    for incident in found.incidents {
        if query.matches(&incident)
            && (query.user.is_none() || tried(store, query, &incident).await?)
        {
            kept.push(incident);
        }
    }
    let mut rows = rows(store, &kept).await?;
    for row in &mut rows {
        row.listed = query
            .filter
            .acknowledged
            .is_none_or(|acknowledged| acknowledged != row.open);
    }
    Ok(Rows {
        rows,
        cursor: None,
        newest,
        problems: Vec::new(),
        open: open(store, query.filter.flocks.clone()).await?,
        more,
    })
}

async fn scan(
    store: &Store,
    query: &Query,
    cursor: Option<i64>,
) -> Result<(Vec<Incident>, Option<i64>)> {
    let most = if query.user.is_some() {
        MAX_SCANNED_EVENTS
    } else {
        MAX_SCANNED
    };
    let (mut found, mut start, mut scanned) = (Vec::new(), cursor, 0usize);
    loop {
        let page = Page {
            descending: true,
            start,
            limit: BATCH,
        };
        let batch = store
            .incidents()
            .page(query.filter.clone(), page)
            .await?
            .incidents;
        let last_batch = batch.len() < BATCH;
        for incident in batch {
            if query.ends_at(incident.updated) {
                return Ok((found, None));
            }
            scanned = scanned.saturating_add(1);
            let next = incident.updated_id.saturating_sub(1);
            start = Some(next);
            let fits = query.matches(&incident)
                && (query.user.is_none() || tried(store, query, &incident).await?);
            if fits {
                found.push(incident);
            }
            if found.len() >= MAX_ROWS || scanned >= most {
                return Ok((found, Some(next)));
            }
        }
        if last_batch {
            return Ok((found, None));
        }
    }
}

/// Whether the user name of the query was tried.
async fn tried(store: &Store, query: &Query, incident: &Incident) -> Result<bool> {
    let Some(user) = &query.user else {
        return Ok(true);
    };
    let events = store
        .incidents()
        .events(incident.row, MAX_EVENTS_SEARCHED, false)
        .await?;
    Ok(events.iter().any(|event| {
        super::incident::user_of(&super::incident::fields(event))
            .is_some_and(|name| name.to_lowercase().contains(user))
    }))
}

/// Rows with their sparklines.
///
/// # Errors
/// The store's.
pub async fn rows(store: &Store, found: &[Incident]) -> Result<Vec<Row>> {
    let few: Vec<i64> = found
        .iter()
        .filter(|incident| usize::try_from(incident.events_count).is_ok_and(|n| n <= MAX_TIMES))
        .map(|incident| incident.row)
        .collect();
    let times = store.incidents().event_times(&few, MAX_TIMES).await?;
    let mut rows = Vec::with_capacity(found.len());
    for incident in found {
        let spark = sparkline(store, incident, &times).await?;
        rows.push(Row::new(incident, spark));
    }
    Ok(rows)
}

async fn sparkline(
    store: &Store,
    incident: &Incident,
    times: &HashMap<i64, Vec<Timestamp>>,
) -> Result<Vec<u64>> {
    let mut bars = vec![0u64; BARS];
    let from = incident.created;
    let length = incident.last.since(from).as_micros().saturating_add(1);
    let mut count = |at: Timestamp, events: u64| {
        let part = at.since(from).as_micros().saturating_mul(BARS as u128) / length;
        let index = usize::try_from(part)
            .unwrap_or(BARS)
            .min(BARS.saturating_sub(1));
        if let Some(bar) = bars.get_mut(index) {
            *bar = bar.saturating_add(events);
        }
    };
    if let Some(times) = times.get(&incident.row) {
        for at in times {
            count(*at, 1);
        }
    } else {
        for bucket in buckets(store, incident, BARS as u32).await?.0 {
            count(bucket.0, bucket.1);
        }
    }
    Ok(bars)
}

/// An incident's events counted in at most about `parts` equal parts (empty ones left out), and
/// the length of a part.
///
/// # Errors
/// The store's.
pub async fn buckets(
    store: &Store,
    incident: &Incident,
    parts: u32,
) -> Result<(Vec<(Timestamp, u64)>, Duration)> {
    let end = incident.last.plus(Duration::from_micros(1));
    let length = end.since(incident.created);
    let step = (length / parts.max(1)).max(Duration::from_millis(50));
    let filter = Filter {
        key: Some(incident.key.clone()),
        with_deleted: true,
        ..Filter::default()
    };
    let counted = store
        .incidents()
        .histogram(incident.created, end, step, filter)
        .await?;
    Ok((
        counted.into_iter().map(|b| (b.at, b.events)).collect(),
        step,
    ))
}

async fn open(store: &Store, flocks: Option<Vec<String>>) -> Result<Open> {
    let filter = Filter {
        acknowledged: Some(false),
        flocks,
        ..Filter::default()
    };
    Ok(Open {
        count: count(store, filter).await?,
        more: false,
    })
}

async fn count(store: &Store, filter: Filter) -> Result<u64> {
    let page = Page {
        descending: true,
        start: None,
        limit: 1,
    };
    Ok(store.incidents().page(filter, page).await?.total)
}

/// The strip above the list.
#[derive(Debug, Serialize)]
pub struct Strip {
    /// The last 24 hours: start in milliseconds, events.
    pub buckets: Vec<(i64, u64)>,
    /// Birds that report.
    pub birds_up: usize,
    /// Birds that don't.
    pub birds_down: usize,
    /// Incidents opened since the page was looked at last.
    pub new: u64,
    /// Kinds of incidents, for the completion.
    pub kinds: Vec<&'static str>,
    /// Names of birds, for the completion.
    pub names: Vec<String>,
}

/// The strip, for who may see these flocks; `looked` is when the page was looked at last.
///
/// # Errors
/// The store's.
pub async fn strip(
    store: &Store,
    flocks: Option<Vec<String>>,
    kinds: Vec<&'static str>,
    looked: Timestamp,
    now: Timestamp,
) -> Result<Strip> {
    let step = i64::try_from(STRIP_STEP.as_micros()).unwrap_or(i64::MAX);
    let start = now
        .micros()
        .div_euclid(step)
        .saturating_sub(STRIP_BARS.saturating_sub(1))
        .saturating_mul(step);
    let from = Timestamp::from_micros(start);
    let to = Timestamp::from_micros(start.saturating_add(STRIP_BARS.saturating_mul(step)));
    let filter = Filter {
        flocks: flocks.clone(),
        ..Filter::default()
    };
    let counted: HashMap<i64, u64> = store
        .incidents()
        .histogram(from, to, STRIP_STEP, filter.clone())
        .await?
        .into_iter()
        .map(|bucket| (bucket.at.millis(), bucket.events))
        .collect();
    let buckets = (0..STRIP_BARS)
        .map(|i| {
            let at = Timestamp::from_micros(start.saturating_add(i.saturating_mul(step))).millis();
            (at, counted.get(&at).copied().unwrap_or(0))
        })
        .collect();
    let birds = store.devices().all(flocks.as_deref()).await?;
    let up = birds.iter().filter(|bird| bird.live).count();
    let fresh = Filter {
        newer_than: Some(looked),
        ..filter
    };
    Ok(Strip {
        buckets,
        birds_up: up,
        birds_down: birds.len().saturating_sub(up),
        new: count(store, fresh).await?,
        kinds,
        names: birds
            .into_iter()
            .map(|bird| bird.name)
            .take(MAX_NAMES)
            .collect(),
    })
}
