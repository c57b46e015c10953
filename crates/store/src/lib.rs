//! All that is remembered, as nouns. Callers see no SQL and no transaction.
//!
//! *Invariant:* `core` is the only room of ours that this one knows. SQL is written once, in the
//! dialect that SQLite and PostgreSQL share; an engine is chosen by URL.

pub mod audit;
pub mod breadcrumbs;
pub mod devices;
pub mod flocks;
pub mod incidents;
pub mod keys;
pub mod settings;
pub mod tokens;
pub mod users;

mod caches;
mod driver;
mod engine;
mod sqlite;
#[cfg(test)]
mod tests;

pub use engine::Store;

impl Store {
    /// Incidents and their events.
    pub fn incidents(&self) -> incidents::Incidents {
        incidents::Incidents(self.clone())
    }

    /// Birds.
    pub fn devices(&self) -> devices::Devices {
        devices::Devices(self.clone())
    }

    /// Flocks and who looks after them.
    pub fn flocks(&self) -> flocks::Flocks {
        flocks::Flocks(self.clone())
    }

    /// Tokens and factories.
    pub fn tokens(&self) -> tokens::Tokens {
        tokens::Tokens(self.clone())
    }

    /// SSH keys that were left lying about.
    pub fn breadcrumbs(&self) -> breadcrumbs::Breadcrumbs {
        breadcrumbs::Breadcrumbs(self.clone())
    }

    /// API keys.
    pub fn keys(&self) -> keys::Keys {
        keys::Keys(self.clone())
    }

    /// Users of the page and their sessions.
    pub fn users(&self) -> users::Users {
        users::Users(self.clone())
    }

    /// The Console's settings.
    pub fn settings(&self) -> settings::Settings {
        settings::Settings(self.clone())
    }

    /// Who did what.
    pub fn audit(&self) -> audit::Audit {
        audit::Audit(self.clone())
    }
}

/// What can go wrong while remembering.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
    /// What was asked isn't possible with what is there; nothing changed.
    #[error("{0}")]
    Refused(Refusal),
}

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The thing isn't there.
    #[error("not found")]
    Missing,
    /// Something of that id is there already.
    #[error("already there")]
    Taken,
    /// The flock has birds or tokens.
    #[error("the flock isn't empty")]
    NotEmpty,
    /// The default flock stays.
    #[error("the default flock can't be deleted")]
    DefaultFlock,
}

/// Short for results of this crate.
pub type Result<T> = std::result::Result<T, StoreError>;
