//! The list of incidents, and the strip above it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

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
/// Longest that one answer looks for rows; the next one goes on from there.
const MAX_SEARCH: Duration = Duration::from_millis(400);
/// Events of one incident read in search of a user name.
const MAX_EVENTS_SEARCHED: usize = 500;
/// Incidents taken from the store at once.
const BATCH: usize = 500;
/// The same when their events have to be read too.
const BATCH_EVENTS: usize = 100;
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
    list_for(store, query, cursor, MAX_SEARCH).await
}

/// The same, looking for at most about this long.
pub(super) async fn list_for(
    store: &Store,
    query: &Query,
    cursor: Option<i64>,
    most: Duration,
) -> Result<Rows> {
    // Read before the rows, so that a change in between is told twice rather than never.
    let newest = store.incidents().updated_id().await?;
    let found = if query.kinds.as_ref().is_some_and(Vec::is_empty) {
        Found::default()
    } else {
        scan(store, query, cursor, most).await?
    };
    let mut problems = query.problems.clone();
    problems.extend(found.back_to.map(|at| {
        format!(
            "This search takes a while: everything since {} is looked through, older incidents are not yet.",
            std(at.millis())
        )
    }));
    Ok(Rows {
        rows: rows(store, &found.incidents).await?,
        cursor: found.cursor,
        newest,
        problems,
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
    let kept = keep(store, query, found.incidents).await?;
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

/// What a search has found so far.
#[derive(Debug, Default)]
struct Found {
    incidents: Vec<Incident>,
    /// Where to go on.
    cursor: Option<i64>,
    /// Where the time was up.
    back_to: Option<Timestamp>,
}

/// Looks until there are enough rows or `most` is over; always a batch.
async fn scan(store: &Store, query: &Query, cursor: Option<i64>, most: Duration) -> Result<Found> {
    let batch = if query.user.is_some() {
        BATCH_EVENTS
    } else {
        BATCH
    };
    let since = Instant::now();
    let mut found = Found {
        cursor,
        ..Found::default()
    };
    loop {
        let mut taken = store
            .incidents()
            .list(query.filter.clone(), found.cursor, batch)
            .await?;
        if let Some(end) = taken.iter().position(|i| query.ends_at(i.updated)) {
            taken.truncate(end);
        }
        let last = taken.last().map(|i| (i.updated_id, i.updated));
        let ends = taken.len() < batch;
        for incident in keep(store, query, taken).await? {
            let next = incident.updated_id.saturating_sub(1);
            found.incidents.push(incident);
            if found.incidents.len() >= MAX_ROWS {
                found.cursor = Some(next);
                return Ok(found);
            }
        }
        let Some((id, updated)) = last.filter(|_| !ends) else {
            found.cursor = None;
            return Ok(found);
        };
        found.cursor = Some(id.saturating_sub(1));
        if since.elapsed() >= most {
            found.back_to = Some(updated);
            return Ok(found);
        }
    }
}

/// Those that match what the store could not filter, in their order.
async fn keep(store: &Store, query: &Query, mut some: Vec<Incident>) -> Result<Vec<Incident>> {
    some.retain(|incident| query.matches(incident));
    let Some(user) = query.user.clone() else {
        return Ok(some);
    };
    let rows = some.iter().map(|incident| incident.row).collect();
    // The store's lower case knows ASCII only; what comes before anything else is enough for it.
    let start = user.find(|c: char| !c.is_ascii()).unwrap_or(user.len());
    let written = serde_json::Value::from(user.get(..start).unwrap_or_default()).to_string();
    let quoted = |text: &str| Some(text.strip_prefix('"')?.strip_suffix('"')?.to_owned());
    let written = quoted(&written).unwrap_or_default();
    let accept = move |fields: &str| {
        let fields: serde_json::Map<_, _> = serde_json::from_str(fields).unwrap_or_default();
        super::incident::user_of(&fields).is_some_and(|name| name.to_lowercase().contains(&user))
    };
    let found = store
        .incidents()
        .with_event(rows, &written, MAX_EVENTS_SEARCHED, accept)
        .await?;
    some.retain(|incident| found.contains(&incident.row));
    Ok(some)
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
