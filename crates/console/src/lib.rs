//! The Console: ingest, incident engine, REST API, page, token channels.
//!
//! *Invariant:* it knows no decoy and no token kind by name; the binary hands it a [`Catalogue`].
//!
//! One [`Console`] value is shared by all rooms inside:
//! [`ingest`] takes sightings from the bus through [`engine`] into the store, [`api`] answers
//! `/api/v1`, [`page`] is the web page, [`channels`] notice touched tokens, [`serve`] owns listeners,
//! TLS and first-start secrets.

// The API's larger objects are written as they look on the wire.
#![recursion_limit = "256"]

pub mod api;
pub mod breadcrumbs;
pub mod catalogue;
pub mod channels;
pub mod cloud;
pub mod engine;
pub mod ingest;
pub mod mailboxes;
pub mod page;
pub mod reverse;
pub mod scan_ignore;
pub mod serve;
pub mod setup;
pub mod sweep;
pub mod watchdog;

use std::sync::Arc;

use coalmine_core::Timestamp;
use coalmine_store::Store;
use tokio::sync::watch;

pub use catalogue::Catalogue;
pub use serve::{ConsoleConfig, Running, start};

/// What all rooms of the Console share.
pub struct Console {
    /// All that is remembered.
    pub store: Store,
    /// Event kinds, decoy settings and token kinds, from the binary.
    pub catalogue: Catalogue,
    /// What the operator configured.
    pub config: ConsoleConfig,
    /// The Console-wide update counter; changes whenever an incident does.
    pub changes: watch::Sender<i64>,
    /// Names by which the tokens' zones are tested.
    pub probes: channels::Probes,
    /// Whoever puts mails into mailboxes now.
    pub placing: mailboxes::Placing,
    /// True once the Console is to end; answers that have no end of their own end with it.
    pub stop: watch::Sender<bool>,
}

/// A shared Console.
pub type Shared = Arc<Console>;

/// The Console's clock; the only place in this crate that reads one.
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// What can keep the Console from starting or working.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] coalmine_store::StoreError),
    /// A file or listener failed.
    #[error("{doing}: {cause}")]
    Io {
        /// What was being done, e.g. `listen on 127.0.0.1:8443`.
        doing: String,
        /// Why it failed.
        cause: std::io::Error,
    },
    /// A certificate, key or password couldn't be made or read.
    #[error("{0}")]
    Secrets(String),
}
