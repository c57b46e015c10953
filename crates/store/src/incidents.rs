//! Incidents and their events.

mod read;
mod record;
mod sweeps;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use coalmine_core::{Endpoint, NodeId, Sighting, SightingId, Subject, Timestamp};
use serde_json::value::RawValue;

use crate::Result;
#[cfg(test)]
pub(crate) use read::plan;
pub(crate) use record::{Memory, count, record};
pub(crate) use sweeps::Upkeep;
pub use sweeps::{Horizon, Sweep, Swept, Touch};

/// What decides whether sightings are bundled: one open incident at most for each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BundleKey {
    /// Event kind, e.g. `sshlogin`.
    pub kind: String,
    /// What was touched.
    pub subject: Subject,
    /// Who did it, as an IP address.
    pub source: std::net::IpAddr,
}

/// The newest incident of a bundle key, as the engine needs it to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenIncident {
    /// When its oldest event happened.
    pub first: Timestamp,
    /// When its newest event happened.
    pub last: Timestamp,
    /// Whether somebody has acknowledged it.
    pub acknowledged: bool,
}

/// What the engine says about one sighting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It joins the newest incident of its bundle key.
    Join,
    /// It opens an incident.
    Open(NewIncident),
    /// It is remembered nowhere (an ignore rule).
    Ignore,
}

/// What the engine decides when an incident opens. The store adds the key, made unique by counting
/// its epoch up, and what it knows of the bird or token: name or reminder, and flock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIncident {
    /// Title, e.g. `SSH Login Attempt`.
    pub title: String,
}

/// Decides about sightings. Pure: no clock, no I/O.
pub trait Decide: Send + Sync {
    /// `open` is an incident of `key`: the newest that is neither deleted nor acknowledged, else
    /// the newest acknowledged one, if there is one. For a sighting that comes late the store may
    /// ask again with an older one.
    fn decide(&self, open: Option<&OpenIncident>, key: &BundleKey, sighting: &Sighting)
    -> Decision;

    /// How touched ports are remembered; `None` if they aren't.
    fn horizon(&self) -> Option<Horizon>;

    /// What `contacts`, sightings of touched ports, add to what is known of their one source. The
    /// same contacts in any order and grouping give the same.
    fn sweeps(&self, known: Vec<Touch>, contacts: &[&Sighting]) -> Swept;
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Keys of incidents that opened, with their sources.
    pub opened: Vec<(String, std::net::IpAddr)>,
    /// Sightings stored.
    pub stored: usize,
    /// Sightings that had been stored before.
    pub repeated: usize,
    /// The Console-wide update counter after the batch.
    pub updated_id: i64,
}

/// One incident without its events.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Row number, for [`crate::Store`]'s own use and for cursors.
    pub row: i64,
    /// `incident:<kind>:<32 hex>:<src_host>:<created epoch>`.
    pub key: String,
    /// md5 of the key, 32 hex digits.
    pub hash_id: String,
    /// Event kind.
    pub kind: String,
    /// Number of the first event.
    pub logtype: u32,
    /// Title.
    pub title: String,
    /// What was touched.
    pub subject: Subject,
    /// Flock.
    pub flock_id: String,
    /// Name of the flock today.
    pub flock_name: String,
    /// Who did it, with the first event's port.
    pub src: Endpoint,
    /// Reverse name of the source; empty while unknown.
    pub src_reverse: String,
    /// What was touched, with the first event's port.
    pub dst: Endpoint,
    /// Name of the bird when it opened; empty for tokens.
    pub name: String,
    /// Reminder of the token; empty for birds.
    pub memo: String,
    /// When it opened.
    pub created: Timestamp,
    /// When its newest event happened.
    pub last: Timestamp,
    /// When it last changed (event, acknowledge, unacknowledge).
    pub updated: Timestamp,
    /// Console-wide counter at its last change.
    pub updated_id: i64,
    /// How many events it has, at any size.
    pub events_count: u64,
    /// Whether somebody has acknowledged it.
    pub acknowledged: bool,
    /// Who did; empty while nobody has.
    pub acknowledged_by: String,
    /// Deleted: a stub for the history.
    pub deleted: bool,
}

/// One event of an incident.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Id of the sighting.
    pub id: SightingId,
    /// When.
    pub at: Timestamp,
    /// Its number.
    pub logtype: u32,
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// The kind's own fields: a JSON object.
    pub fields: Box<RawValue>,
}

/// Which incidents. Empty means all that aren't deleted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Only these states.
    pub acknowledged: Option<bool>,
    /// Only of this bird or token (its id as text).
    pub node_id: Option<String>,
    /// Only of these flocks (what the caller may see, or asked for).
    pub flocks: Option<Vec<String>>,
    /// Only with a greater `updated_id`.
    pub updated_after: Option<i64>,
    /// Only created strictly after.
    pub newer_than: Option<Timestamp>,
    /// Only created strictly before.
    pub older_than: Option<Timestamp>,
    /// Only from this address.
    pub src_host: Option<String>,
    /// Only from addresses that begin with this text.
    pub src_prefix: Option<String>,
    /// Only those that began at this destination port.
    pub dst_port: Option<u16>,
    /// Only of these numbers.
    pub logtypes: Option<Vec<u32>>,
    /// Only with this text in title, bird or token name, node id, source, destination, reverse
    /// name or memo, in any case.
    pub text: Option<String>,
    /// Only of this key or hash id.
    pub key: Option<String>,
    /// Also stubs of deleted ones.
    pub with_deleted: bool,
}

