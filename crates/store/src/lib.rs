//! All that is remembered, as nouns. Callers see no SQL and no transaction.
//!
//! *Invariant:* `core` is the only room of ours that this one knows. SQL is written once, in the
//! dialect that SQLite and PostgreSQL share; an engine is chosen by URL.

pub mod audit;
pub mod devices;
pub mod flocks;
pub mod incidents;
pub mod keys;
pub mod settings;
pub mod tokens;
pub mod users;

mod engine;

pub use engine::Store;

/// What can go wrong while remembering.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no engine that this build has.
    #[error("store URL {0:?}: only sqlite:PATH is available")]
    Url(String),
    /// The disk or the engine failed.
    #[error("the store failed to {doing}: {cause}")]
    Engine {
        /// What was being done, e.g. `open /var/lib/coalmine/coalmine.db`.
        doing: String,
        /// In the engine's words.
        cause: String,
    },
    /// The store was made by a later version.
    #[error("the store is of version {found}, this program knows versions up to {known}")]
    Newer {
        /// Version of the file.
        found: u32,
        /// Last version known here.
        known: u32,
    },
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

/// Short for results of this crate.
pub type Result<T> = std::result::Result<T, StoreError>;
