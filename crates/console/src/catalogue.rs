//! What the binary tells the Console about event kinds, decoys and token kinds.

use coalmine_core::settings::Setting;
use coalmine_core::{EventKind, TokenKind};

/// All kinds there are.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// Event kinds of decoys and of the Console itself.
    pub events: Vec<&'static EventKind>,
    /// Decoys, for labels and settings.
    pub decoys: Vec<DecoySettings>,
    /// Token kinds.
    pub tokens: &'static [&'static TokenKind],
}

/// What the Console knows of a decoy.
#[derive(Clone, Debug)]
pub struct DecoySettings {
    /// Wire name, e.g. `ftp`.
    pub id: &'static str,
    /// For people.
    pub title: &'static str,
    /// What it pretends.
    pub doc: &'static str,
    /// `tcp`, `udp`.
    pub transports: Vec<&'static str>,
    /// Standard port.
    pub port: u16,
    /// Whether a bird may have several.
    pub instances: bool,
    /// Its own settings.
    pub settings: Vec<Setting>,
}

impl Catalogue {
    /// The event kind of this key.
    pub fn event(&self, key: &str) -> Option<&'static EventKind> {
        self.events.iter().copied().find(|kind| kind.key == key)
    }

    /// The token kind of this id.
    pub fn token(&self, id: &str) -> Option<&'static TokenKind> {
        self.tokens.iter().copied().find(|kind| kind.id == id)
    }
}