/// In which order, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Newest update first (search) or oldest first (feeds).
    pub descending: bool,
    /// Start at this `updated_id` (inclusive), in the page's direction.
    pub start: Option<i64>,
    /// At most so many.
    pub limit: usize,
}

/// What can be done to many incidents at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nobody needs to look again; no event joins any more.
    Acknowledge,
    /// Back to unacknowledged.
    Unacknowledge,
    /// Gone but for a stub; its event ids stay so that a late copy changes nothing.
    Delete,
}

/// Which incidents something is done to.
#[derive(Clone, Debug, PartialEq)]
pub enum Which {
    /// All that match.
    Filter(Filter),
    /// These, by key or hash id.
    Keys(Vec<String>),
}

impl From<Filter> for Which {
    fn from(filter: Filter) -> Self {
        Self::Filter(filter)
    }
}

impl From<&str> for Which {
    fn from(key: &str) -> Self {
        Self::Keys(vec![key.to_owned()])
    }
}

impl From<Vec<String>> for Which {
    fn from(keys: Vec<String>) -> Self {
        Self::Keys(keys)
    }
}

/// A page of incidents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IncidentPage {
    /// In the page's order.
    pub incidents: Vec<Incident>,
    /// How many match the filter in all, wherever the page starts.
    pub total: u64,
    /// Greatest `updated_id` among them; 0 if there are none.
    pub bound: i64,
}

/// Unacknowledged incidents, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unacknowledged {
    /// By flock id.
    pub flocks: HashMap<String, u64>,
    /// By bird's or token's id.
    pub nodes: HashMap<String, u64>,
}

/// Events of a stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketCount {
    /// Start of the bucket.
    pub at: Timestamp,
    /// Events in it.
    pub events: u64,
}

/// Incidents, as the store remembers them.
#[derive(Clone, Debug)]
pub struct Incidents(pub(crate) crate::Store);

impl Incidents {
    /// Takes a batch in, all or nothing: what was stored before is left out, the rest joins or
    /// opens incidents as `decide` says.
    ///
    /// # Errors
    /// The engine's; then nothing of the batch is stored, and sending it again is right.
    pub async fn record(
        &self,
        sightings: impl Into<Arc<[Sighting]>>,
        decide: Arc<dyn Decide>,
    ) -> Result<Recorded> {
        let sightings = sightings.into();
        self.0
            .write(move |writer| record(writer, &sightings, &*decide))
            .await
    }

    /// Gives a stored event other fields, where more has become known of what happened: an update of
    /// its incident. The Console-wide counter after it; `None` where there is no such event in an
    /// incident that nobody has acknowledged or deleted, and then nothing changes.
    ///
    /// # Errors
    /// The engine's.
    pub async fn amend(
        &self,
        event: SightingId,
        fields: Box<RawValue>,
        now: Timestamp,
    ) -> Result<Option<i64>> {
        self.0
            .write(move |writer| record::amend(&mut *writer.db, event, &fields, now))
            .await
    }

    /// A page of incidents.
    ///
    /// # Errors
    /// The engine's.
    pub async fn page(&self, filter: Filter, page: Page) -> Result<IncidentPage> {
        self.0.read(move |db| read::page(db, &filter, page)).await
    }

