//! Incidents and their events.

use coalmine_core::{Endpoint, NodeId, Sighting, SightingId, Subject, Timestamp};
use serde_json::value::RawValue;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenIncident {
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

/// What the engine decides when an incident opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIncident {
    /// `incident:<kind>:<32 hex>:<src_host>:<created epoch>`; made unique by the store, which
    /// appends nothing but counts the epoch up when the key is taken.
    pub subject_hash: String,
    /// Title, e.g. `SSH Login Attempt`.
    pub title: String,
    /// Flock of the bird or token; the store falls back to the default flock if it's gone.
    pub flock_id: Option<String>,
    /// Reminder of the token, if it is one.
    pub memo: Option<String>,
}

/// Decides about sightings. Pure: no clock, no I/O.
pub trait Decide: Send + Sync {
    /// `open` is the newest incident of `key`, if there is one that isn't deleted.
    fn decide(&self, open: Option<&OpenIncident>, key: &BundleKey, sighting: &Sighting)
    -> Decision;
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

/// A bird's or token's part in the page's source facts.
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

/// Also the node id of a bird's incident, for callers that have only the subject.
pub fn node_id_text(subject: &Subject, console: &str) -> String {
    match subject {
        Subject::Bird(id) => NodeId::to_string(id),
        Subject::Token(id) => id.to_string(),
        Subject::Console => console.to_owned(),
    }
}
