//! The domain's words: what a decoy, a bird, a sighting, an event kind and a token kind are.
//!
//! *Invariant:* no sockets, no clock reads, no SQL, no async runtime, no logging of payloads.
//! Time and randomness are arguments; the one thing borrowed from tokio is the pair of stream
//! traits that [`decoy::Streams`] needs.

pub mod decoy;
pub mod event;
pub mod machine;
pub mod passwords;
pub mod scan;
pub mod seed;
pub mod settings;
pub mod sighting;
#[cfg(feature = "testing")]
pub mod suite;
pub mod text;
pub mod time;
pub mod token;

pub use decoy::{Bird, Context, DecoyKind, Out, Service};
pub use event::{Event, EventKind};
pub use machine::{Machine, System};
pub use seed::Seed;
pub use sighting::{Endpoint, NodeId, Sighting, SightingId, Subject};
pub use time::Timestamp;
pub use token::{TokenId, TokenKind};

// What the macros of this crate name in their expansions.
#[doc(hidden)]
pub mod __private {
    pub use serde_json;
}