    /// Matching incidents from `updated_id` `start` down, newest update first, uncounted.
    ///
    /// # Errors
    /// The engine's.
    pub async fn list(
        &self,
        filter: Filter,
        start: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Incident>> {
        self.0
            .read(move |db| read::list(db, &filter, start, limit))
            .await
    }

    /// Those of these incidents (by row) that have, among their oldest `limit_each` events, one
    /// whose fields hold `text` (in any case, as JSON writes it) and are accepted.
    ///
    /// # Errors
    /// The engine's.
    pub async fn with_event<F>(
        &self,
        rows: Vec<i64>,
        text: &str,
        limit_each: usize,
        accept: F,
    ) -> Result<HashSet<i64>>
    where
        F: Fn(&str) -> bool + Send + 'static,
    {
        let text = text.to_owned();
        self.0
            .read(move |db| read::with_event(db, &rows, &text, limit_each, &accept))
            .await
    }

    /// The incident of this key or hash id, deleted or not.
    ///
    /// # Errors
    /// The engine's.
    pub async fn get(&self, key: &str) -> Result<Option<Incident>> {
        let key = key.to_owned();
        self.0.read(move |db| read::get(db, &key)).await
    }

    /// Events of an incident, oldest first: its `limit` oldest, or newest.
    ///
    /// # Errors
    /// The engine's.
    pub async fn events(&self, row: i64, limit: usize, newest: bool) -> Result<Vec<StoredEvent>> {
        self.0
            .read(move |db| read::events(db, row, limit, newest))
            .await
    }

    /// The oldest `limit_each` events of each incident, oldest first, by row.
    ///
    /// # Errors
    /// The engine's.
    pub async fn events_of(
        &self,
        rows: &[i64],
        limit_each: usize,
    ) -> Result<HashMap<i64, Vec<StoredEvent>>> {
        let rows = rows.to_vec();
        self.0
            .read(move |db| {
                rows.into_iter()
                    .map(|row| Ok((row, read::events(db, row, limit_each, false)?)))
                    .collect()
            })
            .await
    }

    /// When the oldest `limit_each` events of each incident happened, oldest first, by row.
    ///
    /// # Errors
    /// The engine's.
    pub async fn event_times(
        &self,
        rows: &[i64],
        limit_each: usize,
    ) -> Result<HashMap<i64, Vec<Timestamp>>> {
        let rows = rows.to_vec();
        self.0
            .read(move |db| read::event_times(db, &rows, limit_each))
            .await
    }

    /// Does something to incidents; the keys of those that changed by it. Deletes only
    /// acknowledged ones unless `delete_unacknowledged`.
    ///
    /// # Errors
    /// The engine's.
    pub async fn act(
        &self,
        which: impl Into<Which>,
        action: Action,
        delete_unacknowledged: bool,
        by: &str,
        now: Timestamp,
    ) -> Result<Vec<String>> {
        let (which, by) = (which.into(), by.to_owned());
        self.0
            .write(move |writer| {
                record::act(writer, &which, action, delete_unacknowledged, &by, now)
            })
            .await
    }

    /// The newest incidents from this address, also deleted ones, newest update first.
    ///
    /// # Errors
    /// The engine's.
    pub async fn history(
        &self,
        src_host: &str,
        flocks: Option<Vec<String>>,
        limit: usize,
    ) -> Result<Vec<Incident>> {
        let filter = Filter {
            src_host: Some(src_host.to_owned()),
            flocks,
            with_deleted: true,
            ..Filter::default()
        };
        self.list(filter, None, limit).await
    }

    /// How many incidents each source has among those that match, most first.
    ///
    /// # Errors
    /// The engine's.
    pub async fn source_counts(&self, filter: Filter) -> Result<Vec<(String, u64)>> {
        self.0
            .read(move |db| read::source_counts(db, &filter))
            .await
    }

    /// How many incidents each of these addresses has ever made, also deleted ones.
    ///
    /// # Errors
    /// The engine's.
    pub async fn previously_seen(&self, sources: &[String]) -> Result<HashMap<String, u64>> {
        let sources = sources.to_vec();
        self.0
            .read(move |db| read::previously_seen(db, &sources))
            .await
    }

    /// Unacknowledged incidents by flock and by bird or token.
    ///
    /// # Errors
    /// The engine's.
    pub async fn unacknowledged(&self) -> Result<Unacknowledged> {
        self.0.read(read::unacknowledged).await
    }

    /// Events of matching incidents in `from..to`, in buckets of `bucket`; empty buckets are left
    /// out.
    ///
    /// # Errors
    /// The engine's.
    pub async fn histogram(
        &self,
        from: Timestamp,
        to: Timestamp,
        bucket: std::time::Duration,
        filter: Filter,
    ) -> Result<Vec<BucketCount>> {
        self.0
            .read(move |db| read::histogram(db, from, to, bucket, &filter))
            .await
    }

    /// Writes the reverse name of a source into all its incidents. No update for feeds: the name
    /// is no news of the incident. How many incidents changed.
    ///
    /// # Errors
    /// The engine's.
    pub async fn set_reverse(&self, source: std::net::IpAddr, name: &str) -> Result<usize> {
        let params = crate::driver::values![name, source.to_string(), name];
        self.0
            .write(move |writer| {
                writer.db.execute(
                    "UPDATE incidents SET src_reverse = ? WHERE src_host = ? AND src_reverse <> ?",
                    &params,
                )
            })
            .await
    }

    /// Sources without a reverse name of at most `limit` incidents that changed after `after`,
    /// oldest change first; and the counter up to which that goes.
    ///
    /// # Errors
    /// The engine's.
    pub async fn unnamed_sources(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<std::net::IpAddr>, i64)> {
        self.0
            .read(move |db| read::unnamed_sources(db, after, limit))
            .await
    }

    /// The Console-wide update counter.
    ///
    /// # Errors
    /// The engine's.
    pub async fn updated_id(&self) -> Result<i64> {
        self.0.read(read::updated_id).await
    }
}

/// Also the node id of a bird's incident, for callers that have only the subject.
pub fn node_id_text(subject: &Subject, console: &str) -> String {
    match subject {
        Subject::Bird(id) => NodeId::to_string(id),
        Subject::Token(id) => id.to_string(),
        Subject::Console => console.to_owned(),
    }
}
